"""Our environment's step against robosuite's: `python -m benchmarks.sim`.

The same arm (Panda with its own jaw), a cube of 4 cm on a table, the same slow wave of absolute joint targets at 20 Hz, the same
timestep of 2 ms, the same GL back end, one run. A step of either returns joints, gripper and the object's pose. Each is measured as it
comes: robosuite with its JOINT_POSITION controller, its meshes and as many threads as its drawing likes; ours with position servos,
light meshes and one thread. Within a group the variants are measured in turn, and the median of the rounds counts.

    no camera      robosuite: env.step without rendering      ours: command, then joints, gripper and object pose
    128, 224 px    robosuite: RGB of two cameras, and with instance segmentation
                   ours: RGB of two cameras, and observe(), which is RGB and the object's mask of both
    vectorised     one `gymnasium.make("sim:cezanne/Grasp-v0")`, and `make_vec` of one for each core (asynchronous, shared memory): what
                   is seen arrives in the process that asked, resets included; both also unguarded, that is without the process beside
                   each that draws and may be killed (`sim/easel.py`); our own workers (`sim/workers.py`), one and one for
                   each core: what is seen stays where it is made, as when demonstrations are collected

One line of JSON a variant, then one of ratios and medians. `ratio_vectorised` is make_vec's, for that is what people type.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import logging
import multiprocessing
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import gymnasium
import numpy as np

from assets.toys import Part, Toy
from hardware.api import Action
from sim.scene import SceneConfig
from sim.simrobot import SimRobot
from sim.workers import share

RATE = 20
CUBE = Toy((Part("cuboid", (0.02, 0.02, 0.02)),), name="cube")
CAMERAS = ["agentview", "robot0_eye_in_hand"]
CORES = len(os.sched_getaffinity(0))
NAME = "sim:cezanne/Grasp-v0"
_ITEM = 10
"""Control steps that a worker does at a time."""

Seen = list[np.ndarray]
Stepper = Callable[[int], tuple[int, Seen]]
"""Goes on from a step; how many control steps that were, and the pictures and masks of the last."""


def wave(home: np.ndarray, t: int) -> np.ndarray:
    """Joint targets of control step t: all joints, 0.1 rad around home, once in 4 s."""
    return home + 0.1 * np.sin(2 * np.pi * t / (4 * RATE)) * np.ones_like(home)


def robosuite_step(*, size: int = 0, masks: bool = False) -> Stepper:
    """robosuite's Lift with a Panda, pictures of `size` px from two cameras (0: none)."""
    os.environ.pop("LP_NUM_THREADS", None)  # ours; theirs draws with as many threads as it likes
    import robosuite
    from robosuite.controllers import load_composite_controller_config

    logging.getLogger("robosuite_logs").setLevel(logging.ERROR)
    controller: Any = load_composite_controller_config(controller="BASIC", robot="Panda")
    controller["body_parts"] = {"right": controller["body_parts"]["right"]}
    arm = controller["body_parts"]["right"]
    arm.update(type="JOINT_POSITION", input_type="absolute", kp=50, damping_ratio=1, impedance_mode="fixed", kp_limits=[0, 300])
    arm.update(input_max=1, input_min=-1, output_max=0.05, output_min=-0.05)
    env = robosuite.make(
        "Lift", robots="Panda", controller_configs=controller, control_freq=RATE, ignore_done=True, has_renderer=False,
        has_offscreen_renderer=bool(size), use_camera_obs=bool(size), camera_names=CAMERAS, camera_heights=size or 64,
        camera_widths=size or 64, camera_segmentations="instance" if masks else None,
    )  # fmt: skip
    env.reset()
    home = np.asarray(env.robots[0]._joint_positions, float)
    kinds = ["image", *(["segmentation_instance"] if masks else [])] if size else []

    def step(t: int) -> tuple[int, Seen]:
        seen, *_ = env.step(np.append(wave(home, t), -1.0))
        return 1, [seen[f"{name}_{kind}"] for kind in kinds for name in CAMERAS]

    return step


def our_step(*, size: int = 0, masks: bool = False) -> Stepper:
    """Our robot with the same cube, pictures of `size` px from two cameras (0: none)."""
    robot = SimRobot(SceneConfig(CUBE, size=size or 64, rate=RATE))
    robot.connect()
    robot.place(np.zeros(2), np.random.default_rng(0))
    home, opened = robot.qpos, np.ones(1)
    names = [camera.name for camera in robot.config.cameras] if size else []

    def step(t: int) -> tuple[int, Seen]:
        robot.command(Action(wave(home, t), opened))
        if masks:
            seen, _ = robot.observe(), robot.object_pose
            return 1, [*seen.images.values(), *seen.masks.values()]
        _ = robot.qpos, robot.gripper, robot.object_pose
        return 1, [robot.picture(name) for name in names]

    return step


def env_step(*, guarded: bool = True) -> Stepper:
    """One environment, as a loop of somebody's own would step it."""
    env = gymnasium.make(NAME, objects=(CUBE,), normalised=False, guarded=guarded)
    home = env.reset(seed=0)[0]["qpos"].astype(float)

    def step(t: int) -> tuple[int, Seen]:
        seen, _, terminated, truncated, _ = env.step(np.append(wave(home, t), 1.0).astype(np.float32))
        if terminated or truncated:
            env.reset()
        return 1, [seen[key] for key in seen if key.startswith(("image", "mask"))]

    return step


def vector_step(*, guarded: bool = True) -> Stepper:
    """One environment for each core, stepped together."""
    made = {"objects": (CUBE,), "normalised": False, "guarded": guarded}
    envs = gymnasium.make_vec(NAME, CORES, vectorization_mode="async", vector_kwargs={"shared_memory": True}, **made)
    home = envs.reset(seed=0)[0]["qpos"][0].astype(float)
    over = np.zeros(CORES, bool)

    def step(t: int) -> tuple[int, Seen]:
        nonlocal over
        fresh = int(over.sum())  # these take a reset for a step
        actions = np.tile(np.append(wave(home, t), 1.0).astype(np.float32), (CORES, 1))
        seen, _, terminated, truncated, _ = envs.step(actions)
        over = terminated | truncated
        return CORES - fresh, [one for key in seen if key.startswith(("image", "mask")) for one in seen[key]]

    return step


@dataclass(frozen=True)
class Bench:
    """What a worker of ours needs."""

    def __call__(self) -> Callable[[int], Seen]:
        step = our_step(size=128, masks=True)

        def steps(t: int) -> Seen:
            for k in range(_ITEM):
                _, seen = step(t + k)
            return seen

        return steps


def worker_step(*, workers: int) -> Stepper:
    """Our own workers: each item is a few steps, and what is seen comes back of the last one only."""
    results = share(Bench(), range(0, 10**9, _ITEM)[:1_000_000], workers)
    return lambda _: (_ITEM, next(results).value)


@dataclass(frozen=True)
class Variant:
    """One thing that is measured."""

    make: Callable[[], Stepper]
    pictures: int
    """Pictures that must not be empty; what follows them are masks, of which one must not be."""
    size: int = 128
    """Of both [px]."""
    ahead: int = 0
    """Results that wait from before."""


def _sized(size: int, name: str) -> dict[str, Variant]:
    return {
        f"robosuite_two_cameras_rgb{name}": Variant(partial(robosuite_step, size=size), 2, size),
        f"robosuite_two_cameras_rgb_and_mask{name}": Variant(partial(robosuite_step, size=size, masks=True), 2, size),
        f"ours_two_cameras_rgb{name}": Variant(partial(our_step, size=size), 2, size),
        f"ours_two_cameras_rgb_and_mask{name}": Variant(partial(our_step, size=size, masks=True), 2, size),
    }


GROUPS: Mapping[str, Mapping[str, Variant]] = {
    "no camera": {"robosuite": Variant(robosuite_step, 0), "ours": Variant(our_step, 0)},
    "128 px": _sized(128, ""),
    "224 px": _sized(224, "_224"),
    "vectorised": {
        "ours_env": Variant(env_step, 2),
        "ours_vectorised": Variant(vector_step, 2 * CORES),
        "ours_env_unguarded": Variant(partial(env_step, guarded=False), 2),
        "ours_vectorised_unguarded": Variant(partial(vector_step, guarded=False), 2 * CORES),
        "ours_one_worker": Variant(partial(worker_step, workers=1), 2, ahead=1),
        "ours_workers": Variant(partial(worker_step, workers=CORES), 2, ahead=CORES),
    },
}
"""What is measured in turn; a group at a time, so that few processes are there."""


def serve(group: str, name: str, asked: Connection) -> None:
    """A process with one variant: for every number of seconds it is sent, it steps for so long and answers with its steps a second."""
    variant = GROUPS[group][name]
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings(), contextlib.suppress(EOFError, KeyboardInterrupt):
        warnings.simplefilter("ignore")
        step, t = variant.make(), 0
        while seconds := asked.recv():
            for _ in range(variant.ahead):
                step(t)
            steps, calls, begin = 0, 0, time.perf_counter()
            while (passed := time.perf_counter() - begin) < seconds or calls < 3:
                did, seen = step(t)
                steps, calls, t = steps + did, calls + 1, t + 1
            asked.send((steps / passed, _fault(seen, variant)))


def _fault(seen: Sequence[np.ndarray], variant: Variant) -> str:
    """What is wrong with what was seen; empty where nothing is."""
    pictures, masks = seen[: variant.pictures], seen[variant.pictures :]
    if len(pictures) < variant.pictures or any(one.shape[:2] != (variant.size, variant.size) for one in seen):
        return f"{variant.pictures} pictures of {variant.size} px expected, {[one.shape for one in seen]} seen"
    if not all(picture.std() > 1 for picture in pictures):
        return "a picture shows nothing"
    return "the cube is in no mask" if masks and not any(mask.any() for mask in masks) else ""


def measure(group: str, rounds: int, seconds: float) -> dict[str, list[float]]:
    """Steps a second of every variant of a group, in each round. Each has a process of its own: robosuite draws into whichever GL context
    was made last, so that next to another one it draws nothing, fast. Raises RuntimeError where a variant saw nothing."""
    context, pipes, processes = multiprocessing.get_context("spawn"), {}, []
    for name in GROUPS[group]:
        pipes[name], theirs = context.Pipe()
        processes.append(context.Process(target=serve, args=(group, name, theirs)))  # no daemons: some have children
        processes[-1].start()
        theirs.close()
    found: dict[str, list[float]] = {name: [] for name in pipes}
    try:
        for number, (name, pipe) in itertools.product(range(rounds + 1), pipes.items()):  # the first round warms up
            pipe.send(seconds if number else 0.2)
            speed, fault = pipe.recv()
            if fault:
                raise RuntimeError(f"{name}: {fault}")
            if number:
                found[name].append(speed)
        for pipe in pipes.values():
            pipe.send(0)
    finally:
        for pipe in pipes.values():
            pipe.close()
        for process in processes:
            process.join()
    return found


def ratios_of(speed: Mapping[str, float]) -> dict[str, float]:
    """What is compared with what, of those that were measured."""
    pairs = {
        "ratio_no_camera": ("ours", "robosuite"),
        "ratio_vectorised": ("ours_vectorised", "ours_env"),
        "ratio_vectorised_unguarded": ("ours_vectorised_unguarded", "ours_env_unguarded"),
        "ratio_workers": ("ours_workers", "ours_one_worker"),
    }
    for size, name in (("128", ""), ("224", "_224")):
        ours, theirs = "ours_two_cameras_rgb", "robosuite_two_cameras_rgb"
        pairs[f"ratio_two_cameras_{size}"] = (f"{ours}_and_mask{name}", f"{theirs}{name}")
        pairs[f"ratio_two_cameras_{size}_with_masks"] = (f"{ours}_and_mask{name}", f"{theirs}_and_mask{name}")
        pairs[f"ratio_two_cameras_{size}_rgb_only"] = (f"{ours}{name}", f"{theirs}{name}")
    return {key: speed[ours] / speed[theirs] for key, (ours, theirs) in pairs.items() if ours in speed and theirs in speed}


def main() -> None:
    """Prints a line of JSON for each variant and a last one for all; a table on stderr."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sim", description="Our environment's step against robosuite's.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each variant in each round")
    parser.add_argument("--groups", nargs="+", choices=list(GROUPS), default=list(GROUPS), help="what is measured; all of it by default")
    options = parser.parse_args()
    if options.rounds < 1 or options.seconds <= 0:
        parser.error("rounds and seconds must be positive")
    warnings.filterwarnings("ignore", module="glfw")  # no display, no matter
    speed: dict[str, float] = {}
    print(f"control steps a second at {RATE} Hz, median of {options.rounds} rounds, {CORES} cores", file=sys.stderr)
    for group in options.groups:
        for name, speeds in measure(group, options.rounds, options.seconds).items():
            speed[name] = statistics.median(speeds)
            rounded = [round(value, 2) for value in speeds]
            print(json.dumps({"variant": name, "group": group, "steps_per_second": round(speed[name], 2), "rounds": rounded}), flush=True)
            print(f"  {name.replace('_', ' '):42} {speed[name]:9.1f}", file=sys.stderr)
    ratios = ratios_of(speed)
    for name, value in ratios.items():
        print(f"  {name.replace('_', ' '):42} {value:8.1f}x", file=sys.stderr)
    told = {"cores": CORES, "gl": os.environ.get("MUJOCO_GL", "")}
    numbers = {key: round(value, 2) for key, value in (ratios | {f"{name}_steps_per_second": v for name, v in speed.items()}).items()}
    print(json.dumps(numbers | told))


if __name__ == "__main__":
    main()
