"""Calibration against what was rendered: the lens and the mounting come back; what cannot be right is refused by name."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image
from scipy.spatial.transform import Rotation

from conf.compose import compose
from deploy.calibrate import CalibrateConfig, Mount, Step, run
from deploy.calibration.board import Board, View
from deploy.calibration.hand_eye import read_poses, solve_mounting
from deploy.calibration.lens import board_pose, coverage, pose_of, solve_lens
from deploy.errors import DeployError
from hardware.api import RobotError
from hardware.calibration import Calibration, HandEye, Intrinsics, load_calibration, rows, turn
from hardware.cameras.fit import TURNS, Fit
from hardware.model import load_arm

LENS = Intrinsics(612.0, 609.0, 326.3, 236.1, (0.08, -0.16, 0.0012, -0.0008, 0.02), (640, 480))
BOARD = Board()
SMALL = Intrinsics(381.0, 379.5, 203.1, 147.4, LENS.distortion, (400, 300))
COARSE = Board(7, 5, 0.04, 0.03)
"""For pictures that are rendered: quick, and still legible."""
FINE = 2
"""Samples a pixel and direction in rendered pictures."""
ARM = load_arm("panda")


def looking(rng: np.random.Generator, *, tilt: float = 35.0, off: float = 0.12, board: Board = BOARD) -> np.ndarray:
    """A pose of the board in a camera's frame, (4, 4): tilted to any side, anywhere in the picture."""
    way = rng.uniform(0, 2 * np.pi)
    tilted = np.radians(tilt) * rng.uniform(0.4, 1) * np.array([np.cos(way), np.sin(way), 0])
    pose = np.eye(4)
    pose[:3, :3] = (Rotation.from_rotvec(tilted) * Rotation.from_rotvec([0, 0, rng.uniform(-0.5, 0.5)])).as_matrix()
    pose[:3, 3] = [*rng.uniform(-off, off, 2), rng.uniform(0.35, 0.55)]
    pose[:3, 3] -= pose[:3, :3] @ board.middle
    return pose


@cache
def rays_of(lens: Intrinsics) -> np.ndarray:
    """Directions in which the parts of the pixels look, (N, 3) in the camera's frame."""
    u, v = ((np.arange(FINE * side) + 0.5) / FINE - 0.5 for side in lens.size)
    pixels = np.stack(np.meshgrid(u, v), axis=2).reshape(-1, 1, 2)
    ray = cv2.undistortPoints(pixels, lens.matrix, np.array(lens.distortion)).reshape(-1, 2)
    return np.column_stack([ray, np.ones(len(ray))])


def render(board: Board, lens: Intrinsics, pose: np.ndarray, rng: np.random.Generator, noise: float = 4.0) -> np.ndarray:
    """What a camera sees of a board, (H, W, 3) u8: each pixel's ray, undistorted, meets the board's plane; blurred, noisy."""
    width, height = lens.size
    cell = 40
    rays = rays_of(lens) @ pose[:3, :3]  # in the board's frame
    start = -pose[:3, :3].T @ pose[:3, 3]
    hit = (start - rays * (start[2] / rays[:, 2:]))[:, :2] / board.square * cell - 0.5
    border = np.pad(board.picture(cell), 30, constant_values=245)
    maps = [(hit[:, k] + 30).reshape(FINE * height, FINE * width).astype(np.float32) for k in (0, 1)]
    seen = cv2.remap(border, maps[0], maps[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=110)
    grey = cv2.GaussianBlur(cv2.resize(seen, lens.size, interpolation=cv2.INTER_AREA), (0, 0), 0.6)
    grey = np.clip(grey * 0.8 + 20 + rng.normal(0, noise, grey.shape), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def ideal(board: Board, lens: Intrinsics, pose: np.ndarray, name: str, rng: np.random.Generator, noise: float = 0.15) -> View | None:
    """A view without a picture: the corners that fall into it, with a detector's noise [px]."""
    pixels = lens.project(board.corners @ pose[:3, :3].T + pose[:3, 3]) + rng.normal(0, noise, (len(board.corners), 2))
    inside = ((pixels > 3) & (pixels < np.array(lens.size) - 4)).all(axis=1)
    ids = np.flatnonzero(inside)
    return View(name, lens.size, ids, pixels[ids], board.corners[ids]) if board.tells(ids) else None


def views_of(rng: np.random.Generator, n: int = 20, lens: Intrinsics = LENS, *, tilt: float = 35.0, off: float = 0.12) -> list[View]:
    found = [ideal(BOARD, lens, looking(rng, tilt=tilt, off=off), f"{k:03d}.png", rng) for k in range(n)]
    return [view for view in found if view is not None]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


# --- values


def test_projection_is_opencvs(rng: np.random.Generator) -> None:
    points = rng.uniform([-0.2, -0.15, 0.4], [0.2, 0.15, 0.9], (50, 3))
    theirs = cv2.projectPoints(points, np.zeros(3), np.zeros(3), LENS.matrix, np.array(LENS.distortion))[0].reshape(-1, 2)
    assert LENS.project(points) == pytest.approx(theirs, abs=1e-6)
    assert np.isnan(LENS.project(np.array([[0, 0, -1.0], [0, 0, 0]]))).all()


@pytest.mark.parametrize("rotate", TURNS)
@pytest.mark.parametrize("size", [(128, 128), (160, 120)])
def test_a_fitted_lens_sees_what_the_fitted_picture_shows(rng: np.random.Generator, rotate: int, size: tuple[int, int]) -> None:
    fit, mounted = Fit(size, rotate), HandEye("base", rows(pose_of(rng.normal(0, 1, 3), rng.normal(0, 1, 3))))
    raw = Calibration("side", "", LENS, mounted)
    fitted = raw.fitted(fit)
    assert fitted.hand_eye is not None
    points = rng.uniform([-0.2, -0.15, 0.4], [0.2, 0.15, 0.9], (30, 3))  # in the camera's frame
    base = points @ mounted.matrix[:3, :3].T + mounted.matrix[:3, 3]
    inverse = np.linalg.inv(fitted.hand_eye.matrix)
    pixels = np.column_stack([LENS.project(points), np.ones(30)]) @ fit.pixels(LENS.size).T
    assert fitted.intrinsics.project(base @ inverse[:3, :3].T + inverse[:3, 3]) == pytest.approx(pixels[:, :2], abs=1e-6)
    assert fitted.intrinsics.size == size


def test_field_of_view() -> None:
    assert Intrinsics(50, 50, 49.5, 49.5, (0, 0, 0, 0, 0), (100, 100)).fovy == pytest.approx(90)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    eye = HandEye("tool", rows(pose_of(np.array([0.1, 0.2, 0.3]), np.array([0.0, 0.05, 0.02]))), 0.4, 0.1)
    made = Calibration("wrist", "8316", LENS, eye, "2026-01-01T00:00:00+00:00", {"square": 0.03})
    made.save(tmp_path / "new/wrist.json")
    assert load_calibration(tmp_path / "new/wrist.json") == made
    bare = replace(made, hand_eye=None)
    bare.save(tmp_path / "wrist.json")
    assert load_calibration(tmp_path / "wrist.json") == bare


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("version", 9, "version 1, but 9"),
        ("intrinsics.fx", -1, "focal lengths -1"),
        ("intrinsics.fx", "wide", "malformed"),
        ("intrinsics.distortion", [0, 0], "5 of distortion"),
        ("intrinsics.size", [0, 0], "no camera's"),
        ("hand_eye.mount", "wall", "'base' or 'tool', not 'wall'"),
        ("hand_eye.pose", [[2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]], "no rigid motion"),
        ("hand_eye.pose", np.diag([1, 1, -1, 1]).tolist(), "no rigid motion"),
        ("hand_eye.pose", [[1, 0], [0, 1]], "no rigid motion"),
        ("camera", None, "malformed: KeyError: .camera."),
    ],
)
def test_a_malformed_file_is_refused(tmp_path: Path, key: str, value: object, said: str) -> None:
    made = Calibration("wrist", "8316", LENS, HandEye("tool", rows(np.eye(4))))
    made.save(tmp_path / "c.json")
    table = json.loads((tmp_path / "c.json").read_text())
    node, (*parents, last) = table, key.split(".")
    for parent in parents:
        node = node[parent]
    if value is None:
        del node[last]
    else:
        node[last] = value
    (tmp_path / "c.json").write_text(json.dumps(table))
    with pytest.raises(RobotError, match=said):
        load_calibration(tmp_path / "c.json")


def test_no_file_and_no_json(tmp_path: Path) -> None:
    with pytest.raises(RobotError, match="cezanne calibrate step=intrinsics"):
        load_calibration(tmp_path / "none.json")
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(RobotError, match="is no JSON"):
        load_calibration(tmp_path / "x.json")


@pytest.mark.parametrize(
    ("camera", "serial", "size", "said"),
    [
        ("side", "8316", (640, 480), "of camera 'wrist', not of 'side'"),
        ("wrist", "9999", (640, 480), "serial number 9999, its calibration is of 8316"),
        ("wrist", "8316", (1280, 720), "1280x720 px, its calibration holds for 640x480"),
    ],
)
def test_the_calibration_of_another_camera_is_refused(camera: str, serial: str, size: tuple[int, int], said: str) -> None:
    made = Calibration("wrist", "8316", LENS)
    made.check("wrist", "8316", (640, 480))
    made.check("wrist", "", (640, 480))  # a camera without a serial number cannot be told apart
    with pytest.raises(RobotError, match=said):
        made.check(camera, serial, size)


# --- the board


@pytest.mark.parametrize("suffix", [".pdf", ".png"])
def test_the_board_is_printed_at_true_scale(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"board{suffix}"
    BOARD.write(path)
    if suffix == ".pdf":
        box = path.read_bytes().split(b"/MediaBox [")[1].split(b"]")[0].split()
        assert [float(side) / 72 * 25.4 for side in box[2:]] == pytest.approx([297, 210], abs=0.1)
        return
    with Image.open(path) as page:
        image, dpi = np.asarray(page.convert("RGB")), page.info["dpi"]
    view = BOARD.find(image, "print")
    assert view is not None
    assert len(view.ids) == 8 * 5
    millimetres = view.pixels / dpi * 25.4
    gaps = np.linalg.norm(millimetres[1:8] - millimetres[:7], axis=1)
    assert gaps == pytest.approx(30.0, abs=0.05)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"columns": 2}, "2 x 6 squares"),
        ({"marker": 0.04}, "markers of 0.04 m in squares"),
        ({"dictionary": "9X9"}, "no marker dictionary '9X9'"),
        ({"dictionary": "4X4_50", "columns": 20}, "hold 60 markers, 4X4_50 has 50"),
    ],
)
def test_impossible_boards(wrong: dict, said: str) -> None:
    with pytest.raises(DeployError, match=said):
        Board(**wrong)


def test_a_board_larger_than_the_paper(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="the board is 450 x 300 mm, the paper 297 x 210"):
        Board(square=0.05).write(tmp_path / "board.pdf")


def test_corners_are_found_where_they_are(rng: np.random.Generator) -> None:
    off = []
    for _ in range(4):
        pose = looking(rng, board=COARSE, off=0.05)
        view = COARSE.find(render(COARSE, SMALL, pose, rng), "picture")
        assert view is not None
        off.append(view.pixels - SMALL.project(view.points @ pose[:3, :3].T + pose[:3, 3]))
    errors = np.concatenate(off)
    assert np.abs(errors.mean(axis=0)).max() < 0.05  # no half pixel anywhere
    assert np.sqrt((errors**2).mean()) < 0.25


# --- the lens


def test_the_lens_comes_back_from_pictures(rng: np.random.Generator) -> None:
    views = [COARSE.find(render(COARSE, SMALL, looking(rng, board=COARSE), rng), f"{k}.png") for k in range(14)]
    seen = [view for view in views if view is not None]
    lens = solve_lens(COARSE, seen, 14, most=0.6, cover=0.5)
    found = lens.intrinsics
    print(f"fx {found.fx:.2f} ({SMALL.fx}), fy {found.fy:.2f} ({SMALL.fy}), c {found.cx:.2f} {found.cy:.2f}, {found.error:.3f} px")
    assert found.fx == pytest.approx(SMALL.fx, rel=0.005)
    assert found.fy == pytest.approx(SMALL.fy, rel=0.005)
    assert (found.cx, found.cy) == pytest.approx((SMALL.cx, SMALL.cy), abs=2.0)
    points = np.array([[x, y, 0.5] for x in (-0.2, 0, 0.2) for y in (-0.15, 0, 0.15)])
    assert found.project(points) == pytest.approx(SMALL.project(points), abs=2.0)


def test_a_bad_view_is_named_and_left_out(rng: np.random.Generator) -> None:
    views = views_of(rng)
    views[3] = replace(views[3], pixels=views[3].pixels + rng.normal(0, 6, views[3].pixels.shape))
    lens = solve_lens(BOARD, views, 20, most=1.0, cover=0.5)
    assert len(lens.outliers) == 1
    assert lens.outliers[0].startswith(views[3].name)
    assert lens.intrinsics.fx == pytest.approx(LENS.fx, rel=0.005)


def test_another_board_is_not_seen(rng: np.random.Generator) -> None:
    other = replace(COARSE, dictionary="6X6_100")
    assert COARSE.find(render(other, SMALL, looking(rng, board=other, off=0), rng), "0.png") is None
    assert other.find(render(other, SMALL, looking(rng, board=other, off=0), rng), "0.png") is not None
    with pytest.raises(DeployError, match=r"none of 5 pictures shows the board .*DICT_5X5_100.* another board"):
        solve_lens(BOARD, [], 5, most=1.0, cover=0.5)


def test_a_board_of_other_columns_does_not_pass(rng: np.random.Generator) -> None:
    other = replace(COARSE, columns=6)
    views = [COARSE.find(render(other, SMALL, looking(rng, board=other), rng), f"{k}.png") for k in range(9)]
    with pytest.raises(DeployError, match=r"shows the board|show the board|do not fit one lens|do not tell"):
        solve_lens(COARSE, [view for view in views if view is not None], 9, most=0.6, cover=0.3)


def test_too_few_views(rng: np.random.Generator) -> None:
    with pytest.raises(DeployError, match="5 of 30 pictures show the board; at least 8"):
        solve_lens(BOARD, views_of(rng, 5), 30, most=1.0, cover=0.5)


@pytest.mark.parametrize("seed", range(2))
def test_parallel_views_do_not_tell_a_focal_length(seed: int) -> None:
    rng = np.random.default_rng(seed)
    with pytest.raises(DeployError, match="do not tell the focal length"):
        solve_lens(BOARD, views_of(rng, 20, tilt=0.0), 20, most=1.0, cover=0.1)


def test_pictures_of_another_size(rng: np.random.Generator) -> None:
    views = views_of(rng)
    views[5] = replace(views[5], size=(1280, 720))
    with pytest.raises(DeployError, match=f"several sizes .640x480, 1280x720 px., the first odd one is {views[5].name}"):
        solve_lens(BOARD, views, 20, most=1.0, cover=0.5)


def test_a_corner_of_the_picture_is_not_enough(rng: np.random.Generator) -> None:
    views = views_of(rng, 20, off=0.0)
    assert coverage(views) < 1
    with pytest.raises(DeployError, match="bring it into the corners"):
        solve_lens(BOARD, views, 20, most=1.0, cover=1.0)


def test_views_through_no_one_lens(rng: np.random.Generator) -> None:
    zoom = views_of(rng, 10) + views_of(rng, 10, replace(LENS, fx=900.0, fy=900.0))
    with pytest.raises(DeployError, match=r"do not fit one lens"):
        solve_lens(BOARD, zoom, 20, most=0.6, cover=0.3)


# --- the mounting


EYE = pose_of(np.array([0.15, -0.1, 3.0]), np.array([0.02, 0.07, -0.09]))  # tool from camera


def poses(rng: np.random.Generator, n: int, *, turns: bool = True) -> dict[str, np.ndarray]:
    """Joint positions of the arm above its workspace, (7,) [rad], by picture."""
    spread = np.array([0.2, 0.15, 0.15, 0.2, 0.35, 0.35, 0.5]) if turns else np.array([0, 0, 0, 0, 0, 0, 0.5])
    return {f"{k:03d}.png": np.clip(ARM.home + spread * rng.uniform(-1, 1, 7), ARM.lower, ARM.upper) for k in range(n)}


def seen_from(
    rng: np.random.Generator, qpos: dict[str, np.ndarray], mount: str, board: Board = BOARD, noise: float = 0.15
) -> tuple[list[View], dict[str, np.ndarray], np.ndarray]:
    """Views of a board that is fixed where it is seen from most poses; tools; the camera's pose on its mount."""
    tools = {name: ARM.tool(q) for name, q in qpos.items()}
    home = ARM.tool(np.array(ARM.home))
    before = pose_of(np.array([0.2, -0.15, 0.1]), np.array([0, 0, 0.42]))
    before[:3, 3] -= before[:3, :3] @ board.middle
    if mount == "tool":
        eye, fixed = EYE, home @ EYE @ before
        found = [ideal(board, LENS, np.linalg.inv(tool @ eye) @ fixed, name, rng, noise) for name, tool in tools.items()]
    else:  # the camera looks at the hand from before and above
        eye = home @ pose_of(np.array([0.2, 2.2, 0.1]), np.array([0.35, 0.0, 0.35]))
        forward = home[:3, 3] - eye[:3, 3]
        z = forward / np.linalg.norm(forward)
        x = np.cross([0, 0, -1.0], z)
        x /= np.linalg.norm(x)
        eye[:3, :3] = np.stack([x, np.cross(z, x), z], axis=1)
        held = np.linalg.inv(home) @ eye @ pose_of(np.array([0.2, -0.15, 0.1]), np.array([0, 0, 0.55]))
        held[:3, 3] -= held[:3, :3] @ board.middle
        found = [ideal(board, LENS, np.linalg.inv(eye) @ tool @ held, name, rng, noise) for name, tool in tools.items()]
    return [view for view in found if view is not None], tools, eye


def apart(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Distance [mm] and turn [deg] between two poses."""
    turned = Rotation.from_matrix(a[:3, :3].T @ b[:3, :3]).magnitude()
    return float(1000 * np.linalg.norm(a[:3, 3] - b[:3, 3])), float(np.degrees(turned))


@pytest.mark.parametrize("mount", ["tool", "base"])
@pytest.mark.parametrize("seed", range(2))
def test_the_mounting_comes_back(mount: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    qpos = poses(rng, 20)
    views, tools, eye = seen_from(rng, qpos, mount)
    joggled = {name: ARM.tool(q + rng.normal(0, 2e-4, 7)) for name, q in qpos.items()}  # an encoder's and a link's error
    found = solve_mounting(BOARD, LENS, views, joggled, mount, 20, most=1.5, most_mm=3.0)
    mm, deg = apart(found.hand_eye.matrix, eye)
    print(f"{mount}: {len(views)} views, off by {mm:.2f} mm, {deg:.3f} deg; said {found.hand_eye.error_mm:.2f} mm, {found.error:.2f} px")
    assert mm < 2.0
    assert deg < 0.2
    assert len(tools) == 20


def test_a_pose_of_another_picture_is_named_and_left_out(rng: np.random.Generator) -> None:
    views, tools, eye = seen_from(rng, poses(rng, 20), "tool")
    odd = views[4].name
    tools[odd] = tools[odd] @ pose_of(np.array([0, 0, 0.2]), np.array([0.02, 0, 0]))
    found = solve_mounting(BOARD, LENS, views, tools, "tool", 20, most=1.5, most_mm=3.0)
    assert [name.split()[0] for name in found.outliers] == [odd]
    assert apart(found.hand_eye.matrix, eye)[0] < 2.0


def test_turns_about_one_axis_leave_the_pose_unknown(rng: np.random.Generator) -> None:
    views, tools, _ = seen_from(rng, poses(rng, 15, turns=False), "tool")
    with pytest.raises(DeployError, match="turned about one axis only"):
        solve_mounting(BOARD, LENS, views, tools, "tool", 15, most=1.5, most_mm=3.0)


def test_the_wrong_mount_does_not_fit(rng: np.random.Generator) -> None:
    views, tools, _ = seen_from(rng, poses(rng, 15), "tool")
    with pytest.raises(DeployError, match=r"joints and pictures do not fit.*another mount"):
        solve_mounting(BOARD, LENS, views, tools, "base", 15, most=1.5, most_mm=3.0)


def test_a_board_that_was_not_measured(rng: np.random.Generator) -> None:
    views, tools, _ = seen_from(rng, poses(rng, 20), "tool", Board(square=0.0288, marker=0.0216))
    stated = [replace(view, points=BOARD.corners[view.ids]) for view in views]
    with pytest.raises(DeployError, match=r"the squares are 28.\d\d mm, stated are 30"):
        solve_mounting(BOARD, LENS, stated, tools, "tool", 20, most=1.5, most_mm=3.0)


def test_intrinsics_of_another_size(rng: np.random.Generator) -> None:
    views, tools, _ = seen_from(rng, poses(rng, 15), "tool")
    with pytest.raises(DeployError, match="are of 640x480 px, the camera's intrinsics hold for 1280x720"):
        solve_mounting(BOARD, replace(LENS, size=(1280, 720)), views, tools, "tool", 15, most=1.5, most_mm=3.0)


def test_joint_positions_are_read_and_checked(tmp_path: Path, rng: np.random.Generator) -> None:
    path, qpos = tmp_path / "poses.json", poses(rng, 2)

    def write(arm: str = "panda", first: list[float] | None = None) -> None:
        table = {k: list(v) for k, v in qpos.items()} | ({"000.png": first} if first else {})
        path.write_text(json.dumps({"arm": arm, "qpos": table}))

    write()
    tools = read_poses(path, ARM, list(qpos))
    assert tools["000.png"] == pytest.approx(ARM.tool(qpos["000.png"]))
    for said, made in {
        "joints of arm 'ur5e'": lambda: write("ur5e"),
        "panda has 7, in rad": lambda: write(first=[0.1, 0.2]),
        "are these degrees": lambda: write(first=[90, 0, 0, -90, 0, 90, 45]),
        "should hold": lambda: path.write_text("[]"),
    }.items():
        made()
        with pytest.raises(DeployError, match=said):
            read_poses(path, ARM, list(qpos))
    write()
    with pytest.raises(DeployError, match=r"no joint positions for 7.png and 1 others"):
        read_poses(path, ARM, ["7.png", "8.png"])
    with pytest.raises(DeployError, match="no joint positions"):
        read_poses(tmp_path / "none.json", ARM, [])


def test_a_pose_from_one_view(rng: np.random.Generator) -> None:
    pose = looking(rng)
    view = ideal(BOARD, LENS, pose, "0.png", rng, noise=0.05)
    assert view is not None
    mm, deg = apart(board_pose(LENS, view), pose)
    assert mm < 2
    assert deg < 0.5
    assert turn(Fit((10, 10), 180))[:2, :2] == pytest.approx(-np.eye(2))


# --- the verb


def save_pictures(folder: Path, rng: np.random.Generator, n: int, board: Board = COARSE) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(n):
        image = render(board, SMALL, looking(rng, board=board), rng)
        cv2.imwrite(str(folder / f"{k:03d}.png"), image[..., ::-1])


def config(tmp_path: Path, **keys: Any) -> CalibrateConfig:
    return CalibrateConfig(columns=7, rows=5, square=0.04, marker=0.03, out=str(tmp_path / "out"), **keys)


def test_the_verb_makes_the_board_the_lens_and_the_mounting(tmp_path: Path, rng: np.random.Generator, capsys) -> None:
    assert Path(run(config(tmp_path, step=Step.BOARD))["board"]).read_bytes().startswith(b"%PDF")
    save_pictures(tmp_path / "lens", rng, 11)
    said = run(config(tmp_path, step=Step.INTRINSICS, pictures=str(tmp_path / "lens"), serial="77"))
    assert said["fx"] == pytest.approx(SMALL.fx, rel=0.005)
    assert said["error_px"] < 0.3
    with Image.open(said["picture"]) as page:
        assert page.width > 1000
    made = load_calibration(said["file"])
    assert (made.camera, made.serial, made.intrinsics.size, made.hand_eye) == ("side", "77", (400, 300), None)
    assert "px are left over" in capsys.readouterr().out

    near = np.array(ARM.home)
    folder, qpos = tmp_path / "arm", {name: near + 0.7 * (q - near) for name, q in poses(rng, 11).items()}
    folder.mkdir()
    home = ARM.tool(np.array(ARM.home))
    before = pose_of(np.array([0.2, -0.15, 0.1]), np.array([0, 0, 0.45]))
    before[:3, 3] -= before[:3, :3] @ COARSE.middle
    for name, q in qpos.items():
        pose = np.linalg.inv(ARM.tool(q) @ EYE) @ home @ EYE @ before
        cv2.imwrite(str(folder / name), render(COARSE, SMALL, pose, rng)[..., ::-1])
    (folder / "poses.json").write_text(json.dumps({"arm": "panda", "qpos": {k: list(q) for k, q in qpos.items()}}))
    said = run(config(tmp_path, step=Step.HAND_EYE, mount=Mount.TOOL, pictures=str(folder)))
    eye = load_calibration(said["file"]).hand_eye
    assert eye is not None
    mm, deg = apart(eye.matrix, EYE)
    print(f"from pictures: {said['views']} views, off by {mm:.2f} mm, {deg:.3f} deg")
    assert mm < 2.0
    assert deg < 0.2
    with pytest.raises(RobotError, match="serial number 78, its calibration is of 77"):
        run(config(tmp_path, step=Step.HAND_EYE, mount=Mount.TOOL, pictures=str(folder), serial="78"))


def test_a_running_camera_takes_a_view_whenever_the_board_rests(tmp_path: Path, rng: np.random.Generator) -> None:
    clip = tmp_path / "clip"
    clip.mkdir()
    for k in range(9):
        image = render(COARSE, SMALL, looking(rng, board=COARSE), rng)[..., ::-1]
        for again in range(3):
            cv2.imwrite(str(clip / f"{3 * k + again:03d}.png"), image)
    said = run(config(tmp_path, step=Step.INTRINSICS, camera=f"recorded:{clip}?fps=8&loop=true", views=8, coverage=0.3, seconds=60))
    assert said["views"] + len(said["outliers"]) == 8
    assert len(list((tmp_path / "out/side").glob("*.png"))) == 8
    with pytest.raises(DeployError, match="holds pictures already"):
        run(config(tmp_path, step=Step.INTRINSICS, camera=f"recorded:{clip}", views=8))


def test_a_board_that_never_rests(tmp_path: Path, rng: np.random.Generator) -> None:
    save_pictures(tmp_path / "clip", rng, 3)
    with pytest.raises(DeployError, match="0 of 8 views in 1 s; hold the board still"):
        run(config(tmp_path, step=Step.INTRINSICS, camera=f"recorded:{tmp_path / 'clip'}?fps=10&loop=true", views=8, seconds=1))


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"step": Step.INTRINSICS}, "either camera=opencv:/dev/video0 or pictures=FOLDER"),
        ({"step": Step.INTRINSICS, "pictures": "nowhere"}, "no folder nowhere"),
        ({"step": Step.HAND_EYE}, "needs pictures=FOLDER with poses.json"),
        ({"step": Step.HAND_EYE, "pictures": "nowhere"}, "cezanne calibrate step=intrinsics"),
    ],
)
def test_what_a_step_needs(tmp_path: Path, keys: dict[str, Any], said: str) -> None:
    with pytest.raises((DeployError, RobotError), match=said):
        run(config(tmp_path, **keys))


@pytest.mark.parametrize("keys", [{"views": 3}, {"max_error": 0}, {"paper": [1.0]}, {"name": ""}, {"coverage": 2}])
def test_ranges(tmp_path: Path, keys: dict[str, Any]) -> None:
    with pytest.raises(DeployError):
        config(tmp_path, **keys)


def test_the_command_line_composes() -> None:
    cfg = compose("calibrate", CalibrateConfig, ["step=hand_eye", "mount=tool", "camera=opencv:/dev/video0?rotate=180&capture=1280x720"])
    made = OmegaConf.to_object(cfg)
    assert isinstance(made, CalibrateConfig)
    assert (made.step, made.mount, made.camera) == (Step.HAND_EYE, Mount.TOOL, "opencv:/dev/video0?rotate=180&capture=1280x720")
