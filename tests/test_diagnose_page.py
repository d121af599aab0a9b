"""The page of a diagnosis and its drawings: one file, nothing outside it, nothing that data could put into it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from diagnose_world import write_set

from augment.diagnose.diversity import measure
from augment.diagnose.embedding import flatten
from augment.diagnose.factors import Factor, Kind
from augment.diagnose.figures import draw_diversity, draw_map, draw_sweep
from augment.diagnose.page import _folded, labels, number
from augment.diagnose.published import PICTURES, ROBOTS
from augment.diagnose.run import DiagnoseConfig, run


def distances(x: np.ndarray) -> np.ndarray:
    return np.linalg.norm(x[:, None] - x[None], axis=-1)


def test_a_plane_stays_as_it_is() -> None:
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.normal(size=(9, 9)))[0][:2]
    flat = rng.normal(size=(12, 2)) @ axes + rng.normal(size=9)
    found = flatten(flat)
    assert distances(found.points) == pytest.approx(distances(flat))
    assert sum(found.shares) == pytest.approx(1)
    turned = flatten(flat @ np.linalg.qr(rng.normal(size=(9, 9)))[0])
    assert turned.points == pytest.approx(found.points)


@pytest.mark.parametrize("shape", [(30, 5), (5, 30)])
def test_no_two_points_come_further_apart(shape: tuple[int, int]) -> None:
    x = np.random.default_rng(0).normal(size=shape)
    found = flatten(x)
    assert (distances(found.points) <= distances(x) + 1e-9).all()
    assert 1 > found.shares[0] > found.shares[1] > 0


@pytest.mark.parametrize("count", [1, 2, 6])
def test_features_that_do_not_vary_have_a_picture(count: int) -> None:
    found = flatten(np.ones((count, 7)))
    assert found.points == pytest.approx(0)
    assert found.shares == (0, 0)


def test_drawings_take_all_colours_from_the_page_and_say_what_they_show() -> None:
    rng = np.random.default_rng(0)
    names = [f"set <{k}>" for k in range(10)]
    features = [np.abs(rng.normal(size=(6, 8))) for _ in names]
    pictures = [rng.integers(0, 255, (6, 8, 8, 3), np.uint8) for _ in names]
    found = measure(features, names, rng, resamples=9)
    for svg in (
        draw_map(features, names, pictures),
        draw_diversity(found, 20.0, comparable=False),
        draw_diversity(found, 20.0, comparable=True),
        draw_sweep(found, comparable=False),
        draw_sweep(found, comparable=True),
    ):
        assert "#0a0" not in svg
        assert "var(--ink)" in svg
        assert 'role="img" aria-label="' in svg
        assert "<0>" not in svg
        assert svg == svg.strip() or svg.endswith("</svg>\n")


def test_quantities_are_written_for_people_and_stay_apart() -> None:
    def written(values: tuple[str, ...], found: str) -> list[str]:
        return list(labels(Factor("f", Kind.irrelevant, values, found)).values())

    assert written(("-0.12", "0.05 to 0.10"), "place [m]") == ["\N{MINUS SIGN}12 cm", "5 to 10 cm"]
    assert written(("-10", "19.4"), "extrinsics, about the base [deg]") == ["\N{MINUS SIGN}10°", "19°"]
    assert written(("0.101", "0.104"), "place [m]") == ["10.1 cm", "10.4 cm"]
    assert written(("0.00", "0.00"), "place [m]") == ["0 cm"]
    assert written(("can", "a-b"), "provenance") == ["can", "a-b"]
    assert [number(v) for v in (float("nan"), 0.0, 2.345, 99_999.0, 1.2e7)] == ["\N{EN DASH}", "0", "2.35", "1e+05", "1.2e7"]


def test_published_values_are_those_of_the_notes() -> None:
    assert (len(ROBOTS), len(PICTURES)) == (27, 10)
    assert len(ROBOTS) / sum(1 / v for v in ROBOTS.values()) == pytest.approx(
        4.88, rel=0.02
    )  # the harmonic mean that the paper's ratio implies
    assert len(PICTURES) / sum(1 / v for v in PICTURES.values()) == pytest.approx(2.77e4, rel=0.02)


def test_a_page_is_whole_and_data_cannot_write_into_it(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    a = write_set(tmp_path / "<b>a", [0.1] * 12, [-8.0] * 12, [evil, "can"], instruction=f"pick {evil}")
    b = write_set(tmp_path / "b&", [-0.1] * 12, [8.0] * 12, [evil, "can"])
    page = Path(run(DiagnoseConfig([str(a), str(b)], out=str(tmp_path / "out"), permutations=299))["report"]).read_text()
    assert "<script" not in page
    assert "<b>a" not in page
    assert not re.findall(r'(?:src|href)="(?!data:|#)[^"]', page)
    assert not re.findall(r"url\((?!#)", page)
    assert len(re.findall(r'<td class="tinted sure worst"', page)) >= 1
    assert page.count("<img") >= 2
    assert 'name="viewport"' in page
    assert 'content="light dark"' in page


def test_a_table_of_many_values_keeps_its_fullest_rows_and_all_episodes() -> None:
    table = np.random.default_rng(0).poisson(2, (250, 3))
    table[7] += 50
    small, names = _folded(table, [f"toy {k}" for k in range(250)])
    assert len(small) == len(names) == 21
    assert "toy 7" in names
    assert names[-1] == "230 others"
    assert small.sum(0) == pytest.approx(table.sum(0))
    assert len(_folded(table[:21], names)[0]) == 21
