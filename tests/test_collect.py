"""The collector: the same data however often it is stopped and however many work; nothing mixed, nothing lost."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from episodes import Dataset, StoreError, open_dataset
from sim.collect import CollectConfig, run
from sim.errors import SceneError
from sim.expert import ExpertConfig

ROOT = Path(__file__).parent.parent
SMALL: dict[str, Any] = {"toys": 3, "demos": 3, "size": 32, "seed": 2}
COMMAND = [sys.executable, "cezanne.py", "collect", *(f"{key}={value}" for key, value in SMALL.items())]


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    out = tmp_path_factory.mktemp("collect") / "data"
    summary = run(CollectConfig(out=str(out), workers=1, **SMALL))
    return out, summary


def same(a: Dataset, b: Dataset) -> bool:
    pairs = zip(a, b, strict=True)
    return all(np.array_equal(x.state, y.state) and np.array_equal(x.images["side"], y.images["side"]) for x, y in pairs)


def test_summary_counts_what_is_there(reference):
    out, summary = reference
    dataset = open_dataset(out)
    assert summary["demonstrations"] == len(dataset) > 0
    assert summary["toys"] == 3
    assert summary["toys_solved"] == len({dataset.provenance(k)["toy"] for k in range(len(dataset))})
    assert not dataset.verify()
    assert (out / "toys.json").exists()


def test_two_workers_make_the_same_data(reference, tmp_path):
    run(CollectConfig(out=str(tmp_path / "two"), workers=2, **SMALL))
    assert same(open_dataset(reference[0]), open_dataset(tmp_path / "two"))


def test_a_finished_data_set_is_left_alone(reference):
    out, summary = reference
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file() and path.name != "toys.json"}
    again = run(CollectConfig(out=str(out), **SMALL))
    assert again["demonstrations"] == summary["demonstrations"]
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_other_settings_are_refused_by_name(reference):
    with pytest.raises(SceneError, match=r"toys was 3 and is 2"):
        run(CollectConfig(out=str(reference[0]), **{**SMALL, "toys": 2}))
    with pytest.raises((SceneError, StoreError), match="size"):
        run(CollectConfig(out=str(reference[0]), **{**SMALL, "size": 64}))
    with pytest.raises(SceneError, match="expert"):
        run(CollectConfig(out=str(reference[0]), expert=ExpertConfig(lift=0.2), **SMALL))


@pytest.mark.parametrize(("field", "value"), [("toys", 0), ("demos", 0), ("seed", -1)])
def test_impossible_settings_are_refused(field, value):
    with pytest.raises(SceneError, match=field):
        CollectConfig(**{field: value})


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_stopped_ten_times_and_continued_it_ends_the_same(reference, tmp_path, stop):
    out = tmp_path / "data"
    for k in range(10):
        child = subprocess.Popen([*COMMAND, f"out={out}"], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        time.sleep(2.5 + 0.7 * k)
        child.send_signal(stop)
        _, said = child.communicate(timeout=60)
        assert "Traceback" not in said
        if child.returncode == 0:
            break
    run(CollectConfig(out=str(out), **SMALL))
    assert same(open_dataset(reference[0]), open_dataset(out))
    assert not open_dataset(out).verify()
