"""What an arm is: joints, limits, shape. Read from `hardware/arms/NAME.json`; forward kinematics in numpy."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from hardware.api import RobotError

ARMS = Path(__file__).parent / "arms"


@dataclass(frozen=True)
class Joint:
    """One revolute joint: from the frame of the link before it to its own."""

    name: str
    pos: tuple[float, float, float]
    """Of its frame in the parent's [m]."""
    quat: tuple[float, float, float, float]
    """Of its frame in the parent's at zero, wxyz."""
    axis: tuple[float, float, float]
    """Of rotation, in its own frame."""
    lower: float
    """[rad]"""
    upper: float
    """[rad]"""
    velocity: float
    """Greatest [rad/s], data sheet."""
    acceleration: float
    """Greatest [rad/s^2], data sheet, or what the source says."""
    jerk: float
    """Greatest [rad/s^3]."""
    effort: float
    """Greatest torque [N m], data sheet."""


@dataclass(frozen=True)
class Capsule:
    """A part of a link's shape: all within `radius` of a segment."""

    link: int
    """0: the base; i: what joint i moves."""
    start: tuple[float, float, float]
    """In the link's frame [m]."""
    end: tuple[float, float, float]
    radius: float
    """[m]"""


@dataclass(frozen=True)
class ArmModel:
    """An arm with its gripper."""

    name: str
    source: str
    """Where the figures come from."""
    joints: tuple[Joint, ...]
    tool_pos: tuple[float, float, float]
    """Of the point between the finger pads in the last link's frame [m]."""
    tool_quat: tuple[float, float, float, float]
    """wxyz; z along the approach, y along the closing."""
    home: tuple[float, ...]
    """Joint positions above the workspace [rad]."""
    capsules: tuple[Capsule, ...]
    """Contain the arm and its gripper, fingers closed."""
    apart: tuple[tuple[int, int], ...]
    """Pairs of links that must not touch."""
    gripper: int = 1
    """Gripper values: 1 for a jaw, the actuated joints of a hand."""
    robot: str = ""
    """What data sets and policies of this arm with its gripper call it; empty: as the arm. A policy of one runs on the other alone."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "robot", self.robot or self.name)
        n = len(self.joints)
        if not n or len(self.home) != n:
            raise RobotError(f"arm {self.name!r}: {n} joints and {len(self.home)} home positions; give one position a joint")
        for joint, q in zip(self.joints, self.home, strict=True):
            if not joint.lower < joint.upper or not joint.lower <= q <= joint.upper:
                raise RobotError(f"arm {self.name!r}: {joint.name} has limits {joint.lower} to {joint.upper} rad and home {q}")
            if min(joint.velocity, joint.acceleration, joint.jerk, joint.effort) <= 0:
                raise RobotError(f"arm {self.name!r}: {joint.name} needs limits above zero for velocity, acceleration, jerk and effort")
        bad = [c.link for c in self.capsules if not 0 <= c.link <= n or c.radius <= 0]
        if bad:
            raise RobotError(f"arm {self.name!r}: capsules on links {bad}; links are 0 to {n}, radii above zero")

    @cached_property
    def lower(self) -> np.ndarray:
        """Least joint positions, (n,) [rad]."""
        return np.array([joint.lower for joint in self.joints])

    @cached_property
    def upper(self) -> np.ndarray:
        """Greatest joint positions, (n,) [rad]."""
        return np.array([joint.upper for joint in self.joints])

    def frames(self, qpos: np.ndarray) -> np.ndarray:
        """Poses of all links in the base's frame, (..., n + 1, 4, 4), the base's first; qpos (..., n) [rad]."""
        fixed, screw, screw2 = self._fixed
        angle = np.asarray(qpos, float)[..., None, None]  # (..., n, 1, 1)
        local = fixed @ (np.eye(4) + np.sin(angle) * screw + (1 - np.cos(angle)) * screw2)  # Rodrigues
        frames = np.empty((*local.shape[:-3], len(self.joints) + 1, 4, 4))
        frames[..., 0, :, :] = np.eye(4)
        for i in range(len(self.joints)):
            frames[..., i + 1, :, :] = frames[..., i, :, :] @ local[..., i, :, :]
        return frames

    def tool(self, qpos: np.ndarray) -> np.ndarray:
        """Pose of the point between the finger pads in the base's frame, (4, 4); qpos (n,) [rad]."""
        return self.frames(qpos)[-1] @ _pose(self.tool_pos, self.tool_quat)

    def jacobian(self, qpos: np.ndarray, link: int, point: np.ndarray) -> np.ndarray:
        """How a point (3,) [m] in the base's frame that is fixed to a link moves with the joints, (3, n) [m/rad]; qpos (n,) [rad]."""
        moves = np.cross(self.axes(qpos).T, point - self.frames(qpos)[1:, :3, 3])
        moves[link:] = 0  # joints beyond the link
        return moves.T

    def axes(self, qpos: np.ndarray) -> np.ndarray:
        """Directions of all joints' axes in the base's frame, (3, n); qpos (n,) [rad]."""
        return (self.frames(qpos)[1:, :3, :3] @ self._axes[..., None])[..., 0].T

    @cached_property
    def _axes(self) -> np.ndarray:
        axes = np.array([joint.axis for joint in self.joints], float)
        return axes / np.linalg.norm(axes, axis=1, keepdims=True)

    @cached_property
    def links(self) -> np.ndarray:
        """The link of each capsule, (C,)."""
        return np.array([c.link for c in self.capsules], int)

    @cached_property
    def radii(self) -> np.ndarray:
        """Of the capsules, (C,) [m]."""
        return np.array([c.radius for c in self.capsules])

    def segments(self, qpos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Both ends of all capsules in the base's frame, (..., C, 3) each [m]; qpos (..., n) [rad]."""
        frames = self.frames(qpos)[..., self.links, :, :]  # (..., C, 4, 4)
        ends = frames @ self._ends  # (..., C, 4, 2)
        return ends[..., :3, 0], ends[..., :3, 1]

    @cached_property
    def pairs(self) -> np.ndarray:
        """Pairs of capsules on links that must not touch, (P, 2)."""
        apart = {frozenset(pair) for pair in self.apart}
        found = [(a, b) for a in range(len(self.links)) for b in range(a) if frozenset((self.links[a], self.links[b])) in apart]
        return np.array(found, int).reshape(-1, 2)

    def gaps(self, qpos: np.ndarray) -> np.ndarray:
        """Between the capsules of all pairs, (..., P) [m], below zero where they overlap; qpos (..., n) [rad]."""
        return self.apartness(*self.segments(qpos))

    def apartness(self, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        """As `gaps`, from the capsules' ends (..., C, 3) [m]."""
        a, b = self.pairs.T
        apart = _distance(start[..., a, :], end[..., a, :], start[..., b, :], end[..., b, :])
        return apart - self.radii[a] - self.radii[b]

    @cached_property
    def _ends(self) -> np.ndarray:
        """Ends of the capsules in their links' frames, (C, 4, 2), homogeneous."""
        ends = np.array([(c.start, c.end) for c in self.capsules], float).reshape(-1, 2, 3)
        return np.concatenate([ends, np.ones((len(ends), 2, 1))], axis=2).transpose(0, 2, 1)

    @cached_property
    def _fixed(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Frames of the joints at zero in their parents' frames, and the cross product with each axis, once and twice, (n, 4, 4) each."""
        fixed = np.array([_pose(joint.pos, joint.quat) for joint in self.joints])
        screw = np.zeros((len(self.joints), 4, 4))
        for k, (x, y, z) in enumerate(self._axes):
            screw[k, :3, :3] = [[0, -z, y], [z, 0, -x], [-y, x, 0]]
        return fixed, screw, screw @ screw


def load_arm(name: str | Path) -> ArmModel:
    """The arm of a name among `hardware/arms`, or of a JSON file. Raises RobotError."""
    path = Path(name) if str(name).endswith(".json") else ARMS / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in ARMS.glob("*.json")))
        raise RobotError(f"no arm {str(name)!r}; known: {known}, or the path of a JSON file of that form")
    try:
        return _arm(json.loads(path.read_text()))
    except (ValueError, KeyError, TypeError) as error:
        raise RobotError(f"arm file {path}: {type(error).__name__}: {error}") from error


def _arm(table: Any) -> ArmModel:
    limits = ("lower", "upper", "velocity", "acceleration", "jerk", "effort")
    joints = tuple(
        Joint(str(row["name"]), _triple(row["pos"]), _quat(row["quat"]), _triple(row["axis"]), **{key: float(row[key]) for key in limits})
        for row in table["joints"]
    )
    capsules = tuple(Capsule(int(c["link"]), _triple(c["start"]), _triple(c["end"]), float(c["radius"])) for c in table["capsules"])
    return ArmModel(
        name=str(table["name"]),
        source=str(table["source"]),
        joints=joints,
        tool_pos=_triple(table["tool_pos"]),
        tool_quat=_quat(table["tool_quat"]),
        home=tuple(float(q) for q in table["home"]),
        capsules=capsules,
        apart=tuple((int(a), int(b)) for a, b in table["apart"]),
        gripper=int(table.get("gripper", 1)),
        robot=str(table.get("robot", "")),
    )


def _triple(values: Any) -> tuple[float, float, float]:
    x, y, z = map(float, values)
    return x, y, z


def _quat(values: Any) -> tuple[float, float, float, float]:
    w, x, y, z = map(float, values)
    return w, x, y, z


def _distance(a0: np.ndarray, a1: np.ndarray, b0: np.ndarray, b1: np.ndarray) -> np.ndarray:
    """Between segments, (..., P) [m]; ends (..., P, 3). Ericson, Real-Time Collision Detection, 5.1.9."""
    u, v, w = a1 - a0, b1 - b0, a0 - b0
    uu, vv, uv, uw, vw = (_dot(*pair) for pair in ((u, u), (v, v), (u, v), (u, w), (v, w)))
    tiny = 1e-12
    slant = uu * vv - uv * uv
    s = np.where(slant > tiny, np.clip((uv * vw - vv * uw) / np.maximum(slant, tiny), 0, 1), 0.0)
    t = np.clip((uv * s + vw) / np.maximum(vv, tiny), 0, 1)
    s = np.clip((uv * t - uw) / np.maximum(uu, tiny), 0, 1)
    t = np.clip((uv * s + vw) / np.maximum(vv, tiny), 0, 1)  # once more, since s may have been clipped
    return np.sqrt(((w + s[..., None] * u - t[..., None] * v) ** 2).sum(axis=-1))


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.einsum("...i,...i->...", a, b)


def _pose(pos: tuple[float, ...], quat: tuple[float, ...]) -> np.ndarray:
    w, x, y, z = np.array(quat) / np.linalg.norm(quat)
    pose = np.eye(4)
    pose[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    pose[:3, 3] = pos
    return pose
