"""A segmenter without weights, for a target on a plain table: what is not table is a thing; its colours are followed.

Good for a demo: solid or few colours, on a table of other colours. A target in the table's or the arm's colours it cannot tell from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np

from hardware.api import SegmenterError
from hardware.camera import Frame
from hardware.segmenter import Box, Click, Prompt, Words
from policies.segmenters.background import Background
from policies.segmenters.colourtrack import ColourTrack
from policies.segmenters.colourword import FAMILIES, colour_of, named
from policies.segmenters.prompt import FindBox, check_frame, check_prompt, inside

_ANY = {"it", "object", "thing", "anything", "something", "item", "toy", "target"}
"""Nouns that mean whatever lies there."""
_LEAST = 6
"""Pixels of a thing."""
_RIVAL = 0.1
"""A second thing with this much of the colour of the first makes words ambiguous: what is meant may be the smaller one."""
_PURE = 0.3
"""Part of a thing that is of a colour, at least, for it to be called so."""
_ARMS = ("white", "grey", "black")
"""Colours of arms and fingers: a thing of theirs that is cut off by the picture's rim is not meant."""


@dataclass(frozen=True)
class Tabletop:
    """Table, colours and GrabCut. The target is given by a click, a box, a colour word, or as "the object" where only one lies there."""

    empty: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Pictures of the table without objects by camera, (H, W, 3) u8, for cameras where there is one. Whatever still looks as in it
    is not the target: for a camera on the wrist, the fingers. The others learn their table from the rim of the first frame."""
    work: int = 256
    """Longer side of the pictures that it works on [px]; larger ones are reduced."""
    detector: FindBox | None = None
    """For words that name no colour: `policies.segmenters.words` has some."""

    def start(self, camera: str, frame: Frame, prompt: Prompt) -> ColourTrack:
        """Finds the target and follows it. Raises SegmenterError: nothing there, only table there, or words that fit nothing or several."""
        check_frame(camera, frame)
        check_prompt(camera, frame, prompt)
        image = reduced(frame.image, self.work)
        height, width = image.shape[:2]
        scale = width / frame.image.shape[1]
        background = Background.of(image, self._empty(camera, frame))
        if isinstance(prompt, Words):
            mask = self._named(camera, frame, image, background, prompt.text)
        elif isinstance(prompt, Click):
            mask = clicked(background, image, min(int(prompt.x * scale), width - 1), min(int(prompt.y * scale), height - 1))
        else:
            box = inside(Box(*(round(v * scale) for v in (prompt.x0, prompt.y0, prompt.x1, prompt.y1))), width, height)
            mask = boxed(background, image, box) if box is not None else np.zeros((height, width), bool)
        if mask.sum() < _LEAST:
            raise SegmenterError(
                f"camera {camera!r}: {describe(prompt)} shows nothing that differs from the table; point at the target itself, "
                "give an empty picture of the table, or use segmenter=sam2"
            )
        return ColourTrack(camera, frame, image, mask, background)

    def puzzle(self, text: str) -> str:
        """What is wrong with words that mean nothing here, whatever lies on the table; empty where they may mean something."""
        if colour_of(text) is not None or self.detector is not None or _ANY & set(text.lower().split()):
            return ""
        return (
            f"target={text!r} names no colour ({', '.join(FAMILIES)}), and there is no detector for other words: click on it, draw a box, "
            "add its colour, say 'the object' where only one lies there, or give a detector=MODEL (needs transformers)"
        )

    def _empty(self, camera: str, frame: Frame) -> np.ndarray | None:
        empty = self.empty.get(camera)
        if empty is not None and empty.shape != frame.image.shape:
            raise SegmenterError(f"camera {camera!r}: the picture of the empty table is {empty.shape}, its frames {frame.image.shape}")
        return None if empty is None else reduced(empty, self.work)

    def _named(self, camera: str, frame: Frame, image: np.ndarray, background: Background, text: str) -> np.ndarray:
        """The thing that words name, (h, w) bool."""
        family = colour_of(text)
        things, cut_off = separate(background.things(image))
        if family is not None:
            things += [] if family in _ARMS else cut_off
            painted = named(image, family)
            fits = [float((thing & painted).sum()) if painted[thing].mean() >= _PURE else 0.0 for thing in things]
            what = f"{family} thing"
        elif self.detector is not None:
            box = self.detector(frame.image, text)
            scale = image.shape[1] / frame.image.shape[1]
            cut = inside(Box(*(round(v * scale) for v in (box.x0, box.y0, box.x1, box.y1))), image.shape[1], image.shape[0])
            return boxed(background, image, cut) if cut is not None else np.zeros(image.shape[:2], bool)
        elif _ANY & set(text.lower().split()):
            fits = [float(thing.sum()) for thing in things]
            what = "thing"
        else:
            raise SegmenterError(f"camera {camera!r}: {self.puzzle(text)}")
        order = np.argsort(fits)[::-1]
        if not len(order) or fits[order[0]] < _LEAST:
            raise SegmenterError(
                f"camera {camera!r}: no {what} on the table for target={text!r} among the {len(things)} things there: "
                "click on it or draw a box"
            )
        rivals = [k for k in order if fits[k] > max(_RIVAL * fits[order[0]], _LEAST)]
        if len(rivals) > 1:
            scale = frame.image.shape[1] / image.shape[1]
            places = [tuple(round(float(v.mean() * scale)) for v in np.nonzero(things[k])[::-1]) for k in rivals[:3]]
            raise SegmenterError(
                f"camera {camera!r}: target={text!r} fits {len(rivals)} things, at x, y = {', '.join(map(str, places))}: click on one"
            )
        return refined(background, image, things[order[0]])


def reduced(image: np.ndarray, side: int) -> np.ndarray:
    """A picture whose longer side has at most `side` pixels, (h, w, 3) u8."""
    ratio = side / max(image.shape[:2])
    if ratio >= 1:
        return np.ascontiguousarray(image)
    return np.asarray(cv2.resize(image, (round(image.shape[1] * ratio), round(image.shape[0] * ratio)), interpolation=cv2.INTER_AREA))


def separate(mask: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Connected parts that are no specks: those within the picture, and those cut off by its rim, as the arm is and the floor."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    height, width = mask.shape
    parts, cut_off = [], []
    for k in range(1, count):
        x, y, w, h, area = stats[k]
        if area >= _LEAST:
            (parts if x > 0 and y > 0 and x + w < width and y + h < height else cut_off).append(labels == k)
    return parts, cut_off


def clicked(background: Background, image: np.ndarray, x: int, y: int) -> np.ndarray:
    """The thing at a pixel, or within 2 pixels of it; empty where all of that is table."""
    things = background.things(image)
    count, labels = cv2.connectedComponents(things.astype(np.uint8), connectivity=8)
    near = labels[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3]
    if count < 2 or not near.any():
        thing = background.at(image, x, y)
        return refined(background, image, thing) if thing.any() else thing
    k = labels[y, x] or np.bincount(near[near > 0]).argmax()
    return refined(background, image, labels == k)


def boxed(background: Background, image: np.ndarray, box: Box) -> np.ndarray:
    """The things in a box."""
    window = np.zeros(image.shape[:2], bool)
    window[box.y0 : box.y1, box.x0 : box.x1] = True
    things = background.within(image, window)
    return refined(background, image, things, window) if things.any() else things


def refined(background: Background, image: np.ndarray, thing: np.ndarray, window: np.ndarray | None = None) -> np.ndarray:
    """A thing cut along the picture's edges by GrabCut, within `window`; as it was where that leaves little of it."""
    thing = background.completed(image, thing) if window is None else thing
    rows, columns = np.flatnonzero(thing.any(axis=1)), np.flatnonzero(thing.any(axis=0))
    margin = 4 + max(len(rows), len(columns)) // 3
    y0, y1 = max(rows[0] - margin, 0), min(rows[-1] + 1 + margin, thing.shape[0])
    x0, x1 = max(columns[0] - margin, 0), min(columns[-1] + 1 + margin, thing.shape[1])
    seed = thing[y0:y1, x0:x1]
    near = cv2.dilate(seed.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    labels = np.where(seed, cv2.GC_PR_FGD, np.where(near, cv2.GC_PR_BGD, cv2.GC_BGD)).astype(np.uint8)
    if window is not None:
        labels[~window[y0:y1, x0:x1]] = cv2.GC_BGD
    if not (labels == cv2.GC_BGD).any():
        return thing
    noise = np.random.default_rng(0).integers(-2, 3, (*seed.shape, 3))  # its mixtures are singular where pixels are all alike
    crop = np.clip(image[y0:y1, x0:x1] + noise, 0, 255).astype(np.uint8)
    cv2.setRNGSeed(0)  # and begin at random
    try:
        cv2.grabCut(crop, labels, (0, 0, 1, 1), np.zeros((1, 65)), np.zeros((1, 65)), 2, cv2.GC_INIT_WITH_MASK)
    except cv2.error:
        return thing
    cut = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
    if cut.sum() < 0.5 * seed.sum():
        return thing
    whole = np.zeros_like(thing)
    whole[y0:y1, x0:x1] = cut
    return whole


def describe(prompt: Prompt) -> str:
    """A prompt, for people."""
    if isinstance(prompt, Click):
        return f"the click at x={prompt.x}, y={prompt.y}"
    if isinstance(prompt, Box):
        return f"the box from x={prompt.x0}, y={prompt.y0} to x={prompt.x1}, y={prompt.y1}"
    return f"target={prompt.text!r}"
