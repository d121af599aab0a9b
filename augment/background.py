"""Another table, another room: textures or photographs behind the robot and the object.

The idea is GreenAug's (arXiv 2407.07868) and RoboEngine's (arXiv 2503.18738), who recommend random textures. What is drawn holds for the
episode and stays where it is in the world while a camera moves. Only the robot and the target are known by masks: what stands on the table
besides them is painted over. Robots of recorded episodes are known as well as `World.robot_masks` knows them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np

from augment.augmentation import recorded
from augment.errors import AugmentError
from augment.folder import Folder, open_folder
from augment.texture import PATTERNS, paint
from augment.world import World
from episodes import CameraInfo, DatasetInfo, Episode
from sim.camera import as_camera
from sim.table import HALF, MIDDLE

_SHADE = (0.3, 1.8)
"""Least and greatest brightness of a table's pixel against the table's median."""
_NAMED = 20
"""Most files left out of a folder that the provenance names."""


@dataclass
class BackgroundConfig:
    """What is neither table nor robot nor object is replaced."""

    folder: str = ""
    """Of pictures to draw from; empty: textures that are computed."""
    patterns: list[str] = field(default_factory=list)
    """Textures to draw from: checker, noise, wood, gradient, speckle, tiles; empty: all."""
    middle: list[float] = field(default_factory=lambda: list(MIDDLE))
    """Of the table's top, (2,) in the robot's base frame, at z = 0 [m]."""
    half: list[float] = field(default_factory=lambda: list(HALF))
    """Half the sides of the table's top, (2,) [m]."""

    def __post_init__(self) -> None:
        if unknown := [name for name in self.patterns if name not in PATTERNS]:
            raise AugmentError(f"patterns names {unknown[0]!r}; known: {', '.join(PATTERNS)}")
        if self.folder and self.patterns:
            raise AugmentError("folder and patterns are both given; pictures are drawn from one of them")
        if len(self.middle) != 2 or not all(abs(x) <= 10 for x in self.middle):
            raise AugmentError(f"middle={list(self.middle)}; two numbers of at most 10 m")
        if len(self.half) != 2 or not all(0 < x <= 10 for x in self.half):
            raise AugmentError(f"half={list(self.half)}; two numbers above 0 and at most 10 m")


@dataclass
class TableConfig(BackgroundConfig):
    """The table's top is replaced, in perspective; its shading stays."""


@dataclass(frozen=True)
class Source:
    """Where textures come from."""

    patterns: Sequence[str]
    folder: Folder | None = None

    @staticmethod
    def of(config: BackgroundConfig) -> Source:
        """Raises AugmentError for a folder without a picture."""
        return Source(tuple(config.patterns) or tuple(PATTERNS), open_folder(config.folder) if config.folder else None)

    def draw(self, rng: np.random.Generator) -> tuple[str, np.ndarray]:
        """What it is called, and a picture, (n, n, 3) u8."""
        if self.folder is not None:
            return self.folder.draw(rng)
        name = self.patterns[int(rng.integers(len(self.patterns)))]
        return name, paint(name, rng)

    @property
    def left_out(self) -> dict[str, Any]:
        """Files of the folder that cannot be used, for the provenance; some of them where they are many."""
        left = {} if self.folder is None else dict(self.folder.left_out)
        return {"left_out": dict(list(left.items())[:_NAMED]), "left_out_in_all": len(left)} if left else {}


@dataclass(frozen=True)
class View:
    """What the pixels of one picture look at; arrays are (H, W, 2)."""

    table: np.ndarray
    """Where they meet the plane z = 0 [m]; NaN where they do not."""
    room: np.ndarray
    """Their direction, mapped stereographically: the middle of a camera that stands still, the nadir of one that moves, is (0, 0), and
    90 degrees from it lies at 1. Conformal, so that pictures keep their look; without parallax, as if all lay far away."""

    def on(self, config: BackgroundConfig) -> np.ndarray:
        """Whether they meet the table, (H, W) bool."""
        return np.all(np.abs(self.table - config.middle) <= config.half, axis=-1)


@dataclass(frozen=True)
class Background:
    """Replaces what is neither table nor robot nor object. Every camera has a picture of its own."""

    config: BackgroundConfig
    world: World
    source: Source
    name: str = "background"

    def contract(self, info: DatasetInfo) -> DatasetInfo:
        """The same. Raises AugmentError where no camera can be used."""
        return _with_cameras(info)

    def __call__(self, episode: Episode, rng: np.random.Generator) -> Episode:
        """The episode in another room."""
        drawn = {camera: self.source.draw(rng) for camera in episode.images}
        images = dict(episode.images)
        for camera, views, behind in _visible(self.world, episode):
            pictures, (_, texture) = images[camera].copy(), drawn[camera]
            still = self.world.info.cameras[camera].body == "world"
            reach = np.abs(views[0].room).max() if still else 0.5
            for t, picture in enumerate(pictures):
                view = views[t % len(views)]
                where = behind[t] & ~view.on(self.config)
                picture[where] = _sampled(texture, view.room / reach)[where]
            images[camera] = pictures
        said = {"picture": ", ".join(dict.fromkeys(name for name, _ in drawn.values()))} | self.source.left_out
        return recorded(replace(episode, images=images), self.name, **said)


@dataclass(frozen=True)
class Table:
    """Lays another picture on the table, the same for every camera; brightness relative to the table's median stays."""

    config: TableConfig
    world: World
    source: Source
    name: str = "table"

    def contract(self, info: DatasetInfo) -> DatasetInfo:
        """The same. Raises AugmentError where no camera can be used."""
        return _with_cameras(info)

    def __call__(self, episode: Episode, rng: np.random.Generator) -> Episode:
        """The episode on another table. Raises AugmentError where no camera sees any of it."""
        name, texture = self.source.draw(rng)
        images, seen = dict(episode.images), 0
        for camera, views, behind in _visible(self.world, episode):
            pictures = images[camera].copy()
            for t, picture in enumerate(pictures):
                view = views[t % len(views)]
                where = behind[t] & view.on(self.config)
                if where.any():
                    laid = _sampled(texture, (view.table - self.config.middle) / max(self.config.half))[where]
                    light = picture[where] @ np.array([0.299, 0.587, 0.114])
                    shade = np.clip(light / max(1.0, float(np.median(light))), *_SHADE)[:, None]
                    picture[where] = np.clip(laid * shade, 0, 255).round()
                    seen += 1
            images[camera] = pictures
        if not seen:
            raise AugmentError("no camera sees the table; are they calibrated, and are `middle` and `half` those of the table?")
        return recorded(replace(episode, images=images), self.name, picture=name, **self.source.left_out)


def open_background(config: BackgroundConfig, world: World) -> Background:
    """The augmentation for a data set. Raises AugmentError for a folder without a picture."""
    return Background(config, world, Source.of(config))


def open_table(config: TableConfig, world: World) -> Table:
    """The augmentation for a data set. Raises AugmentError for a folder without a picture."""
    return Table(config, world, Source.of(config))


def _with_cameras(info: DatasetInfo) -> DatasetInfo:
    if not info.cameras:
        raise AugmentError("the data set has no camera: there is nothing to paint over")
    return info


def _visible(world: World, episode: Episode) -> Iterator[tuple[str, Sequence[View], np.ndarray]]:
    """By camera: its views, one for all steps or one a step, and the pixels (T, H, W) bool that are neither robot nor object.

    Cameras that are fixed to a body of a recorded episode's robot are left out: nobody says where they were. Raises AugmentError where no
    camera is left, or no mask shows the object, which would be painted over.
    """
    if not any(mask.any() for mask in episode.masks.values()):
        raise AugmentError("no mask of the episode shows its object, which would be painted over")
    poses = _poses(world, episode)
    if not poses:
        raise AugmentError("all cameras move with a robot that is not simulated: where they were is not known")
    robots = world.robot_masks(episode)
    for name, (camera, places) in poses.items():
        still = camera.body == "world"
        yield name, [_view(camera, pose, still) for pose in places], ~(robots[name] | episode.masks[name])


def _poses(world: World, episode: Episode) -> Mapping[str, tuple[CameraInfo, Sequence[np.ndarray]]]:
    """Cameras and their poses in the robot's base frame, (4, 4), OpenCV's axes: one where it stands still, else one a step."""
    cameras = world.cameras(episode)
    found = {name: (camera, [np.asarray(camera.extrinsics)]) for name, camera in cameras.items() if camera.body == "world"}
    moving = {name: camera for name, camera in cameras.items() if camera.body != "world"}
    if not moving or not world.simulated(episode):
        return found
    robot = world.robot(episode)
    for name, camera in moving.items():
        robot.aim(as_camera(name, camera))
        found[name] = (camera, [])
    for state in episode.state[:-1]:
        robot.set_state(state)
        for name in moving:
            pose, seen = np.eye(4), robot.data.cam(name)
            pose[:3, :3] = seen.xmat.reshape(3, 3) * [1, -1, -1]
            pose[:3, 3] = seen.xpos
            found[name][1].append(pose)
    return found


def _view(camera: CameraInfo, pose: np.ndarray, still: bool) -> View:
    """What a camera at a pose (4, 4) looks at."""
    u, v = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    rays = np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(np.asarray(camera.intrinsics)).T
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    ahead = rays @ pose[:3, :3].T  # in the base frame
    with np.errstate(divide="ignore", invalid="ignore"):
        away = -pose[2, 3] / ahead[..., 2:]
        table = np.where(away > 0, pose[:2, 3] + away * ahead[..., :2], np.nan)
        seen = rays if still else ahead * [1, 1, -1]
        room = seen[..., :2] / np.maximum(1 + seen[..., 2:], 1e-3)
    return View(table, room)


def _sampled(texture: np.ndarray, at: np.ndarray) -> np.ndarray:
    """A texture (n, n, 3) u8, which covers -1 to 1 and is continued by its mirror image, at points (H, W, 2): (H, W, 3) u8."""
    pixels = ((np.nan_to_num(np.clip(at, -50, 50)) + 1) / 2 * len(texture) - 0.5).astype(np.float32)
    return np.asarray(cv2.remap(texture, pixels[..., 0], pixels[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT))
