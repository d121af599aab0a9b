"""Laws of the other arms: what is commanded is what is measured on the model."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from sim.ik import InverseKinematics, down
from sim.robots import GRIP, ROBOTS, Arm

ALL = {name: arm for name, arm in ROBOTS.items() if len(arm.hand.values) == 1}


@pytest.fixture(scope="module", params=ALL)
def posed(request) -> tuple[Arm, mujoco.MjModel, mujoco.MjData]:
    arm = ALL[request.param]
    model = arm.spec().compile()
    return arm, model, mujoco.MjData(model)


def pose(arm: Arm, model: mujoco.MjModel, data: mujoco.MjData, q: np.ndarray | tuple[float, ...], opening: float) -> None:
    fingers = arm.hand.positions(np.array([opening / arm.hand.room.opening]))
    for name, value in (*zip(arm.joints, q, strict=True), *zip(arm.hand.joints, fingers, strict=True)):
        data.joint(name).qpos = value
    mujoco.mj_kinematics(model, data)


def pads(arm: Arm, model: mujoco.MjModel, data: mujoco.MjData) -> np.ndarray:
    """Places of the faces of the left and the right pad along the closing, in the grip's frame, (2,) [m]."""
    robotiq = "finger_joint" in arm.hand.joints
    names = [f"{side}_fingertip_visual" for side in ("left", "right")] if robotiq else [f"finger{k}_pad_collision" for k in (1, 2)]
    across = data.site(GRIP).xmat.reshape(3, 3)[:, 1]
    middles = np.array([(data.geom(name).xpos - data.site(GRIP).xpos) @ across for name in names])
    thick = np.array([np.abs(data.geom(name).xmat.reshape(3, 3).T @ across) @ model.geom(name).size for name in names])
    return middles - np.sign(middles[0] - middles[1]) * np.array([1, -1]) * thick


def test_home_is_within_the_ranges_and_where_the_pandas_is(posed) -> None:
    arm, model, data = posed
    low, high = np.array([model.joint(name).range for name in arm.joints]).T
    assert len(arm.home) == len(arm.joints) == len(arm.speed)
    assert ((low < arm.home) & (arm.home < high)).all()
    pose(arm, model, data, arm.home, arm.hand.room.opening)
    assert data.site(GRIP).xpos == pytest.approx([0.457, 0, 0.371], abs=0.01)
    assert data.site(GRIP).xmat.reshape(3, 3) == pytest.approx(np.diag([1, -1, -1]), abs=0.02)


def test_inverse_kinematics_inverts_and_keeps_the_ranges(posed) -> None:
    arm, model, _ = posed
    solver = InverseKinematics(model, arm.joints, arm.home)
    low, high = np.array([model.joint(name).range for name in arm.joints]).T
    rng = np.random.default_rng(0)
    for _ in range(20):
        pos, yaw = np.array([*rng.uniform([0.42, -0.1], [0.56, 0.1]), rng.uniform(0.02, 0.3)]), rng.uniform(-1, 1)
        q, reached = solver.reach(pos, down(yaw), np.array(arm.home), iterations=300)
        there, way = solver.forward(q)
        assert reached, f"{arm.name} does not reach {pos}"
        assert there == pytest.approx(pos, abs=1e-3)
        assert abs(way @ down(yaw)) == pytest.approx(1, abs=1e-4)
        assert ((low <= q) & (q <= high)).all()


def test_the_pads_are_as_far_apart_as_asked_and_around_the_grip(posed) -> None:
    arm, model, data = posed
    openings = np.linspace(0, arm.hand.room.opening, 9)
    pose(arm, model, data, arm.home, arm.hand.room.opening)
    side, measured = np.sign(np.subtract(*pads(arm, model, data))), []
    for opening in openings:
        pose(arm, model, data, arm.home, opening)
        left, right = pads(arm, model, data)
        assert abs(left + right) < 1e-4
        measured.append((left - right) * side)
    assert np.diff(measured).min() > 0
    apart = np.array(measured) - openings
    assert np.ptp(apart) < 1e-4
    assert abs(apart).max() < 2e-3  # the Panda's pads that are touched stand out by half a millimetre


def test_a_camera_of_the_hand_stands_where_the_pandas_does(posed) -> None:
    arm, model, data = posed
    pose(arm, model, data, arm.home, 0.0)
    hand, grip = data.body("right_gripper"), data.site(GRIP)
    assert hand.xmat.reshape(3, 3).T @ (grip.xpos - hand.xpos) == pytest.approx([0, 0, 0.097], abs=1e-6)
    assert hand.xmat.reshape(3, 3).T @ grip.xmat.reshape(3, 3) == pytest.approx(np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]]), abs=1e-3)


def test_looks_are_light_and_nothing_of_them_weighs_or_touches(posed) -> None:
    _, model, _ = posed
    drawn = np.flatnonzero(model.geom_group == 2)
    assert len(drawn) > 8
    assert not (model.geom_contype | model.geom_conaffinity)[drawn].any()
    meshes = np.unique(model.geom_dataid[drawn][model.geom_dataid[drawn] >= 0])
    assert model.mesh_facenum[meshes].sum() < 70_000
