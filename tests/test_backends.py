"""Pictures of two back ends: the same are the same, others are found, and what draws nothing is left out."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest

from sim import backends, doctor, gl
from sim.backends import IOU, MEAN, Drawn, difference


@pytest.fixture
def drawn() -> Drawn:
    rng = np.random.default_rng(0)
    masks = {name: np.zeros((16, 16), bool) for name in "ab"}
    masks["a"][4:8, 4:8] = True
    return Drawn({name: rng.integers(0, 200, (16, 16, 3), np.uint8) for name in "ab"}, masks, 1.0)


def test_a_picture_is_no_way_from_itself(drawn):
    assert asdict(difference(drawn, drawn)) == {"rgb_mean": 0, "rgb_max": 0, "mask_iou": 1, "ms": 1}
    assert difference(drawn, drawn).same


def test_differences_are_measured_over_all_pictures(drawn):
    brighter = replace(drawn, pictures={"a": drawn.pictures["a"] + np.uint8(6), "b": drawn.pictures["b"]}, ms=2.0)
    apart = difference(brighter, drawn)
    assert (apart.rgb_mean, apart.rgb_max, apart.ms) == (3.0, 6, 2.0)
    assert difference(drawn, brighter).rgb_mean == 3.0, "darker is as far as brighter"
    assert not apart.same


def test_the_worst_mask_counts(drawn):
    moved = np.roll(drawn.masks["a"], 1, axis=1)
    apart = difference(replace(drawn, masks={"a": moved, "b": drawn.masks["b"]}), drawn)
    assert apart.mask_iou == pytest.approx(12 / 20)
    assert not apart.same


@pytest.mark.parametrize(("rgb_mean", "mask_iou", "said"), [(MEAN, IOU, 0), (MEAN + 0.01, 1.0, 1), (0.0, IOU - 0.01, 1)])
def test_the_doctor_advises_where_pictures_differ(rgb_mean, mask_iou, said):
    apart = {"rgb_mean": rgb_mean, "rgb_max": 9, "mask_iou": mask_iou, "ms": 1.0}
    advice = doctor.differing({"against": "osmesa", "back_ends": {"egl": apart}})
    assert len(advice) == said
    assert all("egl draws other pictures than osmesa" in line and "MUJOCO_GL=NAME" in line for line in advice)


def test_what_draws_nothing_is_left_out():
    assert backends.drawn_by("vulkan") is None
    assert backends.compare(["vulkan"]) == (None, {})
    assert backends.drawn_by("osmesa", deadline=0.05) is None


@pytest.mark.slow
def test_back_ends_of_this_machine_draw_the_same():
    working = [name for name in gl.BACKENDS if gl.probe(name).ok]
    reference, found = backends.compare(working)
    assert reference in working
    assert list(found) == working
    assert found[reference].rgb_max == 0
    assert all(apart.ms > 0 for apart in found.values())
    if not gl.has_gpu():
        assert all(apart.same for apart in found.values())
