"""The world in real time: an arm that follows, cameras whose frames are fresh, objects that lie where a suite has them."""

from __future__ import annotations

import multiprocessing
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from assets.toys import sample_toy
from hardware.api import Action, ArmLost
from sim.board import Board
from sim.live import LiveLink, LiveWorld
from sim.scene import SceneConfig
from sim.simrobot import SimRobot


@pytest.fixture(scope="module")
def world() -> Iterator[LiveWorld]:
    with LiveWorld(SceneConfig(sample_toy(np.random.default_rng(0)), size=64)) as world:
        yield world


def test_frames_are_fresh_and_counted(world: LiveWorld) -> None:
    streams = [camera.open() for camera in world.cameras()]
    assert [stream.name for stream in streams] == ["side", "wrist"]
    first = [stream.latest() for stream in streams]
    end = time.monotonic() + 10
    while streams[0].latest().number < first[0].number + 3 and time.monotonic() < end:
        time.sleep(0.01)
    for before, stream in zip(first, streams, strict=True):
        frame = stream.latest()
        assert frame.number > before.number
        assert before.time < frame.time <= time.monotonic()
        assert frame.image.shape == (64, 64, 3)
        assert frame.truth is not None


def test_an_object_lies_as_in_a_trial_of_a_suite(world: LiveWorld) -> None:
    toy, xy = sample_toy(np.random.default_rng(5)), np.array([0.05, -0.04])
    world.place(toy, xy, 7)
    truth = world.truth()
    with SimRobot(SceneConfig(toy, size=64)) as robot:
        robot.place(xy, np.random.default_rng(7))
        position, quaternion = robot.object_pose
    np.testing.assert_allclose(truth.position, position, atol=2e-3)
    assert abs(truth.quaternion @ quaternion) > 0.999
    assert not truth.held


def test_the_arm_goes_where_it_is_sent_and_stays(world: LiveWorld) -> None:
    link = world.connect()
    start = link.state().qpos
    goal = start + np.array([0.1, 0, 0, 0, 0, 0, 0.2])
    for k in range(60):
        link.send(Action(start + (goal - start) * min(1, k / 40), np.ones(1)))
        time.sleep(0.01)
    time.sleep(0.6)
    np.testing.assert_allclose(link.state().qpos, goal, atol=0.02)
    link.stop()
    time.sleep(0.2)
    np.testing.assert_allclose(link.state().qpos, goal, atol=0.02)
    link.send(Action(start, np.ones(1)))
    time.sleep(1.0)


def test_the_arm_stays_where_it_is_when_an_object_is_placed(world: LiveWorld) -> None:
    link = world.connect()
    before = link.state().qpos
    world.place(sample_toy(np.random.default_rng(6)), np.zeros(2), 1)
    time.sleep(0.1)
    np.testing.assert_allclose(link.state().qpos, before, atol=0.01)


def test_an_empty_table_is_the_table_without_the_object(world: LiveWorld) -> None:
    world.place(sample_toy(np.random.default_rng(5)), np.array([0.05, -0.04]), 7)
    start = time.monotonic()
    frames = [camera.latest() for camera in world.cameras()]
    while any(frame.time < start for frame in frames):
        time.sleep(0.01)
        frames = [camera.latest() for camera in world.cameras()]
    empty = world.empty()
    for frame, name in zip(frames, ("side", "wrist"), strict=True):
        assert frame.truth is not None
        differs = (frame.image != empty[name]).any(axis=2)
        assert differs[frame.truth].mean() > 0.9
        assert differs[~frame.truth].mean() < 0.05


def test_a_killed_world_is_said_to_be_lost() -> None:
    world = LiveWorld(SceneConfig(sample_toy(np.random.default_rng(0)), size=32))
    world.start()
    link = world.connect()
    assert world.pid is not None
    world.kill()
    time.sleep(0.7)
    with pytest.raises(ArmLost, match="measured nothing for"):
        link.state()
    with pytest.raises(ArmLost):
        world.place(sample_toy(np.random.default_rng(0)), np.zeros(2), 0)
    world.close()
    world.close()


def test_a_stop_from_another_thread_leaves_no_half_a_setpoint() -> None:
    context = multiprocessing.get_context("spawn")
    state = Board(context, {"qpos": ((7,), "f8")})
    state.write(qpos=np.full(7, -1.0))
    setpoint = Board(context, {"qpos": ((7,), "f8"), "gripper": ((1,), "f8"), "power": ((1,), "f8")})
    link = LiveLink(state, setpoint)
    done, halves = threading.Event(), []

    def stops() -> None:
        while not done.is_set():
            link.stop()

    def reads() -> None:
        while not done.is_set():
            now = setpoint.read()
            if now["qpos"][0] not in (-1.0, now["gripper"][0]):
                halves.append((now["qpos"][0], now["gripper"][0]))

    threads = [threading.Thread(target=stops), threading.Thread(target=reads)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for k in range(4000):
            link.send(Action(np.full(7, float(k)), np.array([float(k)])))
    finally:
        done.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(before)
    assert halves == []
