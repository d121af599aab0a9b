"""The law of failure in demonstrations and toys."""

import numpy as np
import pytest

from eval.errors import EvalError
from eval.statistics.scaling import Point, fit

SIZES = [(25, 25), (75, 25), (75, 75), (225, 75), (220, 220), (440, 220), (660, 220)]


def points(scale=2.0, demos=0.2, toys=0.15, *, objects=400, trials=16, seed=0):
    rng = np.random.default_rng(seed)
    found = []
    for d, t in SIZES:
        wins = rng.binomial(trials, 1 - min(1.0, scale * d**-demos * t**-toys), size=objects)
        found.append(Point(d, t, {f"o{k}": (int(w), trials) for k, w in enumerate(wins)}))
    return found


def test_a_law_is_found_again_from_what_it_made():
    law = fit(points())
    assert law.demos == pytest.approx(0.2, abs=0.02)
    assert law.toys == pytest.approx(0.15, abs=0.02)
    assert law.demos_interval.low < 0.2 < law.demos_interval.high
    assert law.error < 0.02
    gain, low, high = law.gain(Point(660, 220, {}), 500)
    truth = 2.0 * 220**-0.15 * (660**-0.2 - 1160**-0.2)
    assert low <= truth <= high
    assert gain == pytest.approx(truth, abs=0.01)


def test_fewer_objects_are_less_certain():
    few, many = fit(points(objects=20)), fit(points())
    assert few.demos_interval.high - few.demos_interval.low > 2 * (many.demos_interval.high - many.demos_interval.low)


def test_a_law_of_demonstrations_alone_where_toys_are_the_same():
    law = fit([point for point in points() if point.toys == 220])
    assert law.success(660, 220) == pytest.approx(1 - 2.0 * 660**-0.2 * 220**-0.15, abs=0.02)


def test_too_little_to_fit_is_said():
    with pytest.raises(EvalError, match="2 points"):
        fit(points()[:2])
