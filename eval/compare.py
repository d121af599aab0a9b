"""`cezanne compare NEW OLD`: two results, or two policies, on the trials that both ran."""

from __future__ import annotations

from eval.comparison import Comparison

__all__ = ["Comparison"]
