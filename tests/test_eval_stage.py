"""Stages: made once, continued where stopped, never mixed with what other settings made."""

import pytest

from eval.errors import EvalError
from eval.stage import stage


def make(text, calls=None):
    def work(folder):
        (folder / "product").write_text(text)
        if calls is not None:
            calls.append(text)
        return {"text": text}

    return work


def test_a_complete_stage_is_kept(tmp_path):
    calls = []
    first = stage("toys", tmp_path, {"seed": 0}, None, make("a", calls))
    again = stage("toys", tmp_path, {"seed": 0}, None, make("a", calls))
    assert calls == ["a"]
    assert again == first


def test_other_settings_move_the_earlier_product_aside(tmp_path, capsys):
    first = stage("toys", tmp_path, {"seed": 0}, None, make("a"))
    stage("toys", tmp_path, {"seed": 1}, None, make("b"))
    assert (tmp_path / "toys" / "product").read_text() == "b"
    assert (tmp_path / f"toys-{first.key[:8]}" / "product").read_text() == "a"
    assert capsys.readouterr().err.count("settings have changed") == 1


def test_a_change_at_the_start_reaches_all_that_follows(tmp_path):
    def way(seed):
        calls = []
        toys = stage("toys", tmp_path, seed, None, make("t", calls))
        stage("data", tmp_path, 10, toys, make("d", calls))
        return calls

    assert way(0) == ["t", "d"]
    assert way(0) == []
    assert way(1) == ["t", "d"]


def test_a_stopped_stage_continues_in_its_folder(tmp_path):
    def stopped(folder):
        (folder / "half").write_text("done")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stage("data", tmp_path, 1, None, stopped)
    product = stage("data", tmp_path, 1, None, lambda folder: {"half": (folder / "half").read_text()})
    assert product.summary == {"half": "done"}


def test_a_folder_of_someone_else_is_left_alone(tmp_path):
    (tmp_path / "data").mkdir()
    with pytest.raises(EvalError, match="not made by this command"):
        stage("data", tmp_path, 1, None, make("x"))
