"""Suites as data: NAME.json names another suite, and what it leaves out of it and why."""
