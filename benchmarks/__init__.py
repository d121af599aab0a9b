"""Measurements against peers: `python -m benchmarks.NAME`. They print what they find and never fail because a machine is slow."""
