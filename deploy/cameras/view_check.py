"""Before motion: do the cameras see what the checkpoint was trained with? By their calibration, or else by where the arm is seen.

A policy's contract says where its cameras stand. Where a camera is calibrated, its pose and field of view are compared. Where it is not,
the arm itself is the target: its shape at the measured joints, as the contract's camera would see it, must be told by the picture's
colours better than any other reading of the pictures: turned, mirrored, or one camera's picture in another's place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from deploy.cameras.silhouette import camera_pose, silhouette
from deploy.errors import DeployError
from episodes.info import CameraInfo
from hardware.calibration import Calibration, turn
from hardware.cameras.fit import TURNS, Fit
from hardware.model import ArmModel

CELLS = 64
"""Pictures are compared at this size [px]."""
_BINS = 6
"""Of each colour."""
_TURNED, _SWAPPED = 0.02, 0.06
"""By how much another reading must explain more before it is believed: a turn, and a swap for each camera that changes place."""
_SEEN = 0.12
"""Share of the shape that the colours must tell before the arm counts as seen."""
_SHARE = 0.01
"""Share of the picture that the arm must fill, and leave free."""


@dataclass(frozen=True)
class Tolerance:
    """How far a camera may be from where the policy was trained with it."""

    mm: float = 20.0
    deg: float = 3.0
    fov: float = 2.0
    """Of the vertical field of view [deg]."""


@dataclass(frozen=True)
class Difference:
    """Between a calibrated camera and the contract's."""

    camera: str
    mm: float
    """Between where they stand."""
    deg: float
    """Between how they are turned."""
    fov: float
    """Vertical field of view less the contract's [deg]."""

    def within(self, tolerance: Tolerance) -> bool:
        """Whether a policy may run with it."""
        return self.mm <= tolerance.mm and self.deg <= tolerance.deg and abs(self.fov) <= tolerance.fov

    def __str__(self) -> str:
        return f"camera {self.camera!r}: {self.mm:.1f} mm, {self.deg:.2f} deg and {self.fov:+.2f} deg of field of view from the contract's"


def compare(name: str, info: CameraInfo, seen: Calibration, tool_from_body: np.ndarray) -> Difference:
    """A calibration of fitted pictures (`Calibration.fitted`) against the contract. Raises DeployError where they cannot be compared."""
    if seen.hand_eye is None:
        raise DeployError(
            f"camera {name!r}: its calibration knows the lens only; `cezanne calibrate step=hand_eye name={name}` tells where it stands"
        )
    if seen.intrinsics.size != (info.width, info.height):
        ours, its = f"{info.width}x{info.height}", "{}x{}".format(*seen.intrinsics.size)
        raise DeployError(f"camera {name!r}: the contract has pictures of {ours} px, this calibration is of {its}")
    wanted = "base" if info.body == "world" else "tool"
    if seen.hand_eye.mount != wanted:
        raise DeployError(f"camera {name!r}: the policy was trained with one on the {wanted}, this one is on the {seen.hand_eye.mount}")
    expected = np.asarray(info.extrinsics, float) if wanted == "base" else tool_from_body @ np.asarray(info.extrinsics, float)
    return _apart(name, expected, seen.hand_eye.matrix, seen.intrinsics.fovy - info.fovy)


def check_calibrated(
    cameras: Mapping[str, CameraInfo], seen: Mapping[str, Calibration], tool_from_body: np.ndarray, tolerance: Tolerance = Tolerance()
) -> tuple[Difference, ...]:
    """The differences of all calibrated cameras.

    Args:
        cameras: of the contract, in order.
        seen: calibrations of fitted pictures, by camera.
        tool_from_body: pose (4, 4) in the tool's frame of what the contract's cameras on the arm are fixed to.
        tolerance: how far they may be off.

    Raises:
        DeployError: a camera stands or looks elsewhere, is turned, or in another's place.
    """
    found = {name: compare(name, cameras[name], calibration, tool_from_body) for name, calibration in seen.items() if name in cameras}
    for name, difference in found.items():
        if difference.within(tolerance):
            continue
        said = f"{difference}; allowed are {tolerance.mm:g} mm, {tolerance.deg:g} deg, {tolerance.fov:g} deg"
        for other, info in cameras.items():
            if other != name and _fits(other, info, seen[name], tool_from_body, tolerance):
                raise DeployError(f"{said}: it stands where camera {other!r} should; are the two swapped?")
        for angle in TURNS[1:]:
            stands = seen[name].hand_eye
            pose = stands.matrix @ turn(Fit((1, 1), angle)) if stands else np.eye(4)
            expected = np.asarray(cameras[name].extrinsics, float)
            expected = expected if cameras[name].body == "world" else tool_from_body @ expected
            if _apart(name, expected, pose, difference.fov).within(tolerance):
                raise DeployError(f"{said}: its picture is turned; turn it by {angle} degrees more, clockwise (rotate=)")
        raise DeployError(f"{said}: move it there, or train with cameras that move (augment: viewpoint)")
    return tuple(found.values())


@dataclass(frozen=True)
class Look:
    """What all cameras see at one moment, and the arm's joints."""

    images: Mapping[str, np.ndarray]
    """By camera, (H, W, 3) u8, as the policy gets them."""
    qpos: np.ndarray
    """(n,) [rad]"""


@dataclass(frozen=True)
class Reading:
    """How one camera's picture is to be read so that the arm is where it should be."""

    camera: str
    """Of the contract."""
    source: str
    """The camera whose picture fits there."""
    rotate: int
    """Clockwise turn that the picture needs [deg]."""
    mirrored: bool
    score: float
    """Share of the arm's shape that the colours tell so, 0 to 1."""
    plain: float
    """The same as the picture is."""
    share: float
    """Of the picture that the arm should fill, mean over the looks."""

    @property
    def right(self) -> bool:
        """The picture fits as it is."""
        return self.source == self.camera and self.rotate == 0 and not self.mirrored

    @property
    def decided(self) -> bool:
        """The arm is seen well enough to tell."""
        return self.score >= _SEEN and _SHARE <= self.share <= 1 - _SHARE

    @property
    def wrong(self) -> bool:
        """Another reading wins clearly: by more than what a turn or a swap costs."""
        return self.decided and not self.right

    def __str__(self) -> str:
        told = f"camera {self.camera!r}: the arm should fill {self.share:.0%} of the picture"
        if not self.decided:
            return f"{told}, but cannot be told from the rest ({self.score:.2f} of {_SEEN:g}): move it into view, or calibrate"
        if self.right:
            return f"{told}, and is seen there ({self.plain:.2f})"
        ways = [f"it is the picture of {self.source!r}"] * (self.source != self.camera)
        ways += ["it is mirrored"] * self.mirrored + [f"it must be turned by {self.rotate} degrees clockwise (rotate=)"] * (self.rotate > 0)
        return f"{told}, and is not seen there ({self.plain:.2f}), but as if {' and '.join(ways)} ({self.score:.2f})"


def read_views(arm: ArmModel, cameras: Mapping[str, CameraInfo], looks: Sequence[Look], tool_from_body: np.ndarray) -> tuple[Reading, ...]:
    """How each camera's picture is best read, in the contract's order; several looks with the arm at several poses tell more.

    What looks alike cannot be told: a camera on the hand sees a gripper whose left is like its right, so mirrored or not.
    Raises DeployError for no look, or pictures of another size.
    """
    _check_looks(cameras, looks)
    names = list(cameras)
    shares = dict.fromkeys(names, 0.0)
    scores = {(slot, source): np.zeros((2, 4)) for slot in names for source in names}  # by mirrored, quarter turns
    for look in looks:
        pictures = {name: _colours(look.images[name]) for name in names}
        for slot in names:
            pose = camera_pose(arm, look.qpos, cameras[slot], tool_from_body)
            shape = silhouette(arm, look.qpos, cameras[slot], pose, CELLS)
            shares[slot] += shape.mean() / len(looks)
            for source in names:
                for mirrored, quarters in np.ndindex(2, 4):
                    read = np.rot90(pictures[source], -quarters)
                    scores[slot, source][mirrored, quarters] += told(read[:, ::-1] if mirrored else read, shape) / len(looks)
    best = max(permutations(names), key=lambda order: sum(_worth(scores[pair], pair) for pair in zip(names, order, strict=True)))
    readings = []
    for slot, source in zip(names, best, strict=True):
        table = _costed(scores[slot, source])
        mirrored, quarters = np.unravel_index(int(table.argmax()), table.shape)
        plain = float(scores[slot, slot][0, 0])
        score = float(scores[slot, source][mirrored, quarters])
        readings.append(Reading(slot, source, int(90 * quarters), bool(mirrored), score, plain, shares[slot]))
    return tuple(readings)


def check_views(arm: ArmModel, cameras: Mapping[str, CameraInfo], looks: Sequence[Look], tool_from_body: np.ndarray) -> tuple[Reading, ...]:
    """The readings, where none is wrong; some may be undecided. Raises DeployError, reason code camera_swapped: all that is wrong."""
    readings = read_views(arm, cameras, looks, tool_from_body)
    wrong = [str(reading) for reading in readings if reading.wrong]
    if wrong:
        raise DeployError("the cameras do not see what the policy was trained with; " + "; ".join(wrong))
    return readings


def told(colours: np.ndarray, shape: np.ndarray) -> float:
    """Share of the doubt about a shape (n, n) bool that the colours (n, n) take away: mutual information over the shape's entropy."""
    joint = np.zeros((int(colours.max()) + 1, 2))
    np.add.at(joint, (colours.ravel(), shape.ravel().astype(int)), 1.0)
    joint = joint[joint.any(axis=1)] / shape.size
    colour, part = joint.sum(axis=1, keepdims=True), joint.sum(axis=0, keepdims=True)
    if not part.all():
        return 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        shared = float(np.nansum(joint * np.log(joint / (colour * part))))
    chance = (len(joint) - 1) / (2 * shape.size)  # what unrelated colours share with any shape
    return (shared - chance) / float(-(part * np.log(part)).sum())


def _colours(image: np.ndarray) -> np.ndarray:
    """The middle square's colours as numbers of bins, (CELLS, CELLS) int."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    small = cv2.resize(np.ascontiguousarray(image[top : top + side, left : left + side]), (CELLS, CELLS), interpolation=cv2.INTER_AREA)
    steps = np.asarray(small).astype(int) * _BINS // 256
    return steps @ np.array([_BINS * _BINS, _BINS, 1])


def _costed(table: np.ndarray) -> np.ndarray:
    """Scores (2, 4) with what a turn must explain more than none."""
    cost = np.full((2, 4), _TURNED)
    cost[0, 0] = 0
    return table - cost


def _worth(table: np.ndarray, pair: tuple[str, str]) -> float:
    return float(_costed(table).max()) - (_SWAPPED if pair[0] != pair[1] else 0.0)


def _check_looks(cameras: Mapping[str, CameraInfo], looks: Sequence[Look]) -> None:
    if not looks:
        raise DeployError("to check the cameras, at least one look is needed")
    for look in looks:
        for name, info in cameras.items():
            if name not in look.images:
                raise DeployError(f"no picture of camera {name!r}; there are: {', '.join(map(repr, look.images))}")
            if look.images[name].shape != (info.height, info.width, 3):
                raise DeployError(f"camera {name!r} sends {look.images[name].shape}, the contract has {(info.height, info.width, 3)}")


def _fits(name: str, info: CameraInfo, seen: Calibration, tool_from_body: np.ndarray, tolerance: Tolerance) -> bool:
    try:
        return compare(name, info, seen, tool_from_body).within(tolerance)
    except DeployError:
        return False


def _apart(name: str, expected: np.ndarray, stands: np.ndarray, fov: float) -> Difference:
    between = np.linalg.inv(expected) @ stands
    turned = float(np.degrees(Rotation.from_matrix(between[:3, :3]).magnitude()))
    return Difference(name, float(1000 * np.linalg.norm(between[:3, 3])), turned, float(fov))
