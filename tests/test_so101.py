"""The arm file of the SO-101 against the published model."""

from __future__ import annotations

import numpy as np
import pytest
from so101_chain import HOME

from hardware.model import load_arm


@pytest.mark.parametrize(
    ("qpos", "pos", "turn"),
    [
        ((0, 0, 0, 0, 0), (0.391362, -1.1e-5, 0.226469), ((0, 0, -1), (-0.04866, 0.99882, 0), (0.99882, 0.04866, 0))),
        (
            (0.3, -0.6, 0.8, 0.5, -1.0),
            (0.272266, -0.065341, 0.097879),
            ((0.05079, 0.68083, -0.73068), (-0.923, 0.31143, 0.22603), (0.38144, 0.66294, 0.64422)),
        ),
    ],
)
def test_forward_kinematics_is_that_of_the_published_model(qpos: tuple, pos: tuple, turn: tuple) -> None:
    # Site gripperframe and body gripper of so101_new_calib.xml, as MuJoCo computes them.
    arm = load_arm("so101")
    np.testing.assert_allclose(arm.tool(np.array(qpos))[:3, 3], pos, atol=2e-6)
    np.testing.assert_allclose(arm.frames(np.array(qpos))[-1][:3, :3], turn, atol=2e-5)


def test_home_points_down_over_the_table_and_closes_across() -> None:
    tool = load_arm("so101").tool(HOME)
    np.testing.assert_allclose(tool[:3, 2], [0, 0, -1], atol=1e-3)
    np.testing.assert_allclose(np.abs(tool[:3, 1]), [0, 1, 0], atol=1e-3)
    assert 0.05 < tool[2, 3] < 0.1
