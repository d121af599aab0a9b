"""The Franka Hand: its moves block for up to a second, so a thread of its own makes them, and takes only wishes that differ.

`move` goes to a width and lets go of what is in the way; `grasp` closes until it meets something, whatever its width says, holds it with
force, and opens again where that was not expected. So small openings are grasps that expect anything, and all others are moves.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np

from hardware.api import ArmLost, RobotError

DEAD_BAND = 0.04
"""A wish nearer to the last goal than this changes nothing [opening]: 3 mm."""
END_BAND = 0.01
"""The same for fully open and fully closed."""
TURN = 0.2
"""A motion under way is broken off where the wish is further than this from its goal [opening]."""
GRASP = 0.25
"""Closing to less than this means to hold something: with force, wherever the fingers meet it [opening]."""
REFUSALS = 3
"""Refused commands in a row before the hand counts as at fault."""
SILENCE = 2.0
"""Longest time without a measurement [s]; the hand measures ten times a second or more."""
PERIOD = 0.01
"""Between looks at the wish [s]."""


class FrankaHand:
    """A hand that follows wishes. Methods may be called from any thread and return at once, `rest` and `close` soon."""

    def __init__(self, name: str, hand: Any, speed: float, force: float) -> None:
        """Of a connected `franky.Gripper`; speed [m/s], force [N]. Raises RobotError where the hand has not been homed."""
        self.name = name
        self._hand: Any = hand
        self._speed, self._force = speed, force
        state = hand.state
        self._reach = float(state.max_width)
        if not 0.01 < self._reach < 0.2:
            raise RobotError(
                f"{name}: the hand reports a greatest width of {self._reach:.3f} m; home it in Desk (it opens and closes once)"
            )
        self._opening, self._seen = state.width / self._reach, time.monotonic()
        self._goal, self._grasping = self._opening, False
        self._wish: float | None = None
        self._resting, self._rested = threading.Event(), threading.Event()
        self._closing = threading.Event()
        self._refusals = 0
        self._fault: RobotError | None = None
        self._thread = threading.Thread(target=self._run, name="franka hand", daemon=True)
        self._thread.start()

    def opening(self) -> float:
        """Measured, 0 closed to 1 open. Raises RobotError where the hand is silent or at fault."""
        self._check()
        return float(np.clip(self._opening, 0, 1))

    def go(self, opening: float) -> None:
        """The wish, 0 closed to 1 open. Raises RobotError after a fault."""
        self._check()
        self._wish = float(np.clip(opening, 0, 1))

    def rest(self, timeout: float = 1.0) -> None:
        """Breaks off a motion under way and waits for that. A finished grasp goes on holding: breaking it off would drop the object."""
        self._wish = None
        self._rested.clear()
        self._resting.set()
        if self._thread.is_alive():
            self._rested.wait(timeout)

    def close(self) -> None:
        """Ends the thread; idempotent. A hand that never answers keeps its thread until the process ends."""
        self.rest()
        self._closing.set()
        self._thread.join(SILENCE)
        if not self._thread.is_alive():
            self._hand = None  # nothing else disconnects

    def recover(self) -> None:
        """Forgets refusals; a lost connection stays lost."""
        self._refusals = 0
        if not isinstance(self._fault, ArmLost):
            self._fault = None

    def _check(self) -> None:
        if self._fault is not None:
            raise type(self._fault)(str(self._fault))
        age = time.monotonic() - self._seen
        if age > SILENCE:
            raise ArmLost(f"{self.name}: the hand has not measured itself for {age:.1f} s")

    def _run(self) -> None:
        running = None
        while not self._closing.wait(PERIOD):
            try:
                state = self._hand.state
                self._opening, self._seen = state.width / self._reach, time.monotonic()
                running = self._follow(running, bool(state.is_grasped))
            except Exception as error:  # the vendor's: NetworkException, or a RuntimeError of its network library
                self._fault = ArmLost(f"{self.name}: the hand is gone: {error}")
                self._rested.set()
                return

    def _follow(self, running: Any, holding: bool) -> Any:
        wish = self._wish
        if running is not None:
            if running.wait(0.0):
                self._finish(running)
                running = None
            elif self._grasping and holding and (wish is None or wish <= GRASP):
                return running  # it holds; the answer is on its way
            elif self._resting.is_set() or (wish is not None and abs(wish - self._goal) > TURN):
                self._hand.stop()
                if not running.wait(0.5):
                    return running  # the hand's stop is known to fail now and then: once more
                self._finish(running, broken_off=True)
                running = None
        if running is None and self._resting.is_set():
            self._resting.clear()
            self._goal = self._opening
            self._rested.set()
        elif running is None and wish is not None and self._differs(wish, holding):
            return self._start(wish)
        return running

    def _differs(self, wish: float, holding: bool) -> bool:
        if abs(wish - self._goal) <= (END_BAND if wish in (0, 1) else DEAD_BAND):
            return False
        return not (self._grasping and holding and wish < self._opening + DEAD_BAND)

    def _start(self, wish: float) -> Any:
        self._goal, self._grasping = wish, wish <= GRASP and wish < self._opening
        if self._grasping:
            return self._hand.grasp_async(wish * self._reach, self._speed, self._force, self._reach, self._reach)
        return self._hand.move_async(wish * self._reach, self._speed)

    def _finish(self, running: Any, broken_off: bool = False) -> None:
        refusal = ""
        try:
            running.get()
        except Exception as error:
            refusal = str(error)
        if broken_off:
            self._goal = self._opening
            return
        self._refusals = self._refusals + 1 if refusal else 0
        if self._refusals >= REFUSALS:
            self._fault = RobotError(f"{self.name}: the hand refused {self._refusals} commands in a row: {refusal}")
