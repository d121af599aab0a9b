"""Segmenters that need no weights: truth, and the one for a plain table."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware.api import SegmenterError
from hardware.camera import Frame
from hardware.segmenter import Box, Click, Prompt, Segmentation, Words
from policies.segmenters import SEGMENTERS, open_segmenter
from policies.segmenters.colourword import FAMILIES, colour_of, named
from policies.segmenters.palette import Palette, bins
from policies.segmenters.prompt import box_around
from policies.segmenters.tabletop import Tabletop
from policies.segmenters.truth import Truth

SIZE = 96
TABLE, ARM = (205, 170, 125), (235, 235, 238)
RED, BLUE, GREEN = (200, 30, 35), (35, 60, 200), (30, 140, 60)


def table(rng: np.random.Generator, size: int = SIZE, noise: float = 2.0) -> np.ndarray:
    """A table with a floor behind it, grainy as cameras are, (size, size, 3) u8."""
    image = np.empty((size, size, 3))
    image[:] = TABLE
    image[: size // 8] = (110, 118, 130)
    return np.clip(image + rng.normal(0, noise, image.shape), 0, 255).astype(np.uint8)


def put(image: np.ndarray, colour: tuple[int, int, int], x: int, y: int, w: int = 16, h: int = 12) -> np.ndarray:
    """Draws a block with a darker side on a picture; its pixels, (H, W) bool."""
    mask = np.zeros(image.shape[:2], bool)
    mask[max(y, 0) : max(y + h, 0), max(x, 0) : max(x + w, 0)] = True
    image[mask] = colour
    lower = mask.copy()
    lower[: y + 2 * h // 3] = False
    image[lower] = tuple(int(0.6 * c) for c in colour)
    return mask


def moving(steps: int = 30, noise: float = 2.0) -> Iterator[tuple[Frame, np.ndarray]]:
    """A red block that goes across the table, and where it is."""
    rng = np.random.default_rng(0)
    for t in range(steps):
        image = table(rng, noise=noise)
        put(image, BLUE, 70, 70)
        mask = put(image, RED, 20 + t, 40 + t // 2)
        yield Frame(image, 0.05 * t, t, mask), mask


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max((a | b).sum(), 1))


def still(*blocks: tuple[tuple[int, int, int], int, int], seed: int = 0) -> Frame:
    image = table(np.random.default_rng(seed))
    for colour, x, y in blocks:
        put(image, colour, x, y)
    return Frame(image, 0.0, 0)


def test_every_segmenter_of_the_table_opens_by_its_name_and_loads_nothing() -> None:
    for name in SEGMENTERS:
        assert open_segmenter(name).start
    with pytest.raises(SegmenterError, match=r"no segmenter 'sam3'; known: truth, tabletop, sam2"):
        open_segmenter("sam3")
    with pytest.raises(SegmenterError, match=r"segmenter 'tabletop' has no setting 'colour'; it has: empty, work, detector"):
        open_segmenter("tabletop", colour="red")


def test_truth_is_handed_on_and_where_there_is_none_says_so() -> None:
    (frame, mask), *_ = moving(1)
    track = Truth().start("side", frame, Words("anything"))
    assert (track.update(frame).mask == mask).all()
    assert track.update(frame).confidence == 1
    gone = track.update(Frame(frame.image, 0.1, 1, np.zeros_like(mask)))
    assert gone.confidence == 0
    assert not gone.mask.any()
    assert track.update(Frame(frame.image, 0.1, 1)).confidence == 0
    with pytest.raises(SegmenterError, match="carry no truth"):
        Truth().start("side", Frame(frame.image, 0.0, 0), Words("anything"))
    with pytest.raises(SegmenterError, match="the truth is"):
        Truth().start("side", Frame(frame.image, 0.0, 0, mask[:-1]), Words("anything"))


@pytest.mark.parametrize("prompt", [Click(28, 46), Box(17, 37, 40, 56), Words("the red mug"), Words("crimson")], ids=str)
@pytest.mark.parametrize("noise", [0.0, 2.0, 6.0])
def test_a_moving_target_is_followed_from_each_kind_of_prompt(prompt: Prompt, noise: float) -> None:
    frames = list(moving(noise=noise))
    track = Tabletop().start("side", frames[0][0], prompt)
    for frame, mask in frames:
        seen = track.update(frame)
        assert seen.mask.dtype == bool
        assert iou(seen.mask, mask) > 0.85
        assert 0.6 < seen.confidence <= 1


def test_the_same_frames_give_the_same_masks() -> None:
    def run() -> list[Segmentation]:
        frames = [frame for frame, _ in moving(12)]
        track = Tabletop().start("side", frames[0], Click(28, 46))
        return [track.update(frame) for frame in frames]

    for one, other in zip(run(), run(), strict=True):
        assert (one.mask == other.mask).all()
        assert one.confidence == other.confidence


def test_large_pictures_are_worked_on_smaller_and_masked_in_full() -> None:
    (frame, mask), *_ = moving(1, noise=0.0)
    large = Frame(frame.image.repeat(5, axis=0).repeat(5, axis=1), 0.0, 0)
    for prompt in (Click(28 * 5, 46 * 5), Box(85, 185, 200, 280), Words("red")):
        seen = Tabletop(work=160).start("side", large, prompt).update(large)
        assert seen.mask.shape == (SIZE * 5, SIZE * 5)
        assert iou(seen.mask, mask.repeat(5, axis=0).repeat(5, axis=1)) > 0.85


def test_the_object_is_the_only_thing_there() -> None:
    frame = still((GREEN, 40, 50))
    seen = Tabletop().start("side", frame, Words("the object")).update(frame)
    assert box_around(seen.mask) == Box(40, 50, 56, 62)
    with pytest.raises(SegmenterError, match=r"target='the object' fits 2 things, at x, y = .*: click on one"):
        Tabletop().start("side", still((GREEN, 40, 50), (RED, 70, 30)), Words("the object"))


def test_of_two_things_in_one_colour_none_is_chosen() -> None:
    frame = still((RED, 20, 50), (RED, 70, 30), (BLUE, 50, 70))
    with pytest.raises(SegmenterError, match="fits 2 things"):
        Tabletop().start("side", frame, Words("the red one"))
    assert box_around(Tabletop().start("side", frame, Words("the blue one")).update(frame).mask) == Box(50, 70, 66, 82)


def test_a_colour_word_means_the_small_one_as_well_as_the_large_one() -> None:
    image = table(np.random.default_rng(0))
    put(image, RED, 20, 40, 30, 30)
    put(image, RED, 70, 70, 12, 9)
    with pytest.raises(SegmenterError, match="fits 2 things"):
        Tabletop().start("side", Frame(image, 0.0, 0), Words("the red one"))
    image = table(np.random.default_rng(0))
    put(image, RED, 40, 40)
    put(image, RED, 88, 70)  # cut off by the rim, and yet it may be meant
    with pytest.raises(SegmenterError, match="fits 2 things"):
        Tabletop().start("side", Frame(image, 0.0, 0), Words("the red one"))


def test_a_click_finds_what_has_the_colours_of_the_floor() -> None:
    image = table(np.random.default_rng(0))
    mask = np.zeros(image.shape[:2], bool)
    mask[50:66, 40:60] = True
    image[mask] = image[4, 4]
    frame = Frame(image, 0.0, 0)
    assert iou(Tabletop().start("side", frame, Click(50, 58)).update(frame).mask, mask) > 0.85
    with pytest.raises(SegmenterError, match="no grey thing"):
        Tabletop().start("side", frame, Words("the grey one"))


def test_words_that_fit_nothing_are_refused_with_what_would_do() -> None:
    frame = still((RED, 20, 50))
    with pytest.raises(SegmenterError, match="no green thing on the table"):
        Tabletop().start("side", frame, Words("the green mug"))
    with pytest.raises(SegmenterError, match=r"'the mug' names no colour \(red, orange.*click on it, draw a box, .* detector=MODEL"):
        Tabletop().start("side", frame, Words("the mug"))
    with pytest.raises(SegmenterError, match="no thing on the table"):
        Tabletop().start("side", still(), Words("the object"))


def test_words_without_a_colour_go_to_the_detector() -> None:
    asked = []

    def find(image: np.ndarray, text: str) -> Box:
        asked.append((image.shape, text))
        return Box(66, 26, 90, 46)

    frame = still((RED, 20, 50), (BLUE, 70, 30))
    seen = Tabletop(detector=find).start("side", frame, Words("the mug")).update(frame)
    assert asked == [((SIZE, SIZE, 3), "the mug")]
    assert box_around(seen.mask) == Box(70, 30, 86, 42)


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        (Click(SIZE, 5), "outside of the picture"),
        (Click(-1, 5), "outside of the picture"),
        (Click(80, 80), "shows nothing that differs from the table"),
        (Box(60, 60, 90, 90), "shows nothing that differs from the table"),
        (Box(100, 100, 120, 120), "covers less than 2 x 2 px"),
        (Box(30, 30, 20, 40), "covers less than 2 x 2 px"),
        (Words("  "), "words are empty"),
        ("the mug", "a prompt is a Click, a Box or Words, got str"),
    ],
    ids=str,
)
def test_prompts_that_mean_nothing_are_refused_by_name(prompt: Prompt, says: str) -> None:
    with pytest.raises(SegmenterError, match=says) as error:
        Tabletop().start("side", still((RED, 20, 50)), prompt)
    assert "camera 'side'" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("shape", [(SIZE, SIZE), (SIZE, SIZE, 4), (0, SIZE, 3)])
def test_what_is_no_picture_is_refused(shape: tuple[int, ...]) -> None:
    for make in (Truth(), Tabletop()):
        with pytest.raises(SegmenterError, match="a frame is"):
            make.start("side", Frame(np.zeros(shape, np.uint8), 0.0, 0), Click(1, 1))


def test_a_frame_of_another_size_is_refused_and_the_track_goes_on() -> None:
    frames = list(moving(3))
    track = Tabletop().start("side", frames[0][0], Click(28, 46))
    with pytest.raises(SegmenterError, match=r"sent 48 x 64 px; its track began with 96 x 96 px"):
        track.update(Frame(np.zeros((64, 48, 3), np.uint8), 0.1, 1))
    assert iou(track.update(frames[1][0]).mask, frames[1][1]) > 0.85
    with pytest.raises(SegmenterError, match="empty table is"):
        Tabletop(empty={"side": np.zeros((8, 8, 3), np.uint8)}).start("side", frames[0][0], Click(28, 46))


def test_a_target_that_leaves_is_lost_and_found_again_elsewhere() -> None:
    rng = np.random.default_rng(1)
    frame = still((RED, 20, 50), (BLUE, 60, 30))
    track = Tabletop().start("side", frame, Click(28, 55))
    for _ in range(5):
        assert track.update(frame).confidence > 0.6
    for t in range(40):
        image = table(rng)
        put(image, BLUE, 60, 30)
        lost = track.update(Frame(image, 0.1, t))
        assert lost.confidence == 0
        assert not lost.mask.any()
    image = table(rng)
    put(image, BLUE, 60, 30)
    mask = put(image, RED, 55, 70)
    found = [track.update(Frame(image, 0.1, t)) for t in range(3)]
    assert iou(found[-1].mask, mask) > 0.85
    assert found[-1].confidence > 0.6


def test_a_hand_that_comes_and_covers_the_target_is_not_taken_for_it() -> None:
    rng = np.random.default_rng(2)
    track = None
    for t in range(40):
        image = table(rng)
        mask = put(image, RED, 40, 60)
        hand = np.zeros_like(mask)
        hand[: min(2 * t, 66), 36:60] = True  # down to half of the target
        image[hand] = ARM
        frame = Frame(image, 0.05 * t, t)
        track = track or Tabletop().start("side", frame, Click(48, 66))
        seen = track.update(frame)
        assert iou(seen.mask, mask & ~hand) > 0.8, t
    assert seen.confidence > 0.6


def test_what_looks_as_in_the_empty_view_is_no_target() -> None:
    rng = np.random.default_rng(3)
    finger = np.zeros((SIZE, SIZE), bool)
    finger[78:90, 10:40] = True

    def view(with_block: bool) -> tuple[Frame, np.ndarray]:
        image = table(rng, noise=1.0)
        image[finger] = RED  # as red as the block
        mask = put(image, RED, 20, 60, 16, 20) if with_block else np.zeros((SIZE, SIZE), bool)
        return Frame(image, 0.0, 0), mask

    frame, mask = view(True)
    empty = {"wrist": view(False)[0].image}
    guarded = Tabletop(empty=empty).start("wrist", frame, Click(28, 66)).update(frame)
    plain = Tabletop().start("wrist", frame, Click(28, 66)).update(frame)
    only = mask & ~finger
    assert iou(guarded.mask, only) > 0.85
    assert iou(plain.mask, only) < 0.6


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(["noise", "black", "white", "stripes", "target's colour"]))
def test_no_picture_makes_a_track_raise(seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    track = Tabletop().start("side", still((RED, 20, 50)), Click(28, 55))
    image = {
        "noise": rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8),
        "black": np.zeros((SIZE, SIZE, 3), np.uint8),
        "white": np.full((SIZE, SIZE, 3), 255, np.uint8),
        "stripes": np.tile(rng.integers(0, 256, (1, SIZE, 3), np.uint8), (SIZE, 1, 1)),
        "target's colour": np.full((SIZE, SIZE, 3), RED, np.uint8),
    }[kind]
    for t in range(4):
        seen = track.update(Frame(image, 0.1 * t, t))
        assert seen.mask.shape == (SIZE, SIZE)
        assert 0 <= seen.confidence <= 1
        assert (seen.confidence == 0) == (not seen.mask.any())


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(["noise", "flat", "blocks"]), prompt=st.sampled_from(["click", "box", "words"]))
def test_a_start_on_any_picture_is_a_track_or_a_segmenter_error(seed: int, kind: str, prompt: str) -> None:
    rng = np.random.default_rng(seed)
    image = np.full((40, 56, 3), rng.integers(0, 256, 3), np.uint8)
    if kind == "noise":
        image = rng.integers(0, 256, image.shape, np.uint8)
    elif kind == "blocks":
        for _ in range(6):
            x, y = rng.integers(0, 50, 2)
            image[y : y + 9, x : x + 9] = rng.integers(0, 256, 3)
    x, y = int(rng.integers(0, 56)), int(rng.integers(0, 40))
    asked = {"click": Click(x, y), "box": Box(x - 8, y - 8, x + 8, y + 8), "words": Words(str(rng.choice([*FAMILIES, "object"])))}[prompt]
    frame = Frame(image, 0.0, 0)
    try:
        track = Tabletop().start("side", frame, asked)
    except SegmenterError:
        return
    assert track.update(frame).mask.shape == (40, 56)


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("the red mug", "red"),
        ("a Navy box", "blue"),
        ("GRAY", "grey"),
        ("teal-ish", "cyan"),
        ("the mug", None),
        ("redwood", None),
        ("", None),
    ],
)
def test_a_colour_word_is_found_in_a_text(text: str, family: str | None) -> None:
    assert colour_of(text) == family


@pytest.mark.parametrize(
    ("colour", "family"),
    [
        ((220, 30, 30), "red"),
        ((90, 12, 12), "red"),
        ((40, 90, 255), "blue"),
        ((20, 30, 90), "blue"),
        ((235, 205, 40), "yellow"),
        ((0, 140, 40), "green"),
        ((0, 70, 20), "green"),
        ((240, 130, 20), "orange"),
        ((130, 40, 160), "purple"),
        ((250, 120, 180), "pink"),
        ((95, 50, 22), "brown"),
        ((250, 250, 250), "white"),
        ((128, 128, 130), "grey"),
        ((20, 20, 20), "black"),
    ],
)
def test_a_colour_has_one_name(colour: tuple[int, int, int], family: str) -> None:
    image = np.full((1, 1, 3), colour, np.uint8)
    assert [name for name in FAMILIES if named(image, name).any()] == [family]


def test_a_palette_is_a_distribution_and_most_like_itself() -> None:
    rng = np.random.default_rng(0)
    red, blue = (Palette.of(bins(np.full((8, 8, 3), c, np.uint8))) for c in (RED, BLUE))
    both = red.mixed(blue, 0.5)
    for palette in (red, blue, both, Palette.of(bins(rng.integers(0, 256, (9, 9, 3), np.uint8))), Palette.of(np.zeros(0, int))):
        assert palette.share.min() > 0
        assert palette.share.sum() == pytest.approx(1, abs=1e-3)
        assert palette.likeness(palette) == pytest.approx(1, abs=1e-3)
    assert red.likeness(blue) < 0.2 < red.likeness(both)


def test_it_keeps_up_with_a_camera() -> None:
    frames = [frame for frame, _ in moving(40)]
    track = Tabletop().start("side", frames[0], Click(28, 46))
    took = []
    for frame in frames:
        start = time.perf_counter()
        track.update(frame)
        took.append(time.perf_counter() - start)
    assert statistics.median(took) < 0.02  # about 1 ms on a free core
