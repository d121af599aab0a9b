"""Suites of trials, statistics, the report and the demo."""
