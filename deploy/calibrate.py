"""`cezanne calibrate`: prints the board, measures a camera's lens, and where the camera stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from deploy.calibration.board import Board, View
from deploy.calibration.hand_eye import read_poses, solve_mounting
from deploy.calibration.lens import solve_lens
from deploy.calibration.sheet import calibration_sheet
from deploy.calibration.watching import watch_board
from deploy.errors import DeployError
from deploy.person import say
from episodes.picture import write_picture
from hardware.calibration import Calibration, load_calibration
from hardware.cameras import open_camera
from hardware.cameras.recorded import pictures, read_picture
from hardware.model import load_arm


class Step(Enum):
    """What to do."""

    BOARD = "board"
    INTRINSICS = "intrinsics"
    HAND_EYE = "hand_eye"


class Mount(Enum):
    """What a camera is fixed to."""

    BASE = "base"
    TOOL = "tool"


@dataclass
class CalibrateConfig:
    """One step of calibrating one camera: the board, then the lens, then where it stands."""

    step: Step = Step.BOARD
    """board: writes the board for printing. intrinsics: the lens. hand_eye: where the camera stands; needs the lens."""
    name: str = "side"
    """Of the camera, as the policy's contract calls it."""
    camera: str = ""
    """The camera, as in camera=opencv:/dev/video0; hold the board before it. For intrinsics."""
    pictures: str = ""
    """Folder of pictures of the board instead; for hand_eye with poses.json: {"arm": "panda", "qpos": {"000.png": [...], ...}} [rad]."""
    serial: str = ""
    """Serial number of the camera that took the pictures; a running camera says its own."""
    views: int = 25
    """Views to take with a running camera."""
    seconds: float = 180.0
    """Longest time for that [s]."""
    mount: Mount = Mount.BASE
    """base: the camera stands beside the arm, the board is on the tool. tool: the camera is on the tool, the board lies still."""
    arm: str = "panda"
    """The arm whose joint positions poses.json holds."""
    columns: int = 9
    """Squares along the board's longer side."""
    rows: int = 6
    """Squares along the other."""
    square: float = 0.030
    """Side of a square, measured on the print [m]."""
    marker: float = 0.0225
    """Side of a marker [m]."""
    dictionary: str = "5X5_100"
    """Of the markers, as OpenCV names it."""
    paper: list[float] = field(default_factory=lambda: [0.297, 0.210])
    """Width and height of the paper [m]."""
    max_error: float = 0.6
    """Greatest root mean square of what is left unexplained by the lens [px]; twice that by the mounting."""
    max_mm: float = 3.0
    """Greatest disagreement of the views about where the board is [mm]."""
    coverage: float = 0.5
    """Least share of the picture's cells in which a corner was seen."""
    out: str = "runs/calibration"
    """Folder of what is written: board.pdf, NAME.json, NAME-STEP.png."""

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name:
            raise DeployError(f"name={self.name!r}; the camera needs one, as the policy's contract calls it")
        if not 8 <= self.views <= 500 or not 1 <= self.seconds <= 3600:
            raise DeployError(f"views={self.views}, seconds={self.seconds:g}; 8 to 500 views in 1 to 3600 s")
        if not (0 < self.max_error <= 10 and 0 < self.max_mm <= 100 and 0 <= self.coverage <= 1):
            raise DeployError(f"max_error={self.max_error:g}, max_mm={self.max_mm:g}, coverage={self.coverage:g}; up to 10 px, 100 mm, 1")
        if len(self.paper) != 2 or min(self.paper) <= 0:
            raise DeployError(f"paper={self.paper}; give its width and height [m]")


def run(cfg: CalibrateConfig) -> dict[str, Any]:
    """Does the step, prints what came out, and returns it. Raises DeployError, RobotError: what is missing or cannot be right."""
    board = Board(cfg.columns, cfg.rows, cfg.square, cfg.marker, cfg.dictionary)
    summary = {Step.BOARD: _board, Step.INTRINSICS: _intrinsics, Step.HAND_EYE: _hand_eye}[cfg.step](cfg, board)
    for line in summary.pop("says"):
        print(line)
    return {"ok": True, "step": cfg.step.value, **summary}


def _board(cfg: CalibrateConfig, board: Board) -> dict[str, Any]:
    path = Path(cfg.out) / "board.pdf"
    board.write(path, (cfg.paper[0], cfg.paper[1]))
    says = [
        f"{path}: print at 100 % on {1000 * cfg.paper[0]:g} x {1000 * cfg.paper[1]:g} mm, glue it to something flat",
        f"measure ten squares: {10000 * board.square:g} mm, or say square= what you measure",
    ]
    return {"board": str(path), "says": says}


def _intrinsics(cfg: CalibrateConfig, board: Board) -> dict[str, Any]:
    views, serial, folder = _look(cfg, board)
    found = solve_lens(board, views, len(pictures(folder)), most=cfg.max_error, cover=cfg.coverage)
    lens = found.intrinsics
    made = Calibration(cfg.name, serial, lens, None, _now(), asdict(board))
    says = [
        f"camera {cfg.name!r}: fx {lens.fx:.1f}, fy {lens.fy:.1f}, axis {lens.cx:.1f}, {lens.cy:.1f} px of {lens.size[0]}x{lens.size[1]}",
        f"field of view {lens.fovy:.1f} deg high; {lens.error:.3f} px are left over {len(found.views)} views (allowed {cfg.max_error:g})",
        f"seen in {found.coverage:.0%} of the picture; focal length uncertain by {100 * found.unsure:.2f} %",
        *_left_out(found.outliers),
    ]
    summary = {
        "error_px": round(lens.error, 4),
        "coverage": round(found.coverage, 3),
        "fovy": round(lens.fovy, 3),
        "fx": lens.fx,
        "fy": lens.fy,
    }
    return _written(cfg, made, folder, found.views, found.residuals, found.outliers, says) | summary


def _hand_eye(cfg: CalibrateConfig, board: Board) -> dict[str, Any]:
    if not cfg.pictures:
        raise DeployError(
            "step=hand_eye needs pictures=FOLDER with poses.json: pictures of the board and the arm's joint positions at each"
        )
    known = load_calibration(_file(cfg))
    views, serial, folder = _look(cfg, board)
    known.check(cfg.name, serial, known.intrinsics.size)
    arm = load_arm(cfg.arm)
    tools = read_poses(folder / "poses.json", arm, [view.name for view in views])
    mount = cfg.mount.value
    found = solve_mounting(board, known.intrinsics, views, tools, mount, len(pictures(folder)), most=2 * cfg.max_error, most_mm=cfg.max_mm)
    eye = found.hand_eye
    x, y, z = 1000 * eye.matrix[:3, 3]
    says = [
        f"camera {cfg.name!r} stands at {x:.1f}, {y:.1f}, {z:.1f} mm of the {arm.name}'s {mount} frame",
        f"the views disagree about the board by {eye.error_mm:.2f} mm and {eye.error_deg:.2f} deg (allowed {cfg.max_mm:g} mm)",
        f"{found.error:.3f} px are left over {len(found.views)} views (allowed {2 * cfg.max_error:g})",
        f"by the arm's motion a square is {1000 * board.square * found.scale:.2f} mm, stated are {1000 * board.square:g}",
        *_left_out(found.outliers),
    ]
    made = replace(known, hand_eye=eye, made=_now())
    summary = {"error_px": round(found.error, 4), "error_mm": round(eye.error_mm, 3), "error_deg": round(eye.error_deg, 3)}
    return _written(cfg, made, folder, found.views, found.residuals, found.outliers, says) | summary | {"scale": round(found.scale, 5)}


def _look(cfg: CalibrateConfig, board: Board) -> tuple[list[View], str, Path]:
    """Views of the board, the camera's serial number, and the folder of the pictures."""
    if bool(cfg.pictures) == bool(cfg.camera):
        raise DeployError("give either camera=opencv:/dev/video0 or pictures=FOLDER")
    if cfg.pictures:
        found = [board.find(read_picture(path), path.name) for path in pictures(cfg.pictures)]
        return [view for view in found if view is not None], cfg.serial, Path(cfg.pictures)
    folder = Path(cfg.out) / cfg.name
    if folder.exists() and any(folder.iterdir()):
        raise DeployError(f"{folder} holds pictures already; use them with pictures={folder}, or remove them")
    folder.mkdir(parents=True, exist_ok=True)
    views, serial = [], cfg.serial
    for view, image, said in watch_board(open_camera(cfg.name, cfg.camera, (64, 64)), board, cfg.views, cfg.seconds, say):
        write_picture(folder / view.name, image)
        views.append(view)
        serial = said or serial
    return views, serial, folder


def _written(
    cfg: CalibrateConfig,
    made: Calibration,
    folder: Path,
    views: Sequence[View],
    residuals: Sequence[np.ndarray],
    outliers: Sequence[str],
    says: Sequence[str],
) -> dict[str, Any]:
    """Writes the calibration and the picture of it."""
    file, page = _file(cfg), Path(cfg.out) / f"{cfg.name}-{cfg.step.value}.png"
    shown = max(views, key=lambda view: len(view.ids))
    made.save(file)
    page.parent.mkdir(parents=True, exist_ok=True)
    write_picture(page, calibration_sheet(read_picture(folder / shown.name), shown, views, residuals, says))
    return {"file": str(file), "picture": str(page), "views": len(views), "outliers": list(outliers), "says": [*says, f"{file}, {page}"]}


def _file(cfg: CalibrateConfig) -> Path:
    return Path(cfg.out) / f"{cfg.name}.json"


def _left_out(outliers: Sequence[str]) -> list[str]:
    return [f"left out, since they fit the others badly: {', '.join(outliers)}"] if outliers else []


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
