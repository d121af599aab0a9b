"""Sharing out over a Ray cluster of two nodes, on this machine: the results of local processes, also when a node is killed."""

import numpy as np
import pytest
from worker_jobs import Item, Log, begun, draw, picky

from sim.errors import SceneError
from sim.workers import share

pytestmark = pytest.mark.slow
NODE = {"num_cpus": 1, "object_store_memory": 80_000_000, "include_log_monitor": False}


@pytest.fixture(scope="module")
def cluster():
    """A head and a second node that a test may kill, one CPU each."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'cezanne[ray]'")
    from ray.cluster_utils import Cluster  # pyright: ignore[reportMissingImports]

    made = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False, "no_monitor": True})
    second = made.add_node(**NODE)
    made.wait_for_nodes()
    yield made, second
    made.shutdown()


def over(cluster, start, items, workers=0):
    return share(start, items, workers, executor="ray", address=cluster.address)


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
    results = over(made, Log(tmp_path, pause=0.3, company=2), items)
    came = [next(results) for _ in range(3)]
    before = begun(tmp_path)
    made.remove_node(second, allow_graceful=False)
    came += results
    assert [(done.index, done.value, done.error) for done in by_index(came)] == [(k, f"ITEM{k}", "") for k in range(12)]
    after = begun(tmp_path)[len(before) :]
    assert len({process for _, process in before}) == 2, "both nodes were at work"
    twice = {name for name, _ in before} & {name for name, _ in after}
    assert len(twice) == 1, "the item of the killed node was begun again"


def test_no_cluster_is_said_in_one_line_with_what_to_do():
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'cezanne[ray]'")
    with pytest.raises(SceneError, match=r"no Ray cluster can be used at localhost:9 .*ray start --head") as said:
        list(share(draw, range(2), 1, executor="ray", address="localhost:9"))
    assert "\n" not in str(said.value)
