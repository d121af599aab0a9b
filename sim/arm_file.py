"""Arm files of `hardware/arms` from simulated arms: kinematics as they are, the shape as capsules that contain the visual meshes.

`python -m sim.arm_file` writes those of the arms below again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from scipy.optimize import minimize

from sim.robots import GRIP, PANDA, ROBOTS, Arm

_FILES = Path(__file__).parents[1] / "hardware" / "arms"
_SHARE = 0.8
"""Another capsule on a link is worth it where the volume falls below this share."""


@dataclass(frozen=True)
class Sheet:
    """What the data sheet says and the model does not; a tuple has one value a joint."""

    name: str
    source: str
    velocity: tuple[float, ...]
    """[rad/s]"""
    acceleration: tuple[float, ...]
    """[rad/s^2]"""
    jerk: tuple[float, ...]
    """[rad/s^3]"""
    effort: tuple[float, ...]
    """[N m]"""


PANDA_SHEET = Sheet(
    "panda",
    "kinematics and shape: robosuite's Panda with its jaw; limits: Franka Control Interface documentation, Panda",
    (2.175,) * 4 + (2.61,) * 3,
    (15.0, 7.5, 10.0, 12.5, 15.0, 20.0, 20.0),
    (7500.0, 3750.0, 5000.0, 6250.0, 7500.0, 10000.0, 10000.0),
    (87.0,) * 4 + (12.0,) * 3,
)
UR5E_SHEET = Sheet(
    "ur5e",
    "kinematics and shape: robosuite's UR5e with a Robotiq 2F-85; velocity, effort: UR5e data sheet; acceleration, jerk: ours",
    (3.14,) * 6,
    (14.0,) * 6,
    (1400.0,) * 6,
    (150.0,) * 3 + (28.0,) * 3,
)


def arm_table(arm: Arm, sheet: Sheet) -> dict[str, Any]:
    """The content of an arm's file."""
    model = arm.spec().compile()
    data = mujoco.MjData(model)
    links = _links(model, [model.joint(name).id for name in arm.joints])
    joints = []
    mujoco.mj_kinematics(model, data)
    before = np.eye(4)
    frames = [before]
    for i, name in enumerate(arm.joints):
        joint = model.joint(name)
        now = np.eye(4)
        now[:3, :3], now[:3, 3] = data.xmat[joint.bodyid[0]].reshape(3, 3), data.xanchor[joint.id]
        fixed = np.linalg.inv(before) @ now
        quat = np.empty(4)
        mujoco.mju_mat2Quat(quat, fixed[:3, :3].ravel())
        lower, upper = joint.range
        row = {"name": name, "pos": fixed[:3, 3], "quat": quat, "axis": joint.axis, "lower": lower, "upper": upper}
        limits = {key: getattr(sheet, key)[i] for key in ("velocity", "acceleration", "jerk", "effort")}
        joints.append({key: _plain(value) for key, value in {**row, **limits}.items()})
        before = now
        frames.append(now)
    tool = np.eye(4)
    tool[:3, :3], tool[:3, 3] = data.site(GRIP).xmat.reshape(3, 3), data.site(GRIP).xpos
    tool = np.linalg.inv(before) @ tool
    quat = np.empty(4)
    mujoco.mju_mat2Quat(quat, tool[:3, :3].ravel())
    capsules = [capsule for link, points in _points(model, data, arm, links, frames).items() for capsule in _wrap(link, points)]
    return {
        "name": sheet.name,
        "source": sheet.source,
        "joints": joints,
        "tool_pos": _plain(tool[:3, 3]),
        "tool_quat": _plain(quat),
        "home": _plain(np.array(arm.home)),
        "capsules": capsules,
        "apart": [[a, b] for a, b in combinations(range(len(arm.joints) + 1), 2) if b - a > 2 and not (a == 0 and b == 3)],
        "gripper": len(arm.hand.values),
        "robot": arm.name,
    }


def _links(model: mujoco.MjModel, joints: list[int]) -> np.ndarray:
    """For each body, the number of the joint of the arm that moves it, 0 for none."""
    own = {model.jnt_bodyid[joint]: i + 1 for i, joint in enumerate(joints)}
    links = np.zeros(model.nbody, int)
    for body in range(1, model.nbody):
        links[body] = own.get(body, links[model.body_parentid[body]])
    return links


def _points(
    model: mujoco.MjModel, data: mujoco.MjData, arm: Arm, links: np.ndarray, frames: list[np.ndarray]
) -> Mapping[tuple, np.ndarray]:
    """Vertices of every link in its own frame, (N, 3) [m]; of fingers at all openings."""
    clouds: dict[tuple, list[np.ndarray]] = {}
    moving = [model.jnt_bodyid[model.joint(name).id] for name in arm.hand.joints]
    for share in np.linspace(0, 1, 5):
        for name, q in zip(arm.hand.joints, arm.hand.positions(np.full(len(arm.hand.values), share)), strict=True):
            data.qpos[model.joint(name).qposadr[0]] = q
        mujoco.mj_kinematics(model, data)
        for geom in range(model.ngeom):
            body = model.geom_bodyid[geom]
            if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_MESH:
                mesh = model.geom_dataid[geom]
                first, count = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
                face, faces = model.mesh_faceadr[mesh], model.mesh_facenum[mesh]
                local = _surface(model.mesh_vert[first : first + count], model.mesh_face[face : face + faces])
            elif model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_BOX:
                local = np.array(np.meshgrid(*[[-s, s] for s in model.geom_size[geom]])).reshape(3, -1).T
            else:
                continue
            world = local @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom]
            link, frame = links[body], frames[links[body]]
            ancestors = {body}
            while body := model.body_parentid[body]:
                ancestors.add(body)
            key = int(link), "fingers" if ancestors & set(moving) else model.body(model.geom_bodyid[geom]).name
            clouds.setdefault(key, []).append((world - frame[:3, 3]) @ frame[:3, :3])
    return {key: np.unique(np.concatenate(parts).round(3), axis=0) for key, parts in clouds.items()}


def _surface(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Points on triangles, none further than about a centimetre from the next: a tube may have vertices at its ends alone."""
    corners = vertices[faces]  # (F, 3, 3)
    length = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)
    parts = [vertices]
    for steps in range(2, 51):
        chosen = corners[np.ceil(length / 0.01).clip(1, 50) == steps]
        if len(chosen):
            i, j = np.meshgrid(np.arange(steps + 1), np.arange(steps + 1))
            weights = np.stack([i, j, steps - i - j], axis=-1)[i + j <= steps] / steps  # (P, 3)
            parts.append(np.einsum("pk,fkc->fpc", weights, chosen).reshape(-1, 3))
    return np.concatenate(parts)


def _wrap(link: tuple, points: np.ndarray) -> list[dict[str, Any]]:
    """As few capsules as contain the points without much empty space."""
    axes = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)[2]
    best, volume = _cover([points], axes)
    for count in (2, 3, 4):
        splits = (_cover(_slabs(points, axis, count), axes) for axis in axes)
        found, less = min(splits, key=lambda pair: pair[1])
        if less < _SHARE * volume:
            best, volume = found, less
    return [{"link": link[0], "start": _plain(a), "end": _plain(b), "radius": _plain(r + 1e-3)} for a, b, r in best]


def _slabs(points: np.ndarray, axis: np.ndarray, count: int) -> list[np.ndarray]:
    along = points @ axis
    edges = np.linspace(along.min(), along.max(), count + 1)
    slabs = [points[(along >= low - 0.004) & (along <= high + 0.004)] for low, high in pairwise(edges)]
    return [slab for slab in slabs if len(slab)]


def _cover(parts: list[np.ndarray], axes: np.ndarray) -> tuple[list[tuple[np.ndarray, np.ndarray, float]], float]:
    capsules = [min((_capsule(part, axis) for axis in [*axes, *np.eye(3)]), key=_volume) for part in parts]
    return capsules, sum(map(_volume, capsules))


def _capsule(points: np.ndarray, axis: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """The smallest around points with its segment along an axis: ends and radius."""
    across = np.linalg.svd(axis[None])[2][1:]
    flat, along = points @ across.T, points @ axis
    middle = minimize(lambda c: np.linalg.norm(flat - c, axis=1).max(), flat.mean(axis=0), method="Nelder-Mead").x
    away = np.linalg.norm(flat - middle, axis=1)
    radius = max(float(away.max()), 1e-3)
    cap = np.sqrt(np.maximum(radius**2 - away**2, 0))
    low, high = float((along + cap).min()), float((along - cap).max())
    if low > high:
        low = high = (low + high) / 2
        radius = float(np.sqrt(away**2 + (along - low) ** 2).max())
    centre = middle @ across
    return centre + low * axis, centre + high * axis, radius


def _volume(capsule: tuple[np.ndarray, np.ndarray, float]) -> float:
    start, end, radius = capsule
    return float(np.pi * radius**2 * (np.linalg.norm(end - start) + 4 / 3 * radius))


def _plain(value: Any) -> Any:
    return value if isinstance(value, str) else np.round(np.asarray(value, float), 6).tolist()


def main() -> None:
    """Writes the files."""
    _FILES.mkdir(exist_ok=True)
    for arm, sheet in ((PANDA, PANDA_SHEET), (ROBOTS["ur5e_robotiq"], UR5E_SHEET)):
        table = arm_table(arm, sheet)
        (_FILES / f"{sheet.name}.json").write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
