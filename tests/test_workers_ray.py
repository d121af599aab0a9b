"""Sharing out over a Ray cluster of two nodes, on this machine: the results of local processes, also when a node is killed."""

import os
import socket
import threading
import time
from collections import Counter
from contextlib import ExitStack
from typing import Any

import numpy as np
import psutil
import pytest
from hanging_jobs import Painting
from worker_jobs import Item, Log, draw, lines, picky

from sim import gl, watchdog
from sim.errors import SceneError
from sim.workers import share

pytestmark = pytest.mark.slow
AGENTS = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")


@pytest.fixture(scope="module")
def cluster():
    """A head and a second node that a test may kill, one CPU each."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'cezanne[ray]'")
    from ray.cluster_utils import Cluster  # pyright: ignore[reportMissingImports]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_agent_register_timeout_ms", "300000")
        made = Cluster(initialize_head=True, head_node_args={**node(), "include_dashboard": False, "no_monitor": True})
        second = made.add_node(**node())
        made.wait_for_nodes()
        yield made, second
        made.shutdown()


def node() -> dict[str, Any]:
    """A small node. Where ports are not given it dies unless its agents have found some within 15 s, which a loaded machine takes."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("", 0))) for _ in AGENTS]
        ports = {name: each.getsockname()[1] for name, each in zip(AGENTS, sockets, strict=True)}
    return {"num_cpus": 1, "object_store_memory": 80_000_000, "include_log_monitor": False, **ports}


def over(cluster, start, items, workers=0):
    return share(start, items, workers, executor="ray", address=cluster.address)


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)


def alive(process):
    return psutil.pid_exists(process) and psutil.Process(process).status() != psutil.STATUS_ZOMBIE


def by_index(results):
    results = list(results)
    assert len({done.index for done in results}) == len(results), "an item came twice"
    return sorted(results, key=lambda done: done.index)


def test_results_are_those_of_local_processes(cluster):
    for there, here in zip(by_index(over(cluster[0], draw, range(12))), by_index(share(draw, range(12), 0)), strict=True):
        assert there.index == here.index
        assert np.array_equal(there.value, here.value)


def test_what_fails_is_the_result_of_its_item(cluster):
    good, raises, generator, leaves = by_index(over(cluster[0], picky, range(4), 1))
    assert good.value == 0
    assert raises.error == "KeyError: 'one'"
    assert "pickle" in generator.error
    assert "died 2 times" in leaves.error


def test_a_node_that_is_killed_loses_nothing_and_doubles_nothing(cluster, tmp_path):
    made, second = cluster
    items = [Item(f"item{k}") for k in range(12)]
    in_flight = []

    def kill_at_work():
        wait_for(lambda: (tmp_path / "ended").exists() and len(lines(tmp_path / "ended")) >= 3)
        (tmp_path / "hold").touch()
        time.sleep(0.5)
        wait_for(lambda: len(lines(tmp_path / "begun")) == len(lines(tmp_path / "ended")) + 2)
        in_flight.extend(set(lines(tmp_path / "begun")) - set(lines(tmp_path / "ended")))
        made.remove_node(second, allow_graceful=False)
        wait_for(lambda: not all(alive(int(line.split()[1])) for line in in_flight))  # Ray's workers outlive their node by a second
        (tmp_path / "hold").unlink()

    killer = threading.Thread(target=kill_at_work)
    killer.start()
    results = by_index(over(made, Log(tmp_path, pause=0.1, company=2), items))
    killer.join()
    assert [(done.index, done.value, done.error) for done in results] == [(k, f"ITEM{k}", "") for k in range(12)]
    times = Counter(line.split()[0] for line in lines(tmp_path / "begun"))
    assert len(in_flight) == 2
    assert [times[line.split()[0]] for line in in_flight] in ([1, 2], [2, 1]), "what the killed node was doing is done again"
    assert times.total() == 13
    assert len({line.split()[0] for line in lines(tmp_path / "ended")}) == len(lines(tmp_path / "ended")) == 12


def test_what_hangs_in_an_actor_is_done_with_the_other_back_end(cluster, tmp_path, monkeypatch):
    monkeypatch.setenv(watchdog.VARIABLE, "8")
    here = os.environ["MUJOCO_GL"]
    other = gl.other(here)
    if other == here:
        pytest.skip("one back end alone renders here")
    results = by_index(over(cluster[0], Painting(tmp_path, frozenset({(1, here)})), range(3), 1))
    assert [(done.value[1], done.drawn_by, done.stalls) for done in results] == [
        (here, "", ()),
        (other, other, (here,)),
        (other, other, ()),
    ]
    calm = by_index(share(Painting(tmp_path, frozenset()), range(3), 0))
    assert [done.value[0] for done in results] == [done.value[0] for done in calm]


def test_no_cluster_is_said_in_one_line_with_what_to_do():
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'cezanne[ray]'")
    with pytest.raises(SceneError, match=r"no Ray cluster can be used at localhost:9 .*ray start --head") as said:
        list(share(draw, range(2), 1, executor="ray", address="localhost:9"))
    assert "\n" not in str(said.value)
