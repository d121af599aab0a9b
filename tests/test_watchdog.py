"""What hangs in a draw is killed: a worker is replaced by one of the other back end, other processes end; nothing is lost or twice."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hanging_jobs import Painting
from hanging_verbs import HangingBench, HangingCollector
from worker_jobs import lines

from episodes import open_dataset
from eval.evaluate import evaluate
from eval.results import load_report
from eval.sources import open_suite
from eval.trial import Rules
from sim import collect, gl, watchdog
from sim.collect import CollectConfig, run
from sim.errors import SceneError
from sim.sentinel import SLOTS, Watch
from sim.workers import share

ROOT = Path(__file__).resolve().parents[1]
DEADLINE = 6.0
"""Far more than a draw of 32 px takes on a busy machine [s]."""


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> str:
    """The back end of this run, where there is another; hangs are found soon."""
    monkeypatch.setenv(watchdog.VARIABLE, str(DEADLINE))
    backend = gl.setup()
    assert backend is not None
    if gl.other(backend) == backend:
        pytest.skip("one back end alone renders here")
    return backend


def painted(folder: Path, seeds: range, workers: int, hangs: set[tuple[int, str]], *, always: bool = False):
    results = sorted(share(Painting(folder, frozenset(hangs), always), seeds, workers), key=lambda done: done.index)
    assert [done.index for done in results] == list(range(len(seeds))), "each item once"
    return results


def test_a_worker_that_hangs_is_replaced_by_one_of_the_other_back_end(here, tmp_path, capfd):
    other = gl.other(here)
    (tmp_path / "calm").mkdir()
    calm = painted(tmp_path / "calm", range(3), 0, set())
    results = painted(tmp_path, range(3), 1, {(1, here)})
    assert [done.value[1] for done in results] == [here, other, other]
    assert [done.drawn_by for done in results] == ["", other, other]
    assert [done.stalls for done in results] == [(), (here,), ()]
    assert [done.value[0] for done in results] == [done.value[0] for done in calm], "both draw the same here"
    assert lines(tmp_path / "begun") == [f"0 {here}", f"1 {here}", f"1 {other}", f"2 {other}"]
    assert lines(tmp_path / "ended") == [f"0 {here}", f"1 {other}", f"2 {other}"]
    said = capfd.readouterr().err
    assert said == f"drawing hangs on {here}: no picture within {DEADLINE:g} s; the worker is replaced by one on {other}\n"


@pytest.mark.slow
def test_an_item_that_hangs_on_both_fails_alone(here, tmp_path):
    other = gl.other(here)
    results = painted(tmp_path, range(4), 2, {(1, here), (1, other)}, always=True)
    assert results[1].value is None
    assert results[1].stalls == (here, other)
    assert results[1].error == f"drawing hangs on {here} and on {other}: no picture within {DEADLINE:g} s"
    assert all(done.value is not None for done in results if done.index != 1)


@pytest.mark.slow
def test_a_machine_on_which_nothing_is_drawn_is_said_once(here, tmp_path, monkeypatch):
    monkeypatch.setenv(watchdog.VARIABLE, "4")
    other = gl.other(here)
    everything = {(seed, backend) for seed in range(50) for backend in (here, other)}
    began = time.monotonic()
    with pytest.raises(SceneError, match=r"hangs on \w+ and on \w+: no picture within 4 s, 4 times in a row; `cezanne doctor` says"):
        painted(tmp_path, range(50), 1, everything, always=True)
    assert time.monotonic() - began < 120
    assert len(lines(tmp_path / "begun")) == 4


@pytest.mark.slow
def test_demonstrations_say_what_drew_them(here, tmp_path, monkeypatch):
    calm = run(CollectConfig(out=str(tmp_path / "calm"), toys=2, demos=2, size=32, workers=1))
    monkeypatch.setattr(collect, "Collector", HangingCollector)
    hung = run(CollectConfig(out=str(tmp_path / "hung"), toys=2, demos=2, size=32, workers=1))
    assert calm["render_stalls"] == {}
    assert hung["render_stalls"] == {here: 1}
    one, two = open_dataset(tmp_path / "calm"), open_dataset(tmp_path / "hung")
    assert len(one) == len(two) == 2
    for k in range(2):
        assert all(np.array_equal(one[k].images[name], two[k].images[name]) for name in one[k].images)
        assert np.array_equal(one[k].actions, two[k].actions)
        assert two.provenance(k) == {**one.provenance(k), "gl": gl.other(here)}


@pytest.mark.slow
def test_trials_say_what_drew_them(here, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    suite = open_suite("toys", trials=1, limit=2)
    calm = evaluate("nothing", suite, Rules(horizon=1.0), workers=1)
    monkeypatch.setattr(importlib.import_module("eval.evaluate"), "Bench", HangingBench)
    hung = evaluate("nothing", suite, Rules(horizon=1.0), workers=1)
    hung.save(tmp_path)
    assert [row.gl for row in calm.rows] == [None, None]
    assert [row.gl for row in hung.rows] == [gl.other(here)] * 2
    assert [replace(row, gl=None, latency_ms=None) for row in hung.rows] == [replace(row, latency_ms=None) for row in calm.rows]
    summary = load_report(tmp_path).summary()
    assert summary["render_stalls"] == {here: 1}
    assert summary["drawn_by"] == {gl.other(here): 2}


ALONE = """
import ctypes, sys, time
from sim import watchdog

mark = watchdog.mark()
with mark:
    time.sleep(0.5)
print("drawn", flush=True)
with mark:
    if "hang" in sys.argv:
        ctypes.PyDLL(None).sleep(1000)  # no thread of this process goes on
"""


def alone(*arguments: str, deadline: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), watchdog.VARIABLE: deadline}
    return subprocess.run([sys.executable, "-c", ALONE, *arguments], env=environment, capture_output=True, text=True, timeout=120)


def test_a_process_that_nobody_owns_ends_with_one_line():
    done = alone("hang", deadline="3")
    assert done.stdout == "drawn\n"
    assert done.returncode == -signal.SIGALRM
    assert done.stderr.count("\n") == 1
    assert "drawing hangs" in done.stderr
    assert "has had 3 s for one picture" in done.stderr


def test_a_process_that_draws_ends_without_a_word_and_leaves_nobody():
    began = time.monotonic()
    done = alone(deadline="1000")
    assert (done.stdout, done.stderr, done.returncode) == ("drawn\n", "", 0)
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("said", ["soon", "-1", "0.01", "nan"])
def test_a_deadline_that_is_no_time_is_refused(said, monkeypatch):
    monkeypatch.setenv(watchdog.VARIABLE, said)
    with pytest.raises(gl.GLError, match=f"{watchdog.VARIABLE}={said}; seconds from 0.1"):
        watchdog.deadline()


def test_deadlines(monkeypatch):
    monkeypatch.delenv(watchdog.VARIABLE, raising=False)
    assert watchdog.deadline() == watchdog.DEADLINE
    monkeypatch.setenv(watchdog.VARIABLE, "0")
    assert watchdog.deadline() == float("inf")


def test_only_one_long_draw_is_late_not_many_short_ones():
    counters = [0] * SLOTS
    watch = Watch(counters, 4.0)
    marks = watchdog.Marks(counters)
    mine, others = marks.of(1), marks.of(2)
    for now in range(100):  # many short draws
        with mine:
            assert not watch.overdue(now)
    late = []
    with mine:
        for now in range(100, 112):
            with others:
                late.append(watch.overdue(now))
    assert late.index(True) == 4, "after 4 s of being looked at"
    assert not watch.overdue(112)


def test_a_sleep_of_the_machine_is_no_long_draw():
    counters = [1] * SLOTS
    watch = Watch(counters, 8.0)
    assert not watch.overdue(0.0)
    assert not watch.overdue(1.0)
    assert not watch.overdue(1e6), "nobody looked meanwhile"


def test_a_mark_costs_next_to_nothing():
    mark, times = watchdog.Marks([0] * SLOTS).of(1), []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(10_000):
            with mark:
                pass
        times.append((time.perf_counter() - began) / 10_000)
    assert min(times) < 20e-6, "a picture takes a thousand"


FORKS = """
import multiprocessing, sim
from assets.toys import ToySet
from sim.scene import SceneConfig
from sim.simrobot import SimRobot

def draw():
    with SimRobot(SceneConfig(ToySet.sample(0, 1).toys[0], size=32)) as robot:
        return robot.picture("side").std()

if __name__ == "__main__":
    drawn = draw()
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(draw) == drawn > 5
"""


@pytest.mark.parametrize("backend", gl.BACKENDS)
def test_a_fork_of_a_process_that_has_drawn_draws(backend):
    if not gl.probe(backend).ok:
        pytest.skip(f"{backend} does not render here")
    environment = {name: value for name, value in gl.environment(backend).items() if name != "LP_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKS],
        env=environment | {watchdog.VARIABLE: "30"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.returncode, done.stderr) == (0, "")
