"""Drawing elsewhere: the same pictures, and none that anybody waits for for ever."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from assets.toys import ToySet
from sim import easel, gl, watchdog
from sim.easel import Easel
from sim.errors import SceneError
from sim.scene import SceneConfig
from sim.simrobot import SimRobot

ROOT = Path(__file__).resolve().parents[1]
DEADLINE = 6.0
HANGS = """
import os
from pathlib import Path
import sim
import hanging_jobs
for backend in os.environ["HANGING"].split():
    hanging_jobs.hang_once(Path(os.environ["HANGING_FOLDER"]) / backend, backend)
"""


@pytest.fixture
def painters(monkeypatch: pytest.MonkeyPatch):
    """A test's own: with the deadline that it sets."""
    made: list[easel.Painter] = []

    def painter(process: int, thread: int) -> easel.Painter:
        if not made:
            made.append(easel.Painter(os.environ["MUJOCO_GL"].lower()))
        return made[0]

    monkeypatch.setattr(easel, "_painter", painter)
    yield made
    for each in made:
        each.end()


@pytest.fixture
def robot(painters):
    with SimRobot(SceneConfig(ToySet.sample(0, 1).toys[0], size=32), renderer=Easel) as made:
        made.place(np.zeros(2), np.random.default_rng(0))
        yield made


def hanging(monkeypatch: pytest.MonkeyPatch, folder: Path, *backends: str) -> None:
    """The first picture that any child draws on each of the back ends hangs."""
    (folder / "sitecustomize.py").write_text(HANGS)
    for backend in backends:
        (folder / backend).mkdir()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("HANGING", " ".join(backends))
    monkeypatch.setenv("HANGING_FOLDER", str(folder))
    monkeypatch.setenv(watchdog.VARIABLE, str(DEADLINE))


def other() -> str:
    """Than this run's back end."""
    found = gl.other(os.environ["MUJOCO_GL"])
    if found == os.environ["MUJOCO_GL"]:
        pytest.skip("one back end alone renders here")
    return found


def test_pictures_are_those_of_a_renderer(robot):
    here = SimRobot(robot.config)
    here.connect()
    for moved in (False, True):
        if moved:
            camera = robot.config.cameras[0]
            for one in (robot, here):
                one.aim(replace(camera, pos=(camera.pos[0], camera.pos[1] + 0.05, camera.pos[2]), fovy=camera.fovy + 3))
        here.set_state(robot.state())
        robot.set_state(robot.state())
        there_seen, seen = robot.observe(), here.observe()
        for name in seen.images:
            assert np.array_equal(there_seen.images[name], seen.images[name])
            assert np.array_equal(there_seen.masks[name], seen.masks[name])
            for kind in ("picture", "mask", "robot_mask", "depth"):
                assert np.array_equal(getattr(robot, kind)(name, 48), getattr(here, kind)(name, 48)), (kind, name)
    here.close()


def test_what_drawing_raises_is_raised_here(robot):
    with pytest.raises(SceneError, match="this scene draws at most"):
        robot.picture("side", 100_000)
    assert robot.picture("side").std() > 5


def test_a_child_that_is_gone_is_replaced(robot, painters):
    before = robot.picture("side")
    painters[0]._process.kill()
    assert np.array_equal(robot.picture("side"), before)
    assert not robot.renderer.stalls


def test_a_draw_that_hangs_is_drawn_by_the_other_back_end(monkeypatch, tmp_path, capfd, request):
    here, then = os.environ["MUJOCO_GL"], other()
    hanging(monkeypatch, tmp_path, here)
    robot = request.getfixturevalue("robot")
    with SimRobot(robot.config) as calm:
        calm.set_state(robot.state())
        assert np.array_equal(robot.observe().images["side"], calm.observe().images["side"])
    assert robot.renderer.stalls == {here: 1}
    assert robot.renderer.backend == then
    assert capfd.readouterr().err == f"drawing hangs on {here}: no picture within {DEADLINE:g} s; from now on {then} draws\n"


@pytest.mark.slow
def test_both_that_hang_are_said_in_one_line(monkeypatch, tmp_path, request):
    here, then = os.environ["MUJOCO_GL"], other()
    hanging(monkeypatch, tmp_path, here, then)
    robot = request.getfixturevalue("robot")
    with pytest.raises(gl.GLError, match=f"drawing hangs on {here} and on {then}: no picture within 6 s; `cezanne doctor` says"):
        robot.observe()
    assert robot.observe().images["side"].std() > 5, "the next may go well"


@pytest.mark.slow
def test_vectors_of_environments_go_on(monkeypatch, tmp_path):
    here = os.environ["MUJOCO_GL"]
    other()
    hanging(monkeypatch, tmp_path, here)
    vector = gymnasium.make_vec("sim:cezanne/Grasp-v0", 2, "async", vector_kwargs={"shared_memory": True}, size=32)
    _, info = vector.reset(seed=0)
    assert sorted(info["render_stalls"][here]) == [0, 1], "one of the two hung"
    for _ in range(3):
        seen, *_, info = vector.step(vector.action_space.sample())
        assert all(picture.std() > 5 for picture in seen["image.side"])
    vector.close()
