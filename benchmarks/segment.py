"""Segmenters against a simulator's truth: `python -m benchmarks.segment`.

Demonstrations of toys and household objects are drawn by the side and the wrist camera, plain and under axes of `sim.variation`. Each
segmenter gets one prompt, made of the truth in the first frame that shows the target: a click on the pixel nearest to its middle, its box,
or words ("the red object", by the colour that most of its pixels have). Then it follows the target while the arm comes, grasps and lifts.
IoU counts where the target has 12 pixels or more in the picture. One thread.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
from PIL import Image

from assets.graspable import Graspable
from assets.objects.objectset import open_objects
from assets.toys import ToySet
from episodes import Episode
from episodes.picture import sheet
from hardware.api import SegmenterError
from hardware.camera import Frame
from hardware.segmenter import Click, Prompt, Segmenter, Words
from policies.segmenters import SEGMENTERS, open_segmenter
from policies.segmenters.colourword import FAMILIES, named
from policies.segmenters.prompt import box_around
from sim import gl
from sim.expert import Expert
from sim.scene import SceneConfig
from sim.simrobot import SimRobot
from sim.variation import PLAIN, vary

KINDS: dict[str, tuple[str, float, bool]] = {
    "plain": ("none", 1.0, False),
    "plain, filmed": ("none", 1.0, True),
    "cluttered": ("distractors", 0.5, False),
    "cluttered, filmed": ("distractors", 0.5, True),
    "light, filmed": ("light", 0.5, True),
    "texture, filmed": ("texture", 0.5, True),
    "noise": ("noise", 0.5, False),
}
"""Axis of variation, its strength, and whether pictures are made like a camera's, by what a row is called."""
FINE, GRAIN, QUALITY = 4, 4.0, 80
"""Pictures like a camera's are drawn this many times finer and reduced, have grain of this standard deviation, and went through JPEG."""
PROMPTS = ("click", "box", "words")
SEEN, BEGIN = 12, 20
"""Pixels of a target that counts; of one that a prompt can point at."""
GOOD, WRONG = 0.7, 0.3
"""IoU of a good mask, and below which one that is reported is wrong."""
VARIANTS = (("truth", ("click",), False), ("tabletop", PROMPTS, False), ("tabletop", ("click",), True), ("sam2", PROMPTS, False))
"""Segmenter, the prompts it is given, and whether it is given the empty view."""
CAMERAS = ("side", "wrist")
COLUMNS = {
    "refused": "refused",
    "median_iou": "median IoU",
    "good": "IoU > 0.7",
    "lost": "lost",
    "wrong": "wrong",
    "frames_per_second": "frames/s",
}
DRAWN = ("plain", "plain, filmed", "cluttered, filmed", "light, filmed", "texture, filmed")
"""Kinds of scenes on the sheet."""
MOMENTS = 5
"""Pictures of a track on the sheet."""


@dataclass(frozen=True)
class Film:
    """A demonstration as one camera saw it, from the first frame that shows enough of the target."""

    name: str
    kind: str
    camera: str
    images: np.ndarray
    """(T, H, W, 3) u8"""
    truth: np.ndarray
    """(T, H, W) bool"""
    empty: np.ndarray
    """The view without objects, the arm at home, (H, W, 3) u8."""

    def frame(self, t: int) -> Frame:
        """As a simulated camera gives it."""
        return Frame(self.images[t], t / 20, t, self.truth[t])


@dataclass(frozen=True)
class Outcome:
    """How a segmenter did on a film."""

    film: Film
    refused: str
    """Why it did not start; else empty."""
    masks: np.ndarray
    """(T, H, W) bool; T = 0 where it did not start."""
    seconds: float
    """Of all updates."""

    @property
    def iou(self) -> np.ndarray:
        """Of the frames that show the target, (n,)."""
        truth = self.film.truth[: len(self.masks)]
        shown = truth.sum((1, 2)) >= SEEN
        both, either = (self.masks & truth).sum((1, 2)), (self.masks | truth).sum((1, 2))
        return both[shown] / either[shown]

    @property
    def lost(self) -> np.ndarray:
        """Whether nothing was reported, of the frames that show the target, (n,) bool."""
        return (self.masks.sum((1, 2)) == 0)[self.film.truth[: len(self.masks)].sum((1, 2)) >= SEEN]

    @property
    def false(self) -> np.ndarray:
        """Whether something was reported, of the frames that show nothing of the target, (n,) bool."""
        return (self.masks.sum((1, 2)) > 0)[self.film.truth[: len(self.masks)].sum((1, 2)) == 0]


def films(objects: Sequence[Graspable], kinds: Sequence[str], seed: int) -> Iterator[Film]:
    """Both cameras' films of a demonstration of each object in each kind of scene."""
    for kind in kinds:
        axis, strength, filmed = KINDS[kind]
        for k, thing in enumerate(objects):
            with SimRobot(SceneConfig(thing, variation=PLAIN if axis == "none" else vary(axis, strength, seed + k))) as robot:
                size = robot.config.size
                empty = {camera.name: robot.picture(camera.name) for camera in robot.config.cameras}
                fine_empty = {camera: robot.picture(camera, FINE * size) for camera in empty} if filmed else {}
                tries = (Expert(robot).demonstrate(np.random.default_rng([seed, k, i]), upright=True) for i in range(8))
                episode = next((episode for episode in tries if episode is not None), None)
                if episode is None:
                    continue
                pictures = dict(episode.images)
                if filmed:
                    rng = np.random.default_rng([seed, k])
                    empty = {camera: as_filmed(fine, rng) for camera, fine in fine_empty.items()}
                    pictures = refilmed(robot, episode, rng)
                sensor = robot.config.variation.sensor
            for number, (camera, images) in enumerate(pictures.items()):
                if sensor is not None:
                    images = np.stack([sensor.apply(image, t, number) for t, image in enumerate(images)])
                truth = episode.masks[camera]
                enough = truth.sum((1, 2)) >= BEGIN
                if enough.any():
                    first = int(enough.argmax())
                    yield Film(thing.name, kind, camera, images[first:], truth[first:], empty[camera])


def refilmed(robot: SimRobot, episode: Episode, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """A demonstration's pictures by camera, (T, H, W, 3) u8 each, like a camera's."""
    shots: dict[str, list[np.ndarray]] = {camera: [] for camera in episode.images}
    for state in episode.state[:-1]:
        robot.set_state(state)
        for camera, taken in shots.items():
            taken.append(as_filmed(robot.picture(camera, FINE * robot.config.size), rng))
    return {camera: np.stack(taken) for camera, taken in shots.items()}


def as_filmed(fine: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A picture drawn `FINE` times too large, as a camera would give it, (H, W, 3) u8."""
    size = (fine.shape[1] // FINE, fine.shape[0] // FINE)
    reduced = np.asarray(cv2.resize(fine, size, interpolation=cv2.INTER_AREA), np.float32)
    noisy = np.clip(reduced + rng.normal(0, GRAIN, reduced.shape), 0, 255).astype(np.uint8)
    packed = cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR))  # channels in the order they came in


def prompt_of(film: Film, how: str) -> Prompt:
    """What a person would say of the first frame."""
    mask = film.truth[0]
    if how == "box":
        return box_around(mask)
    if how == "words":
        return Words(f"the {max(FAMILIES, key=lambda family: named(film.images[0], family)[mask].sum())} object")
    rows, columns = np.nonzero(mask)
    nearest = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
    return Click(int(columns[nearest]), int(rows[nearest]))


def follow(segmenter: Segmenter, film: Film, prompt: Prompt) -> Outcome:
    """Runs a segmenter through a film."""
    try:
        track = segmenter.start(film.camera, film.frame(0), prompt)
    except SegmenterError as error:
        return Outcome(film, str(error), np.zeros((0, *film.truth.shape[1:]), bool), 0.0)
    start = time.perf_counter()
    masks = [track.update(film.frame(t)).mask for t in range(len(film.images))]
    return Outcome(film, "", np.stack(masks), time.perf_counter() - start)


def summary(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Figures of a row."""
    started = [o for o in outcomes if not o.refused]
    if not started:
        return {"films": len(outcomes), "refused": len(outcomes)}
    ious, lost, false = (np.concatenate([getattr(o, key) for o in started]) for key in ("iou", "lost", "false"))
    return {
        "films": len(outcomes),
        "refused": len(outcomes) - len(started),
        "median_iou": round(float(np.median(ious)), 3),
        "good": round(float((ious > GOOD).mean()), 3),
        "lost": round(float(lost.mean()), 3),
        "wrong": round(float(((ious < WRONG) & ~lost).mean()), 3),
        "false": round(float(false.mean()), 3) if len(false) else 0.0,
        "frames": len(ious),
        "frames_without_target": len(false),
        "frames_per_second": round(sum(len(o.masks) for o in started) / sum(o.seconds for o in started)),
    }


def contact_sheet(outcomes: Mapping[str, Sequence[Outcome]], height: int) -> np.ndarray:
    """The middling and the worst track of each kind of scene, masks outlined, (H, W, 3) u8."""
    frames, masks, rows = [], [], []
    for kind, of in outcomes.items():
        ranked = sorted((o for o in of if not o.refused), key=lambda o: float(o.iou.mean()))
        for what, outcome in (("middling", ranked[len(ranked) // 2]), ("worst", ranked[0])):
            moments = np.linspace(0, len(outcome.masks) - 1, MOMENTS).round().astype(int)
            frames.append(outcome.film.images[moments])
            masks.append(outcome.masks[moments])
            rows.append(f"{kind.removesuffix(', filmed')}: {what}")
    return sheet(frames, masks, rows=rows, height=height)


def save_small(path: Path, page: np.ndarray) -> None:
    """Writes a PNG of 192 colours: grain does not compress."""
    Image.fromarray(page).quantize(192, kmeans=4, dither=Image.Dither.NONE).save(path, optimize=True)


def print_row(cells: Sequence[object]) -> None:
    """One row of a Markdown table."""
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    """A Markdown table, figures of the side and the wrist camera in each cell; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toys", type=int, default=8, help="toys, beside the six household objects")
    parser.add_argument("--seed", type=int, default=11, help="of toys, placements and variations")
    parser.add_argument("--kinds", nargs="*", choices=list(KINDS), default=list(KINDS), help="of scenes")
    parser.add_argument("--segmenters", nargs="*", choices=list(SEGMENTERS), default=["truth", "tabletop"])
    parser.add_argument("--model", help="of sam2, where it is measured: a name on the hub or a folder")
    parser.add_argument("--picture", type=Path, help="where the contact sheet goes")
    arguments = parser.parse_args(argv)
    cv2.setNumThreads(1)
    gl.setup()
    objects = [*ToySet.sample(arguments.seed, arguments.toys), *open_objects("household")]
    drawn = list(films(objects, arguments.kinds, arguments.seed))
    rows, shown = [], {}
    print_row(("segmenter", "prompt", "scene", "films", *COLUMNS.values()))
    print_row(["---"] * (4 + len(COLUMNS)))
    for (name, prompts, empty), kind in ((v, k) for v in VARIANTS if v[0] in arguments.segmenters for k in arguments.kinds):
        for how in prompts:
            label = f"{name}, empty view" if empty else name
            pair = []
            for camera in CAMERAS:
                chosen = [film for film in drawn if (film.kind, film.camera) == (kind, camera)]
                outcomes = [follow(opened(name, film if empty else None, arguments.model), film, prompt_of(film, how)) for film in chosen]
                pair.append({"segmenter": label, "prompt": how, "scene": kind, "camera": camera} | summary(outcomes))
                if label == "tabletop" and how == "click" and kind in DRAWN:
                    shown.setdefault(kind, []).extend(outcomes)
                for outcome in (o for o in outcomes if o.refused):
                    print(f"{kind}, {outcome.film.name}: {outcome.refused}", file=sys.stderr)
            rows += pair
            films_of = " / ".join(str(row["films"]) for row in pair)
            print_row((label, how, kind, films_of, *(" / ".join(str(row.get(key, "-")) for row in pair) for key in COLUMNS)))
    if arguments.picture and shown:
        save_small(arguments.picture, contact_sheet(shown, 104))
    rates = [row["frames_per_second"] for row in rows if row["segmenter"].startswith("tabletop") and "frames_per_second" in row]
    print(json.dumps({"rows": rows, "tabletop_frames_per_second": statistics.median(rates) if rates else None}))


def opened(name: str, film: Film | None, model: str | None) -> Segmenter:
    """A segmenter by its name, with the empty view of a film, and a model, where given."""
    settings: dict[str, Any] = {} if film is None else {"empty": {film.camera: film.empty}}
    return open_segmenter(name, **settings, **({"model": model} if name == "sam2" and model else {}))


if __name__ == "__main__":
    main()
