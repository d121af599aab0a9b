"""Arm files: forward kinematics is the simulator's, capsules contain the arm, bad files are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest

from hardware.api import RobotError
from hardware.model import ARMS, ArmModel, load_arm
from sim.robots import GRIP, PANDA, ROBOTS, Arm

PAIRS = [("panda", PANDA), ("ur5e", ROBOTS["ur5e_robotiq"])]


@pytest.fixture(scope="module", params=PAIRS, ids=lambda pair: pair[0])
def pair(request: pytest.FixtureRequest) -> tuple[ArmModel, Arm, mujoco.MjModel]:
    name, arm = request.param
    return load_arm(name), arm, arm.spec().compile()


def test_the_tool_is_where_the_simulator_has_it(pair: tuple[ArmModel, Arm, mujoco.MjModel]) -> None:
    ours, arm, model = pair
    data, rng = mujoco.MjData(model), np.random.default_rng(0)
    for _ in range(20):
        q = rng.uniform(np.maximum(ours.lower, -3), np.minimum(ours.upper, 3))
        for name, value in zip(arm.joints, q, strict=True):
            data.qpos[model.joint(name).qposadr[0]] = value
        mujoco.mj_kinematics(model, data)
        tool = ours.tool(q)
        np.testing.assert_allclose(tool[:3, 3], data.site(GRIP).xpos, atol=2e-5)
        np.testing.assert_allclose(tool[:3, :3], data.site(GRIP).xmat.reshape(3, 3), atol=2e-5)


def test_capsules_contain_the_arm(pair: tuple[ArmModel, Arm, mujoco.MjModel]) -> None:
    ours, arm, model = pair
    data, rng = mujoco.MjData(model), np.random.default_rng(1)
    for _ in range(5):
        q = rng.uniform(np.maximum(ours.lower, -3), np.minimum(ours.upper, 3))
        for name, value in zip(arm.joints, q, strict=True):
            data.qpos[model.joint(name).qposadr[0]] = value
        for name, value in zip(arm.hand.joints, arm.hand.positions(rng.uniform(0, 1, len(arm.hand.values))), strict=True):
            data.qpos[model.joint(name).qposadr[0]] = value
        mujoco.mj_kinematics(model, data)
        start, end = ours.segments(q)
        for geom in np.flatnonzero(model.geom_type == mujoco.mjtGeom.mjGEOM_MESH):
            mesh = model.geom_dataid[geom]
            first, count = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
            points = model.mesh_vert[first : first + count] @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom]
            along = end - start  # (C, 3)
            t = np.einsum("pck,ck->pc", points[:, None] - start, along) / np.maximum((along**2).sum(axis=1), 1e-12)
            nearest = start + np.clip(t, 0, 1)[..., None] * along
            outside = np.linalg.norm(points[:, None] - nearest, axis=2) - ours.radii
            assert outside.min(axis=1).max() < 2e-3


@pytest.mark.parametrize("name", sorted(path.stem for path in ARMS.glob("*.json")))
def test_an_arm_at_home_touches_neither_itself_nor_the_ground(name: str) -> None:
    arm = load_arm(name)
    home = np.array(arm.home)
    assert arm.gaps(home).min() > 0.01
    start, end = arm.segments(home)
    moving = arm.links > 1
    assert (np.minimum(start[:, 2], end[:, 2]) - arm.radii)[moving].min() > 0
    assert arm.tool(home)[2, 2] < -0.99, "the gripper points down"


def test_distances_between_capsules_are_those_of_dense_sampling() -> None:
    arm, rng = load_arm("panda"), np.random.default_rng(2)
    for _ in range(5):
        q = rng.uniform(arm.lower, arm.upper)
        start, end = arm.segments(q)
        t = np.linspace(0, 1, 101)[:, None]
        for (a, b), gap in zip(arm.pairs, arm.gaps(q), strict=True):
            p, r = start[a] + t * (end[a] - start[a]), start[b] + t * (end[b] - start[b])
            sampled = np.linalg.norm(p[:, None] - r, axis=2).min() - arm.radii[a] - arm.radii[b]
            assert gap <= sampled + 1e-9
            assert gap >= sampled - 0.01


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"home": [0.0]}, "1 home positions"),
        ({"joints": []}, "0 joints"),
        ({"capsules": [{"link": 99, "start": [0, 0, 0], "end": [0, 0, 0], "radius": 0.1}]}, "capsules on links"),
        ({"tool_pos": [0, 0]}, "ValueError"),
    ],
)
def test_a_bad_file_is_refused_by_name(tmp_path: Path, change: dict, said: str) -> None:
    table = json.loads((ARMS / "panda.json").read_text())
    (tmp_path / "mine.json").write_text(json.dumps({**table, **change}))
    with pytest.raises(RobotError, match=said):
        load_arm(tmp_path / "mine.json")


def test_an_unknown_arm_names_the_known() -> None:
    with pytest.raises(RobotError, match=r"no arm 'pandaa'; known: .*panda"):
        load_arm("pandaa")


def test_limits_that_exclude_home_are_refused() -> None:
    arm = load_arm("panda")
    with pytest.raises(RobotError, match="home"):
        replace(arm, joints=(replace(arm.joints[0], lower=0.5), *arm.joints[1:]))
