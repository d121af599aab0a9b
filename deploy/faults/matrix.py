"""All rows, and how one is run."""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path

from deploy.faults import arms, cameras, inputs, machine, network, places, policies, processes, vendors, world
from deploy.faults.fault import Fault, Outcome

ROWS: tuple[Fault, ...] = (
    *cameras.ROWS,
    *policies.ROWS,
    *network.ROWS,
    *arms.ROWS,
    *places.ROWS,
    *vendors.ROWS,
    *machine.ROWS,
    *processes.ROWS,
    *world.ROWS,
    *inputs.ROWS,
)
"""In the order of the table."""


def run(fault: Fault) -> Outcome:
    """Injects a fault in an empty folder, which is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="fault-") as folder:
        return fault.inject(Path(folder))


def absent(fault: Fault) -> bool:
    """Whether a vendor's package is missing that it needs."""
    return bool(fault.needs) and importlib.util.find_spec(fault.needs) is None
