"""How long it takes from what the cameras see to what the arm is told, with a policy in real time on the simulated arm.

`python -m benchmarks.latency runs/demo/policy --seconds 600` runs the loop of `cezanne deploy robot=sim` and notes, at every command, how
old its pictures are, and by how much it came late. The peer is the plain loop that most code bases have: observe, predict in the same
thread, then command; both run in turn, on the same world. Last line: JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

import sim  # noqa: F401  (chooses the GL back end before anything imports mujoco)
from assets.toys import sample_toy
from deploy.motion import go_home
from deploy.rig import Rig, RigConfig, limits_of, open_rig
from hardware.camera_watch import CameraWatch
from hardware.child import PolicyChild, serve_command
from hardware.clock import MonotonicClock
from hardware.segmenter import Words
from hardware.session import Session, session
from hardware.station import Station
from hardware.stream import Pace, Timing, stream
from policies.checkpoint import find_checkpoint
from policies.contract import Contract
from policies.model_policy import load_policy

PEER = 4
"""The peer runs beside every such trial."""
TRIAL = 6.0
"""Length of one run before the arm goes home [s]."""


def ours(arm: Session, station: Station, policy, pace: Pace, seconds: float) -> Timing:
    """The loop of `hardware.stream`, the policy in a process of its own."""
    policy.reset("")
    return stream(station, arm, policy, pace, MonotonicClock(), seconds=seconds).timing


def plain(arm: Session, station: Station, policy, pace: Pace, seconds: float) -> Timing:
    """Observe, predict, command, in one thread on an absolute schedule."""
    policy.reset("")
    clock, timing = MonotonicClock(), Timing()
    due = end = clock.now()
    end += seconds
    while due < end and arm.stopped is None:
        observation = station.observe()
        chunk = policy.predict(observation)
        for k in range(pace.execute):
            clock.sleep_until(due)
            now = clock.now()
            arm.offer(chunk[k], observation.time)
            timing.jitter.append(now - due)
            timing.missed += now - due > pace.period / 2
            timing.age.append(now - observation.time)
            if k == 0:
                timing.latency.append(now - observation.time)
            due = max(due + pace.period, now)
    arm.hold()
    return timing


def measure(rig: Rig, checkpoint: Path, contract: Contract, seconds: float) -> tuple[Timing, Timing, dict[str, float]]:
    """Runs ours for `seconds` [s], and in turn with it the peer, trial by trial."""
    assert rig.world is not None
    rng, both, loop = np.random.default_rng(0), (Timing(), Timing()), {"late_ticks": 0.0, "ticks": 0.0}
    inside = load_policy(checkpoint)
    limits = limits_of(rig.driver, 1.0, {}, simulated=True)
    with PolicyChild(serve_command(checkpoint)).start() as outside, session(rig.driver, limits=limits) as arm:
        station = Station(arm, rig.cameras, rig.segmenter, CameraWatch(max_age=5.0, repeats=None))
        station.connect()
        pace, words = Pace(contract.dt, contract.execute), dict.fromkeys(contract.cameras, Words("the object"))
        for k in tqdm(range(round(seconds / TRIAL)), unit="trial", file=sys.stderr):
            pairs = list(zip(both, (ours, plain), (outside, inside), strict=True))
            for total, run, policy in pairs if k % PEER == 0 else pairs[:1]:
                go_home(arm)
                rig.world.place(sample_toy(rng), rng.uniform(-0.08, 0.08, 2), int(rng.integers(2**31)))
                arm.clock.sleep_until(arm.clock.now() + 0.2)
                station.aim(words)
                late, ticks = arm.servo.late, arm.servo.ticks
                timing = run(arm, station, policy, pace, TRIAL)
                if run is ours:
                    loop["late_ticks"] += arm.servo.late - late
                    loop["ticks"] += arm.servo.ticks - ticks
                _add(total, timing)
                if arm.stopped:
                    arm.rest()
                    arm.clear()
    return *both, loop


def _add(total: Timing, more: Timing) -> None:
    for name in ("age", "latency", "jitter", "cut"):
        getattr(total, name).extend(getattr(more, name))
    total.missed += more.missed


def _line(name: str, values: Sequence[float]) -> str:
    p50, p95, p99 = np.percentile(values, [50, 95, 99]) * 1e3
    return f"{name:28} p50 {p50:6.1f}   p95 {p95:6.1f}   p99 {p99:6.1f} ms"


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.add_argument("checkpoint", type=Path, nargs="?", default=Path("runs/demo/policy"))
    parser.add_argument("--seconds", type=float, default=60.0, help="of running, without the ways home")
    given = parser.parse_args()
    checkpoint = find_checkpoint(given.checkpoint)
    contract = load_policy(checkpoint).contract
    with open_rig(RigConfig(), contract, sample_toy(np.random.default_rng(0))) as rig:
        mine, theirs, loop = measure(rig, checkpoint, contract, given.seconds)
    for name, timing in (("ours", mine), ("plain loop", theirs)):
        print(_line(f"{name}: pictures to command", timing.latency))
        print(_line(f"{name}: late by", timing.jitter))
    told = {
        "p50_ms": round(float(np.percentile(mine.latency, 50)) * 1e3, 1),
        "p99_ms": round(float(np.percentile(mine.latency, 99)) * 1e3, 1),
        "missed_share": round(mine.missed / len(mine.jitter), 5),
        "commands": len(mine.jitter),
        "plain_p99_ms": round(float(np.percentile(theirs.latency, 99)) * 1e3, 1),
        "plain_missed_share": round(theirs.missed / len(theirs.jitter), 5),
        "jitter_ratio_p99": round(float(np.percentile(theirs.jitter, 99) / max(np.percentile(mine.jitter, 99), 1e-6)), 1),
        "late_ticks_share": round(loop["late_ticks"] / max(1.0, loop["ticks"]), 5),
    }
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
