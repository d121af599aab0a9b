"""Cameras against the contract: by calibration, and by where the arm is seen in rendered pictures of many poses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from assets.toys import sample_toy
from deploy.cameras.mounts import as_contract, tool_from_body
from deploy.cameras.silhouette import camera_pose, silhouette
from deploy.cameras.view_check import CELLS, Look, check_calibrated, check_views, read_views, told
from deploy.errors import DeployError
from episodes.info import CameraInfo
from hardware.calibration import Calibration, HandEye, Intrinsics, rows, turn
from hardware.cameras.fit import Fit
from hardware.model import load_arm
from sim.camera import SIDE, WRIST, described
from sim.errors import PlacementError
from sim.ik import InverseKinematics, down
from sim.scene import SceneConfig
from sim.simrobot import SimRobot

ARM = load_arm("panda")
CAMERAS = {"side": described(SIDE, 128), "wrist": described(WRIST, 128)}
POSES = 42
Pair = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def hand() -> np.ndarray:
    return tool_from_body("panda", WRIST.body)


@pytest.fixture(scope="module")
def seen() -> tuple[list[Look], list[dict[str, np.ndarray]]]:
    """Looks of both cameras from above and in the workspace, an object before them; and where the arm really is in the pictures."""
    rng = np.random.default_rng(11)
    looks, truth = [], []
    with SimRobot(SceneConfig(sample_toy(rng), size=128)) as robot:
        solver = InverseKinematics(robot.model, robot.arm.joints, robot.arm.home)
        while len(looks) < POSES:
            place = np.array([*rng.uniform([0.42, -0.1], [0.56, 0.1]), rng.uniform(0.03, 0.3)])
            qpos, _ = solver.reach(place, down(rng.uniform(-1, 1)), np.array(robot.arm.home), iterations=300)
            if len(looks) % 7 == 0:
                qpos = np.array(robot.arm.home) + rng.normal(0, 0.05, 7)
            try:
                robot.place(rng.uniform(-0.1, 0.1, 2), rng, start=qpos)
            except PlacementError:
                continue
            images = {name: noisy(robot.picture(name), rng) for name in CAMERAS}
            looks.append(Look(images, robot.qpos))
            truth.append({name: robot.robot_mask(name) for name in CAMERAS})
    return looks, truth


def noisy(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """As a sensor would have it: a little blurred, another white balance and exposure, noise."""
    soft = np.asarray(cv2.GaussianBlur(image.astype(np.float32), (0, 0), 0.8)) * rng.uniform(0.6, 1.2) * rng.uniform(0.9, 1.1, 3)
    return np.clip(soft + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)


FAULTS: dict[str, Callable[[np.ndarray, np.ndarray], Pair]] = {
    "swapped": lambda side, wrist: (wrist, side),
    "side 90": lambda side, wrist: (np.rot90(side), wrist),
    "side 180": lambda side, wrist: (np.rot90(side, 2), wrist),
    "side 270": lambda side, wrist: (np.rot90(side, 3), wrist),
    "side mirrored": lambda side, wrist: (side[:, ::-1], wrist),
    "side upside down": lambda side, wrist: (side[::-1], wrist),
    "wrist 90": lambda side, wrist: (side, np.rot90(wrist)),
    "wrist 180": lambda side, wrist: (side, np.rot90(wrist, 2)),
    "wrist 270": lambda side, wrist: (side, np.rot90(wrist, 3)),
    "both 180": lambda side, wrist: (np.rot90(side, 2), np.rot90(wrist, 2)),
    "swapped and 180": lambda side, wrist: (np.rot90(wrist, 2), np.rot90(side, 2)),
}


def under(fault: Callable[[np.ndarray, np.ndarray], Pair], look: Look) -> Look:
    side, wrist = fault(look.images["side"], look.images["wrist"])
    return Look({"side": side, "wrist": wrist}, look.qpos)


def refused(looks: list[Look], hand: np.ndarray) -> bool:
    return any(reading.wrong for reading in read_views(ARM, CAMERAS, looks, hand))


# --- the arm's shape


def test_the_shape_covers_the_arm_that_is_seen(seen, hand: np.ndarray) -> None:
    looks, truth = seen
    covered = {name: [] for name in CAMERAS}
    for look, masks in zip(looks, truth, strict=True):
        for name, info in CAMERAS.items():
            shape = silhouette(ARM, look.qpos, info, camera_pose(ARM, look.qpos, info, hand), 128)
            covered[name].append((shape & masks[name]).sum() / max(masks[name].sum(), 1))
    print({name: f"{np.mean(share):.3f}" for name, share in covered.items()})
    assert np.mean(covered["side"]) > 0.95  # capsules contain the arm; opened fingers reach beyond
    assert np.mean(covered["wrist"]) > 0.8


def test_a_shape_is_its_pixels_rays() -> None:
    info = CameraInfo(100, 100, 53.13, [[100, 0, 50], [0, 100, 50], [0, 0, 1]], np.eye(4))
    home = np.array(ARM.home)
    start, end = ARM.segments(home)
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("xyz", [-100, 0, 150], degrees=True).as_matrix()
    pose[:3, 3] = [0.3, 0.0, 0.4] - pose[:3, 2] * 1.5
    shape = silhouette(ARM, home, info, pose, 50)
    balls = np.concatenate([start + s * (end - start) for s in np.linspace(0, 1, 200)])  # the same capsules as many balls
    radii = np.tile(ARM.radii, 200)
    u, v = np.meshgrid(np.arange(50) * 2 + 1, np.arange(50) * 2 + 1)
    rays = np.stack([(u - 50) / 100, (v - 50) / 100, np.ones_like(u)], 2).reshape(-1, 3) @ pose[:3, :3].T
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    to = balls - pose[:3, 3]
    along = rays @ to.T
    expected = ((along > 0) & ((to**2).sum(1) - along**2 < radii**2)).any(axis=1).reshape(50, 50)
    assert 0.05 < expected.mean() < 0.9
    assert (shape != expected).mean() < 0.002


def test_colours_tell_a_shape_fully_or_not_at_all() -> None:
    rng = np.random.default_rng(0)
    shape = np.zeros((CELLS, CELLS), bool)
    shape[:20] = True
    assert told(shape.astype(int) * 3 + 1, shape) == pytest.approx(1, abs=0.01)
    assert told(rng.integers(0, 40, shape.shape), shape) == pytest.approx(0, abs=0.02)
    assert told(np.zeros(shape.shape, int), shape) == pytest.approx(0, abs=0.01)
    assert told(np.zeros(shape.shape, int), np.zeros_like(shape)) == 0


# --- the pictures


def test_rates_over_many_poses(seen, hand: np.ndarray) -> None:
    looks, _ = seen
    groups = [looks[k : k + 3] for k in range(0, len(looks), 3)]
    single = {"right": np.mean([refused([look], hand) for look in looks])}
    triple = {"right": np.mean([refused(group, hand) for group in groups])}
    for name, fault in FAULTS.items():
        single[name] = np.mean([refused([under(fault, look)], hand) for look in looks])
        triple[name] = np.mean([refused([under(fault, look) for look in group], hand) for group in groups])
    for name in single:
        print(f"{name:16} refused {single[name]:.3f} of {len(looks)} with one look, {triple[name]:.3f} of {len(groups)} with three")
    assert single["right"] <= 0.1
    assert triple["right"] == 0
    assert min(rate for name, rate in single.items() if name != "right") >= 0.85
    assert min(rate for name, rate in triple.items() if name != "right") >= 0.9


def test_what_is_wrong_is_named_with_what_would_do(seen, hand: np.ndarray) -> None:
    looks = seen[0][:3]
    assert all(reading.right for reading in check_views(ARM, CAMERAS, looks, hand))
    for fault, said in {
        "swapped": "camera 'side'.*it is the picture of 'wrist'.*camera 'wrist'.*it is the picture of 'side'",
        "side 90": r"camera 'side'.*it must be turned by 90 degrees clockwise .rotate=",
        "wrist 270": r"camera 'wrist'.*it must be turned by 270 degrees clockwise",
        "side mirrored": "camera 'side'.*it is mirrored",
    }.items():
        with pytest.raises(DeployError, match=said):
            check_views(ARM, CAMERAS, [under(FAULTS[fault], look) for look in looks], hand)


def test_an_arm_that_cannot_be_told_is_said_to_be_undecided(seen, hand: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    blind = [Look({name: rng.integers(90, 110, (128, 128, 3), np.uint8) for name in CAMERAS}, look.qpos) for look in seen[0][:2]]
    readings = check_views(ARM, CAMERAS, blind, hand)
    assert not any(reading.decided for reading in readings)
    assert "cannot be told from the rest" in str(readings[0])


def test_a_mirrored_hand_looks_like_a_hand(seen, hand: np.ndarray) -> None:
    mirrored = [Look({**look.images, "wrist": look.images["wrist"][:, ::-1]}, look.qpos) for look in seen[0][:3]]
    assert not refused(mirrored, hand)  # what cannot be told is not guessed: docs/calibration.md says so


def test_looks_are_checked(seen, hand: np.ndarray) -> None:
    look = seen[0][0]
    with pytest.raises(DeployError, match="at least one look"):
        read_views(ARM, CAMERAS, [], hand)
    with pytest.raises(DeployError, match="no picture of camera 'wrist'; there are: 'side'"):
        read_views(ARM, CAMERAS, [Look({"side": look.images["side"]}, look.qpos)], hand)
    with pytest.raises(DeployError, match=r"camera 'side' sends \(64, 128, 3\), the contract has \(128, 128, 3\)"):
        read_views(ARM, CAMERAS, [Look({**look.images, "side": look.images["side"][:64]}, look.qpos)], hand)


# --- calibrations


def calibrated(name: str, hand: np.ndarray, *, off: np.ndarray | None = None, focal: float = 1.0) -> Calibration:
    """What a calibration of the contract's own camera says, moved by `off` (4, 4) in its frame."""
    info = CAMERAS[name]
    (fx, _, cx), (_, fy, cy), _ = info.intrinsics
    lens = Intrinsics(fx * focal, fy * focal, cx - 0.5, cy - 0.5, (0, 0, 0, 0, 0), (info.width, info.height))
    stands = np.asarray(info.extrinsics) if info.body == "world" else hand @ np.asarray(info.extrinsics)
    eye = HandEye("base" if info.body == "world" else "tool", rows(stands @ (np.eye(4) if off is None else off)))
    return Calibration(name, "", lens, eye)


def shifted(mm: float = 0.0, deg: float = 0.0) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("x", deg, degrees=True).as_matrix()
    pose[0, 3] = mm / 1000
    return pose


def test_the_contracts_own_cameras_pass(hand: np.ndarray) -> None:
    found = check_calibrated(CAMERAS, {name: calibrated(name, hand) for name in CAMERAS}, hand)
    for difference in found:
        assert (difference.mm, difference.deg, difference.fov) == pytest.approx((0, 0, 0), abs=1e-4)


@pytest.mark.parametrize("name", list(CAMERAS))
def test_differences_are_reported_as_they_are(hand: np.ndarray, name: str) -> None:
    (found,) = check_calibrated(CAMERAS, {name: calibrated(name, hand, off=shifted(7, 1.5), focal=1.01)}, hand)
    assert (found.camera, found.mm, found.deg) == (name, pytest.approx(7, abs=1e-3), pytest.approx(1.5, abs=1e-3))
    assert -1 < found.fov < -0.2


def test_a_calibrated_camera_elsewhere_is_refused_by_name(hand: np.ndarray) -> None:
    side, wrist = calibrated("side", hand), calibrated("wrist", hand)
    bare = replace(side, hand_eye=None)
    large = replace(side, intrinsics=replace(side.intrinsics, size=(640, 480)))
    for seen, said in (
        ({"side": calibrated("side", hand, off=shifted(mm=40))}, "camera 'side': 40.0 mm, .*allowed are 20 mm.*move it there"),
        ({"side": calibrated("side", hand, off=shifted(deg=5))}, "5.00 deg and"),
        ({"wrist": calibrated("wrist", hand, focal=1.2)}, "camera 'wrist'.*of field of view"),
        ({"side": replace(side, hand_eye=wrist.hand_eye)}, "trained with one on the base, this one is on the tool"),
        ({"side": bare}, "knows the lens only; `cezanne calibrate step=hand_eye name=side`"),
        ({"side": large}, "pictures of 128x128 px, this calibration is of 640x480"),
    ):
        with pytest.raises(DeployError, match=said):
            check_calibrated(CAMERAS, seen, hand)


@pytest.mark.parametrize("angle", [90, 180, 270])
def test_a_camera_mounted_on_its_side_is_told_its_turn(hand: np.ndarray, angle: int) -> None:
    mounted = calibrated("side", hand, off=np.linalg.inv(turn(Fit((128, 128), angle))))
    with pytest.raises(DeployError, match=f"turn it by {angle} degrees more, clockwise"):
        check_calibrated(CAMERAS, {"side": mounted}, hand)
    righted = mounted.fitted(Fit((128, 128), angle))  # what rotate= does
    assert check_calibrated(CAMERAS, {"side": righted}, hand)[0].deg < 0.01


def test_two_calibrated_cameras_in_each_others_place(hand: np.ndarray) -> None:
    other = described(replace(SIDE, name="front", pos=(1.0, -0.4, 0.5)), 128)
    cameras = {"side": CAMERAS["side"], "front": other}
    stands = HandEye("base", rows(np.asarray(other.extrinsics)))
    with pytest.raises(DeployError, match="it stands where camera 'front' should; are the two swapped"):
        check_calibrated(cameras, {"side": replace(calibrated("side", hand), hand_eye=stands)}, hand)


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
def test_a_calibrated_camera_is_described_as_its_pictures_are(rotate: int) -> None:
    fit = Fit((128, 128), rotate)
    lens = Intrinsics(600, 600, 310, 245, (0, 0, 0, 0, 0), (640, 480))
    made = Calibration("side", "", lens, HandEye("base", rows(np.asarray(CAMERAS["side"].extrinsics))))
    info = as_contract(made, fit)
    (found,) = check_calibrated({"side": info}, {"side": made.fitted(fit)}, np.eye(4))
    assert (found.mm, found.deg, found.fov) == pytest.approx((0, 0, 0), abs=1e-4)
    point = np.array([0.5, 0.02, 0.05, 1.0])
    raw = lens.project((np.linalg.inv(CAMERAS["side"].extrinsics) @ point)[None, :3])[0]
    edge = np.asarray(info.intrinsics) @ (np.linalg.inv(info.extrinsics) @ point)[:3]
    assert edge[:2] / edge[2] - 0.5 == pytest.approx((fit.pixels(lens.size) @ [*raw, 1])[:2], abs=1e-6)
    with pytest.raises(DeployError, match="step=hand_eye name=side"):
        as_contract(replace(made, hand_eye=None), fit)


def test_where_cameras_are_fixed() -> None:
    assert tool_from_body("so101", "tool") == pytest.approx(np.eye(4))
    assert tool_from_body("panda", "right_gripper")[:3, 3] == pytest.approx([0, 0, -0.097], abs=1e-6)
    for arm, body, said in (
        ("so101", "right_gripper", "no simulated one"),
        ("panda", "nose", "no body 'nose'"),
        ("panda", "link3", "moves against the tool"),
    ):
        with pytest.raises(DeployError, match=said):
            tool_from_body(arm, body)
