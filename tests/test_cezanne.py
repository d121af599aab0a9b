"""The command line: typed configs, one-line errors, exit codes, the summary as the last line."""

from __future__ import annotations

import dataclasses
import enum
import errno
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

import cezanne
import conf.compose
from hardware.api import RobotError


class Surface(enum.Enum):
    TABLE = "table"
    SHELF = "shelf"


@dataclass
class BallConfig:
    radius: float = 0.02
    """Of the ball [m]."""


@dataclass
class PlayConfig:
    out: str = "???"
    """Where the result goes."""
    games: int = 3
    """How many games,
    one after the other."""
    on: Surface = Surface.TABLE
    """Where to play."""
    goal: float | None = None
    """Optional."""
    label: str | None = None
    very_loud: bool = False
    """Whether the neighbours hear it."""
    sizes: list[float] = field(default_factory=lambda: [1.0, 2.0])
    ball: BallConfig = field(default_factory=BallConfig)
    """What to play with."""

    def __post_init__(self) -> None:
        if self.games < 1:
            raise RobotError(f"games={self.games}: at least 1")


@dataclass
class WatchConfig:
    first: str = "???"
    """What to watch."""
    second: str = ""
    """What to watch then."""
    very_loud: bool = False


def watch(cfg: WatchConfig) -> dict:
    return {"first": cfg.first, "second": cfg.second, "loud": cfg.very_loud}


def play(cfg: PlayConfig) -> dict:
    print("playing", file=sys.stderr)
    match cfg.label:
        case "full":
            raise OSError(errno.ENOSPC, "No space left on device")
        case "bug":
            raise ValueError("two\nlines")
        case "ctrl-c":
            raise KeyboardInterrupt
        case "refused":
            raise RobotError("no arm at 127.0.0.1")
    return {"ok": cfg.label != "broken", "games": np.int64(cfg.games), "on": cfg.on.value, "radius": cfg.ball.radius, "out": Path(cfg.out)}


@pytest.fixture(autouse=True)
def verb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    row = cezanne.Verb("play", f"{__name__}:PlayConfig", f"{__name__}:play", "plays games", "cezanne play out=here games=2")
    two = cezanne.Verb("watch", f"{__name__}:WatchConfig", f"{__name__}:watch", "watches", "cezanne watch this that", ("first", "second"))
    monkeypatch.setattr(cezanne, "VERBS", (*cezanne.VERBS, row, two))
    (tmp_path / "watch.yaml").write_text("defaults:\n  - watch_schema\n  - _self_\n")
    (tmp_path / "play.yaml").write_text("defaults:\n  - play_schema\n  - ball: small\n  - _self_\n")
    (tmp_path / "ball").mkdir()
    (tmp_path / "ball" / "small.yaml").write_text("radius: 0.02\n")
    (tmp_path / "ball" / "large.yaml").write_text("radius: 0.2\n")
    monkeypatch.setattr(conf.compose, "CONF", tmp_path)


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]):
    """Runs a command: exit code, stdout, and the only line of stderr besides progress."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = cezanne.main(arguments)
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err.removeprefix("playing\n").strip()

    return run


def test_a_verb_prints_its_summary_as_the_last_line(said) -> None:
    code, out, err = said("play", "out=here")
    assert (code, err) == (0, "")
    assert json.loads(out.splitlines()[-1]) == {"ok": True, "games": 3, "on": "table", "radius": 0.02, "out": "here"}


def test_keys_groups_and_enums_are_set(said) -> None:
    code, out, _ = said("play", "out=here", "games=5", "ball=large", "on=SHELF")
    assert code == 0
    assert json.loads(out) == {"ok": True, "games": 5, "on": "shelf", "radius": 0.2, "out": "here"}


@pytest.mark.parametrize(
    ("words", "first", "second", "loud"),
    [
        (["a"], "a", "", False),
        (["a", "runs/b c"], "a", "runs/b c", False),
        (["a", "second=x", "--very-loud"], "a", "x", True),
        (["--very-loud", "1e3", "null"], "1e3", "null", True),
        (["second=y", "it's"], "it's", "y", False),
    ],
)
def test_bare_words_fill_keys_in_order_and_flags_are_keys(said, words: list[str], first: str, second: str, loud: bool) -> None:
    code, out, err = said("watch", *words)
    assert (code, err) == (0, "")
    assert json.loads(out) == {"first": first, "second": second, "loud": loud}


def test_help_tells_the_words(said) -> None:
    assert "cezanne watch FIRST SECOND key=value" in said("watch", "--help")[1]


@pytest.mark.parametrize("path", ["a b", "x=y", "it's", "(1)", "a,b", "~/d", "{a}", "$HOME", "C:\\d\\'", "a\\", "\\\\", "1e3", "", "ü[0]"])
def test_any_path_is_taken_as_it_is(said, path: str) -> None:
    code, out, err = said("play", f"out={path}")
    assert (code, err) == (0, "")
    assert json.loads(out)["out"] == str(Path(path))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["pley"], ["unknown verb 'pley'", "did you mean 'play'", "doctor"]),
        (["--debg"], ["--debg", "verb"]),
        (["play"], ["play needs out=..."]),
        (["play", "out=a", "gamez=3"], ["no key 'gamez'", "did you mean 'games'"]),
        (["play", "out=a", "ball.radios=3"], ["no key 'ball.radios'", "did you mean 'ball.radius'"]),
        (["play", "out=a", "+speed=3"], ["no key '+speed'"]),
        (["play", "out=a", "games=many"], ["games=many", "a whole number", "3"]),
        (["play", "out=a", "games=1,2"], ["games=1,2", "a whole number"]),
        (["play", "out=a", "goal=far"], ["goal=far", "a number"]),
        (["play", "out=a", "sizes=[1,b]"], ["sizes=[1,b]", "Float"]),
        (["play", "out=a", "sizes=[1"], ["sizes=[1"]),
        (["play", "out=a", "on=shelve"], ["no choice 'shelve'", "did you mean 'shelf'", "table"]),
        (["play", "out=a", "ball=huge"], ["no choice 'huge'", "large, small"]),
        (["play", "out=a", "games=0"], ["games=0: at least 1"]),
        (["play", "--out", "a"], ["--out", "key=value"]),
        (["play", "out"], ["'out'", "key=value"]),
        (["play", "out=a", "--very-lout"], ["--very-lout", "did you mean 'very-loud'"]),
        (["play", "out=a", "--games"], ["--games", "key=value"]),
        (["play", "out=a", "--very-loud=true"], ["--very-loud=true", "key=value"]),
        (["watch"], ["watch needs first=..."]),
        (["watch", "a", "b", "c"], ["watch takes FIRST SECOND", "'c' is one word too many"]),
        (["watch", "a", "first=b"], ["first is given twice", "'a'"]),
        (["watch", "a", "third=b"], ["no key 'third'"]),
        (["play", "out=a", "label=refused"], ["no arm at 127.0.0.1"]),
    ],
)
def test_what_cannot_be_is_one_line_and_exit_code_2(said, arguments: list[str], expected: list[str]) -> None:
    code, out, err = said(*arguments)
    assert code == 2
    assert out == ""
    assert len(err.splitlines()) == 1
    for part in expected:
        assert part in err


@pytest.mark.parametrize(
    ("label", "code", "expected"),
    [("full", 1, "disk is full"), ("bug", 1, "ValueError: two lines (--debug shows where)"), ("ctrl-c", 130, "stopped")],
)
def test_failures_are_one_line(said, label: str, code: int, expected: str) -> None:
    got, out, err = said("play", "out=a", f"label={label}")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    assert (got, out) == (code, "")
    assert len(err.splitlines()) == 1
    assert expected in err


def test_debug_shows_where() -> None:
    with pytest.raises(ValueError, match="two"):
        cezanne.main(["play", "out=a", "label=bug", "--debug"])


def test_a_summary_that_is_not_ok_fails(said) -> None:
    code, out, _ = said("play", "out=a", "label=broken")
    assert code == 1
    assert json.loads(out)["ok"] is False


def test_help_tells_every_key_with_its_default_and_meaning(said) -> None:
    code, out, _ = said("play", "--help")
    assert code == 0
    keys = ("games=3", "on=table", "ball.radius=0.02", "sizes=[1.0,2.0]", "goal=null", "large, small")
    meanings = (
        "plays games",
        "cezanne play out=here games=2",
        "How many games, one after the other.",
        "required: Where",
        "Of the ball [m].",
    )
    for part in keys + meanings:
        assert part in out


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_the_overview_names_every_verb(said, arguments: list[str]) -> None:
    code, out, _ = said(*arguments)
    assert code == 0
    assert all(v.name in out and v.summary in out for v in cezanne.VERBS)


def test_the_overview_is_instant() -> None:
    code = "import sys, cezanne; cezanne.main(['--help']); sys.exit(len({'hydra', 'mujoco', 'torch', 'numpy'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_sigterm_stops_like_ctrl_c() -> None:
    code = (
        "import sys, time, types, cezanne\n"
        "cezanne.configure = lambda *_: None\n"
        "cezanne._load = lambda _: lambda cfg: print('go', flush=True) or time.sleep(60)\n"
        "sys.exit(cezanne.main(['view']))"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "go\n"
    child.send_signal(signal.SIGTERM)
    out, err = child.communicate(timeout=20)
    assert (child.returncode, out, err.count("\n")) == (130, "", 1)


def test_a_reader_that_leaves_is_not_an_error() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as nobody:
        done = subprocess.run([sys.executable, "-m", "cezanne", "view", "--help"], stdout=nobody, stderr=subprocess.PIPE, text=True)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("verb", [row.name for row in cezanne.VERBS])
def test_every_key_of_a_verb_can_be_set(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those of nested configs, which Hydra refuses where they are frozen."""
    monkeypatch.setattr(conf.compose, "CONF", Path(cezanne.__file__).parent / "conf")
    row = cezanne.find_verb(verb)
    defaults = conf.compose.defaults(verb, cezanne._load(row.config))
    keys = list(conf.compose.keys(defaults))
    assert bool(keys) == bool(dataclasses.fields(cezanne._load(row.config)))
    needed = [f"{key}=x" for key in OmegaConf.missing_keys(defaults)]
    given = [f"{key}={conf.compose.plain(OmegaConf.select(defaults, key))}" for key in keys if f"{key}=x" not in needed]
    assert cezanne.configure(row, [*given, *needed]) == cezanne.configure(row, needed)


@pytest.mark.slow
def test_every_verb_composes_and_explains_itself(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conf.compose, "CONF", Path(cezanne.__file__).parent / "conf")
    start = time.monotonic()
    for row in (row for row in cezanne.VERBS if row.name not in ("play", "watch")):
        assert cezanne.main([row.name, "--help"]) == 0
        out = capsys.readouterr().out
        assert row.example in out
        keys = [word.partition("=")[0] for word in row.example.split()[2:] if "=" in word]
        assert all(f"  {key}" in out for key in keys), f"{row.name}: the example uses keys that do not exist: {keys}\n{out}"
    assert time.monotonic() - start < 120
