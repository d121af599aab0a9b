"""The fault matrix: every row ends as the table says, and whatever is broken, nothing beyond a limit is sent and a stop lasts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from deploy.errors import DeployError
from deploy.faults.audit import beyond, settled
from deploy.faults.bench import Bench
from deploy.faults.fault import End, Fault, Outcome
from deploy.faults.matrix import ROWS, absent, run
from deploy.faults.table import BEGIN, DOCUMENT, END, cells, table, written
from hardware.limits import Limits
from hardware.model import load_arm
from hardware.reason import Reason

FINE = Outcome(Reason.CONTACT, "pushed", 0.05, 0.1)


@pytest.mark.parametrize("fault", [pytest.param(row, id=row.name, marks=[pytest.mark.slow] * row.slow) for row in ROWS])
def test_a_fault_ends_as_it_must(fault: Fault) -> None:
    if absent(fault):
        pytest.skip(f"{fault.needs} is not installed")
    outcome = run(fault)
    assert fault.verdict(outcome) == (), outcome


def test_every_reason_for_a_stop_is_provoked_by_some_fault() -> None:
    assert set(Reason) <= {row.expected for row in ROWS}
    assert len(ROWS) >= 30
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_the_document_shows_the_matrix_as_it_is() -> None:
    rows = cells(DOCUMENT.read_text())
    assert [row[:4] for row in rows] == [[fault.name, fault.breaks, fault.where, f"`{fault.expected}`"] for fault in ROWS]
    assert all(row[3] == row[4] for row in rows), "measured is what was expected"
    for fault, row in zip(ROWS, rows, strict=True):
        assert not row[6] or float(row[6]) <= fault.within * 1e3


# -- the judges themselves


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"code": Reason.CRASH}, "expected contact"),
        ({"code": End.GOES_ON}, "expected contact"),
        ({"rested": 2.0}, "rested after 2.00 s"),
        ({"detail": ""}, "nothing was said"),
        ({"broken": ("the arm does not rest",)}, "does not rest"),
    ],
)
def test_a_row_that_ends_otherwise_is_told(change: dict[str, object], said: str) -> None:
    row = next(row for row in ROWS if row.name == "contact")
    assert row.verdict(FINE) == ()
    assert said in " ".join(row.verdict(replace(FINE, **change)))  # pyright: ignore[reportArgumentType]


def test_without_a_fault_nothing_stops(tmp_path) -> None:
    ended = Bench(seconds=1.5).run(tmp_path, lambda stage: None)
    assert ended.code is End.GOES_ON, ended
    assert ended.broken == ()


def test_the_audit_knows_setpoints_beyond_a_limit() -> None:
    limits = Limits(load_arm("panda"), speed=1.0)
    home = np.array(limits.arm.home)
    still = [home] * 20
    assert not list(beyond(limits, still, 0.01))
    jump = [*still, home + 0.1, *still]
    assert {"speed", "acceleration", "jerk"} <= set(" ".join(beyond(limits, jump, 0.01)).split())
    far = [*still, np.where(np.arange(7) == 6, limits.arm.upper + 0.1, home)]
    assert "position" in " ".join(beyond(limits, far, 0.01))
    assert "not finite" in " ".join(beyond(limits, [*still, home * np.nan], 0.01))
    below = home + np.array([0, 1.3, 0, -0.3, 0, 0, 0])
    assert "below the workspace" in " ".join(beyond(limits, [below] * 4, 0.01))


def test_motion_counts_until_it_ends() -> None:
    assert settled([(1.0, 0.5), (2.0, 0.5), (3.0, 0.001)], since=0.5) == 1.5
    assert settled([(1.0, 0.5), (2.0, 0.0)], since=1.5) == 0.0


def test_the_table_is_put_in_its_place_and_read_back() -> None:
    row = next(row for row in ROWS if row.name == "contact")
    text = written(f"words\n{BEGIN}\nold\n{END}\nmore\n", table([(row, FINE)]))
    assert text.startswith("words\n")
    assert text.endswith("\nmore\n")
    assert cells(text) == [["contact", row.breaks, row.where, "`contact`", "`contact`", "50", "100"]]
    with pytest.raises(DeployError, match="no place"):
        written("words", "")
    with pytest.raises(DeployError, match="another table"):
        cells(f"{BEGIN}\n| a |\n{END}")
