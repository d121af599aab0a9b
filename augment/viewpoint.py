"""Other viewpoints: simulated episodes drawn again exactly, recorded ones warped with depth or by the plane of the table."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace

import cv2
import numpy as np

from augment.augmentation import recorded
from augment.depth import Estimator, open_estimator
from augment.errors import AugmentError
from augment.guard import Guard
from augment.warp import Warped, warp_depth, warp_plane
from augment.world import World
from episodes import CameraInfo, DatasetInfo, Episode
from sim.camera import Camera, as_camera, described, rotated
from sim.rerender import Redrawer

SAMPLERS = {"arc": ((0.0, 0.0, 0.0), 0.0), "small": ((0.1, 0.1, 0.1), 0.05), "large": ((0.25, 0.1, 0.25), 0.1)}
"""By name: how far each coordinate [m] and each angle [rad] go. The ranges of RoVi-Aug's code (arXiv 2409.03403), `lower` and `upper`."""
METHODS = ("exact", "depth", "plane")
ON_BODY = 0.1
"""A camera that is fixed to a body of the robot goes this part of the way, for it is much nearer to what it sees. Our choice."""
TRIES = 5
"""As in VISTA's code (arXiv 2409.03685)."""
_SMALLER = 0.6
"""What a draw that came out badly is shrunk by."""


@dataclass
class ViewpointConfig:
    """Where the cameras may go. One draw holds for a whole episode."""

    cameras: list[str] = field(default_factory=list)
    """Which cameras move; empty: all that are fixed to the world."""
    sampler: str = "arc"
    """arc: rigidly about the robot's base, by an angle from `low` to `high`. small, large: each coordinate of its place and each angle of
    its direction by itself, up to 0.1 m and 0.05 rad, or 0.25 m (sideways 0.1 m) and 0.1 rad; a camera on the robot, a tenth of it."""
    low: float = -15.0
    """Smallest angle of an arc [deg]; positive is to the robot's left."""
    high: float = 15.0
    """Largest angle of an arc [deg]."""
    method: str = "exact"
    """exact: simulated episodes, drawn again. depth: warped with depth. plane: warped as if all lay on the table; needs no depth."""
    depth_model: str = ""
    """For method=depth, where nobody measured it: folder of a metric depth model in the format of transformers."""
    unchanged: bool = False
    """Whether an episode that no try brings out well is given back as it is, and says so; otherwise it is refused."""

    def __post_init__(self) -> None:
        if self.sampler not in SAMPLERS:
            raise AugmentError(f"viewpoint.sampler={self.sampler!r}; known: {', '.join(SAMPLERS)}")
        if self.method not in METHODS:
            raise AugmentError(f"viewpoint.method={self.method!r}; known: {', '.join(METHODS)}")
        if not -180 <= self.low <= self.high <= 180:
            raise AugmentError(f"viewpoint.low={self.low:g}, viewpoint.high={self.high:g} degrees; -180 to 180, the low before the high")
        if self.depth_model and self.method != "depth":
            raise AugmentError(f"viewpoint.depth_model is of no use to viewpoint.method={self.method}; say viewpoint.method=depth")


@dataclass(frozen=True)
class Viewpoint:
    """Moves cameras. A draw that the guard finds fault with is tried again, smaller, up to five times."""

    config: ViewpointConfig
    world: World
    estimate: Estimator | None = None
    """Of depth that nobody measured."""
    guard: Guard = field(default_factory=Guard)
    name: str = "viewpoint"

    def contract(self, info: DatasetInfo) -> DatasetInfo:
        """The same; where a camera stood is said by each episode. Raises AugmentError for cameras that are not there or cannot move."""
        for camera in self._moving(info):
            body = info.cameras[camera].body
            if body != "world" and (self.config.sampler == "arc" or self.config.method == "plane"):
                raise AugmentError(
                    f"camera {camera!r} is fixed to {body}: it cannot go about the base or be warped by the table; "
                    "say viewpoint.sampler=small and viewpoint.method=exact or depth"
                )
        return info

    def __call__(self, episode: Episode, rng: np.random.Generator) -> Episode:
        """The episode from other viewpoints, its cameras in its provenance."""
        before = self.world.cameras(episode)
        drawn = {name: rng.uniform(-1, 1, 6) for name in self._moving(self.world.info)}
        angle = rng.uniform(self.config.low, self.config.high)
        depth = self._depth(episode, list(drawn)) if self.config.method == "depth" else {}
        faults = []
        for attempt in range(TRIES):
            scale = _SMALLER**attempt
            new = {name: self._placed(as_camera(name, before[name]), angle, draw, scale) for name, draw in drawn.items()}
            seen, fault = self._redrawn(episode, new) if self.config.method == "exact" else self._warped(episode, before, new, depth)
            if fault is None:
                own = {**before, **{name: described(camera, before[name].height) for name, camera in new.items()}}
                kept = json.loads(json.dumps({name: asdict(info) for name, info in own.items()}))  # lists for tuples, as they are read
                said = {"degrees": round(angle * scale, 3)} if self.config.sampler == "arc" else {"scale": round(scale, 3)}
                return self._recorded(replace(seen, provenance={**seen.provenance, "cameras": kept}), tries=attempt + 1, **said)
            faults.append(fault)
        if self.config.unchanged:
            return self._recorded(episode, tries=TRIES, unchanged=faults[-1])
        raise AugmentError(f"no viewpoint in {TRIES} tries came out well: {faults[-1]}")

    def _recorded(self, episode: Episode, **said: object) -> Episode:
        return recorded(episode, self.name, sampler=self.config.sampler, method=self.config.method, **said)

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
        scale *= 1.0 if camera.body == "world" else ON_BODY
        pos, at, up = (np.array(v, float) for v in (camera.pos, camera.at, camera.up))
        turn = cv2.Rodrigues(draw[3:] * radians * scale)[0]
        moved = pos + draw[:3] * metres * scale
        return camera.moved(moved, moved + turn @ (at - pos), turn @ up)

    def _redrawn(self, episode: Episode, new: dict[str, Camera]) -> tuple[Episode, str | None]:
        """The episode drawn again from new cameras, and what is wrong with it. Raises AugmentError where that would undo something."""
        painted = [done["name"] for done in episode.provenance.get("augment", ()) if done["name"] != self.name]
        if painted:
            raise AugmentError(f"drawing the episode again would undo its {painted[-1]}; say viewpoint.method=depth or plane")
        seen = Redrawer(self.world.robot(episode))(episode, list(new.values()))
        faults = (self.guard.fault(episode.masks[name], mask) for name, mask in seen.masks.items())
        seen = replace(seen, images={**episode.images, **seen.images}, masks={**episode.masks, **seen.masks})
        return seen, next(filter(None, faults), None)

    def _warped(
        self, episode: Episode, before: dict[str, CameraInfo], new: dict[str, Camera], depth: dict[str, np.ndarray]
    ) -> tuple[Episode, str | None]:
        """The episode warped to new cameras, and what is wrong with it."""
        images, masks = dict(episode.images), dict(episode.masks)
        for name, camera in new.items():
            warped = self._warp(images[name], masks[name], before[name], described(camera, before[name].height), depth.get(name))
            fault = self.guard.fault_of_warp(images[name], warped.pictures, warped.holes) or self.guard.fault(masks[name], warped.masks)
            if fault:
                return episode, fault
            images[name], masks[name] = warped.pictures, warped.masks
        return replace(episode, images=images, masks=masks), None

    def _warp(self, pictures: np.ndarray, masks: np.ndarray, old: CameraInfo, new: CameraInfo, depth: np.ndarray | None) -> Warped:
        return warp_plane(pictures, masks, old, new) if depth is None else warp_depth(pictures, masks, depth, old, new)

    def _depth(self, episode: Episode, names: list[str]) -> dict[str, np.ndarray]:
        measured = self.world.depth(episode)
        if measured is not None:
            return measured
        if self.estimate is None:
            raise AugmentError(
                "nobody measured the depth of this episode; say viewpoint.depth_model=FOLDER, or viewpoint.method=plane, which needs none"
            )
        return {name: self.estimate(episode.images[name]) for name in names}


def open_viewpoint(config: ViewpointConfig, world: World) -> Viewpoint:
    """The augmentation for a data set. Raises AugmentError where a depth model cannot be opened."""
    return Viewpoint(config, world, open_estimator(config.depth_model) if config.depth_model else None)
