"""Another object in the old one's place, and the old one beside it: the second augmentation of "Shortcut Learning in Generalist Robot
Policies" (Xing et al., CoRL 2025, App. G.2), with what the paper leaves open: what stands in front stays in front, size, light and edges
are matched, and the place does not jump while the gripper hides some of the object.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from augment.augmentation import recorded
from augment.composite import Stamp, follow, in_light, lay
from augment.distractor import middle, place
from augment.errors import AugmentError
from augment.inpaint import Inpainter, inpainter
from augment.library import Crop, Library, best_view, build_library, grown, object_name, objects_of, renamed, surroundings
from augment.motion import View, projected, tracked, watch
from augment.world import World
from episodes import DatasetInfo, Episode, open_dataset

SIZES = ("area", "own")
_SCALE = (0.4, 2.5)
"""Limits of how much smaller or larger a crop is drawn, at the reference."""


@dataclass
class SwapConfig:
    """Which objects take the place of the target, and how."""

    library: str = ""
    """File of crops (`Library.save`); empty: cut from the data set itself."""
    objects: int = 32
    """Objects that are cut from the data set at most, when there is no file."""
    size: str = "area"
    """area: the new object covers as many pixels as the old one, so that it is as near. own: as many as where it was cut out."""
    inpaint: str = "steps"
    """What fills the hole: steps (other steps of the episode for cameras that stand still, else telea), telea, ns."""
    grow: int = 2
    """How far beyond its mask the old object is erased [px]."""
    distractor: bool = True
    """Whether the old object comes back beside the new one: in all cameras at one place of the table where the episode is simulated,
    else in cameras that stand still, each for itself."""
    body_cameras: bool = True
    """Whether the object is swapped in cameras that move with the robot, too; if not, these keep pictures and masks of the old one."""

    def __post_init__(self) -> None:
        if self.size not in SIZES:
            raise AugmentError(f"swap.size={self.size!r}; known: {', '.join(SIZES)}")
        if not 2 <= self.objects <= 1000:
            raise AugmentError(f"swap.objects={self.objects}; 2 to 1000")
        if not 0 <= self.grow <= 16:
            raise AugmentError(f"swap.grow={self.grow}; 0 to 16 px")
        inpainter(self.inpaint)


@dataclass(frozen=True)
class ObjectSwap:
    """Pastes a random other object of the library over the target. Masks become the new object's visible pixels, the instruction names it.

    Cameras that never see the target stay as they are. A recorded episode's body-fixed cameras do not tell the gripper from the rest
    (`World.robot_masks`): there the new object lies over it.
    """

    config: SwapConfig
    world: World
    given: Library | None = None
    """The crops; None: cut out of the data set when the first episode comes."""
    fill: Inpainter | None = None
    """Instead of the configuration's."""
    name: str = field(default="swap", init=False)

    @cached_property
    def library(self) -> Library:
        """What is pasted."""
        if self.given is not None:
            return self.given
        if self.world.folder is None:
            raise AugmentError("this world has no folder to cut objects from; give a library")
        return build_library(open_dataset(self.world.folder), self.world, self.config.objects)

    def contract(self, info: DatasetInfo) -> DatasetInfo:
        """Unchanged."""
        return info

    def __call__(self, episode: Episode, rng: np.random.Generator) -> Episode:
        """The episode with another object. Raises AugmentError where no mask shows the target, and where the library has no other."""
        old = object_name(episode)
        crops = self._choose(old, sorted(episode.images), rng)
        views, way = self._views(episode)
        stamps = {name: self._stamps(view, crops[name]) for name, view in views.items()}
        beside = {}
        if self.config.distractor:
            beside = place(self._cut_out(episode, views), views, None if way is None else way[0], stamps, rng)
        images, masks = dict(episode.images), dict(episode.masks)
        for name, view in views.items():
            images[name], masks[name] = self._compose(view, stamps[name], beside.get(name))
        new = crops[next(iter(views))]
        instruction, rule = _told(episode.instruction, new.noun)
        where = {name: middle(of) for name, of in beside.items() if views[name].still}
        return recorded(
            replace(episode, images=images, masks=masks, instruction=instruction),
            self.name,
            object=new.name,
            instead_of=old,
            source=new.source,
            instruction=rule,
            cameras=sorted(views),
            distractor=where,
        )

    def _choose(self, old: str, cameras: Sequence[str], rng: np.random.Generator) -> dict[str, Crop]:
        """A crop of one other object for each camera: of one episode if it was cut from all of them, else of this object from any."""
        others = [name for name in self.library.names() if name != old]
        if not others:
            raise AugmentError(f"the library shows no other object than {old!r}; a swap needs one: give swap.library, or more toys")
        crops = self.library.of(others[rng.integers(len(others))])
        sources = sorted({crop.source for crop in crops})
        source = sources[rng.integers(len(sources))]
        crops.sort(key=lambda crop: crop.source != source)
        return {camera: next((crop for crop in crops if crop.camera == camera), crops[0]) for camera in cameras}

    def _views(self, episode: Episode) -> tuple[dict[str, View], np.ndarray | None]:
        """What is known of each camera that is changed, and the object's way (T, 3) [m] where it is known."""
        seen = [name for name, masks in episode.masks.items() if masks.any()]
        if not seen:
            raise AugmentError("no mask says where the target is; a swap needs masks of it")
        fixed = {name for name, info in self.world.info.cameras.items() if info.body == "world"}
        names = [name for name in seen if self.config.body_cameras or name in fixed]
        if not names:
            raise AugmentError("only cameras on the robot see the target, and swap.body_cameras=false leaves them as they are")
        robot = self.world.robot_masks(episode)
        way, sights = watch(self.world, episode) if self.world.simulated(episode) else (None, {})
        views = {}
        for name in names:
            masks, hides, sight = episode.masks[name], robot[name], sights.get(name)
            hides = hides & ~masks
            motion = tracked(masks, hides) if sight is None or way is None else projected(sight, way, masks, hides)
            views[name] = View(episode.images[name], masks, hides, name in fixed, motion, sight)
        return views, way

    def _cut_out(self, episode: Episode, views: Mapping[str, View]) -> dict[str, Crop]:
        """The old object by camera: as the episode shows it, else, where the camera stands still, as the library does."""
        known = self.library.of(object_name(episode))
        found = {name: best_view(episode, name, view.robot, "this") for name, view in views.items()}
        kept = {name: next((crop for crop in known if crop.camera == name), None) for name, view in views.items() if view.still}
        chosen = {name: found[name] or kept.get(name) for name in views}
        return {name: crop for name, crop in chosen.items() if crop is not None}

    def _stamps(self, view: View, crop: Crop) -> list[Stamp | None]:
        """The new object as it falls onto each picture."""
        motion, at = view.motion, view.motion.reference
        scale = np.sqrt(view.masks[at].sum() / crop.area) if self.config.size == "area" else 1.0
        lit = in_light(crop, surroundings(view.pictures[at], view.masks[at], view.robot[at]))
        return follow(lit, motion.centre, float(np.clip(scale, *_SCALE)) * motion.scale, view.shape)

    def _compose(self, view: View, stamps: Sequence[Stamp | None], beside: Sequence[Stamp | None] | None) -> tuple[np.ndarray, np.ndarray]:
        """The old object erased and laid down beside, the new one over all but the robot: pictures (T, H, W, 3), masks (T, H, W)."""
        old = np.stack([grown(mask, self.config.grow) if mask.any() else mask for mask in view.masks])
        hidden = view.robot | np.stack([_solid(of, view.shape) for of in stamps])  # what the new object covers need not be invented
        fill = self.fill or inpainter(self.config.inpaint)(view.still)
        pictures = fill(view.pictures, old & ~hidden, old | hidden)
        masks = np.zeros_like(view.masks)
        for t, new in enumerate(stamps):
            distractor = beside[t] if beside else None
            if distractor is not None:
                lay(pictures[t], distractor, view.robot[t])
            if new is not None:
                masks[t] = lay(pictures[t], new, view.robot[t])
        return pictures, masks


def open_swap(config: SwapConfig, world: World, library: Library | None = None) -> ObjectSwap:
    """The augmentation; without a library, of the configuration's file or else of what `world`'s folder shows.

    Raises AugmentError for a broken file, or a data set of one object.
    """
    if library is None and config.library:
        library = Library.load(config.library)
    if library is None:
        if world.folder is None:
            raise AugmentError("a world without a folder shows no objects; give swap.library")
        objects_of(open_dataset(world.folder))
    return ObjectSwap(config, world, library)


def _told(instruction: str, noun: str) -> tuple[str, str]:
    """The instruction with the new object's noun, and what was done to it."""
    if not noun:
        return instruction, "kept: nothing names the new object"
    new = renamed(instruction, noun)
    if new is None:
        return instruction, "kept: no noun was found in it"
    return new, "kept: both are called so" if new == instruction else "rewritten"


def _solid(of: Stamp | None, shape: tuple[int, int]) -> np.ndarray:
    """Pixels that a stamp covers altogether, (H, W) bool."""
    solid = np.zeros(shape, bool)
    if of is not None:
        solid[of.rows, of.columns] = of.alpha > 0.995
    return solid
