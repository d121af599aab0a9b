"""What is known of a data set beyond one episode: its cameras, and for simulated episodes the scene that they were drawn from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from assets.errors import ToyError
from assets.graspable import Graspable
from assets.toys import ToySet
from augment.errors import AugmentError
from episodes import CameraInfo, DatasetInfo, Episode
from episodes.dataset import read_info
from hardware.api import RobotError
from sim.camera import as_camera
from sim.errors import SceneError
from sim.randomise import looked, recall
from sim.robots import ROBOTS
from sim.scene import SceneConfig
from sim.simrobot import SimRobot

_MOVED = 24
"""A pixel that differs by more than this from the median picture, in any colour, is taken for one that something moved over."""


class World:
    """Opens scenes as they are needed and keeps the last one; close it, or use it as a context manager.

    Args:
        info: the contract of the data set.
        toys: what its episodes' `toy` numbers mean.
        objects: what its episodes' `object` names mean, besides.
    """

    def __init__(self, info: DatasetInfo, toys: ToySet | None = None, objects: Sequence[Graspable] = ()) -> None:
        self.info, self.folder = info, None
        self._objects: Mapping[str, Graspable] = {obj.name: obj for obj in (*(toys.toys if toys else ()), *objects)}
        self._robot: SimRobot | None = None

    @staticmethod
    def open(folder: str | Path) -> World:
        """Of a data set's folder. Raises StoreError where there is none, AugmentError for a broken toys.json."""
        folder = Path(folder)
        info, toys = read_info(folder), None
        if (folder / "toys.json").exists():
            try:
                toys = ToySet.load(folder / "toys.json")
            except ToyError as error:
                raise AugmentError(f"{folder / 'toys.json'}: {error}") from None
        world = World(info, toys)
        world.folder = folder
        return world

    def cameras(self, episode: Episode) -> dict[str, CameraInfo]:
        """Where each camera stood in this episode."""
        return {name: self.info.camera(name, episode.provenance) for name in self.info.cameras}

    def simulated(self, episode: Episode) -> bool:
        """Whether the episode can be drawn again exactly: its object is known and its state is one of our scene."""
        known = self.info.robot in ROBOTS and "embodiment" not in episode.provenance
        name = episode.provenance.get("object")
        if not known or not isinstance(name, str) or name not in self._objects or self._size is None:
            return False
        return self._open(episode).state().shape == episode.state.shape[1:]

    def robot(self, episode: Episode) -> SimRobot:
        """Connected, with the episode's object and cameras; the next call may close it. Raises AugmentError for what is not simulated."""
        if not self.simulated(episode):
            raise AugmentError("the episode is not simulated, or its object is not known: it cannot be drawn again from its state")
        robot = self._open(episode)
        for name, info in self.cameras(episode).items():
            robot.aim(as_camera(name, info))
        return robot

    def robot_masks(self, episode: Episode) -> dict[str, np.ndarray]:
        """Pixels of the robot by camera, (T, H, W) bool.

        Drawn from the state where the episode is simulated. Otherwise what moved and is not the target: pixels that differ from their
        median over the episode, closed to whole areas. That misses a robot that stands still before a background of its own colour,
        takes shadows for robot, and for a camera that is fixed to a body knows nothing: there all is False.
        """
        if self.simulated(episode):
            return self._drawn(episode, lambda robot, camera, size: robot.robot_mask(camera, size))
        return {
            name: moved(pictures) & ~episode.masks[name] if self.info.cameras[name].body == "world" else np.zeros(pictures.shape[:3], bool)
            for name, pictures in episode.images.items()
        }

    def depth(self, episode: Episode) -> dict[str, np.ndarray] | None:
        """Distances along each camera's axis, (T, H, W) float32 [m]; None where nobody measured them."""
        if not self.simulated(episode):
            return None
        return self._drawn(episode, lambda robot, camera, size: robot.depth(camera, size))

    def close(self) -> None:
        """Gives back what drawing took; idempotent."""
        if self._robot is not None:
            self._robot.close()
        self._robot = None

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _drawn(self, episode: Episode, look: Callable[[SimRobot, str, int], np.ndarray]) -> dict[str, np.ndarray]:
        """Something of every camera at every step."""
        robot, cameras = self.robot(episode), self.cameras(episode)
        seen: dict[str, list[np.ndarray]] = {name: [] for name in cameras}
        for state in episode.state[looked(robot.config.variation, len(episode.qpos))]:
            robot.set_state(state)
            for name, info in cameras.items():
                seen[name].append(look(robot, name, info.height))
        return {name: np.stack(pictures) for name, pictures in seen.items()}

    @property
    def _size(self) -> int | None:
        """Of the pictures, where a scene can draw such: square, and all of one size."""
        sizes = {side for info in self.info.cameras.values() for side in (info.height, info.width)}
        return sizes.pop() if len(sizes) == 1 and min(sizes) >= 16 and max(sizes) <= 2048 else None

    def _open(self, episode: Episode) -> SimRobot:
        obj = self._objects[episode.provenance["object"]]
        try:
            variation = recall(episode.provenance)
        except SceneError as error:
            raise AugmentError(f"what the episode says of its world makes none: {error}") from error
        if self._robot is None or self._robot.config.object.name != obj.name or self._robot.config.variation != variation:
            self.close()
            cameras = tuple(as_camera(name, info) for name, info in self.info.cameras.items())
            try:
                config = SceneConfig(obj, cameras, size=self._size or SceneConfig.size, variation=variation, robot=self.info.robot)
                robot = SimRobot(config)
                robot.connect()
            except RobotError as error:
                raise AugmentError(f"the scene of {obj.name!r} cannot be built: {error}") from error
            self._robot = robot
        return self._robot


def moved(pictures: np.ndarray) -> np.ndarray:
    """Pixels (T, H, W) bool that something moved over, of (T, H, W, 3) u8 from a camera that stands still."""
    still = np.median(pictures, axis=0).astype(np.int16)
    different = (np.abs(pictures.astype(np.int16) - still) > _MOVED).any(-1)
    kernel = np.ones((5, 5), np.uint8)
    closed = [cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, kernel) for mask in different]
    return np.stack(closed).astype(bool)
