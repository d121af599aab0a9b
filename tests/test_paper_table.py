"""The paper's table: its plan, the script that goes through it cell by cell, and the table itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from report_samples import report

from benchmarks.paper_table import FAMILY, PROFILES, commands, table
from conf.compose import compose
from policies.config import TrainConfig

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "paper_table.sh"
STAND_IN = """#!{python}
import pathlib, sys, time
here = pathlib.Path(__file__).parent
words = sys.argv[1:]
if words[0] == "-c":
    exec(words[1])
elif words[1] == "benchmarks.paper_table":
    print({plan!r} if words[2] == "plan" else "the table")
else:
    with open(here / "calls", "a") as file:
        file.write(" ".join(words[2:]) + chr(10))
    if (here / "fails").exists():
        sys.exit(7)
    if (here / "hangs").exists():
        time.sleep(60)
    print("noise")
    print('{{"ok": 1}}')
"""


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    """A Python that notes what it is asked to do."""
    path = tmp_path / "python"
    path.write_text(STAND_IN.format(python=sys.executable, plan="one.train\ttrain steps=1\none.eval\teval trials=2"))
    path.chmod(0o755)
    return path


def go(python: Path, *words: str) -> subprocess.CompletedProcess[str]:
    out = python.parent / "out"
    environment = {"PYTHON": str(python), "PATH": "/usr/bin:/bin"}
    return subprocess.run([SCRIPT, f"out={out}", *words], env=environment, capture_output=True, text=True, timeout=60, check=False)


def calls(python: Path) -> list[str]:
    return (python.parent / "calls").read_text().splitlines()


def test_each_stage_is_made_once(stand_in: Path) -> None:
    for _ in range(2):
        done = go(stand_in)
        assert (done.returncode, done.stdout) == (0, "the table\n"), done.stderr
    assert calls(stand_in) == ["train steps=1", "eval trials=2"]
    assert json.loads((stand_in.parent / "out" / "done" / "one.eval.json").read_text()) == {"ok": 1}


def test_a_stage_that_fails_is_named_and_made_again(stand_in: Path) -> None:
    (stand_in.parent / "fails").touch()
    failed = go(stand_in)
    assert failed.returncode == 7
    assert "one.train failed (exit code 7): cezanne train steps=1" in failed.stderr
    (stand_in.parent / "fails").unlink()
    assert go(stand_in).returncode == 0
    assert calls(stand_in) == ["train steps=1", "train steps=1", "eval trials=2"]


def test_it_begins_nothing_when_time_is_up(stand_in: Path) -> None:
    stopped = go(stand_in, "minutes=0.02")
    assert stopped.returncode == 75, stopped.stderr
    assert "before one.train (1 of 2); run it again" in stopped.stderr


@pytest.mark.slow
def test_it_stops_in_time_and_goes_on(stand_in: Path) -> None:
    (stand_in.parent / "hangs").touch()
    stopped = go(stand_in, "minutes=0.25")
    assert stopped.returncode == 75, stopped.stderr
    assert "during one.train (1 of 2); run it again" in stopped.stderr
    (stand_in.parent / "hangs").unlink()
    assert go(stand_in, "minutes=5").returncode == 0


def test_what_another_command_made_is_not_taken_for_this_one(stand_in: Path) -> None:
    assert go(stand_in).returncode == 0
    stand_in.write_text(stand_in.read_text().replace("steps=1", "steps=9"))
    refused = go(stand_in)
    assert refused.returncode == 2
    assert "another command" in refused.stderr
    assert go(stand_in, "colour=red").returncode == 2


def test_calls_at_once_share_the_work(stand_in: Path) -> None:
    text = stand_in.read_text().replace('print("noise")', "time.sleep(0.3)")
    lines = [f"{name}.{stage}\\t{stage} of={name}" for name in ("one", "two", "three") for stage in ("train", "eval")]
    stand_in.write_text(
        text.replace("one.train\\ttrain steps=1\\none.eval\\teval trials=2", "\\n".join(["data\\tcollect demos=3", *lines]))
    )
    done = go(stand_in, "jobs=3")
    assert done.returncode == 0, done.stderr
    made = calls(stand_in)
    assert made[0] == "collect demos=3"
    assert sorted(made[1:]) == sorted(f"{stage} of={name}" for name in ("one", "two", "three") for stage in ("train", "eval"))
    for name in ("one", "two", "three"):
        assert made.index(f"train of={name}") < made.index(f"eval of={name}")


@pytest.mark.parametrize("name", PROFILES)
def test_every_cell_differs_in_what_it_says(name: str, tmp_path: Path) -> None:
    profile = PROFILES[name]
    cells = profile.cells()
    assert len({cell.name for cell in cells}) == len({cell.train for cell in cells}) == len(cells)
    family = [cell for cell in cells if cell.part == "family" and cell.demos == max(profile.counts)]
    assert {cell.label for cell in family} == set(FAMILY.values())
    same = {tuple(word for word in cell.train if not word.startswith("policy=")) for cell in family}
    assert len(same) == 1, "equal data and equal steps"
    chosen = {command for stage, command in commands(profile, tmp_path, 0) if stage.endswith(".train")}
    assert len(chosen) == len(cells)
    for command in sorted(chosen)[:: len(chosen) // 8]:
        compose("train", TrainConfig, command.split()[1:])


def test_the_table_shows_what_is_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="no cell is done"):
        table("cpu", tmp_path, "")
    for pooling, rate in (("det", 0.8), ("mean", 0.2), ("box", 0.8)):
        name = f"{pooling}-660-220"
        (tmp_path / "done").mkdir(exist_ok=True)
        report(rate, suite="ycb65", trials=4).save(tmp_path / name / "eval")
        (tmp_path / "done" / f"{name}.train.json").write_text(json.dumps({"seconds": 60.0, "checkpoint": name}))
        (tmp_path / "done" / f"{name}.eval.json").write_text("{}")
    document = tmp_path / "results.md"
    summary = table("cpu", tmp_path, str(document))
    printed = capsys.readouterr().out
    assert summary["cells"] == 3
    assert "mean pooling against detection pooling: -" in printed
    assert "attention" not in printed
    text = document.read_text()
    assert "benchmarks/paper_table.sh profile=cpu" in text
    assert (tmp_path / "images" / "paper.svg").exists()
