"""Measurements against peers: `python -m benchmarks.NAME`. They print what they find and never fail because a machine is slow."""

import sim as sim  # chooses how MuJoCo renders before anything imports it, in the processes of benchmarks too
