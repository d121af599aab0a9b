"""Episodes played and drawn again from their stored states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from episodes import Episode
from hardware.api import Action
from sim.camera import Camera
from sim.randomise import seen
from sim.simrobot import SimRobot


def replay(robot: SimRobot, episode: Episode) -> np.ndarray:
    """Carries out what was sent from the stored start and returns the states, (T + 1, s), as in the episode.

    robot: connected, with the episode's object.
    """
    robot.set_state(episode.state[0])
    states = [robot.state()]
    n = episode.qpos.shape[1]
    for sent in episode.sent.astype(float):
        robot.command(Action(sent[:n], sent[n:]))
        states.append(robot.state())
    return np.stack(states)


class Redrawer:
    """Draws episodes of one object again, from cameras of the names and bodies that its robot's scene has: compiled once, cameras moved."""

    def __init__(self, robot: SimRobot) -> None:
        """robot: connected, with the episodes' object; its cameras are left where the last episode was seen from."""
        self._robot = robot

    def __call__(self, episode: Episode, cameras: Sequence[Camera]) -> Episode:
        """The same episode seen by other cameras: new pictures and masks, by the sensors of the robot's scene; all else as it was.

        Raises SceneError for a camera that is not there.
        """
        robot = self._robot
        for camera in cameras:
            robot.aim(camera)
        then = [robot.sensed(state, [camera.name for camera in cameras]) for state in episode.state[:-1]]
        images = {camera.name: np.stack([o.images[camera.name] for o in then]) for camera in cameras}
        masks = {camera.name: np.stack([o.masks[camera.name] for o in then]) for camera in cameras}
        images, masks = seen(images, masks, robot.config)
        return replace(episode, images=images, masks=masks)


def rerender(episode: Episode, robot: SimRobot, cameras: Sequence[Camera]) -> Episode:
    """One episode seen by other cameras, of any names: a `Redrawer` for once.

    robot: connected, with the episode's object; only its scene's configuration is used.
    """
    with SimRobot(replace(robot.config, cameras=tuple(cameras))) as again:
        return Redrawer(again)(episode, cameras)
