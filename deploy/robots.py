"""`cezanne robots`: which arms can be driven, what each needs, and whether that is installed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hardware.catalogue import ROBOTS


@dataclass
class RobotsConfig:
    """Nothing to set."""


def run(cfg: RobotsConfig) -> dict[str, Any]:
    """Prints the table."""
    width = max(len(row.name) for row in ROBOTS)
    for row in ROBOTS:
        state = "ready" if row.installed else f"needs: pip install '{row.package}'"
        print(f"{row.name:{width}}  {state:38}  {row.says}" + (f" ({row.guide})" if row.guide else ""))
    return {row.name: {"installed": row.installed, "package": row.package, "simulated": row.simulated} for row in ROBOTS}
