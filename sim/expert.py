"""The scripted expert: tries its grasps in simulation, then demonstrates one, disturbed on the way, with clean answers.

Demonstrations must teach correction, not only the nominal path: the start pose varies, what is carried out wanders from what
the expert wants (as in DART, Laskey et al. 2017), and in some episodes the first close is made to miss, so that the
expert opens and tries again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import mujoco
import numpy as np

from episodes.episode import Episode
from hardware.api import Action
from sim.errors import PlacementError, SceneError
from sim.grasp import Grasp, propose_grasps
from sim.ik import InverseKinematics
from sim.path import HOLD, Path, Router
from sim.simrobot import SimRobot
from sim.surface import Surface

VERSION = 1
_SLIP = 0.004
"""What creeps by more in a hand while it holds up an object for 0.6 s would be lost in the next seconds [m]."""


@dataclass
class ExpertConfig:
    """How demonstrations are made. Not frozen: Hydra refuses overrides of what is."""

    area: float = 0.115
    """Objects lie within this distance of the middle of the workspace, in x and in y [m]; wider than what is tested."""
    start_noise: float = 0.08
    """Of the start pose, standard deviation, cut at two of them [rad]."""
    path_noise: float = 0.035
    """Of what is carried out before the grasp, standard deviation [rad]."""
    retries: float = 0.2
    """Share of episodes whose first close is made to miss."""
    candidates: int = 8
    """Grasps tried before giving a pose up."""
    lift: float = 0.17
    """How far the grasp is lifted [m]."""

    def __post_init__(self) -> None:
        for name in ("area", "start_noise", "path_noise", "retries"):
            if getattr(self, name) < 0:
                raise SceneError(f"{name}={getattr(self, name)} must not be negative")
        if self.area > 0.15:
            raise SceneError(f"area={self.area} m; objects lie within 0.15 m of the middle of the workspace, where the arm reaches them")
        if self.retries > 1 or self.candidates < 1:
            raise SceneError(f"retries={self.retries} is a share of 1 at most, candidates={self.candidates} at least 1")


@dataclass
class _Tape:
    """What happened so far in an episode being made."""

    rows: dict[str, list] = field(default_factory=lambda: {k: [] for k in ("observation", "action", "sent", "labelled", "state")})

    def add(self, **row: object) -> None:
        for key, value in row.items():
            self.rows[key].append(value)


class Expert:
    """Knows one robot and its object; everything it needs of the state it reads from the simulation."""

    def __init__(self, robot: SimRobot, config: ExpertConfig | None = None) -> None:
        self._robot, self.config = robot, config or ExpertConfig()
        self._surface = Surface(robot.config.object)
        self._home = np.array(robot.arm.home)
        solver = InverseKinematics(robot.model, robot.arm.joints, robot.arm.home)
        self._router = Router(solver, robot.arm, lift=self.config.lift)

    def grasps(self) -> list[Grasp]:
        """What the object offers as it lies now, best first."""
        self._surface.move(*self._robot.object_pose)
        return propose_grasps(self._surface, *(shape.room for shape in self._robot.arm.hand.preshapes))

    def path(self, grasp: Grasp, start: np.ndarray, *, rise: bool = False) -> Path | None:
        """The way from joint positions `start` (n,) [rad] to `grasp` and up; None where the arm does not reach.

        rise: go straight up first, the jaw opening, as after a close that missed.
        """
        return self._router.path(grasp, start, rise_from=self._robot.grip_pose if rise else None)

    def choose(self, *, rise: bool = False) -> tuple[Grasp, Path] | None:
        """The first grasp that holds when tried from the present state, and its path; the state is put back. `rise`: see `path`."""
        for grasp in self.grasps()[: self.config.candidates]:
            path = self.path(grasp, self._robot.qpos, rise=rise)
            if path is not None and self.holds(path):
                return grasp, path
        return None

    def holds(self, path: Path) -> bool:
        """Whether the object is lifted when a path is carried out from the present state, and stays where it is in a hand of several
        motors; the state is put back."""
        robot = self._robot
        start = robot.state()
        rest, before = robot.object_pose[0][2], np.zeros(3)
        for k, target in enumerate(path.targets):
            if k == len(path.targets) - HOLD:
                before = self._in_hand()
            robot.command(self._action(target))
        firm = np.linalg.norm(self._in_hand() - before) < _SLIP or len(robot.arm.hand.values) == 1
        held = robot.held and robot.object_pose[0][2] > rest + 0.1 and bool(firm)
        robot.set_state(start)
        return held

    def demonstrate(
        self,
        rng: np.random.Generator,
        provenance: dict | None = None,
        *,
        at: tuple[float, float] | None = None,
        upright: bool | None = None,
    ) -> Episode | None:
        """One demonstration on the object; None where no grasp holds or the disturbance spoilt it.

        Args:
            rng: of everything that is drawn.
            provenance: of the episode, beside what the expert says.
            at: where the object is put, from the middle of the workspace [m]; None: anywhere in the area.
            upright: see SimRobot.place.
        """
        robot, config = self._robot, self.config
        start = self._home + np.clip(rng.normal(size=len(self._home)), -2, 2) * config.start_noise
        made = robot.config.variation
        if made.start:
            start = start + made.start[: len(start)]
        self._shaking = np.random.default_rng(made.seed)
        try:
            xy = rng.uniform(-config.area, config.area, 2) if at is None else np.array(at)
            robot.place(xy, rng, upright=upright, start=start)
        except PlacementError:
            return None
        rest = robot.object_pose[0][2]
        chosen = self.choose()
        if chosen is None:
            return None
        grasp, path = chosen
        tape, grasps = _Tape(), [grasp]
        if rng.random() < config.retries:
            self._miss(grasp, path, rng, tape)
            if robot.held:
                return None  # the sabotage caught it by chance
            again = self._retry()
            if again is None:
                return None
            grasp, path = again
            grasps.append(grasp)
        self._follow(path, path.targets, rng, tape, np.ones(len(path.targets), bool))
        if not (robot.held and robot.object_pose[0][2] > rest + 0.1):
            return None
        said = {"expert": VERSION, "grasp": {"pos": grasps[-1].pos.tolist(), "yaw": grasps[-1].yaw}, "attempts": len(grasps)}
        return _episode(robot, tape, (provenance or {}) | said)

    def _in_hand(self) -> np.ndarray:
        """Where the object is from the grip site, (3,) [m]."""
        pos, rotation = self._robot.grip_pose
        return (self._robot.object_pose[0] - pos) @ rotation

    def _action(self, target: np.ndarray) -> Action:
        """Of a row of a path, (n + m,)."""
        n = len(self._home)
        return Action(target[:n], target[n:])

    def _retry(self) -> tuple[Grasp, Path] | None:
        """The best grasp that can be reached from here, jaw shut in the wrong place."""
        for grasp in self.grasps()[: self.config.candidates]:
            path = self.path(grasp, self._robot.qpos, rise=True)
            if path is not None:
                return grasp, path
        return None

    def _miss(self, grasp: Grasp, path: Path, rng: np.random.Generator, tape: _Tape) -> None:
        """Goes to a place beside or above the grasp and closes there; the expert's labels end where that starts to show."""
        angle = rng.uniform(-np.pi, np.pi)
        aside = rng.uniform(0.02, 0.05) * np.array([np.cos(angle), np.sin(angle), 0.0])
        above = np.array([0.0, 0.0, rng.uniform(0.0, 0.05)])
        wrong = self.path(Grasp(grasp.pos + aside + above, grasp.yaw, 0.0, 0.0, grasp.preshape), self._robot.qpos)
        if wrong is None:
            return
        stop = wrong.lift + int(rng.integers(0, 12))
        labels = path.targets[np.minimum(np.arange(stop), len(path.targets) - 1)]
        labelled = np.arange(stop) < min(path.descent, wrong.descent)
        self._follow(wrong, labels, rng, tape, labelled)

    def _follow(self, path: Path, labels: np.ndarray, rng: np.random.Generator, tape: _Tape, labelled: np.ndarray) -> None:
        """Carries out a path, disturbed until halfway down, and records what the expert says meanwhile."""
        robot, shaken = self._robot, self._robot.config.variation.action_noise
        steps = len(labels)
        noise = _wander(rng, steps, len(self._home), self.config.path_noise)
        noise *= np.interp(np.arange(steps), [path.descent, path.close - 2], [1, 0])[:, None]
        for t in range(steps):
            observation, state = robot.observe(), robot.state()
            target = path.targets[t].copy()
            target[: noise.shape[1]] += noise[t]
            if shaken:
                target += shaken * self._shaking.normal(size=len(target))
            sent = robot.command(self._action(target.astype(np.float32).astype(float)))  # as stored, so that it replays exactly
            tape.add(observation=observation, state=state, action=labels[t], labelled=labelled[t], sent=np.append(sent.qpos, sent.gripper))


def demonstrate(robot: SimRobot, rng: np.random.Generator, config: ExpertConfig | None = None) -> Episode | None:
    """One demonstration by a new expert on a connected robot; make an `Expert` for more than one."""
    return Expert(robot, config).demonstrate(rng)


def _episode(robot: SimRobot, tape: _Tape, provenance: dict) -> Episode:
    rows = tape.rows
    seen = rows["observation"]
    names = [camera.name for camera in robot.config.cameras]
    return Episode(
        images={name: np.stack([o.images[name] for o in seen]) for name in names},
        masks={name: np.stack([o.masks[name] for o in seen]) for name in names},
        qpos=np.stack([o.qpos for o in seen]).astype(np.float32),
        gripper=np.stack([o.gripper for o in seen]).astype(np.float32),
        actions=np.stack(rows["action"]).astype(np.float32),
        sent=np.stack(rows["sent"]).astype(np.float32),
        labelled=np.array(rows["labelled"], bool),
        state=np.stack([*rows["state"], robot.state()]),
        instruction="pick up the object",
        dt=robot.dt,
        success=True,
        provenance=provenance | {"object": robot.config.object.name, "mujoco": mujoco.__version__},
    )


def _wander(rng: np.random.Generator, steps: int, n: int, std: float, keep: float = 0.9) -> np.ndarray:
    """An Ornstein-Uhlenbeck walk, (steps, n), of one standard deviation throughout."""
    walk, x = np.empty((steps, n)), rng.normal(size=n) * std
    for t in range(steps):
        walk[t] = x
        x = keep * x + np.sqrt(1 - keep**2) * std * rng.normal(size=n)
    return walk
