"""An arm that outlives whoever drives it: its joints are in this process, its link in another."""

from __future__ import annotations

import contextlib
import multiprocessing
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from deploy.faults.memory import Plant
from hardware.api import Action
from hardware.clock import MonotonicClock
from hardware.model import ArmModel, load_arm
from sim.board import Board
from sim.live import LiveLink

_PERIOD = 0.005
"""Of the arm's own loop [s]."""


@dataclass(frozen=True)
class SharedArm:
    """Implements `hardware.arm.Driver`; can be sent to a spawned process."""

    address: str
    state: Board
    setpoint: Board
    servo_hz: float = 100.0

    @property
    def arm(self) -> ArmModel:
        """Its model."""
        return load_arm("panda")

    def connect(self) -> LiveLink:
        """As to a live world."""
        return LiveLink(self.state, self.setpoint)


@dataclass
class Body:
    """What the arm itself does: follows the newest setpoint, and holds it when no more come."""

    driver: SharedArm
    plant: Plant = field(default_factory=lambda: Plant(load_arm("panda"), MonotonicClock()))

    def run(self, ended: threading.Event) -> None:
        """Until the event is set."""
        last = self.plant.qpos
        while not ended.wait(_PERIOD):
            asked = self.driver.setpoint.read()
            if asked["power"][0] and not np.array_equal(asked["qpos"], last):
                last = asked["qpos"]
                self.plant.take(Action(last, asked["gripper"]))
            self.publish()

    def publish(self) -> None:
        """What it measures."""
        now = self.plant.measure()
        self.driver.state.write(qpos=now.qpos, qvel=now.qvel, effort=now.effort, gripper=now.gripper, time=time.monotonic())


@contextlib.contextmanager
def shared_arm(address: str) -> Iterator[Body]:
    """An arm that runs for as long as the block."""
    context = multiprocessing.get_context("spawn")
    n = len(load_arm("panda").joints)
    vector, one = ((n,), "f8"), ((1,), "f8")
    state = Board(context, {"qpos": vector, "qvel": vector, "effort": vector, "gripper": one, "time": one})
    body = Body(SharedArm(address, state, Board(context, {"qpos": vector, "gripper": one, "power": one})))
    body.publish()
    ended = threading.Event()
    thread = threading.Thread(target=body.run, args=(ended,), name="arm", daemon=True)
    thread.start()
    try:
        yield body
    finally:
        ended.set()
        thread.join(5)
