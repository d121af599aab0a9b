"""The safety filter: nothing beyond a limit leaves it, what cannot be trusted stops it, a stop stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruckig import RuckigError

from hardware.api import Action, RobotError
from hardware.arm import ArmState
from hardware.limits import Limits, Workspace
from hardware.model import load_arm
from hardware.place import forbidden_place, outermost
from hardware.reason import Reason
from hardware.safety import SafetyFilter

PERIOD = 0.01
PANDA = load_arm("panda")
HOME = np.array(PANDA.home)


class Bench:
    """An arm that is always where it was sent, and a clock."""

    def __init__(self, limits: Limits | None = None, start: np.ndarray = HOME) -> None:
        self.limits = limits or Limits(PANDA, speed=1.0)
        self.safety = SafetyFilter(self.limits, PERIOD)
        self.now = 100.0
        self.q = start.copy()
        self.safety.start(self.state(), self.now)

    def state(self, **change: object) -> ArmState:
        plain = ArmState(self.q, np.zeros(len(self.q)), np.zeros(len(self.q)), np.ones(1), self.now)
        return replace(plain, **change)  # pyright: ignore[reportArgumentType]

    def offer(self, qpos: np.ndarray, gripper: float = 1.0, age: float = 0.0) -> None:
        action = object.__new__(Action)  # as it could be after a fault: Action itself refuses what is not finite
        object.__setattr__(action, "qpos", np.asarray(qpos, float))
        object.__setattr__(action, "gripper", np.array([gripper]))
        self.safety.offer(action, observed=self.now - age, now=self.now)

    def tick(self, **change: object) -> np.ndarray:
        self.now += PERIOD
        self.q = self.safety.tick(self.state(**change), self.now).sent.qpos
        return self.q

    def run(self, seconds: float, target: np.ndarray | None = None, **change: object) -> np.ndarray:
        """Setpoints of all ticks, (T, n); the target is offered at every fifth."""
        path = []
        for k in range(round(seconds / PERIOD)):
            if target is not None and k % 5 == 0:
                self.offer(target)
            path.append(self.tick(**change))
        return np.array(path)

    @property
    def reason(self) -> Reason | None:
        return self.safety.stopped.reason if self.safety.stopped else None


def check_path(path: np.ndarray, limits: Limits, share: float = 1.0) -> None:
    """A path of setpoints, (T, n), is within all limits. Braking has full acceleration and jerk."""
    assert np.isfinite(path).all()
    assert (path >= limits.arm.lower - 1e-9).all()
    assert (path <= limits.arm.upper + 1e-9).all()
    speed = np.diff(path, axis=0) / PERIOD
    assert (np.abs(speed) <= limits.velocity * (1 + 1e-6) + 1e-9).all()
    change = np.diff(speed, axis=0) / PERIOD
    assert (np.abs(change) <= limits.full_acceleration * (1 + 1e-6) + 1e-7).all()
    # the third difference of a path sampled at PERIOD is a mean of the jerk
    assert (np.abs(np.diff(change, axis=0)) / PERIOD <= limits.full_jerk * (1 + 1e-6) + 1e-4).all()


def test_a_target_is_reached_and_held() -> None:
    bench = Bench()
    target = HOME + 0.3
    path = bench.run(2.0, target)
    np.testing.assert_allclose(path[-1], target, atol=1e-9)
    check_path(path, bench.limits)
    assert bench.reason is None


def test_nothing_moves_before_the_first_action() -> None:
    bench = Bench()
    np.testing.assert_array_equal(bench.run(1.0), np.tile(HOME, (100, 1)))


@given(
    st.lists(st.tuples(st.floats(-4, 4), st.integers(0, 6), st.integers(1, 30)), min_size=1, max_size=25),
    st.floats(0.05, 1.0),
    st.integers(0, 2**31),
)
@settings(max_examples=25, deadline=None)
def test_no_setpoint_is_beyond_a_limit_whatever_is_asked(moves: list[tuple[float, int, int]], speed: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    bench = Bench(Limits(PANDA, speed=speed, jump=20.0, blocked_time=1e6))
    path = [bench.q]
    for angle, joint, ticks in moves:
        target = rng.uniform(PANDA.lower - 1, PANDA.upper + 1) if rng.random() < 0.5 else bench.q.copy()
        target[joint] = angle
        bench.offer(target, gripper=float(rng.uniform(-1, 2)))
        path += [bench.tick() for _ in range(ticks)]
        assert forbidden_place(bench.limits, bench.q) == ""
    bench.safety.trip(Reason.OPERATOR, "enough", bench.now)
    path += [bench.tick() for _ in range(100)]
    check_path(np.array(path), bench.limits)
    assert forbidden_place(bench.limits, bench.q) == ""
    assert (path[-1] == path[-2]).all()


def test_the_table_is_never_entered() -> None:
    bench = Bench(Limits(PANDA, speed=1.0, jump=5.0))
    down = HOME + np.array([0, 1.3, 0, -0.3, 0, 0, 0])
    assert "below the workspace in z" in forbidden_place(bench.limits, down)
    path = bench.run(1.5, down)
    lowest = min(float((np.minimum(*(e[:, 2] for e in PANDA.segments(q))) - PANDA.radii)[PANDA.links > 1].min()) for q in path)
    assert bench.limits.workspace.lower[2] <= lowest < 0.08, "comes near, and no further"
    bench.run(2.0, down)
    assert bench.reason is Reason.BLOCKED


def test_a_target_a_little_below_the_table_is_brought_onto_it() -> None:
    bench = Bench(Limits(PANDA, speed=1.0, jump=5.0))
    near = HOME + np.array([0, 0.9, 0, -0.3, 0, 0, 0])
    depth = outermost(bench.limits, near)[0]
    assert 0 < depth < bench.limits.reach
    rested = bench.run(3.0, near)[-1]
    assert bench.reason is None
    np.testing.assert_allclose(outermost(bench.limits, rested)[0], -bench.limits.inside, atol=2e-4)
    away = PANDA.tool(rested)[:3, 3] - PANDA.tool(near)[:3, 3]
    assert np.linalg.norm(away[:2]) < 2 * depth, "and hardly aside"


def test_the_jacobian_is_the_slope_of_forward_kinematics() -> None:
    rng = np.random.default_rng(4)
    for _ in range(5):
        q = rng.uniform(PANDA.lower, PANDA.upper)
        tool = PANDA.tool(q)[:3, 3]
        slope = [(PANDA.tool(q + step)[:3, 3] - PANDA.tool(q - step)[:3, 3]) / 2e-6 for step in 1e-6 * np.eye(7)]
        np.testing.assert_allclose(PANDA.jacobian(q, 7, tool), np.array(slope).T, atol=1e-6)


def test_the_arm_does_not_hit_itself() -> None:
    limits = Limits(PANDA, speed=1.0, jump=20.0, workspace=Workspace((-2, -2, -2), (2, 2, 2)), blocked_time=1e6)
    bench = Bench(limits)
    folded = np.array([0.0, -1.7, 0.0, -3.0, 0.0, 3.7, 0.0])
    for q in (bench.run(3.0, folded), bench.run(2.0, HOME)):
        assert min(PANDA.gaps(row).min() for row in q) >= limits.clearance
    np.testing.assert_allclose(bench.q, HOME, atol=1e-6, err_msg="and comes back")


FAULTS = {
    Reason.ACTION_NOT_FINITE: lambda b: b.offer(HOME * np.nan),
    Reason.ACTION_SHAPE: lambda b: b.offer(HOME[:6]),
    Reason.ACTION_JUMP: lambda b: b.offer(HOME + 1.0),
    Reason.OBSERVATION_STALE: lambda b: b.offer(HOME, age=1.1),
    Reason.ACTION_STALE: lambda b: [b.offer(HOME + 0.01)] + [(b.safety.beat(b.now), b.tick()) for _ in range(40)],
    Reason.HEARTBEAT: lambda b: [b.offer(HOME + 0.01)] + [b.tick() for _ in range(40)],
    Reason.STATE_STALE: lambda b: b.tick(time=b.now - 1),
    Reason.STATE_NOT_FINITE: lambda b: b.tick(qpos=np.full(7, np.inf)),
    Reason.JOINT_LIMIT: lambda b: b.tick(qpos=PANDA.upper + 0.01),
    Reason.OVERSPEED: lambda b: b.tick(qvel=np.full(7, 3.0)),
    Reason.FOLLOWING_ERROR: lambda b: b.tick(qpos=HOME - 0.5),
    Reason.CONTACT: lambda b: [b.tick(effort=np.full(7, 40.0)) for _ in range(10)],
    Reason.CLOCK: lambda b: b.safety.tick(b.state(), b.now - 5),
}


@pytest.mark.parametrize("reason", FAULTS, ids=str)
def test_a_fault_stops_with_its_reason_and_stays_stopped(reason: Reason) -> None:
    limits = Limits(PANDA, speed=1.0, action_age=0.1 if reason is Reason.ACTION_STALE else 5.0)
    bench = Bench(limits)
    FAULTS[reason](bench)
    bench.tick()
    assert bench.reason is reason
    stop = bench.safety.stopped
    assert stop is not None
    assert stop.detail
    before = bench.run(1.0)[-1]
    after = bench.run(0.5, HOME + 0.2)
    np.testing.assert_allclose(after, np.tile(before, (len(after), 1)), atol=1e-12, err_msg="actions are ignored")
    assert bench.safety.stopped is stop, "the first reason is kept"
    bench.safety.clear(bench.state(), bench.now, since=bench.now)
    assert bench.reason is None
    assert np.abs(bench.run(1.0, bench.q + 0.1)[-1] - bench.q).max() < 1e-6


@pytest.mark.parametrize("speed", [0.1, 0.5, 1.0])
def test_a_stop_brakes_within_limits_and_soon(speed: float) -> None:
    bench = Bench(Limits(PANDA, speed=speed))
    path = list(bench.run(0.4, HOME + 0.5))
    assert np.abs(path[-1] - path[-2]).max() > 0, "it moves"
    bench.safety.trip(Reason.OPERATOR, "enough", bench.now)
    after = bench.run(1.0)
    check_path(np.array([*path, *after]), bench.limits)
    moving = np.abs(np.diff(after, axis=0)).max(axis=1) > 0
    assert moving.sum() * PERIOD < 0.35


def test_a_pause_is_no_stop() -> None:
    bench = Bench()
    bench.run(0.2, HOME + 0.4)
    bench.safety.hold(bench.now)
    rested = bench.run(2.0)
    assert (rested[-1] == rested[-2]).all()
    assert bench.reason is None
    np.testing.assert_allclose(bench.run(2.0, HOME + 0.4)[-1], HOME + 0.4, atol=1e-9)


def test_a_target_that_is_reached_all_but_for_rounding_is_no_fault() -> None:
    """Seen once: Ruckig found no trajectory of no length, and raised."""
    bench = Bench()
    q = np.array(
        [-0.09364181680468049, 0.1720123161719409, -0.03272707386214226, -2.278245301911538, 0.00841568603495446, 2.454321610268413, 0.64]
    )
    bench.safety._q, bench.safety._target, bench.safety._idle = q, q.copy(), False
    bench.safety._v = np.array([3.1e-17, -6.9e-18, -8.7e-19, -4.5e-17, 3.2e-16, -6.6e-17, 0])
    bench.safety._a = np.array([0, 0, 0, 0, -1.010302952408892e-14, 0, 0])
    bench.q = q
    np.testing.assert_allclose(bench.run(0.1)[-1], q, atol=1e-12)
    assert bench.reason is None


def test_where_ruckig_finds_nothing_the_arm_still_brakes(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    bench.run(0.3, HOME + 0.5)

    def fails(*_: object) -> None:
        raise RuckigError("no trajectory")

    monkeypatch.setattr(bench.safety, "_otg", type("Broken", (), {"update": fails, "calculate": fails})())
    path = bench.run(0.5)
    assert bench.reason is Reason.CRASH
    assert (path[-1] == path[-2]).all()
    assert np.abs(np.diff(path, axis=0)).max() <= bench.limits.velocity.max() * PERIOD * (1 + 1e-9)


def test_motion_that_takes_over_from_braking_is_not_too_fast() -> None:
    """At a tenth of the speed braking is ten times as strong as motion: what it leaves behind must not carry the arm past its speed."""
    rng, arm = np.random.default_rng(3), load_arm("ur5e")
    bench = Bench(Limits(arm, speed=0.1, jump=20.0, blocked_time=1e6), np.array(arm.home))
    path = [bench.q]
    for k in range(1500):
        if k % 25 == 0:
            bench.offer(bench.q + rng.choice([-0.5, 0.5], 6))
        if k % 25 == 20:
            bench.safety.hold(bench.now)
        if k % 25 == 22:
            bench.offer(bench.q + rng.choice([-0.5, 0.5], 6))
        path.append(bench.tick())
    check_path(np.array(path), bench.limits)


def test_contact_gives_way() -> None:
    bench = Bench(Limits(PANDA, speed=1.0))
    held = HOME.copy()
    for k in range(60):
        if k % 5 == 0:
            bench.offer(HOME + 0.55)
        bench.tick(qpos=held)
    assert bench.reason is Reason.FOLLOWING_ERROR
    np.testing.assert_allclose(bench.run(1.0, qpos=held)[-1], held, atol=1e-6, err_msg="it is not pushed against what it met")


def test_contact_in_slow_motion_goes_no_further_than_braking_does() -> None:
    further = {}
    for reason in (Reason.OPERATOR, Reason.CONTACT):
        bench = Bench(Limits(PANDA, speed=0.1))
        start = bench.run(1.0, HOME + 0.5)[-1]
        bench.safety.trip(reason, "met something", bench.now)
        path = np.array([start, *bench.run(1.0, qpos=start)])
        check_path(path, bench.limits)
        further[reason] = float((path - start).max())
        if reason is Reason.CONTACT:
            np.testing.assert_allclose(path[-1], start, atol=1e-6, err_msg="and comes back to where the arm was")
    assert 0 < further[Reason.CONTACT] < 1.2 * further[Reason.OPERATOR] + 1e-4


def test_a_stop_is_not_cleared_before_the_arm_rests() -> None:
    bench = Bench()
    path = list(bench.run(0.3, HOME + 0.5))
    bench.safety.trip(Reason.OPERATOR, "enough", bench.now)
    path.append(bench.tick())
    behind = bench.state(qpos=bench.q - 0.05)  # as an arm trails its setpoint
    with pytest.raises(RobotError, match="still moves"):
        bench.safety.clear(behind, bench.now, since=bench.now)
    path += list(bench.run(1.0))
    check_path(np.array(path), bench.limits)
    bench.safety.clear(bench.state(), bench.now, since=bench.now)
    assert bench.reason is None


def test_a_person_who_stops_while_another_clears_is_not_overruled() -> None:
    bench = Bench()
    bench.safety.trip(Reason.CONTACT, "a table", bench.now)
    bench.run(0.1)
    decided = bench.now
    bench.run(0.1)
    bench.safety.trip(Reason.OPERATOR, "no", bench.now)
    with pytest.raises(RobotError, match="stopped again meanwhile: no"):
        bench.safety.clear(bench.state(), bench.now, since=decided)
    assert bench.reason is Reason.CONTACT
    bench.safety.clear(bench.state(), bench.now, since=bench.now)
    assert bench.reason is None


def test_what_was_held_before_a_stop_is_held_after_it_is_cleared() -> None:
    bench = Bench()
    for _ in range(60):
        bench.offer(HOME, gripper=0.0)
        bench.tick()
    assert bench.safety.setpoint.gripper == 0.0
    bench.safety.trip(Reason.OPERATOR, "enough", bench.now)
    bench.tick()
    bench.safety.clear(bench.state(gripper=np.array([0.4])), bench.now, since=bench.now)  # something is between the fingers
    bench.tick(gripper=np.array([0.4]))
    assert bench.safety.setpoint.gripper == 0.0, "fingers that are told to be where they are let go"


def test_slow_first() -> None:
    limits = Limits(PANDA)
    assert limits.speed == 0.1
    np.testing.assert_allclose(limits.velocity, 0.1 * np.array([j.velocity for j in PANDA.joints]))
    path = Bench(limits).run(1.0, HOME + 0.3)
    assert np.abs(np.diff(path, axis=0)).max() <= 0.1 * 2.61 * PERIOD + 1e-9


def test_the_gripper_keeps_to_its_speed_and_range() -> None:
    bench = Bench()
    opening = [1.0]
    for k in range(100):
        bench.offer(HOME, gripper=-3.0)
        bench.tick()
        opening.append(float(bench.safety.setpoint.gripper[0]))
        assert opening[-2] - opening[-1] <= bench.limits.gripper_speed * PERIOD + 1e-12, k
    assert opening[-1] == 0.0


def test_an_arm_that_stands_where_it_must_not_be_is_not_started() -> None:
    with pytest.raises(RobotError, match=r"stands where it must not be: link 6 .* workspace in x"):
        Bench(Limits(PANDA, workspace=Workspace(lower=(-1, -1, -1), upper=(0.4, 1, 2))))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"speed": 0.0}, "speed=0.0"),
        ({"speed": 1.5}, "speed=1.5"),
        ({"margin": 0.6}, "margin=0.6"),
        ({"heartbeat": float("nan")}, "heartbeat=nan"),
        ({"jump": -1.0}, "jump=-1.0"),
        ({"inside": float("nan")}, "inside=nan"),
        ({"reach": -1.0}, "reach=-1.0"),
    ],
)
def test_limits_that_make_no_sense_are_refused(change: dict[str, float], said: str) -> None:
    with pytest.raises(RobotError, match=said):
        Limits(PANDA, **change)  # pyright: ignore[reportArgumentType]


def test_an_empty_workspace_is_refused() -> None:
    with pytest.raises(RobotError, match="is empty"):
        Workspace(lower=(0, 0, 0.5), upper=(1, 1, 0.2))


def test_all_limits_in_force_are_printed() -> None:
    said = "\n".join(Limits(PANDA, speed=0.25).lines())
    assert "25%" in said
    for joint in PANDA.joints:
        assert joint.name in said
