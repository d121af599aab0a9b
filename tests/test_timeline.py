"""Chunks laid out in time."""

from __future__ import annotations

import numpy as np

from hardware.api import ActionChunk
from hardware.timeline import Timeline


def test_actions_of_another_arm_are_not_blended_but_handed_on_to_be_refused() -> None:
    old = Timeline(ActionChunk(np.zeros((16, 7)), np.ones((16, 1))), 0.0, 0.05)
    new = old.merged(ActionChunk(np.ones((16, 6)), np.ones((16, 1))), 0.3, 0.35, 0.05)
    action = new.at(0.36)
    assert action is not None
    assert action.qpos.shape == (6,)


def test_actions_of_the_same_arm_are_blended() -> None:
    old = Timeline(ActionChunk(np.zeros((16, 7)), np.ones((16, 1))), 0.0, 0.05)
    new = old.merged(ActionChunk(np.ones((16, 7)), np.ones((16, 1))), 0.3, 0.35, 0.05)
    action = new.at(0.36)
    assert action is not None
    np.testing.assert_allclose(action.qpos, 0.2)
