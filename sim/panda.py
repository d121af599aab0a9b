"""The Franka Panda with its own jaw, from the model library in robosuite's wheel.

The one file that knows how robosuite writes its robots: torque motors become position servos, heavy visual meshes are
simplified once, names and groups become ours. robosuite itself is not imported (that takes seconds).
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import mujoco
import numpy as np

from assets.graspable import CONTACT, VISUAL
from sim.errors import SceneError

ARM_JOINTS = tuple(f"joint{i}" for i in range(1, 8))
FINGERS = ("leftfinger", "rightfinger")
GRIP = "grip"
"""The site between the finger pads: z along the approach, y along the closing."""

_KP = (4500, 4500, 3500, 3500, 2000, 2000, 2000)  # [N m/rad], the stiffness of Franka's joint impedance controller
_KD = (450, 450, 350, 350, 200, 200, 200)  # [N m s/rad]
_TORQUE = (87, 87, 87, 87, 12, 12, 12)  # [N m], data sheet
_ARM, _JAW = (0.04, 120), (0.16, 640)  # share of the faces of a visual mesh that is kept, and the least: cameras see the jaw from near


@dataclass(frozen=True)
class Arm:
    """What the rest of `sim` needs to know of a robot."""

    name: str
    joints: tuple[str, ...]
    home: tuple[float, ...]
    """Joint positions above the workspace [rad]."""
    jaw: float
    """Widest opening [m]."""


PANDA = Arm("panda", ARM_JOINTS, (0.0, -0.3, 0.0, -2.3, 0.0, 2.0, np.pi / 4), 0.08)


def panda_spec() -> mujoco.MjSpec:
    """A new MjSpec of the arm and its jaw, base at the origin; positions are commanded: seven joints, then half the jaw's opening [m]."""
    assets = _assets()
    arm = mujoco.MjSpec.from_file(str(assets / "robots/panda/robot.xml"))
    jaw = mujoco.MjSpec.from_file(str(assets / "grippers/panda_gripper.xml"))
    for spec in (arm, jaw):
        for item in [*spec.cameras, *spec.sensors, *spec.actuators, *spec.lights]:
            spec.delete(item)
        for site in list(spec.sites):
            spec.delete(site)
    _simplify(arm, assets / "robots/panda", _ARM)
    _simplify(jaw, assets / "grippers", _JAW)
    arm.attach(jaw, frame=arm.body("right_hand").add_frame(), prefix="")
    for body in arm.bodies:
        body.gravcomp = 1.0
    for name in ARM_JOINTS:
        joint = arm.joint(name)
        joint.armature, joint.damping[0] = 0.1, 1.0
    for name, kp, kd, torque in zip(ARM_JOINTS, _KP, _KD, _TORQUE, strict=True):
        servo = arm.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        servo.set_to_position(kp=kp, kv=kd)
        servo.forcerange, servo.forcelimited = [-torque, torque], True
        servo.ctrlrange, servo.ctrllimited = arm.joint(name).range, True
    _jaw(arm)
    return arm


def _jaw(spec: mujoco.MjSpec) -> None:
    """One servo closes both fingers, which a constraint keeps symmetric, as the real jaw's gear does."""
    for name in ("finger_joint1", "finger_joint2"):
        joint = spec.joint(name)
        joint.armature, joint.damping[0], joint.frictionloss = 0.1, 10.0, 0.0
    mirror = spec.add_equality(name="fingers", type=mujoco.mjtEq.mjEQ_JOINT, name1="finger_joint1", name2="finger_joint2")
    mirror.objtype = mujoco.mjtObj.mjOBJ_JOINT
    mirror.data[:5] = [0, -1, 0, 0, 0]
    mirror.solref, mirror.solimp = [0.005, 1], [0.95, 0.99, 0.001, 0.5, 2]
    tendon = spec.add_tendon(name="jaw")
    tendon.wrap_joint("finger_joint1", 0.5)
    tendon.wrap_joint("finger_joint2", -0.5)
    servo = spec.add_actuator(name="jaw", target="jaw", trntype=mujoco.mjtTrn.mjTRN_TENDON)
    servo.set_to_position(kp=600, kv=50)
    servo.forcerange, servo.forcelimited = [-100, 100], True
    servo.ctrlrange, servo.ctrllimited = [0, PANDA.jaw / 2], True
    for side in (1, 2):
        pad = spec.geom(f"finger{side}_pad_collision")
        pad.size, pad.pos[2] = [0.0085, 0.004, 0.0085], -0.0115
        for geom in (pad, spec.geom(f"finger{side}_collision")):
            geom.friction, geom.condim, geom.solref, geom.solimp = [1.5, 0.05, 0.001], 4, [0.01, 1], [0.95, 0.99, 0.001, 0.5, 2]
            geom.contype = geom.conaffinity = 1
    quarter = [np.sqrt(0.5), 0, 0, np.sqrt(0.5)]
    spec.body("right_gripper").add_site(name=GRIP, pos=[0, 0, 0.097], quat=quarter, group=4)


def _assets() -> Path:
    """robosuite's folder of models, found without importing it."""
    found = importlib.util.find_spec("robosuite")
    if found is None or found.origin is None:
        raise SceneError("robosuite's model library is not installed; `make setup` installs it")
    return Path(found.origin).parent / "models/assets"


def _simplify(spec: mujoco.MjSpec, folder: Path, kept: tuple[float, int]) -> None:
    """Replaces the visual meshes of each body by one light mesh a colour; contact meshes stay."""
    files = {mesh.name: folder / mesh.file for mesh in spec.meshes}
    colours = {material.name: tuple(material.rgba) for material in spec.materials}
    looks: dict[tuple[str, tuple[float, ...], tuple[float, ...]], list[Path]] = {}
    for geom in list(spec.geoms):
        if geom.type != mujoco.mjtGeom.mjGEOM_MESH or geom.contype or geom.conaffinity:
            geom.group = CONTACT
            geom.rgba = [0.5, 0.5, 0.5, 1]
            continue
        colour = colours.get(geom.material, tuple(geom.rgba))
        key = geom.parent.name, tuple(float(c) for c in np.round(colour, 3)), (*geom.pos, *geom.quat)
        looks.setdefault(key, []).append(files[geom.meshname])
        spec.delete(geom)
    used = {geom.meshname for geom in spec.geoms}
    for mesh in list(spec.meshes):
        if mesh.name not in used:
            spec.delete(mesh)
    for material in list(spec.materials):
        spec.delete(material)
    for (body, colour, pose), pieces in looks.items():
        vertices, faces = _light_mesh(tuple(pieces), *kept)
        name = f"{body}_look{len(spec.meshes)}"
        spec.add_mesh(name=name, uservert=vertices.ravel(), userface=faces.ravel())
        look = spec.body(body).add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname=name, pos=pose[:3], quat=pose[3:])
        look.rgba, look.group, look.contype, look.conaffinity, look.mass = list(colour), VISUAL, 0, 0, 0


@lru_cache(maxsize=64)
def _light_mesh(files: tuple[Path, ...], share: float, least: int) -> tuple[np.ndarray, np.ndarray]:
    """One mesh of the given files with a share of their faces, and at least so many; kept on disk, named by content."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files) + f"4 {share} {least}".encode()).hexdigest()[:24]
    kept = cache_folder() / "robots" / f"{digest}.npz"
    if kept.exists():
        with np.load(kept, allow_pickle=False) as arrays:
            return arrays["vertices"], arrays["faces"]
    import fast_simplification  # these two take seconds to import, and are needed once
    import trimesh

    whole = trimesh.util.concatenate([trimesh.load_mesh(path, process=False) for path in files])
    if not isinstance(whole, trimesh.Trimesh):
        raise SceneError(f"{files[0].name} is no mesh")
    whole.merge_vertices(merge_norm=True, merge_tex=True)
    keep = max(least, int(share * len(whole.faces)))
    vertices, faces = np.asarray(whole.vertices, np.float64), np.asarray(whole.faces, np.int32)
    if len(faces) > keep:
        vertices, faces, *_ = fast_simplification.simplify(vertices, faces, target_reduction=1 - keep / len(faces))
    kept.parent.mkdir(parents=True, exist_ok=True)
    part = kept.with_suffix(f".{os.getpid()}.tmp.npz")
    np.savez(part, vertices=vertices, faces=faces)
    part.replace(kept)
    return vertices, faces


def cache_folder() -> Path:
    """Where what is slow to make is kept between runs: `CEZANNE_CACHE`, else the user's cache."""
    base = os.environ.get("CEZANNE_CACHE") or os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "cezanne")
    return Path(base)
