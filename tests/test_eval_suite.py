"""Suites: the same for every policy, cells covered evenly."""

import json
from collections import Counter

import numpy as np
import pytest
from eval_world import Thing, things

from eval.errors import EvalError
from eval.sources import UNSEEN, open_suite
from eval.suite import CELLS, make_suite


@pytest.mark.parametrize("trials", [1, 3, 4, 6, 16])
@pytest.mark.parametrize("count", [1, 6, 74])
def test_cells_are_covered_evenly(trials, count):
    suite = make_suite("s", things(count), trials=trials, seed=0)
    cells = Counter(trial.pose for trial in suite.trials)
    assert max(cells.values()) - min(cells[k] for k in range(CELLS)) <= 1
    assert all(len({t.pose for t in suite.of(k)}) == trials for k in range(count))


def test_start_poses_are_the_centres_of_a_grid():
    suite = make_suite("s", things(1), trials=16, seed=0)
    xy = np.array([trial.xy for trial in suite.trials])
    assert np.allclose(np.unique(xy.round(6)), [-0.075, -0.025, 0.025, 0.075])
    assert len(np.unique(xy.round(6), axis=0)) == CELLS


def test_four_trials_visit_every_row_and_column():
    for k in range(4):
        xy = np.array([t.xy for t in make_suite("s", things(4), trials=4, seed=0).of(k)])
        assert all(len(np.unique(xy[:, axis].round(6))) == 4 for axis in (0, 1))


def test_a_part_of_a_suite_has_the_trials_of_the_whole():
    whole = make_suite("s", things(20), trials=4, seed=3)
    part = make_suite("s", things(20), trials=4, seed=3, limit=7)
    known = {(t.name, t.pose, t.seed) for t in whole.trials}
    assert len(part.objects) == 7
    assert {(t.name, t.pose, t.seed) for t in part.trials} <= known


def test_suite_depends_on_seed_alone():
    assert make_suite("s", things(5), trials=4, seed=1) == make_suite("s", things(5), trials=4, seed=1)
    assert make_suite("s", things(5), trials=4, seed=1) != make_suite("s", things(5), trials=4, seed=2)


@pytest.mark.parametrize("wrong", [{"trials": 0}, {"trials": 17}, {"limit": 0}])
def test_impossible_suites_are_refused(wrong):
    with pytest.raises(EvalError):
        make_suite("s", things(3), **{"trials": 4, "seed": 0, **wrong})


def test_empty_and_ambiguous_suites_are_refused():
    with pytest.raises(EvalError, match="empty"):
        make_suite("s", (), trials=4, seed=0)
    with pytest.raises(EvalError, match="one name"):
        make_suite("s", (Thing("a"), Thing("a")), trials=4, seed=0)


def test_toys_the_policy_has_seen_are_refused(tmp_path):
    (tmp_path / "fingerprint.json").write_text(json.dumps({"data": {"seed": UNSEEN + 5}}))
    with pytest.raises(EvalError, match="not unseen"):
        open_suite("toys", trials=1, seed=5, limit=1, checkpoint=tmp_path)
    assert len(open_suite("toys", trials=1, seed=6, limit=2, checkpoint=tmp_path).objects) == 2


def test_the_dataset_of_a_policy_is_asked_too(tmp_path):
    (tmp_path / "fingerprint.json").write_text(json.dumps({"train": {"data": str(tmp_path), "seed": UNSEEN}}))
    (tmp_path / "dataset.json").write_text(json.dumps({"fingerprint": {"settings": {"seed": UNSEEN + 5}}}))
    with pytest.raises(EvalError, match="not unseen"):
        open_suite("toys", trials=1, seed=5, limit=1, checkpoint=tmp_path)
    assert open_suite("toys", trials=1, seed=0, limit=1, checkpoint=tmp_path)  # the seed of the weights is none of toys


def test_a_checkpoint_that_hides_its_toys_is_refused(tmp_path):
    with pytest.raises(EvalError, match="nobody knows"):
        open_suite("toys", trials=1, limit=1, checkpoint=tmp_path)


def test_unknown_suite():
    with pytest.raises(EvalError, match="toys, household, ycb"):
        open_suite("ycb99", trials=1)
