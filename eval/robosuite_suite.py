"""robosuite's own tasks as a suite: what a policy of our scene does in a simulator loop that we did not write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import mujoco

from assets.graspable import Graspable
from assets.objects.household import Household
from assets.toys import Part, Toy
from eval.errors import EvalError
from eval.suite import Suite
from policies.contract import Contract
from sim.camera import SIDE, WRIST, Camera, as_camera
from sim.robots import PANDA
from sim.variation import PLAIN, Variation

ROBOSUITE, TWINS = "robosuite", "robosuite_twins"
"""The tasks in robosuite's loop, and the same objects on the same poses in ours."""
LOOPS = ("ours", ROBOSUITE)
"""Whose simulator a suite is tried in."""
_MARK = f"{ROBOSUITE}/"
"""Before what a suite was opened from, where it is tried in robosuite's loop."""
RATE = 20
"""Control steps a second of their tasks [Hz]."""

_TWINS: Mapping[str, Graspable] = {
    "Lift": Toy((Part("cuboid", (0.021, 0.021, 0.021)),), density=1000.0, name="cube"),  # theirs: 2.0 to 2.2 cm, of water's density
    "PickPlaceCan": Household("can"),
}


@dataclass(frozen=True)
class Task:
    """One of robosuite's tasks, by its name there. As a Graspable of our scene it is its object's twin."""

    name: str

    def __post_init__(self) -> None:
        if self.name not in _TWINS:
            raise EvalError(f"robosuite's task {self.name!r} is not in the suite; known: {', '.join(_TWINS)}")

    @property
    def upright(self) -> bool:
        """Both stand as modelled, turned about the vertical."""
        return True

    def spec(self) -> mujoco.MjSpec:
        """The twin for MuJoCo: see assets.graspable."""
        return _TWINS[self.name].spec()


TASKS = tuple(Task(name) for name in _TWINS)


@dataclass(frozen=True)
class Lab:
    """Makes the robot that faces one task, or an object of ours on robosuite's table: its Panda, with cameras of ours.

    Picklable; robosuite is imported in the worker.
    """

    cameras: tuple[Camera, ...] = (SIDE, WRIST)
    size: int = 128

    def __call__(self, item: Graspable, variation: Variation = PLAIN) -> Any:
        """Unconnected; a context manager. Raises EvalError for a variation: those are edits of our scene."""
        from sim.bridge import RobosuiteRobot  # takes seconds, in the workers alone

        if variation != PLAIN:
            raise EvalError("robosuite's tasks are tried as they are: a perturbation edits our scene, not theirs")
        return RobosuiteRobot(item.name if isinstance(item, Task) else item, self.cameras, self.size)


def moved(suite: Suite) -> Suite:
    """The same trials of the same objects in robosuite's loop, on its table. Raises EvalError for tasks that are there already."""
    if abroad(suite.source):
        raise EvalError(f"suite={suite.name} is robosuite's own; loop={ROBOSUITE} moves a suite of ours there")
    return replace(suite, name=f"{suite.name}_in_robosuite", source=_MARK + suite.source)


def abroad(source: str) -> bool:
    """Whether a suite that was opened from `source` is tried in robosuite's loop."""
    return source == ROBOSUITE or source.startswith(_MARK)


def at_home(source: str) -> str:
    """What the objects of a suite are opened from, wherever they are tried."""
    return source.removeprefix(_MARK)


def lab_for(contract: Contract) -> Lab:
    """The lab that a contract asks for: its cameras where they stood. Raises PolicyError where robosuite's Panda does not fit it."""
    height, width = contract.size
    if height != width:
        raise EvalError(f"the policy was trained with pictures of {height} by {width}; here they are square")
    known = {camera.name: camera for camera in (SIDE, WRIST)} | {name: as_camera(name, view) for name, view in contract.views.items()}
    contract.check(Contract(tuple(known), (height, height), PANDA.joints, len(PANDA.hand.values), PANDA.name, 1 / RATE))
    return Lab(tuple(known[name] for name in contract.cameras), height)


def check_guest(suite: Suite, policy: object, robot: object) -> None:
    """Raises EvalError for what needs our scene: the scripted expert, perturbations, other arms."""
    if getattr(policy, "name", "") == "expert":
        raise EvalError("in robosuite's loop: the scripted expert reads the state of our own simulation; try reference=heuristic")
    axes = {trial.axis for trial in suite.trials} - {"none"}
    if axes:
        raise EvalError(f"in robosuite's loop: axis={', '.join(sorted(axes))} edits our scene, not theirs")
    if getattr(robot, "robot", PANDA.name) != PANDA.name:
        raise EvalError(f"in robosuite's loop: robot={getattr(robot, 'robot', '')}; it is tried with a panda")
