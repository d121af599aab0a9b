"""Sharing out: every item once, in whatever process; what dies is replaced; nothing stays behind."""

import itertools
import multiprocessing
import sys
import time
from dataclasses import asdict

import numpy as np
import pytest
from worker_jobs import Item, Log, Unloadable, begun, draw, picky, refuses

from sim.backlog import Backlog
from sim.collect import CollectConfig, _info
from sim.errors import SceneError
from sim.workers import Done, check_executor, share


def by_index(results):
    results = list(results)
    assert len({done.index for done in results}) == len(results), "an item came twice"
    return sorted(results, key=lambda done: done.index)


def group(item):
    return item.group


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_every_item_comes_once_however_many_work(workers):
    came = list(share(draw, range(12), workers))
    results = by_index(came)
    assert workers == 2 or came == results, "one worker without keys keeps the order"
    assert [done.index for done in results] == list(range(12))
    assert all(np.array_equal(done.value, draw()(done.index)) for done in results)


def test_nothing_to_do_starts_nothing():
    assert list(share(refuses, [], 0)) == list(share(refuses, [], 2)) == list(share(refuses, [], 0, executor="ray")) == []


@pytest.mark.parametrize(
    ("keys", "last", "busy", "order"),
    [
        ("abab", "b", "", [1, 3, 0, 2]),  # the worker's own, then the first
        ("aabbc", "x", "a", [2, 3, 4, 0, 1]),  # nobody's, and a busy one's when no other is left
        ("aaa", "x", "a", [0, 1, 2]),
    ],
)
def test_a_worker_is_given_what_suits_it(keys, last, busy, order):
    backlog, taken = Backlog(keys), []
    while backlog:
        taken.append(backlog.take(last, busy))
        last = keys[taken[-1]]
    assert taken == order


def test_what_is_put_back_is_given_out_again():
    backlog = Backlog("ab")
    assert [backlog.take(None, ()), len(backlog)] == [0, 1]
    backlog.put_back(0)
    assert sorted([backlog.take(None, ()), backlog.take(None, ())]) == [0, 1]
    assert not backlog


def test_a_worker_stays_with_its_group(tmp_path):
    items = [Item(f"{letter}{k}", letter) for k in range(4) for letter in "ab"]
    by_index(share(Log(tmp_path, pause=0.1, company=2), items, 2, key=group))
    did = begun(tmp_path)
    for process in {process for _, process in did}:
        letters = "".join(name[0] for name, by in did if by == process)
        changes = sum(a != b for a, b in itertools.pairwise(letters))
        assert changes <= 1  # at the end it may help the other out


def test_the_dead_are_replaced_and_their_items_tried_once_more(tmp_path):
    items = [Item("once", deaths=1), Item("well"), Item("twice", deaths=2), Item("fine")]
    once, well, twice, fine = by_index(share(Log(tmp_path), items, 2))
    assert (once.value, well.value, fine.value) == ("ONCE", "WELL", "FINE")
    assert twice == Done(2, error="the worker process died 2 times (exit code 3)")
    assert sorted(name for name, _ in begun(tmp_path)) == ["fine", "once", "once", "twice", "twice", "well"]


def test_what_fails_is_the_result_of_its_item():
    good, raises, generator, leaves = by_index(share(picky, range(4), 1))
    assert good.value == 0
    assert raises.error == "KeyError: 'one'"
    assert "worker_jobs.py" in raises.trace
    assert "pickle" in generator.error
    assert leaves.error == "the worker process died 2 times (exit code 5)"


def test_a_start_that_fails_is_every_item_s_result():
    assert [done.error for done in by_index(share(refuses, range(3), 2))] == ["ValueError: no policy here"] * 3
    with pytest.raises(ValueError, match="no policy here"):
        list(share(refuses, range(3), 0))


def test_workers_that_never_come_up_are_given_up():
    with pytest.raises(SceneError, match=r"no worker starts; the last of 3 in a row died at once \(exit code 1\)"):
        list(share(Unloadable(), range(100), 1))
    assert not multiprocessing.active_children()


def test_stopping_early_leaves_no_process(tmp_path):
    results = share(Log(tmp_path, pause=0.1), [Item("first"), *(Item(f"later{k}") for k in range(50))], 2)
    assert next(results).value
    assert multiprocessing.active_children()
    results.close()
    assert not multiprocessing.active_children()
    there = (tmp_path / "ended").read_text()
    time.sleep(0.3)
    assert (tmp_path / "ended").read_text() == there


@pytest.mark.parametrize(
    ("executor", "address"),
    [("slurm", "auto"), ("", "auto"), ("ray", "here"), ("ray", "host:port"), ("ray", "http://host:1"), ("ray", "host:1; rm"), ("ray", "")],
)
def test_executors_and_addresses_that_cannot_be_are_refused(executor, address):
    with pytest.raises(SceneError, match=r"known: local, ray|HOST:PORT"):
        share(draw, [1], 1, executor=executor, address=address)
    with pytest.raises(SceneError):
        CollectConfig(executor=executor, address=address)


@pytest.mark.parametrize("address", ["auto", "local", "10.0.0.2:6379", "ray://head.lab-2.org:10001", "[::1]:6379"])
def test_addresses_of_clusters_are_taken(address):
    check_executor("ray", address)


def test_where_data_are_made_is_no_part_of_what_they_are():
    here, there = CollectConfig(toys=1), CollectConfig(toys=1, workers=3, executor="ray", address="local")
    assert asdict(here) != asdict(there)
    from assets.toys import ToySet

    toys = ToySet.sample(0, 1).toys
    assert _info(here, toys) == _info(there, toys)


def test_ray_that_is_not_installed_is_said_in_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "sim.executor_ray", raising=False)
    with pytest.raises(SceneError, match=r"pip install 'cezanne\[ray\]'"):
        list(share(draw, range(2), 1, executor="ray"))
