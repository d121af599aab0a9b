"""Episodes played and drawn again from their stored states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from episodes import Episode
from hardware.api import Action
from sim.camera import Camera
from sim.scene import SceneConfig
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


def rerender(episode: Episode, robot: SimRobot, cameras: Sequence[Camera]) -> Episode:
    """The same episode seen by other cameras: pictures and masks are new, all else is as it was.

    robot: connected, with the episode's object; only its scene's configuration is used.
    """
    config: SceneConfig = replace(robot.config, cameras=tuple(cameras))
    with SimRobot(config) as again:
        seen = []
        for state in episode.state[:-1]:
            again.set_state(state)
            seen.append(again.observe())
    return replace(
        episode,
        images={camera.name: np.stack([o.images[camera.name] for o in seen]) for camera in cameras},
        masks={camera.name: np.stack([o.masks[camera.name] for o in seen]) for camera in cameras},
    )
