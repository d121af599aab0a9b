"""The thread that carries setpoints from the safety filter to the arm, once a servo period, whatever the control loop does."""

from __future__ import annotations

import threading
from typing import Protocol

import numpy as np

from hardware.api import Action, ArmLost, RobotError
from hardware.arm import ArmState, Link, Recoverable
from hardware.clock import Clock
from hardware.reason import Reason, Stop
from hardware.safety import MOVING, SafetyFilter, Tick

REST = 3.0
"""Longest that braking may take before the arm is stopped by its own means [s]."""


class Recorder(Protocol):
    """Is told of every servo period; must neither wait nor raise."""

    def servo(self, now: float, state: ArmState | None, asked: Action, tick: Tick, stop: Stop | None) -> None:
        """What was measured, asked and sent; `asked` is the target as it was offered."""
        ...


class NoRecorder:
    """Forgets everything."""

    def servo(self, now: float, state: ArmState | None, asked: Action, tick: Tick, stop: Stop | None) -> None:
        """Does nothing."""


class Servo:
    """Runs from `start` to `close`. Time is kept on an absolute schedule; a period that was missed is not made up for."""

    def __init__(self, link: Link, safety: SafetyFilter, clock: Clock, recorder: Recorder) -> None:
        self.link, self.safety, self.clock, self.recorder = link, safety, clock, recorder
        self.late = 0
        """Periods that began more than a period late."""
        self.ticks = 0
        self.blocked = ""
        """What forbade the step of the last period."""
        self._closing = threading.Event()
        self._resting = threading.Event()
        self._newest: ArmState | None = None
        self._faulted = False
        self._ticked = clock.now()
        """When the servo thread was at work last [s]."""
        self._thread = threading.Thread(target=self._run, name="servo", daemon=True)

    def start(self) -> None:
        """Takes the measured pose as the first setpoint and begins. Raises RobotError where the arm must not move from there."""
        self._newest = self.link.state()
        self._ticked = self.clock.now()
        self.safety.start(self._newest, self._ticked)
        self._thread.start()

    def state(self) -> ArmState:
        """The newest measurement. Raises RobotError where there is none, or, and stops the arm, where the servo hangs."""
        if self._newest is None:
            raise RobotError("the arm has not measured itself yet")
        limits, now = self.safety.limits, self.clock.now()
        silent = now - self._ticked
        if silent > limits.state_age + limits.heartbeat and self.safety.stopped is None:
            self.safety.trip(Reason.STATE_STALE, f"the arm has not answered for {silent:.3f} s", now)
            self.halt()
            raise RobotError(f"the arm has not answered for {silent:.3f} s")
        return self._newest

    def clear(self) -> None:
        """A person lets the arm go on, after a fault of its own too. Raises RobotError where it cannot, or stands where it must not be."""
        since = self.clock.now()
        if not self._thread.is_alive():
            raise RobotError("the servo thread has ended; close this session and open another")
        if self._faulted and isinstance(self.link, Recoverable):
            self.link.recover()
        self.rest(REST)
        self._newest = self._settled(since + REST)
        self.safety.clear(self._newest, self.clock.now(), since=since)
        self._faulted = False

    def _settled(self, deadline: float) -> ArmState:
        """The newest measurement once the arm itself rests, or at the deadline [s]: a compliant one swings on after its setpoint."""
        while np.abs((state := self.link.state()).qvel).max() > MOVING and self.clock.now() < deadline:
            self.clock.sleep_until(self.clock.now() + 0.02)
        return state

    def halt(self) -> None:
        """Has the arm stop by its own means and sends it nothing until `clear`; from any thread, also where the servo's hangs."""
        self._faulted = True
        self.link.stop()

    def rest(self, timeout: float) -> bool:
        """Waits until the setpoint does not move; whether that happened within `timeout` [s]."""
        self._resting.clear()
        return not self._thread.is_alive() or self._resting.wait(timeout)

    def close(self) -> None:
        """Ends the thread; the link is stopped. Idempotent."""
        self._closing.set()
        try:
            if self._thread.is_alive() and threading.current_thread() is not self._thread:
                self._thread.join(2.0)
        finally:
            self.halt()

    def _run(self) -> None:
        period = self.safety.period
        due = self.clock.now() + period
        try:
            while not self._closing.is_set():
                self.clock.sleep_until(due)
                now = self.clock.now()
                if now - due > period:
                    self.late += 1
                    due = now
                due += period
                self._tick(now)
        except BaseException as error:
            self.safety.trip(Reason.CRASH, f"{type(error).__name__}: {error}", self.clock.now())
            raise
        finally:
            self.link.stop()
            self._resting.set()

    def _tick(self, now: float) -> None:
        state, self._ticked = None, now
        try:
            state = self._newest = self.link.state()
            now = self.clock.now()  # it may have been measured since, or have taken its time
        except RobotError as error:
            self._fault(error, now)
        tick = self.safety.tick(state, now)
        if not self._faulted:  # it may have been stopped while it was measured
            try:
                self.link.send(tick.sent)
            except RobotError as error:
                self._fault(error, now)
        self.ticks, self.blocked = self.ticks + 1, tick.blocked
        if tick.resting:
            self._resting.set()
        self.recorder.servo(now, state, self.safety.asked, tick, self.safety.stopped)

    def _fault(self, error: RobotError, now: float) -> None:
        """The arm is gone or refuses: nothing more is sent to it, and it is told to stop by its own means."""
        reason = Reason.ARM_LOST if isinstance(error, ArmLost) else Reason.ARM_FAULT
        self.safety.trip(reason, str(error), now)
        if not self._faulted:
            self.halt()
