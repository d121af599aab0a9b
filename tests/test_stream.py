"""The real-time loop on a manual clock: a minute takes no time. What is late is cut, seams do not jump, faults stop with their reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from hardware.api import Action, ActionChunk, ActionError, Observation, RobotError
from hardware.clock import ManualClock
from hardware.reason import Reason, Stop
from hardware.remote import PolicyLost, PolicyRefused
from hardware.stream import Ending, Pace, stream
from hardware.timeline import Timeline

DT = 0.05
PACE = Pace(DT, 8)


def ramp(start: float = 0.0, length: int = 16, slope: float = 0.01, gripper: float = 1.0) -> ActionChunk:
    """Joint 0 rises by `slope` an action."""
    qpos = np.zeros((length, 2))
    qpos[:, 0] = start + slope * np.arange(length)
    return ActionChunk(qpos, np.full((length, 1), gripper))


@dataclass
class World:
    """An arm that notes what it is offered, cameras at a rate, a policy that takes its time."""

    clock: ManualClock = field(default_factory=ManualClock)
    camera_dt: float = 0.05
    thinks: float = 0.02
    plan: Callable[[Observation], ActionChunk] = lambda seen: ramp(0.2 * seen.time)
    offered: list[tuple[float, Action, float]] = field(default_factory=list)
    stopped: Stop | None = None
    held: int = 0
    hidden: tuple[float, float] = (np.inf, np.inf)
    asked: tuple[int, Observation] | None = None
    times: list[float] = field(default_factory=list)

    @property
    def lost(self) -> bool:
        return self.hidden[0] <= self.clock.time < self.hidden[1]

    def newest(self) -> float:
        return np.floor(self.clock.time / self.camera_dt + 1e-9) * self.camera_dt

    def observe(self) -> Observation:
        return Observation({}, {}, np.zeros(2), np.ones(1), self.newest())

    def offer(self, action: Action, observed: float) -> Action:
        self.offered.append((self.clock.time, action, observed))
        return action

    def hold(self) -> None:
        self.held += 1

    def beat(self) -> None:
        pass

    def stop(self, reason: Reason, detail: str) -> None:
        self.stopped = self.stopped or Stop(reason, detail, self.clock.time)

    def ask(self, observation: Observation, number: int) -> None:
        self.asked = (number, observation)
        self.times.append(self.clock.time)

    def answer(self) -> tuple[int, ActionChunk] | None:
        assert self.asked is not None
        if self.clock.time - self.times[-1] < self.thinks:
            return None
        return self.asked[0], self.plan(self.asked[1])

    def run(self, seconds: float = 3.0, pace: Pace = PACE, **options: object):
        return stream(self, self, self, pace, self.clock, seconds=seconds, **options)  # pyright: ignore[reportArgumentType]


def test_an_action_belongs_to_a_moment() -> None:
    world = World(plan=lambda seen: ramp(seen.time, slope=DT))  # wherever a chunk begins, joint 0 is asked to be at the time
    ran = world.run()
    assert ran.ending is Ending.TIMEOUT
    for now, action, observed in world.offered:
        np.testing.assert_allclose(action.qpos[0], now, atol=1e-9)
        assert 0 <= now - observed < 0.6
    assert ran.timing.missed == 0


def test_commands_keep_an_absolute_schedule() -> None:
    times = np.array([now for now, _, _ in World().run(10.0) and World().offered] or [0.0])
    world = World()
    world.run(10.0)
    times = np.array([now for now, _, _ in world.offered])
    assert abs(len(times) - 10.0 / DT) < 30
    assert np.diff(times).max() <= DT + 1e-9


def test_questions_come_as_often_as_in_training_and_see_fresh_pictures() -> None:
    world = World()
    ran = world.run(10.0)
    apart = np.diff(world.times)
    assert np.median(apart) == pytest.approx(8 * DT, abs=0.06)
    assert max(ran.timing.latency) < world.thinks + 0.01, "nothing waits"


def test_late_answers_are_cut_not_carried_out() -> None:
    world = World(thinks=0.3, plan=lambda seen: ramp(seen.time, slope=DT))
    ran = world.run(5.0)
    assert np.mean(ran.timing.cut) > 5
    for now, action, _ in world.offered:
        np.testing.assert_allclose(action.qpos[0], now, atol=1e-9)


def test_seams_do_not_jump() -> None:
    rng = np.random.default_rng(0)
    world = World(plan=lambda seen: ramp(float(rng.uniform(-0.2, 0.2)), slope=0.0))
    world.run(6.0, Pace(DT, 8, blend=4))
    steps = np.abs(np.diff([action.qpos[0] for _, action, _ in world.offered]))
    assert steps.max() <= 0.4 / 4 + 1e-9, "a change takes four actions"


def test_slow_is_the_same_motion_stretched() -> None:
    fast, slow = World(plan=lambda seen: ramp(seen.time, slope=DT)), World(plan=lambda seen: ramp(0.1 * seen.time, slope=DT))
    fast.run(2.0)
    slow.run(20.0, Pace(DT, 8, speed=0.1))
    for now, action, _ in slow.offered:
        np.testing.assert_allclose(action.qpos[0], 0.1 * now, atol=1e-9)
    assert abs(len(slow.times) - len(fast.times)) <= 1


def test_a_lost_target_is_a_pause_and_said() -> None:
    said: list[str] = []
    world = World(hidden=(1.0, 2.0))
    ran = world.run(4.0, say=said.append)
    assert ran.ending is Ending.TIMEOUT
    assert ran.pauses == 1
    assert said[0] == "the target is lost: pausing"
    assert said[1].startswith("the target is found again after")
    quiet = [now for now, _, _ in world.offered if 1.5 < now < 2.0]
    assert not quiet, "nothing is commanded meanwhile"
    assert world.stopped is None


def test_a_target_that_stays_lost_ends_the_run() -> None:
    ran = World(hidden=(0.5, np.inf)).run(30.0, Pace(DT, 8, patience=2.0))
    assert ran.ending is Ending.LOST
    assert ran.seconds < 4


def raising(error: Exception) -> Callable[[Observation], ActionChunk]:
    def plan(seen: Observation) -> ActionChunk:
        if seen.time > 1.0:
            raise error
        return ramp()

    return plan


@pytest.mark.parametrize(
    ("world", "reason"),
    [
        (World(plan=raising(PolicyLost("gone"))), Reason.POLICY_DEAD),
        (World(plan=raising(PolicyRefused("no"))), Reason.POLICY_REFUSED),
        (World(plan=raising(RobotError("what"))), Reason.CRASH),
        (World(thinks=5.0), Reason.POLICY_DEAD),
        (World(plan=lambda seen: ActionChunk(np.full((16, 2), np.nan), np.ones((16, 1)))), Reason.ACTION_NOT_FINITE),
    ],
    ids=["dead", "refused", "unknown", "slow", "nan"],
)
def test_faults_of_the_policy_stop_the_arm(world: World, reason: Reason) -> None:
    ran = world.run(5.0)
    assert ran.ending is Ending.STOPPED
    assert ran.stop is not None
    assert ran.stop.reason is reason
    assert ran.stop.detail


def test_a_shadow_commands_nothing() -> None:
    world = World()
    ran = world.run(2.0, shadow=True)
    assert not world.offered
    assert len(ran.timing.latency) > 3


def test_until_ends_it() -> None:
    assert World().run(5.0, until=lambda now: now > 1.0).seconds < 1.2


def test_a_stop_from_outside_ends_it() -> None:
    world = World()

    def until(now: float) -> bool:
        if now > 1.0:
            world.stop(Reason.OPERATOR, "enough")
        return False

    ran = world.run(5.0, until=until)
    assert ran.ending is Ending.STOPPED
    assert ran.seconds < 1.2


def test_a_timeline_has_nothing_before_and_after() -> None:
    line = Timeline(ramp(length=4), 10.0, DT)
    assert line.at(9.99) is None
    assert line.at(10.0 + 4 * DT + 1e-9) is None
    here = line.at(10.0 + 1.5 * DT)
    assert here is not None
    assert here.qpos[0] == pytest.approx(0.015)


def test_the_gripper_is_not_interpolated() -> None:
    chunk = ActionChunk(np.zeros((2, 2)), np.array([[1.0], [0.0]]))
    here = Timeline(chunk, 0.0, DT).at(0.9 * DT)
    assert here is not None
    assert here.gripper[0] == 1.0


def test_a_nan_in_a_chunk_is_refused_when_its_time_comes() -> None:
    chunk = ramp()
    chunk.qpos[5] = np.nan
    line = Timeline(chunk, 0.0, DT)
    assert line.at(2 * DT) is not None
    with pytest.raises(ActionError, match="finite"):
        line.at(5 * DT)


@pytest.mark.parametrize("change", [{"dt": 0.0}, {"execute": 0}, {"speed": 2.0}, {"blend": 9.0}])
def test_a_pace_that_makes_no_sense_is_refused(change: dict[str, float]) -> None:
    with pytest.raises(RobotError, match="makes no sense"):
        Pace(**{"dt": DT, "execute": 8, **change})  # pyright: ignore[reportArgumentType]
