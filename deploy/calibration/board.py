"""The ChArUco board: its picture at true scale for printing, and its corners in pictures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from deploy.errors import DeployError

_INCH = 0.0254
_LEAST = 9
"""Corners below which a view is not used."""


@dataclass(frozen=True)
class Board:
    """A chessboard with a marker in every white square: each of its corners is known by number, also where only a part is seen."""

    columns: int = 9
    """Squares along its longer side."""
    rows: int = 6
    square: float = 0.030
    """Side of a square [m]: measure the print."""
    marker: float = 0.0225
    """Side of a marker [m]."""
    dictionary: str = "5X5_100"
    """One of OpenCV's predefined marker dictionaries."""

    def __post_init__(self) -> None:
        if not 3 <= self.columns <= 40 or not 3 <= self.rows <= 40:
            raise DeployError(f"a board of {self.columns} x {self.rows} squares; 3 to 40 a side")
        if not 0 < self.marker < self.square <= 1:
            raise DeployError(f"markers of {self.marker:g} m in squares of {self.square:g} m; markers are smaller, squares up to 1 m")
        if not hasattr(cv2.aruco, f"DICT_{self.dictionary}"):
            raise DeployError(f"no marker dictionary {self.dictionary!r}; known: 4X4_50, 5X5_100, 6X6_250, ... as OpenCV names them")
        there = len(self._dictionary.bytesList)
        if self.columns * self.rows // 2 > there:
            raise DeployError(
                f"{self.columns} x {self.rows} squares hold {self.columns * self.rows // 2} markers, {self.dictionary} has {there}"
            )

    @property
    def corners(self) -> np.ndarray:
        """Its corners between squares, (C, 3) [m]: x along the columns, y along the rows, z into the board."""
        return np.asarray(self.cv.getChessboardCorners(), float)

    @property
    def middle(self) -> np.ndarray:
        """Of the board, (3,) [m]."""
        return np.array([self.columns, self.rows, 0]) * self.square / 2

    @cached_property
    def cv(self) -> Any:
        """OpenCV's board."""
        return cv2.aruco.CharucoBoard((self.columns, self.rows), self.square, self.marker, self._dictionary)

    @cached_property
    def _dictionary(self) -> Any:
        return cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, f"DICT_{self.dictionary}"))

    @cached_property
    def _detector(self) -> Any:
        return cv2.aruco.CharucoDetector(self.cv)

    def find(self, image: np.ndarray, name: str) -> View | None:
        """The board in a picture (H, W, 3) u8; None where too little of it is seen to tell its pose."""
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        pixels, ids, _, _ = self._detector.detectBoard(grey)
        if ids is None or not self.tells(ids.ravel()):
            return None
        ids = ids.ravel()
        # refined once more: the detector of OpenCV up to 4.13 adds half a pixel to what it has refined (its issue 25539)
        window = self._window(ids, pixels.reshape(-1, 2))
        rule = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_MAX_ITER, 50, 1e-3)
        pixels = cv2.cornerSubPix(grey, pixels.reshape(-1, 1, 2).copy(), (window, window), (-1, -1), rule)
        return View(name, (image.shape[1], image.shape[0]), ids, pixels.reshape(-1, 2).astype(float), self.corners[ids])

    def tells(self, ids: np.ndarray) -> bool:
        """Whether these corners, (K,), are enough for a pose: nine, and not on two lines only."""
        if len(ids) < _LEAST:
            return False
        row, column = np.divmod(ids, self.columns - 1)
        return len(np.unique(row)) > 2 and len(np.unique(column)) > 2

    def _window(self, ids: np.ndarray, pixels: np.ndarray) -> int:
        """Half the side of a window around a corner that reaches no marker [px]."""
        apart = np.linalg.norm(pixels[:, None] - pixels, axis=2) + np.where(np.eye(len(ids), dtype=bool), np.inf, 0)
        side = float(apart.min())  # of a square, where it is seen smallest
        return int(np.clip(side * (1 - self.marker / self.square) / 2, 2, 12))

    def picture(self, pixels: int) -> np.ndarray:
        """The board, a square this many pixels wide, (H, W) u8."""
        return self.cv.generateImage((self.columns * pixels, self.rows * pixels), marginSize=0, borderBits=1)

    def write(self, path: Path, paper: tuple[float, float] = (0.297, 0.210)) -> None:
        """The board at true scale as PDF or PNG, in the middle of a paper [m]. Raises DeployError where it does not fit on it."""
        width, height = self.columns * self.square, self.rows * self.square
        if width > paper[0] or height > paper[1]:
            sizes = f"{1000 * width:.0f} x {1000 * height:.0f} mm, the paper {1000 * paper[0]:.0f} x {1000 * paper[1]:.0f}"
            raise DeployError(f"the board is {sizes}; use smaller or fewer squares, or larger paper")
        pixels = round(self.square / _INCH * 400)
        dpi = pixels * _INCH / self.square  # not 400 exactly: squares have whole pixels, and the scale stays true
        page = Image.new("L", (round(paper[0] / _INCH * dpi), round(paper[1] / _INCH * dpi)), 255)
        drawn = self.picture(pixels)
        page.paste(Image.fromarray(drawn), ((page.width - drawn.shape[1]) // 2, (page.height - drawn.shape[0]) // 2))
        says = f"ChArUco {self.columns} x {self.rows}, DICT_{self.dictionary}. Print at 100 %. One square: {1000 * self.square:g} mm"
        size = round(0.003 / _INCH * dpi)
        ImageDraw.Draw(page).text((page.width // 2, page.height - size), says, 90, ImageFont.load_default(size), anchor="ms")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".pdf":
                page.save(path, resolution=dpi)
            else:
                page.save(path, dpi=(dpi, dpi))
        except (OSError, ValueError) as error:
            raise DeployError(f"cannot write {path}: {error}; name a .pdf or a .png") from error


@dataclass(frozen=True)
class View:
    """The board in one picture."""

    name: str
    """Of the picture."""
    size: tuple[int, int]
    """Width and height of the picture [px]."""
    ids: np.ndarray
    """Numbers of the corners that are seen, (K,)."""
    pixels: np.ndarray
    """Where they are, (K, 2) [px]."""
    points: np.ndarray
    """Where they are on the board, (K, 3) [m]."""


def check_views(views: list[View], least: int, looked: int, board: Board) -> None:
    """Raises DeployError: too few views of the board, or pictures of several sizes."""
    if not views:
        told = f"{board.columns} x {board.rows} squares of {1000 * board.square:g} mm, DICT_{board.dictionary}"
        raise DeployError(
            f"none of {looked} pictures shows the board ({told}); is it another board? `cezanne calibrate step=board` prints this one"
        )
    sizes = {view.size for view in views}
    if len(sizes) > 1:
        odd = [view.name for view in views if view.size != views[0].size]
        told = ", ".join("{}x{}".format(*size) for size in sorted(sizes))
        raise DeployError(f"pictures of several sizes ({told} px), the first odd one is {odd[0]}: take all with one camera in one mode")
    if len(views) < least:
        raise DeployError(f"{len(views)} of {looked} pictures show the board; at least {least} are needed")
