"""`cezanne objects ACTION`: one function for each action."""

from __future__ import annotations

import time
from typing import Any

from sim.shelf.add import add
from sim.shelf.check import check
from sim.shelf.config import ObjectsConfig
from sim.shelf.fetch import fetch
from sim.shelf.listing import list_sets


def run(cfg: ObjectsConfig) -> dict[str, Any]:
    """Does what was asked for and sums up. Raises ObjectError."""
    begin = time.monotonic()
    actions = {"list": lambda _: list_sets(), "fetch": fetch, "add": add, "check": check}
    return actions[cfg.action](cfg) | {"seconds": round(time.monotonic() - begin, 1)}
