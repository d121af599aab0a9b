"""Our environment's step against robosuite's: `python -m benchmarks.sim`.

The same arm (Panda with its own jaw), a cube of 4 cm on a table, the same slow wave of absolute joint targets at 20 Hz, the same
timestep of 2 ms, the same GL back end, one process, in turn: rounds of the variants are interleaved and the median of the rounds counts.
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
import statistics
import sys
import time
import warnings
from collections.abc import Callable
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


def our_steps() -> dict[str, Callable[[int], Any]]:
    """Our robot with the same cube; functions that do one control step."""
    robot = SimRobot(SceneConfig(Toy((Part("cuboid", (0.02, 0.02, 0.02)),), name="cube"), size=SIZE, rate=RATE))
    robot.connect()
    robot.place(np.zeros(2), np.random.default_rng(0))
    home, opened = robot.qpos, np.ones(1)

    def step(t: int) -> Any:
        robot.command(Action(wave(home, t), opened))
        return robot.qpos, robot.gripper, robot.object_pose

    def step_and_see(t: int) -> Any:
        robot.command(Action(wave(home, t), opened))
        return robot.observe(), robot.object_pose

    def step_and_see_colours(t: int) -> Any:
        return step(t), [robot.picture(camera.name) for camera in robot.config.cameras]

    return {"ours": step, "ours_two_cameras_rgb_and_mask": step_and_see, "ours_two_cameras_rgb": step_and_see_colours}


def rate(step: Callable[[int], Any], first: int, seconds: float) -> tuple[float, int]:
    """Steps a second over at least `seconds`, and the number of the step that comes next."""
    t, begin = first, time.perf_counter()
    while (passed := time.perf_counter() - begin) < seconds or t - first < 3:
        step(t)
        t += 1
    return (t - first) / passed, t


def measure(rounds: int, seconds: float) -> dict[str, float]:
    """Median steps a second of every variant."""
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        steps = {
            "robosuite": robosuite_step(cameras=False),
            "robosuite_two_cameras_rgb": robosuite_step(cameras=True),
            "robosuite_two_cameras_rgb_and_mask": robosuite_step(cameras=True, masks=True),
        } | our_steps()
    found: dict[str, list[float]] = {name: [] for name in steps}
    next_step = dict.fromkeys(steps, 0)
    for number in range(rounds + 1):  # the first one warms up
        for name, step in steps.items():
            speed, next_step[name] = rate(step, next_step[name], seconds if number else 0.2)
            if number:
                found[name].append(speed)
        print(f"round {number} of {rounds}", file=sys.stderr)
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
