"""Embodiment: the same demonstration by another arm, whose grip follows the Panda's path (the idea of OXE-AugE, arXiv 2512.13100)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import cv2
import mujoco
import numpy as np

from augment.augmentation import recorded
from augment.errors import AugmentError
from augment.world import World
from episodes import DatasetInfo, Episode
from sim.camera import as_camera
from sim.ik import InverseKinematics
from sim.puppet import Puppet
from sim.robots import PANDA, ROBOTS, Arm
from sim.simrobot import SimRobot

MODES = ("composite", "redraw")
ERROR = 0.005
"""An episode is left out where the grip is further than this from the Panda's [m]."""
TURN = np.radians(3)
"""Or turned by more than this [rad]."""
_STANDS = {"iiwa_jaw": (-0.1, 0.0, 0.0)}
ARMS = {name: arm for name, arm in ROBOTS.items() if len(arm.hand.values) == 1 and arm is not PANDA}
"""That can take its place: with a jaw."""
_STILL = 0.002
"""An object that moved less than this since the first step lies still [m]."""


@dataclass
class EmbodimentConfig:
    """Another arm in the Panda's place; for simulated episodes. Joints and actions become its own."""

    arm: str = "ur5e_robotiq"
    """`ur5e_robotiq`, `kinova3_robotiq`, `panda_robotiq` (the Robotiq 2F-85), or `iiwa_jaw` (the Panda's jaw)."""
    mode: str = "composite"
    """`composite`: the Panda's pixels are erased and the arm is pasted in, as recorded pictures need it; `redraw`: all is drawn anew."""
    base: list[float] = field(default_factory=list)
    """Where the arm stands, in the Panda's base frame, (3,) [m]; empty: at the Panda's place, the iiwa 0.1 m behind it to reach all."""
    speed: float = 1.0
    """An episode is left out where a joint would have to move faster than this, as a share of its data sheet's greatest speed."""

    def __post_init__(self) -> None:
        if self.arm not in ARMS:
            raise AugmentError(f"embodiment.arm={self.arm!r}; known: {', '.join(ARMS)}")
        if self.mode not in MODES:
            raise AugmentError(f"embodiment.mode={self.mode!r}; known: {', '.join(MODES)}")
        if len(self.base) not in (0, 3) or not all(abs(x) <= 1 for x in self.base):
            raise AugmentError(f"embodiment.base={list(self.base)}; three numbers of at most 1 m, or none")
        if not 0 < self.speed <= 100:
            raise AugmentError(f"embodiment.speed={self.speed}; a share of the data sheet's speed, above 0 and at most 100")

    @property
    def stand(self) -> tuple[float, float, float]:
        """Where the arm stands (3,) [m]."""
        x, y, z = self.base or _STANDS.get(self.arm, (0.0, 0.0, 0.0))
        return float(x), float(y), float(z)


@dataclass(frozen=True)
class Motion:
    """What another arm does in a demonstration."""

    qpos: np.ndarray
    """(T, n) [rad]."""
    actions: np.ndarray
    sent: np.ndarray
    """Joint targets whose grip pose is that of the Panda's, (T, n) [rad]."""
    error: float
    """Greatest distance of its grip from the Panda's, targets included [m]."""
    turn: float
    """Greatest angle between them [rad]."""
    speed: float
    """Greatest joint speed as a share of the data sheet's."""


class Embodiment:
    """The augmentation. The grip site of the arm goes where the Panda's went, at every step and for every target.

    The state stays the Panda's, since the object's motion is its: the episode says so (`provenance["embodiment"]`), and nobody can replay
    the arm's actions from it. A camera of the hand is redrawn in either mode, from the same place relative to the grip: behind a hand
    that fills the same pixels all the time there is nothing to fill in from.
    """

    name = "embodiment"

    def __init__(self, config: EmbodimentConfig, world: World) -> None:
        self._config, self._world = config, world
        self.arm: Arm = ARMS[config.arm]
        self._width = PANDA.hand.room.opening / self.arm.hand.room.opening
        self._puppet: tuple[SimRobot, Puppet] | None = None

    def contract(self, info: DatasetInfo) -> DatasetInfo:
        """The same with the arm's name and joints."""
        if info.robot != PANDA.name or info.joints != PANDA.joints:
            raise AugmentError(f"embodiment: puts another arm in the {PANDA.name}'s place; these are episodes of {info.robot!r}")
        return replace(info, robot=self.arm.name, joints=self.arm.joints)

    def __call__(self, episode: Episode, rng: np.random.Generator) -> Episode:
        """The episode by the other arm; nothing is random. Raises AugmentError where the arm does not reach, or cannot follow as fast."""
        del rng
        if not self._world.simulated(episode):
            raise AugmentError(
                "embodiment: works on simulated episodes whose object is known; this one cannot be drawn again from its state"
            )
        robot = self._world.robot(episode)
        for name, info in self._world.cameras(episode).items():
            robot.aim(as_camera(name, info))
        puppet = self._open(robot)
        motion = follow(episode, robot.model, puppet)
        check(motion, puppet.arm, _label(episode), self._config.speed)
        opening = np.clip(episode.gripper * self._width, 0, 1)  # by width: the pads touch what the Panda's did
        images, masks = self._pictures(episode, robot, puppet, motion.qpos, opening)
        changed = replace(
            episode,
            images=images,
            masks=masks,
            qpos=motion.qpos.astype(np.float32),
            gripper=opening.astype(np.float32),
            actions=self._targets(motion.actions, episode.actions),
            sent=self._targets(motion.sent, episode.sent),
            provenance={**episode.provenance, "embodiment": self.arm.name},
        )
        return recorded(
            changed,
            self.name,
            arm=self._config.arm,
            mode=self._config.mode,
            base=list(self._config.stand),
            error_mm=round(1e3 * motion.error, 3),
            turn_deg=round(float(np.degrees(motion.turn)), 3),
            speed=round(motion.speed, 3),
        )

    def close(self) -> None:
        """Gives back what drawing took; idempotent."""
        if self._puppet is not None:
            self._puppet[1].close()
        self._puppet = None

    def _open(self, robot: SimRobot) -> Puppet:
        """The scene with the arm, kept while the world keeps its robot."""
        if self._puppet is None or self._puppet[0] is not robot:
            self.close()
            self._puppet = robot, Puppet(robot, self.arm, self._config.stand)
        return self._puppet[1]

    def _targets(self, joints: np.ndarray, panda: np.ndarray) -> np.ndarray:
        """Joint targets and the gripper's, by width, (T, n + 1)."""
        opening = np.clip(panda[:, -1:] * self._width, 0, 1)
        return np.concatenate([joints, opening], axis=1).astype(np.float32)

    def _pictures(
        self, episode: Episode, robot: SimRobot, puppet: Puppet, qpos: np.ndarray, opening: np.ndarray
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Pictures and masks of the target by camera."""
        names = list(episode.images)
        world = [name for name in names if self._world.info.cameras[name].body == "world" and self._config.mode == "composite"]
        drawn: dict[str, list] = {name: [] for name in names}
        panda: dict[str, list[np.ndarray]] = {name: [] for name in world}
        places = []
        for t, state in enumerate(episode.state[:-1]):
            robot.set_state(state)
            puppet.pose(qpos[t], opening[t])
            if puppet.lowest < -ERROR:
                raise AugmentError(f"{_label(episode)}: the {self.arm.name} would reach {-1e3 * puppet.lowest:.0f} mm into the table")
            places.append(robot.object_pose[0])
            for name in names:
                drawn[name].append(puppet.draw(name))
            for name in world:
                panda[name].append(robot.robot_mask(name))
        still = np.linalg.norm(np.array(places) - places[0], axis=1) < _STILL
        images, masks = {}, {}
        for name in names:
            images[name], masks[name], arm = (np.stack(of) for of in zip(*drawn[name], strict=True))
            if name in world:
                picture, mask = erase(episode.images[name], episode.masks[name], np.stack(panda[name]), still)
                images[name] = np.where(arm[..., None], images[name], picture)
                masks[name] = mask & ~arm
        return images, masks


def open_embodiment(config: EmbodimentConfig, world: World) -> Embodiment:
    """Raises AugmentError for data of another robot."""
    embodiment = Embodiment(config, world)
    embodiment.contract(world.info)
    return embodiment


def follow(episode: Episode, panda: mujoco.MjModel, puppet: Puppet) -> Motion:
    """Joint positions and targets of the arm that put its grip where the Panda's is, step by step, each from the one before.

    panda: the model that the episode's joints are of.
    """
    ours = InverseKinematics(panda, PANDA.joints, PANDA.home)
    solver = InverseKinematics(puppet.model, puppet.arm.joints, puppet.arm.home)
    n = len(PANDA.joints)
    error = turn = 0.0

    def reach(joints: np.ndarray, start: np.ndarray, iterations: int) -> np.ndarray:
        nonlocal error, turn
        pos, quat = ours.forward(joints.astype(float))
        q, _ = solver.reach(pos, quat, start, iterations=iterations)
        there, way = solver.forward(q)
        angle = np.empty(3)
        mujoco.mju_subQuat(angle, quat, way)
        error, turn = max(error, float(np.linalg.norm(pos - there))), max(turn, float(np.linalg.norm(angle)))
        return q

    q, rows = np.array(puppet.arm.home), []
    for t in range(len(episode)):
        q = reach(episode.qpos[t], q, 60 if t else 300)
        rows.append((q, reach(episode.actions[t, :n], q, 60), reach(episode.sent[t, :n], q, 60)))
    qpos, actions, sent = (np.array(column) for column in zip(*rows, strict=True))
    speed = np.abs(np.diff(qpos, axis=0)) / episode.dt / np.array(puppet.arm.speed)
    return Motion(qpos, actions, sent, error, turn, float(speed.max(initial=0.0)))


def check(motion: Motion, arm: Arm, label: str, speed: float = 1.0) -> None:
    """Raises AugmentError where the arm does not reach, or would have to move faster than `speed`, a share of its data sheet's."""
    if motion.error > ERROR or motion.turn > TURN:
        off = f"{1e3 * motion.error:.0f} mm and {np.degrees(motion.turn):.1f} deg off"
        allowed = f"{1e3 * ERROR:.0f} mm and {np.degrees(TURN):.0f} deg"
        raise AugmentError(f"{label}: the {arm.name} does not reach: {off}; at most {allowed} are let pass")
    if motion.speed > speed:
        needed = f"{motion.speed:.1f} times the greatest speed of a joint"
        raise AugmentError(f"{label}: the {arm.name} would need {needed}; embodiment.speed={speed:g} is let pass")


def erase(pictures: np.ndarray, target: np.ndarray, robot: np.ndarray, still: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pictures and masks of the target without the robot, from a camera that stands still.

    A pixel of the robot gets the median of the steps at which it showed neither robot nor target; while the target lies still, the
    median of those steps without the robot, so that what it hid of the target comes back. What no step shows is inpainted (Telea 2004).

    Args:
        pictures: (T, H, W, 3) uint8.
        target, robot: their pixels, (T, H, W) bool.
        still: steps at which the target lies where it lay at first, (T,) bool.
    """
    pictures, target = pictures.copy(), target.copy()
    plate, known = _median(pictures, ~robot & ~target)
    rest, seen = _median(pictures[still], ~robot[still])
    showed = (~robot[still]).sum(0)
    covered = (target[still] & ~robot[still]).sum(0) * 2 > showed  # where the target is, as it lies still
    for t in range(len(pictures)):
        hidden = robot[t]
        at_rest = hidden & seen if still[t] else np.zeros_like(hidden)
        pictures[t][at_rest] = rest[at_rest]
        target[t] |= at_rest & covered
        bare = hidden & known & ~at_rest
        pictures[t][bare] = plate[bare]
        holes = hidden & ~at_rest & ~bare
        if holes.any():
            pictures[t] = np.where(holes[..., None], cv2.inpaint(pictures[t], holes.astype(np.uint8), 3, cv2.INPAINT_TELEA), pictures[t])
    return pictures, target


def _median(pictures: np.ndarray, shown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median picture (H, W, 3) of (T, H, W, 3) uint8 over the steps that a pixel is `shown` at, (T, H, W); and where there is one."""
    count = shown.sum(0)  # (H, W)
    ordered = np.sort(np.where(shown[..., None], pictures, 255).astype(np.uint8), axis=0)  # what is not shown comes last, or is white too
    middle = np.maximum(count - 1, 0) // 2
    return np.take_along_axis(ordered, middle[None, ..., None], axis=0)[0], count > 0


def _label(episode: Episode) -> str:
    """Which episode, in words."""
    known = [f"{key} {episode.provenance[key]}" for key in ("object", "attempt") if key in episode.provenance]
    return " ".join(["episode", *known])
