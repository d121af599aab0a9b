"""The safety filter under random and adversarial input: whether anything beyond a limit leaves it, and what a servo period costs.

`python -m benchmarks.safety` feeds it a million servo periods (about six minutes on one core). The peer is Ruckig alone, which holds
speed, acceleration and jerk and knows neither table nor shape; both run in turn in this process. Last line: JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass, field

import numpy as np
from ruckig import InputParameter, OutputParameter, Ruckig
from tqdm import tqdm

from hardware.api import Action
from hardware.arm import ArmState
from hardware.limits import Limits
from hardware.model import load_arm
from hardware.place import forbidden_place
from hardware.reason import Reason
from hardware.safety import SafetyFilter

PERIOD = 0.01
CLEARED = (Reason.BLOCKED, Reason.OPERATOR)
SLACK = 1e-6
"""Of comparisons, relative."""


@dataclass
class Count:
    """What left the filter."""

    ticks: int = 0
    moving: int = 0
    """Periods in which the setpoint moved."""
    beyond: dict[str, int] = field(default_factory=dict)
    stops: dict[str, int] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    def note(self, name: str, wrong: bool) -> None:
        """Counts a setpoint beyond a limit."""
        if wrong:
            self.beyond[name] = self.beyond.get(name, 0) + 1


def attack(arm: str, ticks: int, rng: np.random.Generator, bar: tqdm) -> Count:
    """Runs one filter for `ticks` servo periods under input drawn by `rng`; a stop is cleared after a while, as a person would."""
    model, count = load_arm(arm), Count()
    while count.ticks < ticks:
        limits = Limits(
            model, speed=float(rng.choice([0.1, 0.3, 1.0])), jump=float(rng.choice([0.6, 20.0])), blocked_time=float(rng.choice([0.5, 1e5]))
        )
        _session(limits, min(5000, ticks - count.ticks), rng, count, bar)
    return count


def _session(limits: Limits, ticks: int, rng: np.random.Generator, count: Count, bar: tqdm) -> None:
    model, safety, now = limits.arm, SafetyFilter(limits, PERIOD), 10.0
    n = len(model.joints)
    q = np.array(model.home)
    safety.start(ArmState(q, np.zeros(n), np.zeros(n), np.ones(1), now), now)
    path = [q, q, q, q]
    kind, target, stopped = 0, q, 0
    for k in range(ticks):
        if k % 50 == 0:
            kind = int(rng.integers(6))
        if k % 5 == 0:
            target = _target(kind, target, q, model.lower, model.upper, rng)
            safety.offer(_action(target, rng), observed=now - float(rng.uniform(0, 0.2)), now=now)
        now += PERIOD
        state = ArmState(q, np.zeros(n), np.zeros(n), safety.setpoint.gripper, now)
        begun = time.perf_counter()
        tick = safety.tick(state, now)
        count.seconds.append(time.perf_counter() - begun)
        q = tick.sent.qpos
        _check(limits, path, q, tick.sent.gripper, count)
        count.moving += bool((q != path[-1]).any())
        path = [*path[1:], q]
        count.ticks += 1
        bar.update()
        stop = safety.stopped
        if stop:
            stopped += 1
            if stopped == 1:
                count.stops[stop.reason.value] = count.stops.get(stop.reason.value, 0) + 1
            if stopped > 60:
                safety.clear(state, now, since=now)
                path, stopped = [q, q, q, q], 0


def _target(kind: int, last: np.ndarray, q: np.ndarray, lower: np.ndarray, upper: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Random places, walks, limits, swings at the worst rhythm, what a broken policy says."""
    n = len(q)
    match kind:
        case 0:
            return rng.uniform(lower - 1, upper + 1)
        case 1:
            return last + rng.normal(0, 0.1, n)
        case 2:
            return np.where(rng.random(n) < 0.5, lower, upper)
        case 3:
            return q + rng.choice([-0.55, 0.55], n)
        case 4:
            return q + np.where(np.arange(n) == rng.integers(n), rng.choice([-0.5, 0.5]), 0.0)
    return rng.choice([np.nan, np.inf, -np.inf, 1e300, 1e-300, 0.3], n) if rng.random() < 0.05 else q + rng.normal(0, 0.3, n)


def _action(target: np.ndarray, rng: np.random.Generator) -> Action:
    """Also what Action itself would refuse: the filter must not rely on it."""
    action = object.__new__(Action)
    object.__setattr__(action, "qpos", target)
    object.__setattr__(action, "gripper", np.array([rng.uniform(-2, 3)]))
    return action


def _check(limits: Limits, path: list[np.ndarray], q: np.ndarray, gripper: np.ndarray, count: Count) -> None:
    a, b, c, d = path[-3], path[-2], path[-1], q
    speed, change = (d - c) / PERIOD, (d - 2 * c + b) / PERIOD**2
    jerk = (d - 3 * c + 3 * b - a) / PERIOD**3
    count.note("not finite", not (np.isfinite(q).all() and np.isfinite(gripper).all()))
    count.note("joint limit", bool(((q < limits.arm.lower) | (q > limits.arm.upper)).any()))
    count.note("velocity", bool((np.abs(speed) > limits.velocity * (1 + SLACK) + 1e-8).any()))
    count.note("acceleration", bool((np.abs(change) > limits.full_acceleration * (1 + SLACK) + 1e-6).any()))
    count.note("jerk", bool((np.abs(jerk) > limits.full_jerk * (1 + SLACK) + 1e-3).any()))
    count.note("gripper", bool(((gripper < 0) | (gripper > 1)).any()))
    count.note("place", forbidden_place(limits, q) != "")


def peer(arm: str, ticks: int, rng: np.random.Generator) -> list[float]:
    """Seconds of each period of Ruckig alone on targets within the joint limits."""
    model = load_arm(arm)
    limits, n = Limits(model, speed=1.0), len(model.joints)
    otg, given, out = Ruckig(n, PERIOD), InputParameter(n), OutputParameter(n)
    given.max_velocity, given.max_acceleration, given.max_jerk = (
        limits.velocity.tolist(),
        limits.acceleration.tolist(),
        limits.jerk.tolist(),
    )
    given.current_position = list(model.home)
    seconds = []
    for k in range(ticks):
        if k % 5 == 0:
            given.target_position = rng.uniform(limits.lower, limits.upper).tolist()
        begun = time.perf_counter()
        otg.update(given, out)
        out.pass_to_input(given)
        seconds.append(time.perf_counter() - begun)
    return seconds


def main() -> int:
    """Prints what left the filter, and the cost of a period beside the peer's. Exit code 1 where anything was beyond a limit."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.safety", description=__doc__)
    parser.add_argument("--ticks", type=int, default=1_000_000)
    parser.add_argument("--arms", nargs="+", default=["panda", "ur5e"])
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    ticks, moving, beyond, stops, seconds, alone = 0, 0, {}, {}, [], []
    with tqdm(total=given.ticks, unit="tick", file=sys.stderr) as bar:
        for k, arm in enumerate(given.arms):
            share = given.ticks // len(given.arms) + (k < given.ticks % len(given.arms))
            count = attack(arm, share, np.random.default_rng([given.seed, k]), bar)
            alone += peer(arm, min(20_000, share), np.random.default_rng([given.seed, k]))
            ticks, moving = ticks + count.ticks, moving + count.moving
            seconds += count.seconds
            for total, more in ((beyond, count.beyond), (stops, count.stops)):
                for name, value in more.items():
                    total[name] = total.get(name, 0) + value
    ours, theirs = np.array(seconds) * 1e6, np.array(alone) * 1e6
    print(f"{ticks:,} setpoints on {', '.join(given.arms)}; {moving / ticks:.0%} of them in motion; beyond a limit: {beyond or 'none'}")
    print("stops: " + ", ".join(f"{name} {value}" for name, value in sorted(stops.items())))
    p50, p99 = np.percentile(ours, [50, 99])
    print(f"a period costs {p50:.0f} us (mean {ours.mean():.0f}, p99 {p99:.0f}); Ruckig alone {theirs.mean():.0f} us")
    told = {
        "ticks": ticks,
        "moving_share": round(moving / ticks, 3),
        "beyond": sum(beyond.values()),
        "p50_us": round(float(np.median(ours)), 1),
    }
    told |= {"p99_us": round(float(np.percentile(ours, 99)), 1), "ratio_ruckig_mean": round(float(ours.mean() / theirs.mean()), 1)}
    print(json.dumps(told))
    return int(bool(beyond))


if __name__ == "__main__":
    sys.exit(main())
