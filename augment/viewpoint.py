"""Other viewpoints: simulated episodes drawn again exactly, recorded ones warped with depth or by the plane of the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

import cv2
import numpy as np

from augment.augmentation import recorded
from augment.errors import AugmentError
from augment.warp import Warped, warp_depth, warp_plane
from augment.world import World, as_camera, described
from episodes import CameraInfo, DatasetInfo, Episode
from sim.camera import Camera, rotated
from sim.rerender import Redrawer

SAMPLERS = {"arc": (0.0, 0.0), "small": (0.1, 0.05), "large": (0.25, 0.1)}
"""By name: how far a coordinate [m] and an angle [rad] go. The ranges of RoVi-Aug's code (arXiv 2409.03403), `lower` and `upper`."""
METHODS = ("exact", "depth", "plane")
_TRIES = 5
_SMALLER = 0.6
"""What a draw that came out badly is shrunk by."""
_HOLES = 0.45
"""Most of a picture that may be holes."""
_LEFT = 0.3
"""Least share of the target's pixels that must still be seen, over the episode."""


@dataclass
class ViewpointConfig:
    """Where the cameras may go. One draw holds for a whole episode."""

    cameras: list[str] = field(default_factory=list)
    """Which cameras move; empty: all that are fixed to the world."""
    sampler: str = "arc"
    """arc: rigidly about the robot's base, by an angle from `low` to `high`. small, large: each coordinate of its place and each angle of
    its direction by itself, up to 0.1 m and 0.05 rad, or 0.25 m and 0.1 rad."""
    low: float = -15.0
    """Smallest angle of an arc [deg]; positive is to the robot's left."""
    high: float = 15.0
    """Largest angle of an arc [deg]."""
    method: str = "exact"
    """exact: simulated episodes, drawn again. depth: warped with depth. plane: warped as if all lay on the table; needs no depth."""

    def __post_init__(self) -> None:
        if self.sampler not in SAMPLERS:
            raise AugmentError(f"viewpoint.sampler={self.sampler!r}; known: {', '.join(SAMPLERS)}")
        if self.method not in METHODS:
            raise AugmentError(f"viewpoint.method={self.method!r}; known: {', '.join(METHODS)}")
        if not -180 <= self.low <= self.high <= 180:
            raise AugmentError(f"viewpoint.low={self.low:g}, viewpoint.high={self.high:g} degrees; -180 to 180, the low before the high")


@dataclass(frozen=True)
class Viewpoint:
    """Moves cameras. A draw that loses the target or leaves too many holes is tried again, smaller, up to five times."""

    config: ViewpointConfig
    world: World
    name: str = "viewpoint"

    def contract(self, info: DatasetInfo) -> DatasetInfo:
        """The same; where a camera stood is said by each episode. Raises AugmentError for cameras that are not there or cannot move."""
        for camera in self._moving(info):
            if info.cameras[camera].body != "world":
                raise AugmentError(f"camera {camera!r} is fixed to {info.cameras[camera].body}; only cameras of the world can be moved")
        return info

    def __call__(self, episode: Episode, rng: np.random.Generator) -> Episode:
        """The episode from other viewpoints, its cameras in its provenance."""
        cameras = self.world.cameras(episode)
        drawn = {name: rng.uniform(-1, 1, 6) for name in self._moving(self.world.info)}
        angle = rng.uniform(self.config.low, self.config.high)
        for attempt in range(_TRIES):
            scale = _SMALLER**attempt
            new = {name: self._placed(as_camera(name, cameras[name]), angle, draw, scale) for name, draw in drawn.items()}
            seen = self._seen(episode, {**{n: as_camera(n, c) for n, c in cameras.items()}, **new}, list(new))
            if seen is not None:
                described_by = {name: described(camera, cameras[name].height) for name, camera in new.items()}
                said = {"sampler": self.config.sampler, "method": self.config.method, "tries": attempt + 1}
                said |= {"degrees": round(angle * scale, 3)} if self.config.sampler == "arc" else {"scale": round(scale, 3)}
                own = {name: asdict(info) for name, info in ({**cameras, **described_by}).items()}
                return recorded(replace(seen, provenance={**seen.provenance, "cameras": own}), self.name, **said)
        raise AugmentError(f"no viewpoint in {_TRIES} tries that shows the target and leaves less than {100 * _HOLES:.0f} % of it blank")

    def _moving(self, info: DatasetInfo) -> list[str]:
        if unknown := [name for name in self.config.cameras if name not in info.cameras]:
            raise AugmentError(f"viewpoint.cameras names {unknown[0]!r}; the data set has {', '.join(info.cameras) or 'no camera'}")
        names = self.config.cameras or [name for name, camera in info.cameras.items() if camera.body == "world"]
        if not names:
            raise AugmentError("no camera of the data set is fixed to the world: there is none to move")
        return names

    def _placed(self, camera: Camera, angle: float, draw: np.ndarray, scale: float) -> Camera:
        if self.config.sampler == "arc":
            return rotated(camera, angle * scale)
        metres, radians = SAMPLERS[self.config.sampler]
        pos, at, up = (np.array(v, float) for v in (camera.pos, camera.at, camera.up))
        turn = _rotation(draw[3:] * radians * scale)
        pos = pos + draw[:3] * metres * scale
        return replace(camera, pos=_triple(pos), at=_triple(pos + turn @ (at - np.array(camera.pos))), up=_triple(turn @ up))

    def _seen(self, episode: Episode, cameras: dict[str, Camera], moved: Sequence[str]) -> Episode | None:
        """The episode from new cameras; None where that came out badly."""
        if self.config.method == "exact":
            new = Redrawer(self.world.robot(episode))(episode, list(cameras.values()))
            return new if all(_still_seen(episode.masks[name], new.masks[name]) for name in moved) else None
        depth = self.world.depth(episode) if self.config.method == "depth" else None
        if self.config.method == "depth" and depth is None:
            raise AugmentError("viewpoint.method=depth, but nobody measured the depth of this episode; viewpoint.method=plane needs none")
        images, masks = dict(episode.images), dict(episode.masks)
        before = self.world.cameras(episode)
        for name in moved:
            after = described(cameras[name], before[name].height)
            warped = self._warped(episode, name, before[name], after, None if depth is None else depth[name])
            if warped.holes.mean() > _HOLES or not _still_seen(episode.masks[name], warped.masks):
                return None
            images[name], masks[name] = warped.pictures, warped.masks
        return replace(episode, images=images, masks=masks)

    def _warped(self, episode: Episode, name: str, old: CameraInfo, new: CameraInfo, depth: np.ndarray | None) -> Warped:
        pictures, masks = episode.images[name], episode.masks[name]
        return warp_plane(pictures, masks, old, new) if depth is None else warp_depth(pictures, masks, depth, old, new)


def open_viewpoint(config: ViewpointConfig, world: World) -> Viewpoint:
    """The augmentation for a data set."""
    return Viewpoint(config, world)


def _still_seen(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether a target that was seen still is, by its pixels (T, H, W) over the episode."""
    return after.sum() >= _LEFT * before.sum()


def _rotation(vector: np.ndarray) -> np.ndarray:
    """Of a rotation vector [rad], (3, 3): Rodrigues' formula."""
    return cv2.Rodrigues(vector)[0]


def _triple(values: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in values)
    return x, y, z
