"""The contact sheet: before above after, in the order of the pairs, with what was drawn in words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from episode_samples import make_episode

from augment import recorded
from augment.sheet import describe, draw_sheet


def plain(value: int, steps: int = 5, cameras: tuple[str, ...] = ("side",)):
    """An episode of one grey."""
    episode = make_episode(steps=steps, sizes=dict.fromkeys(cameras, (32, 32)))
    return replace(
        episode,
        images={camera: np.full((steps, 32, 32, 3), value, np.uint8) for camera in cameras},
        masks={camera: np.zeros((steps, 32, 32), bool) for camera in cameras},
    )


def test_every_pair_is_two_rows_before_above_after() -> None:
    page = draw_sheet([(plain(50), plain(100)), (plain(150), plain(200))], height=64)
    assert page.dtype == np.uint8
    middle = page[:, page.shape[1] // 2, 0].astype(int)
    seen = [value for value in (50, 100, 150, 200) if (middle == value).sum() >= 60]
    order = [float(np.median(np.flatnonzero(middle == value))) for value in seen]
    assert seen == [50, 100, 150, 200]
    assert order == sorted(order)


def test_all_cameras_are_shown_and_episodes_of_other_lengths_too() -> None:
    one = draw_sheet([(plain(50), plain(100, steps=1))], height=64)
    two = draw_sheet([(plain(50, cameras=("side", "wrist")), plain(100, cameras=("side", "wrist")))], height=64)
    assert two.shape[1] > one.shape[1]


def test_masks_are_outlined() -> None:
    bare, marked = plain(90), plain(90)
    marked.masks["side"][:, 10:20, 10:20] = True
    assert (draw_sheet([(bare, bare)]) != draw_sheet([(bare, marked)])).any()


def test_what_was_drawn_is_said_in_words() -> None:
    episode = recorded(
        recorded(make_episode(), "viewpoint", angle_deg=23.04, matrix=[[1.0]], camera="side"), "background", texture="clouds"
    )
    provenance = {**episode.provenance, "origin": {"source": "x", "shard": "000012", "episode": 3, "copy": 0}}
    said = describe(provenance)
    assert "000012 / 3" in said
    assert "viewpoint" in said
    assert "23" in said
    assert "clouds" in said
    assert "[[" not in said
