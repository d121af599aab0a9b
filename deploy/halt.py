"""`cezanne stop`: stops every arm that this user has a session with, from any terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from deploy.errors import DeployError
from hardware.session import stop_all


@dataclass
class StopConfig:
    """Nothing to set: it stops all."""


def run(cfg: StopConfig) -> dict[str, Any]:
    """Stops, and says what each session answered. Raises DeployError where there is none."""
    answers = stop_all()
    if not answers:
        raise DeployError("no arm is in use by this user on this machine: there is nothing to stop")
    for name, said in answers.items():
        print(f"{name}: {said}")
    return {"ok": all(said != "silent" for said in answers.values()), "sessions": answers}
