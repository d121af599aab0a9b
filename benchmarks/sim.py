"""Our environment's step against robosuite's: `python -m benchmarks.sim`.

The same arm (Panda with its own jaw), a cube of 4 cm on a table, the same slow wave of absolute joint targets at 20 Hz, the same
timestep of 2 ms, the same GL back end, one run, in turn: rounds of the variants are interleaved and the median of the rounds counts.
A step of either returns joints, gripper and the object's pose. Each is measured as it comes: robosuite with its JOINT_POSITION
controller and its meshes, ours with position servos and light meshes.

    no camera     robosuite: env.step without rendering      ours: command, then joints, gripper and object pose
    two cameras   robosuite: RGB of two cameras              ours: observe(), which is RGB and the object's mask of two cameras
    RGB only      as above                                   ours: RGB of two cameras
    with masks    robosuite: RGB and instance segmentation   ours: observe()
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import multiprocessing
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from assets.toys import Part, Toy
from hardware.api import Action
from sim.scene import SceneConfig
from sim.simrobot import SimRobot

RATE = 20
SIZE = 128
CAMERAS = ["agentview", "robot0_eye_in_hand"]


def wave(home: np.ndarray, t: int) -> np.ndarray:
    """Joint targets of control step t: all joints, 0.1 rad around home, once in 4 s."""
    return home + 0.1 * np.sin(2 * np.pi * t / (4 * RATE)) * np.ones_like(home)


def robosuite_step(*, cameras: bool, masks: bool = False) -> Callable[[int], Any]:
    """robosuite's Lift with a Panda; a function that does one control step."""
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
        has_offscreen_renderer=cameras, use_camera_obs=cameras, camera_names=CAMERAS, camera_heights=SIZE, camera_widths=SIZE,
        camera_segmentations="instance" if masks else None,
    )  # fmt: skip
    seen = env.reset()
    home = np.asarray(env.robots[0]._joint_positions, float)
    pictures = [seen[f"{name}_image"] for name in CAMERAS] if cameras else []
    if any(picture.shape != (SIZE, SIZE, 3) or picture.std() < 1 for picture in pictures):
        raise RuntimeError("robosuite's cameras show nothing")
    return lambda t: env.step(np.append(wave(home, t), -1.0))


def our_step(*, see: str) -> Callable[[int], Any]:
    """Our robot with the same cube; a function that does one control step and sees nothing, colours, or all: colours and masks."""
    robot = SimRobot(SceneConfig(Toy((Part("cuboid", (0.02, 0.02, 0.02)),), name="cube"), size=SIZE, rate=RATE))
    robot.connect()
    robot.place(np.zeros(2), np.random.default_rng(0))
    home, opened = robot.qpos, np.ones(1)

    def step(t: int) -> Any:
        robot.command(Action(wave(home, t), opened))
        if see == "all":
            return robot.observe(), robot.object_pose
        pictures = [robot.picture(camera.name) for camera in robot.config.cameras] if see == "colours" else []
        return robot.qpos, robot.gripper, robot.object_pose, pictures

    return step


VARIANTS: dict[str, Callable[[], Callable[[int], Any]]] = {
    "robosuite": partial(robosuite_step, cameras=False),
    "robosuite_two_cameras_rgb": partial(robosuite_step, cameras=True),
    "robosuite_two_cameras_rgb_and_mask": partial(robosuite_step, cameras=True, masks=True),
    "ours": partial(our_step, see="nothing"),
    "ours_two_cameras_rgb": partial(our_step, see="colours"),
    "ours_two_cameras_rgb_and_mask": partial(our_step, see="all"),
}


def serve(name: str, asked: Connection) -> None:
    """A process with one variant: for every number of seconds it is sent, it steps for so long and answers with its steps a second."""
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        step, t = VARIANTS[name](), 0
        while seconds := asked.recv():
            first, begin = t, time.perf_counter()
            while (passed := time.perf_counter() - begin) < seconds or t - first < 3:
                step(t)
                t += 1
            asked.send((t - first) / passed)


def measure(rounds: int, seconds: float) -> dict[str, float]:
    """Median steps a second of every variant, measured in turn. Each has a process of its own: robosuite draws into whichever GL context
    was made last, so that next to another one it draws nothing, fast."""
    context, pipes = multiprocessing.get_context("spawn"), {}
    for name in VARIANTS:
        pipes[name], theirs = context.Pipe()
        context.Process(target=serve, args=(name, theirs), daemon=True).start()
        theirs.close()
    found: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for number in range(rounds + 1):  # the first one warms up
        for name, pipe in pipes.items():
            pipe.send(seconds if number else 0.2)
            speed = pipe.recv()
            if number:
                found[name].append(speed)
        print(f"round {number} of {rounds}", file=sys.stderr)
    for pipe in pipes.values():
        pipe.send(0)
    return {name: statistics.median(speeds) for name, speeds in found.items()}


def main() -> None:
    """Prints a table, then one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sim", description="Our environment's step against robosuite's.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each variant in each round")
    options = parser.parse_args()
    if options.rounds < 1 or options.seconds <= 0:
        parser.error("rounds and seconds must be positive")
    warnings.filterwarnings("ignore", module="glfw")  # no display, no matter
    speed = measure(options.rounds, options.seconds)
    ratios = {
        "ratio_no_camera": speed["ours"] / speed["robosuite"],
        "ratio_two_cameras_128": speed["ours_two_cameras_rgb_and_mask"] / speed["robosuite_two_cameras_rgb"],
        "ratio_two_cameras_128_with_masks": speed["ours_two_cameras_rgb_and_mask"] / speed["robosuite_two_cameras_rgb_and_mask"],
        "ratio_two_cameras_128_rgb_only": speed["ours_two_cameras_rgb"] / speed["robosuite_two_cameras_rgb"],
    }
    print(f"control steps a second at {RATE} Hz, median of {options.rounds} rounds")
    for name, value in speed.items():
        print(f"  {name.replace('_', ' '):36} {value:9.1f}")
    for name, value in ratios.items():
        print(f"  {name.replace('_', ' '):36} {value:8.1f}x")
    print(json.dumps({k: round(v, 2) for k, v in (ratios | {f"{k}_steps_per_second": v for k, v in speed.items()}).items()}))


if __name__ == "__main__":
    main()
