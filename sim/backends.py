"""Back ends compared by picture: the same scene drawn by each, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sim import gl

SIZES = (128, 224)
"""Of the pictures that are compared [px]; the first is timed."""
SOFTWARE = ("osmesa", "egl")
"""Whose pictures the others' are compared with: the first of these that renders; EGL where it draws in software."""
MEAN, IOU = 1.0, 0.98
"""A mean difference of RGB above this [levels of 255], or a mask whose intersection over union is below that, is another picture: results
of such back ends are not to be compared, and a policy that learnt from the one may do worse with the other."""
DEADLINE = 180.0
"""Longest that a back end may take for all its pictures, imports included [s]."""
_TIMED = 20


@dataclass(frozen=True)
class Drawn:
    """What one back end drew."""

    pictures: Mapping[str, np.ndarray]
    """(H, W, 3) uint8 each."""
    masks: Mapping[str, np.ndarray]
    """(H, W) bool each."""
    ms: float
    """Median time of a frame: a picture and a mask of one camera at SIZES[0] [ms]."""


@dataclass(frozen=True)
class Difference:
    """How far the pictures of two back ends are apart."""

    rgb_mean: float
    """Of all pixels and channels [levels of 255]."""
    rgb_max: int
    mask_iou: float
    """The least of all masks."""
    ms: float
    """Of the one that is compared."""

    @property
    def same(self) -> bool:
        """Whether results of the two may be compared."""
        return self.rgb_mean <= MEAN and self.mask_iou >= IOU


def draw() -> Drawn:
    """Draws a toy on the table with the back end of this process: every camera, at all sizes."""
    from assets.toys import ToySet
    from sim.scene import SceneConfig
    from sim.simrobot import SimRobot

    pictures, masks, times = {}, {}, []
    with SimRobot(SceneConfig(ToySet.sample(0, 1).toys[0])) as robot:
        robot.place(np.zeros(2), np.random.default_rng(0))
        names = [camera.name for camera in robot.config.cameras]
        for name in names:
            for size in SIZES:
                pictures[f"{name} {size}"], masks[f"{name} {size}"] = robot.picture(name, size), robot.mask(name, size)
        for _ in range(_TIMED):
            for name in names:
                began = time.perf_counter()
                robot.picture(name, SIZES[0])
                robot.mask(name, SIZES[0])
                times.append(time.perf_counter() - began)
    return Drawn(pictures, masks, float(np.median(times)) * 1e3)


def save(path: str) -> None:
    """Draws, and writes it to a file; what `drawn_by` runs."""
    drawn = draw()
    arrays = {f"picture {name}": image for name, image in drawn.pictures.items()}
    arrays |= {f"mask {name}": mask for name, mask in drawn.masks.items()}
    np.savez(path, allow_pickle=False, ms=np.array(drawn.ms), **arrays)


def drawn_by(backend: str, *, deadline: float = DEADLINE) -> Drawn | None:
    """What a back end draws, in a child process; None where it does not, or not in time."""
    with tempfile.TemporaryDirectory(prefix="cezanne-") as folder:
        path = Path(folder) / "drawn.npz"
        command = [sys.executable, "-c", "import sys; from sim.backends import save; save(sys.argv[1])", str(path)]
        try:
            child = subprocess.run(command, env=gl.environment(backend), capture_output=True, timeout=deadline)
        except subprocess.TimeoutExpired:
            return None
        if child.returncode or not path.exists():
            return None
        with np.load(path, allow_pickle=False) as arrays:
            kinds = {
                kind: {name.removeprefix(kind): arrays[name] for name in arrays if name.startswith(kind)} for kind in ("picture ", "mask ")
            }
            return Drawn(kinds["picture "], kinds["mask "], float(arrays["ms"]))


def difference(one: Drawn, reference: Drawn) -> Difference:
    """Between what two back ends drew of one scene."""
    apart = [np.abs(one.pictures[name].astype(int) - image) for name, image in reference.pictures.items()]
    pixels = sum(each.size for each in apart)
    ious = [_iou(one.masks[name], mask) for name, mask in reference.masks.items()]
    return Difference(sum(int(each.sum()) for each in apart) / pixels, max(int(each.max()) for each in apart), min(ious), one.ms)


def compare(backends: Sequence[str], *, deadline: float = DEADLINE) -> tuple[str | None, dict[str, Difference]]:
    """The back end whose pictures are the measure, and how far each is from it; those that draw nothing are left out."""
    drawn = {backend: found for backend in backends if (found := drawn_by(backend, deadline=deadline)) is not None}
    reference = next((backend for backend in SOFTWARE if backend in drawn), None)
    if reference is None:
        return None, {}
    return reference, {backend: difference(found, drawn[reference]) for backend, found in drawn.items()}


def _iou(one: np.ndarray, other: np.ndarray) -> float:
    union = int((one | other).sum())
    return int((one & other).sum()) / union if union else 1.0
