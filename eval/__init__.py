"""Suites of trials, statistics, the report and the demo."""

from eval.evaluate import evaluate

__all__ = ["evaluate"]
