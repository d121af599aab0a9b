"""The one filter between what is asked of an arm and what is sent to it, the same in simulation and on the arm.

`offer` takes actions at the control rate, `tick` gives setpoints at the servo rate. Position, velocity, acceleration and jerk are held
by Ruckig's online trajectories; shape and place by an invariant: at every tick the way on which the arm would come to rest if it braked
now is allowed (joint limits, workspace, table, self-collision), and a step that would break this is replaced by braking, on a way that
was allowed before. What cannot be trusted is refused, never clamped, and stops the arm: it brakes, holds, and stays so
until a person clears it.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import RLock

import numpy as np
from ruckig import ControlInterface, InputParameter, OutputParameter, Result, Ruckig, RuckigError, Trajectory

from hardware.api import Action, RobotError
from hardware.arm import ArmState
from hardware.limits import Limits
from hardware.place import forbidden_place, within
from hardware.reason import Reason, Stop

OVERSPEED = 1.25
"""Of the data sheet's speed: an arm that is compliant swings past its setpoint."""
MOVING = 0.2
"""A joint that is faster does not rest [rad/s]."""
SAMPLES = 5
"""Poses of a braking way that are looked at."""
INSET = 0.002
"""By which they must be further inside than the limits ask for: what the way does between them [m]."""
_YIELDS = (Reason.CONTACT, Reason.FOLLOWING_ERROR)
"""Stops that go to where the arm is, not to where it was sent."""


@dataclass(frozen=True)
class Tick:
    """What one servo period did."""

    sent: Action
    """The setpoint."""
    qvel: np.ndarray
    """Its velocity, (n,) [rad/s]."""
    blocked: str
    """What forbade the step that was asked for; empty where it was allowed."""
    resting: bool
    """The setpoint does not move."""


class SafetyFilter:
    """Holds one arm to its limits. Safe for two threads: one offers, one ticks."""

    def __init__(self, limits: Limits, period: float) -> None:
        """period: of the servo [s]."""
        if not 0.0005 <= period <= 0.1:
            raise RobotError(f"a servo period of {period} s; 0.0005 to 0.1 s would do")
        self.limits = limits
        self.period = period
        self._lock = RLock()
        n = len(limits.arm.joints)
        self._otg = Ruckig(n, period)
        self._move = _input(n, limits.velocity, limits.acceleration, limits.jerk, ControlInterface.Position)
        self._brake = _input(n, limits.velocity, limits.full_acceleration, limits.full_jerk, ControlInterface.Velocity)
        self._yield = _input(n, limits.velocity, limits.full_acceleration, limits.full_jerk, ControlInterface.Position)
        self._output = OutputParameter(n)
        self._trajectory = Trajectory(n)
        self._started = False
        self._stop: Stop | None = None
        self._said, self._saying = -np.inf, ""
        """When a person said stop last, also while it was stopped [s], and how."""

    # --- before motion

    def start(self, state: ArmState, now: float) -> None:
        """Takes the measured pose as the first setpoint: nothing jumps. Raises RobotError where the arm must not move from there."""
        with self._lock:
            if not _finite(state.qpos, state.qvel, state.gripper):
                raise RobotError(f"the arm measures positions {state.qpos} and gripper {state.gripper}, not finite numbers")
            if len(state.qpos) != len(self.limits.arm.joints) or len(state.gripper) != self.limits.arm.gripper:
                raise RobotError(
                    f"the arm measures {len(state.qpos)} joints and {len(state.gripper)} gripper values; {self.limits.arm.name} has "
                    f"{len(self.limits.arm.joints)} and {self.limits.arm.gripper}"
                )
            if not -self.limits.state_age <= now - state.time <= self.limits.state_age:
                raise RobotError(f"the arm measured itself {now - state.time:.3f} s ago, the limit is {self.limits.state_age} s")
            if (speed := np.abs(state.qvel).max()) > MOVING:
                raise RobotError(f"the arm moves, at {speed:.2f} rad/s; wait until it rests, or end the program that moves it")
            if forbidden := self._forbidden(state.qpos[None]):
                raise RobotError(f"the arm stands where it must not be: {forbidden}; move it by hand, or widen the limits")
            self._q, self._v, self._a = state.qpos.astype(float), np.zeros(len(state.qpos)), np.zeros(len(state.qpos))
            self._gripper = state.gripper.astype(float)
            self._target, self._wanted = self._q.copy(), self._gripper.copy()
            self._yield_to: np.ndarray | None = None
            self._idle = True
            self._now = self._offered = self._beaten = now
            self._blocked_since: float | None = None
            self._why = ""
            self._contact_since: float | None = None
            self._stop, self._started = None, True

    # --- from the control loop

    def offer(self, action: Action, *, observed: float, now: float) -> None:
        """The next action of the policy.

        Args:
            action: absolute joint targets.
            observed: when the picture was taken that it answers to [s].
            now: the present [s].
        """
        wrong = self._wrong(action, now - observed)
        target = (
            action.qpos if wrong else within(self.limits, np.clip(action.qpos, self.limits.lower, self.limits.upper))
        )  # not under the lock
        with self._lock:
            self._beaten = now
            if self._stop or not self._started:
                return
            if wrong:
                return self.trip(*wrong, now)
            away = np.abs(action.qpos - self._q)
            if away.max() > self.limits.jump:
                joint = int(away.argmax())
                name = self.limits.arm.joints[joint].name
                return self.trip(
                    Reason.ACTION_JUMP, f"{name} asked for {away[joint]:.2f} rad at once, the limit is {self.limits.jump} rad", now
                )
            self._target, self._wanted = target, np.clip(action.gripper, 0.0, 1.0)
            self._offered, self._idle = now, False
        return None

    def _wrong(self, action: Action, age: float) -> tuple[Reason, str] | None:
        """What makes an action one that is refused, wherever the arm is; `age` of the picture that it answers to [s]."""
        arm, oldest = self.limits.arm, self.limits.oldest_picture
        if action.qpos.shape != (len(arm.joints),) or action.gripper.shape != (arm.gripper,):
            wanted = f"the arm has {len(arm.joints)} joints and {arm.gripper} gripper values"
            return Reason.ACTION_SHAPE, f"{action.qpos.shape} and {action.gripper.shape}, {wanted}"
        if not _finite(action.qpos, action.gripper):
            return Reason.ACTION_NOT_FINITE, f"qpos {action.qpos}, gripper {action.gripper}"
        if not 0 <= age <= oldest:
            return Reason.OBSERVATION_STALE, f"answers to a picture of {age:.3f} s ago, the limit is {oldest:.3f} s"
        return None

    def beat(self, now: float) -> None:
        """The control loop lives."""
        with self._lock:
            self._beaten = max(self._beaten, now) if self._started else now

    def hold(self, now: float) -> None:
        """Comes to rest and waits for the next action; no stop."""
        with self._lock:
            self._idle, self._beaten = True, now

    def trip(self, reason: Reason, detail: str, now: float) -> None:
        """Stops: brakes, holds, stays so until `clear`. The first reason is kept."""
        with self._lock:
            if reason is Reason.OPERATOR:
                self._said, self._saying = now, detail
            if self._stop is None:
                self._stop = Stop(reason, " ".join(detail.split()), now)

    def clear(self, state: ArmState, now: float, *, since: float) -> None:
        """A person has seen the arm and lets it go on from where it is; what it holds it goes on holding.

        Args:
            state: the newest measurement.
            now: the present [s].
            since: when the person decided; whoever has said stop after that is not overruled [s].

        Raises:
            RobotError: it still moves, was stopped again meanwhile, or must not move from there.
        """
        with self._lock:
            if self._said > since:
                raise RobotError(f"the arm was stopped again meanwhile: {self._saying}")
            if self._started and not self._rests():
                raise RobotError("the arm still moves; wait until it rests")
            kept = self._gripper if self._started else state.gripper
            self.start(state, now)
            self._gripper = np.minimum(kept, state.gripper)  # fingers that are told to be where they are let go
            self._wanted = self._gripper.copy()

    @property
    def stopped(self) -> Stop | None:
        """Why the arm was stopped."""
        return self._stop

    @property
    def asked(self) -> Action:
        """What was asked for last, brought within the joint limits."""
        with self._lock:
            return Action(self._target.copy(), self._wanted.copy())

    @property
    def setpoint(self) -> Action:
        """What was sent last."""
        with self._lock:
            return Action(self._q.copy(), self._gripper.copy())

    # --- from the servo

    def tick(self, state: ArmState | None, now: float) -> Tick:
        """The setpoint of this servo period. Never raises for what is measured or was asked: it stops.

        Args:
            state: the newest measurement; None where there is none, and the caller has tripped for that.
            now: the present [s].
        """
        with self._lock:
            if not self._started:
                raise RobotError("the filter has not been started at the measured pose")
            self._watch(now)
            if state is not None:
                self._measure(state, now)
            blocked = self._step(now)
            most = self.limits.gripper_speed * self.period
            if self._stop is None:
                self._gripper = self._gripper + np.clip(self._wanted - self._gripper, -most, most)
            return Tick(Action(self._q.copy(), self._gripper.copy()), self._v.copy(), blocked, self._rests())

    def _watch(self, now: float) -> None:
        """Time, and who should have said something."""
        limits = self.limits
        if now <= self._now:
            self.trip(Reason.CLOCK, f"time went from {self._now:.4f} to {now:.4f} s between two ticks", self._now)
        self._now = max(now, self._now)
        if not self._idle and now - self._beaten > limits.heartbeat:
            self.trip(
                Reason.HEARTBEAT, f"the control loop was silent for {now - self._beaten:.3f} s, the limit is {limits.heartbeat} s", now
            )
        if not self._idle and now - self._offered > limits.action_age / limits.speed:
            said = f"no action for {now - self._offered:.3f} s, the limit is {limits.action_age / limits.speed:.3f} s"
            self.trip(Reason.ACTION_STALE, said, now)

    def _measure(self, state: ArmState, now: float) -> None:
        """What the arm says of itself."""
        limits, arm = self.limits, self.limits.arm
        if state.qpos.shape != self._q.shape or not _finite(state.qpos, state.qvel, state.effort, state.gripper):
            return self.trip(Reason.STATE_NOT_FINITE, f"positions {state.qpos}, velocities {state.qvel}, torques {state.effort}", now)
        if not -limits.state_age <= now - state.time <= limits.state_age:
            return self.trip(Reason.STATE_STALE, f"measured {now - state.time:.3f} s ago, the limit is {limits.state_age} s", now)
        checks: tuple[tuple[Reason, np.ndarray, np.ndarray, str], ...] = (
            (
                Reason.JOINT_LIMIT,
                np.maximum(arm.lower - state.qpos, state.qpos - arm.upper),
                np.zeros(len(state.qpos)),
                "rad beyond its limit",
            ),
            (Reason.OVERSPEED, np.abs(state.qvel), limits.velocity / limits.speed * OVERSPEED, "rad/s"),
            (
                Reason.FOLLOWING_ERROR,
                np.abs(state.qpos - self._q),
                limits.error,
                "rad from where it was sent",
            ),
        )
        for reason, value, most, unit in checks:
            if (value > most).any() and self._stop is None:
                joint = int((value - most).argmax())
                self.trip(reason, f"{arm.joints[joint].name}: {value[joint]:.3f} {unit}, the limit is {most[joint]:.3f}", now)
        pressed = np.abs(state.effort) > limits.effort
        if not pressed.any():
            self._contact_since = None
        elif self._contact_since is None:
            self._contact_since = now
        elif now - self._contact_since >= limits.contact_time and self._stop is None:
            joint = int((np.abs(state.effort) - limits.effort).argmax())
            said = f"{arm.joints[joint].name}: {state.effort[joint]:.1f} N m from outside, the limit is {limits.effort[joint]:.1f} N m"
            self.trip(Reason.CONTACT, said, now)
        if self._stop is not None and self._stop.reason in _YIELDS and self._yield_to is None:
            self._yield_to = np.clip(state.qpos, limits.lower, limits.upper)
        return None

    # --- motion

    def _step(self, now: float) -> str:
        """Moves the setpoint by one period; what forbade the step that was asked for."""
        target = self._yield_to if self._stop else (None if self._idle else self._target)
        blocked = ""
        if target is not None and self._rests() and np.abs(target - self._q).max() < 1e-9:
            target = None  # it is there: a trajectory of no length is one that Ruckig may refuse
        if target is not None and not self._stop and not self._gentle():
            target, blocked = None, self._why  # braking, once begun, goes on until motion towards a target may take over
        if target is not None:
            step = self._advance(self._yield if self._stop else self._move, target)
            blocked = self._why = self._forbidden(self._braking(*step)) if step else "no trajectory"
            if step and not blocked:
                self._q, self._v, self._a = step
                self._blocked_since = None
                return ""
        if self._rests():
            self._v, self._a = np.zeros_like(self._v), np.zeros_like(self._a)  # not the last rounding errors
        elif (step := self._advance(self._brake, None)) is not None:
            self._q, self._v, self._a = step
        else:  # not seen yet: the present state is always within the limits of braking
            self.trip(Reason.CRASH, "Ruckig finds no braking trajectory: braking with full deceleration, jerk not limited", now)
            slower = np.sign(self._v) * np.maximum(np.abs(self._v) - self.limits.full_acceleration * self.period, 0)
            self._q = np.clip(self._q + 0.5 * (self._v + slower) * self.period, self.limits.arm.lower, self.limits.arm.upper)
            self._v, self._a = slower, np.zeros_like(self._a)
        if not blocked or self._stop:
            self._blocked_since = None
        elif self._blocked_since is None:
            self._blocked_since = now
        elif now - self._blocked_since > self.limits.blocked_time:
            self.trip(Reason.BLOCKED, f"for {now - self._blocked_since:.1f} s: {blocked}", now)
        return blocked

    def _gentle(self) -> bool:
        """Whether velocity and acceleration are such that motion within the limits can go on from them.

        Braking has all of the acceleration and jerk, motion a share of both: taken over too early, it would need too long to end the
        acceleration, and pass the greatest velocity meanwhile.
        """
        limits = self.limits
        peak = np.abs(self._v + self._a * np.abs(self._a) / (2 * limits.jerk))
        slack = 1 + 1e-9
        return bool((np.abs(self._a) <= limits.acceleration * slack).all() and (peak <= limits.velocity * slack).all())

    def _rests(self) -> bool:
        return bool(np.abs(self._v).max() < 1e-9 and np.abs(self._a).max() < 1e-6)

    def _advance(self, parameters: InputParameter, target: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Position, velocity and acceleration one period on; None where Ruckig finds no trajectory."""
        self._from(parameters, self._q, self._v, self._a)
        if target is not None:
            parameters.target_position = target.tolist()
        try:
            if self._otg.update(parameters, self._output) not in (Result.Working, Result.Finished):
                return None
        except RuckigError:
            return None
        q, v, a = (np.array(x) for x in (self._output.new_position, self._output.new_velocity, self._output.new_acceleration))
        return (q, v, a) if _finite(q, v, a) else None

    def _braking(self, q: np.ndarray, v: np.ndarray, a: np.ndarray) -> np.ndarray | None:
        """Where the arm would be, from here to rest, if it braked now, (SAMPLES, n) [rad]; None where Ruckig finds no trajectory."""
        self._from(self._brake, q, v, a)
        try:
            if self._otg.calculate(self._brake, self._trajectory) not in (Result.Working, Result.Finished):
                return None
        except RuckigError:
            return None
        end = self._trajectory.duration
        if end < self.period:
            return np.array([q, self._trajectory.at_time(end)[0]])
        return np.array([self._trajectory.at_time(t)[0] for t in np.linspace(0, end, SAMPLES).tolist()])

    def _from(self, parameters: InputParameter, q: np.ndarray, v: np.ndarray, a: np.ndarray) -> None:
        parameters.current_position, parameters.current_velocity, parameters.current_acceleration = q.tolist(), v.tolist(), a.tolist()

    def _forbidden(self, path: np.ndarray | None) -> str:
        """What forbids a path (S, n) [rad]: empty where nothing does."""
        if path is None or not np.isfinite(path).all():
            return "no braking trajectory"
        arm = self.limits.arm
        beyond = np.maximum(arm.lower - path, path - arm.upper).max(axis=0)
        if beyond.max() > 0:
            joint = int(beyond.argmax())
            return f"{arm.joints[joint].name} {beyond[joint]:.3f} rad beyond its limit"
        return forbidden_place(self.limits, path, INSET)


def _finite(*arrays: np.ndarray) -> bool:
    return all(bool(np.isfinite(array).all()) for array in arrays)


def _input(n: int, velocity: np.ndarray, acceleration: np.ndarray, jerk: np.ndarray, interface: ControlInterface) -> InputParameter:
    parameters = InputParameter(n)
    parameters.max_velocity, parameters.max_acceleration, parameters.max_jerk = velocity.tolist(), acceleration.tolist(), jerk.tolist()
    parameters.control_interface = interface
    parameters.target_velocity = [0.0] * n
    parameters.target_acceleration = [0.0] * n
    return parameters
