"""Pictures and masks: what is left out because a camera cannot see it changes no pixel."""

import numpy as np
import pytest

from assets.toys import ToySet
from hardware.api import Action
from sim.errors import SceneError
from sim.render import Renderer
from sim.scene import SceneConfig
from sim.simrobot import SimRobot

SIZE = 96


class Everything(Renderer):
    """Draws all geoms, seen or not."""

    def _in_view(self, half: float) -> np.ndarray:
        return np.ones(len(self._drawn), bool)

    def _may_hide(self, meant: np.ndarray) -> np.ndarray:
        return np.ones(len(self._drawn), bool)


@pytest.mark.parametrize("number", range(4))
def test_leaving_out_what_is_not_seen_changes_no_pixel(number):
    rng = np.random.default_rng(number)
    with SimRobot(SceneConfig(ToySet.sample(9, 4).toys[number], size=SIZE)) as robot, Everything(robot.model) as everything:
        robot.place(rng.uniform(-0.1, 0.1, 2), rng)
        some = Renderer(robot.model)
        for _ in range(12):  # poses all over, the hand before the object too
            target = robot.qpos + rng.normal(size=7) * 0.5
            robot.command(Action(target, rng.random(1)))
            for camera in ("side", "wrist"):
                for renderer in (some, everything):
                    renderer.look(robot.data, camera)
                assert np.array_equal(some.picture(SIZE), everything.picture(SIZE))
                assert np.array_equal(some.mask(SIZE), everything.mask(SIZE))
        some.close()


def test_the_model_is_left_as_it_was():
    with SimRobot(SceneConfig(ToySet.sample(9, 1).toys[0], size=SIZE)) as robot:
        before = robot.model.geom_group.copy()
        robot.observe()
        assert np.array_equal(robot.model.geom_group, before)


def test_two_robots_of_one_thread_do_not_mix_their_pictures():
    """They share a GL context."""
    toys = ToySet.sample(9, 2).toys
    with SimRobot(SceneConfig(toys[0], size=SIZE)) as one, SimRobot(SceneConfig(toys[1], size=SIZE)) as two:
        for number, robot in enumerate((one, two)):
            robot.place(np.zeros(2), np.random.default_rng(number))
        alone = one.picture("side"), two.picture("side", size=40), one.mask("wrist")
        assert np.array_equal(alone[0], one.picture("side"))
        assert np.array_equal(alone[1], two.picture("side", size=40))
        two.close()
        assert np.array_equal(alone[2], one.mask("wrist"))
        assert np.array_equal(alone[1], two.picture("side", size=40))


def test_a_picture_larger_than_the_buffer_is_refused():
    with SimRobot(SceneConfig(ToySet.sample(9, 1).toys[0], size=SIZE)) as robot, pytest.raises(SceneError, match="at most 1280"):
        robot.picture("side", size=1300)
