"""Things beside the object: toys or household objects that lie around it, and a post that stands before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import mujoco
import numpy as np

from assets.graspable import CONTACT, VISUAL, Graspable
from assets.objects.household import MASSES, Household
from assets.toys import Toy, sample_toy
from sim.camera import SIDE
from sim.table import FRICTION, HALF, MIDDLE
from sim.variation.triple import Triple, triple

MOST = 8
"""Distractors at the most."""
POOL = 64
"""Toys that distractors are drawn from: what it takes to make one and lay it down is spent once in a process."""
_POOL_SEED = 2_000_000
"""Toys of this seed are neither trained nor tested on."""
_BASE = (0.03, 0.006)
"""Radius and half the height of what a post stands on [m]."""
_REST = 400
"""Longest settling of toys [time steps of 4 ms]."""


Quaternion = tuple[float, float, float, float]


@dataclass(frozen=True)
class Distractor:
    """Another thing on the table."""

    thing: Graspable
    """Hashable: how it comes to rest is found once in a process."""
    quat: Quaternion
    """How it is turned before it comes to rest."""
    bearing: float
    """Where it lies, seen from the object: the angle from the robot's x axis [rad]."""
    gap: float
    """Between what the two cover of the table, as circles [m]."""

    def add_to(self, spec: mujoco.MjSpec, name: str, far: float) -> None:
        """Adds the thing with a free joint of that name, in the air, this far away from the post's place [m]."""
        spec.attach(self.thing.spec(), frame=spec.worldbody.add_frame(pos=np.add(_FAR, [far, 0, 0])), prefix=f"{name}/")
        spec.joint(f"{name}/object").name, spec.body(f"{name}/object").name = name, name
        spec.joint(name).damping[0] = 1e-4


@dataclass(frozen=True)
class Post:
    """A slender thing on a foot of its own that stands between the side camera and the object."""

    share: float
    """Of the object's width that it hides, beginning at one rim."""
    side: int
    """Which rim: 1 or -1."""
    width: float
    """[m]"""
    away: float
    """Distance from the object [m]: the hand that comes down on the object is narrower."""
    height: float
    """[m]"""
    colour: Triple

    def add_to(self, spec: mujoco.MjSpec, name: str) -> None:
        """Adds the post with a free joint of that name, in the air, far away from everything."""
        body = spec.worldbody.add_body(name=name, pos=_FAR)
        body.add_freejoint().name = name
        cylinder = mujoco.mjtGeom.mjGEOM_CYLINDER
        radius, half = _BASE
        parts = (([radius, half, 0], half, 2.0), ([self.width / 2, self.height / 2, 0], self.height / 2, 0.05))
        for size, above, mass in parts:
            body.add_geom(type=cylinder, size=size, pos=[0, 0, above], mass=mass, group=CONTACT, friction=FRICTION)
            body.add_geom(
                type=cylinder, size=size, pos=[0, 0, above], mass=0, group=VISUAL, contype=0, conaffinity=0, rgba=[*self.colour, 1]
            )

    def stands(self, corners: np.ndarray, eye: np.ndarray) -> np.ndarray:
        """Where it stands so as to hide its share of an object with these corners (n, 3) from a camera at `eye` (3,) [m], (2,) [m]."""
        middle = (corners[:, :2].min(axis=0) + corners[:, :2].max(axis=0)) / 2
        towards = eye[:2] - middle
        far = float(np.linalg.norm(towards))
        towards /= far
        across = np.array([-towards[1], towards[0]])
        half = np.abs((corners[:, :2] - middle) @ across).max()
        nearer = (far - self.away) / far
        shadow = self.width / 2 / nearer  # half of what it hides, at the object
        return middle + self.away * towards + nearer * self.side * (half * (1 - 2 * self.share) + shadow) * across


_FAR = [60.0, 0.0, -20.0]


def sample_distractors(strength: float, rng: np.random.Generator) -> tuple[Distractor, ...]:
    """1 to 8 toys; at 1 they come to within 2 cm of the object. A greater strength adds toys and brings the same ones nearer."""
    pool, bearings, spare = rng.permutation(POOL), rng.uniform(-np.pi, np.pi, MOST), rng.uniform(0, 0.03, MOST)
    return tuple(
        Distractor(*_of_pool(int(pool[k])), float(bearings[k]), 0.10 - 0.08 * strength + float(spare[k])) for k in range(_number(strength))
    )


def sample_household(strength: float, rng: np.random.Generator) -> tuple[Distractor, ...]:
    """1 to 8 household objects, standing, no nearer and no further than toys are; from the seventh on there are two of a kind."""
    names = [str(name) for name in rng.permutation(list(MASSES))]
    turns, bearings, spare = rng.uniform(-np.pi, np.pi, MOST), rng.uniform(-np.pi, np.pi, MOST), rng.uniform(0, 0.03, MOST)
    return tuple(
        Distractor(
            Household(names[k % len(names)]),
            (float(np.cos(turns[k] / 2)), 0.0, 0.0, float(np.sin(turns[k] / 2))),
            float(bearings[k]),
            0.10 - 0.08 * strength + float(spare[k]),
        )
        for k in range(_number(strength))
    )


def _number(strength: float) -> int:
    return 1 + int((MOST - 1) * strength + 1e-9)


@lru_cache(maxsize=POOL)
def _of_pool(k: int) -> tuple[Toy, Quaternion]:
    rng = np.random.default_rng([_POOL_SEED, k])
    quat = rng.normal(size=4)
    w, x, y, z = (float(v) for v in quat / np.linalg.norm(quat))
    return sample_toy(rng), (w, x, y, z)


def sample_post(strength: float, rng: np.random.Generator) -> Post:
    """At 1: a post of 4 cm that hides 50 to 60 % of the object's width from the side camera."""
    share, side, colour = rng.uniform(0.5, 0.6), int(rng.choice([-1, 1])), rng.uniform(0.15, 0.9, 3)
    return Post(float(strength * share), side, 0.012 + 0.028 * strength, 0.18, 0.2, triple(colour))


def arrange(model: mujoco.MjModel, data: mujoco.MjData, distractors: Sequence[Distractor], post: Post | None) -> None:
    """Sets the clutter around the object, which is at rest, and changes nothing else of the state.

    Toys that would overlap, or not lie on the table, go on round the object and then away from it.
    """
    corners = _corners(model, data, "object")
    middle = data.body("object").xpos[:2]
    taken = [(middle, _reach(corners, middle))]
    if post is not None:
        place = post.stands(corners, _eye(model))
        taken.append((place, _BASE[0]))
        _set(model, data, post_name(), [*place, 0.0, 1, 0, 0, 0])
    for k, distractor in enumerate(distractors):
        rest = at_rest(distractor.thing, distractor.quat)
        xy = _free(distractor, rest[7], taken)
        taken.append((xy, rest[7]))
        _set(model, data, distractor_name(k), [*xy, *rest[2:7]])
    mujoco.mj_kinematics(model, data)


def _eye(model: mujoco.MjModel) -> np.ndarray:
    """Where the side camera stands, (3,) [m]: where it would, in a scene without one."""
    k = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, SIDE.name)
    return np.array(SIDE.pos) if k < 0 else model.cam_pos[k]


def distractor_name(k: int) -> str:
    """Of the k-th distractor's body and joint."""
    return f"distractor{k}"


def post_name() -> str:
    """Of the post's body and joint."""
    return "post"


@lru_cache(maxsize=2 * POOL)
def at_rest(thing: Graspable, quat: Quaternion) -> tuple[float, ...]:
    """Pose of a thing dropped with this rotation, once at rest on a table, and how far it reaches along the table, (8,) [m]."""
    spec = mujoco.MjSpec()
    spec.option.timestep, spec.option.cone = 0.004, mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=[9, 9, 1], friction=FRICTION)
    name = distractor_name(0)
    Distractor(thing, quat, 0.0, 0.0).add_to(spec, name, far=0.0)
    model = spec.compile()
    data = mujoco.MjData(model)
    _set(model, data, name, [0, 0, 0, *quat])
    mujoco.mj_kinematics(model, data)
    data.qpos[2] = 0.001 - _corners(model, data, name)[:, 2].min()
    quiet = 0
    for _ in range(_REST // 20):
        mujoco.mj_step(model, data, nstep=20)
        quiet = quiet + 1 if np.abs(data.qvel).max() < 0.2 else 0
        if quiet == 3:  # what tips over is slow at first
            break
    mujoco.mj_kinematics(model, data)
    return *(float(v) for v in data.qpos), _reach(_corners(model, data, name), data.qpos[:2])


def _free(distractor: Distractor, reach: float, taken: list[tuple[np.ndarray, float]]) -> np.ndarray:
    """The first place for a toy that covers a circle of this radius, (2,) [m]."""
    middle, own = taken[0]
    for ring in range(60):
        away = own + reach + distractor.gap + 0.01 * ring
        for turn in range(24):
            angle = distractor.bearing + 2 * np.pi * turn / 24
            xy = middle + away * np.array([np.cos(angle), np.sin(angle)])
            on_table = (np.abs(xy - MIDDLE) <= np.array(HALF) - reach).all()
            if on_table and all(np.linalg.norm(xy - there) > reach + wide + 0.005 for there, wide in taken[1:]):
                return xy
    return middle + np.array([0, 5.0])  # the table is full: it lies on the floor, out of sight


def _set(model: mujoco.MjModel, data: mujoco.MjData, joint: str, pose: Sequence[float] | np.ndarray) -> None:
    found = model.joint(joint)
    data.qpos[found.qposadr[0] :][:7] = pose
    data.qvel[found.dofadr[0] :][:6] = 0


def _corners(model: mujoco.MjModel, data: mujoco.MjData, body: str) -> np.ndarray:
    """Of the boxes around the geoms that are touched, in the world's frame, (8 n, 3) [m]."""
    geoms = np.flatnonzero((model.geom_bodyid == model.body(body).id) & (model.geom_group == CONTACT))
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    local = model.geom_aabb[geoms, None, :3] + signs * model.geom_aabb[geoms, None, 3:]  # (n, 8, 3)
    turned = local @ data.geom_xmat[geoms].reshape(-1, 3, 3).transpose(0, 2, 1)
    return (turned + data.geom_xpos[geoms, None]).reshape(-1, 3)


def _reach(corners: np.ndarray, middle: np.ndarray) -> float:
    return float(np.linalg.norm(corners[:, :2] - middle, axis=1).max())
