"""Inpainting: holes only, from the background only."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from augment import AugmentError
from augment.inpaint import INPAINTERS, NAVIER_STOKES, TELEA, OtherSteps, inpainter

T, H, W = 6, 40, 48


def pictures() -> np.ndarray:
    ramp = np.linspace(60, 200, W)[None, :, None] + np.array([0, -20, 20])
    return np.repeat(np.repeat(ramp, H, 0)[None], T, 0).round().astype(np.uint8)


def squares(step: int = 5, size: int = 8) -> np.ndarray:
    """A square that moves to the right."""
    holes = np.zeros((T, H, W), bool)
    for t in range(T):
        holes[t, 16 : 16 + size, 4 + step * t : 4 + step * t + size] = True
    return holes


nothing = np.zeros((T, H, W), bool)


@pytest.mark.parametrize("name", INPAINTERS)
@pytest.mark.parametrize("still", [True, False])
def test_only_holes_change_and_the_given_pictures_do_not(name: str, still: bool) -> None:
    holes, given = squares(), pictures()
    given[holes] = (255, 0, 255)
    before = given.copy()
    filled = inpainter(name)(still)(given, holes, nothing)
    assert np.array_equal(given, before)
    assert np.array_equal(filled[~holes], given[~holes])
    assert np.abs(filled.astype(int) - pictures()).max() < 30


def test_other_steps_give_the_truth() -> None:
    holes, given = squares(step=6, size=8), pictures()
    given[holes] = (255, 0, 255)
    filled = OtherSteps(TELEA)(given, holes, nothing)
    assert np.array_equal(filled, pictures())


def test_where_no_step_shows_the_background_the_other_inpainter_fills() -> None:
    holes = squares(step=0)
    given = pictures()
    given[holes] = (255, 0, 255)
    assert np.array_equal(OtherSteps(TELEA)(given, holes, nothing), TELEA(given, holes, nothing))


@pytest.mark.parametrize("fill", [TELEA, NAVIER_STOKES, OtherSteps(TELEA)])
def test_what_hides_the_background_is_not_smeared_into_the_hole(fill) -> None:
    holes, hidden, given = squares(step=0), np.zeros((T, H, W), bool), pictures()
    hidden[:, :16, 2:16] = True  # right above the hole
    given[hidden], given[holes] = (0, 255, 0), (255, 0, 255)
    filled = fill(given, holes, hidden)
    assert np.abs(filled[holes].astype(int) - pictures()[holes]).max() < 40
    assert np.array_equal(filled[hidden], given[hidden])


def test_a_large_hole_is_filled_smoothly() -> None:
    holes, given = np.zeros((T, H, W), bool), pictures()
    holes[:, 5:35, 8:40] = True
    given[holes] = 0
    filled = TELEA(given, holes, nothing)
    assert filled[holes].min() > 30


def test_a_picture_of_which_nothing_is_known_gets_the_usual_colour() -> None:
    holes, hidden, given = squares(), nothing.copy(), np.full((T, H, W, 3), 77, np.uint8)
    hidden[2] = True
    given[holes] = 255
    assert (TELEA(given, holes, hidden)[2][holes[2]] == 77).all()


def test_no_hole_no_change() -> None:
    assert np.array_equal(OtherSteps(TELEA)(pictures(), nothing, nothing), pictures())


def test_an_unknown_inpainter_is_refused() -> None:
    with pytest.raises(AugmentError, match="steps, telea, ns"):
        inpainter("lama")


def test_the_numbers_of_methods_are_opencvs() -> None:
    assert (TELEA.method, NAVIER_STOKES.method) == (cv2.INPAINT_TELEA, cv2.INPAINT_NS)
