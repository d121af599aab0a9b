"""Several processes, or several passes, make the steps that one process makes in one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from policy_world import tiny_policy, tiny_train, write_dataset
from torchrun import train_together

from episodes import open_dataset
from policies import PolicyError
from policies.config import Head, Precision, TrainConfig
from policies.part import part
from policies.runlog import read_log
from policies.train import open_sampler, run
from policies.trainer import Trainer

STEPS = 24


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "toys")


def alone(data: Path, out: Path, *, head: Head = Head.l1, **changes: object) -> TrainConfig:
    policy = tiny_policy(history=2, head=head)
    return tiny_train(data, out, steps=STEPS, validate_every=STEPS, device="cpu", precision=Precision.float32, policy=policy, **changes)


def losses(out: Path) -> np.ndarray:
    """(steps, 2)"""
    return np.array([(entry["loss"], entry["grasp_loss"]) for entry in read_log(out / "log.jsonl") if "loss" in entry])


@pytest.fixture(scope="module", params=[Head.l1, pytest.param(Head.flow, marks=pytest.mark.slow)], ids=["l1", "flow"])
def one(request: pytest.FixtureRequest, data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Head]:
    """A run of one process."""
    out = tmp_path_factory.mktemp("one") / "run"
    run(alone(data, out, head=request.param))
    return out, request.param


def check_same(out: Path, other: Path) -> None:
    """Losses of all steps, and errors of the last average, but for rounding.

    Not weight by weight: attention does not depend on the bias of its keys, whose gradient is rounding alone, which AdamW makes large.
    """
    found, wanted = losses(out), losses(other)
    assert len(found) == len(wanted) == STEPS
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)
    errors, expected = (read_log(folder / "log.jsonl")[-1] for folder in (out, other))
    assert errors == pytest.approx(expected, abs=1e-5)
    assert errors["step"] == STEPS
    assert errors.keys() >= {"validation_loss", "joint_error", "gripper_error"}


@pytest.mark.parametrize("passes", [2, 8])
def test_passes_over_parts_of_a_batch_make_the_same_steps(one: tuple[Path, Head], data: Path, tmp_path: Path, passes: int) -> None:
    out, head = one
    run(alone(data, tmp_path / "run", head=head, accumulate=passes))
    check_same(tmp_path / "run", out)


@pytest.mark.parametrize("settings", [{}, pytest.param({"fsdp": True, "accumulate": 2}, marks=pytest.mark.slow)], ids=["ddp", "fsdp"])
def test_two_processes_make_the_steps_of_one(one: tuple[Path, Head], data: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    out, head = one
    if head is Head.flow and settings:
        pytest.skip("one of the two is enough to see that noise is shared out")
    said = train_together(data, tmp_path / "run", steps=STEPS, validate_every=STEPS, head=head.name, **settings)
    assert said[0]["processes"] == 2
    assert said[1] == {}, "only the first process speaks"
    check_same(tmp_path / "run", out)


@pytest.mark.slow
@pytest.mark.parametrize("fsdp", [False, True], ids=["ddp", "fsdp"])
def test_a_run_may_change_the_number_of_its_processes_on_the_way(data: Path, tmp_path: Path, fsdp: bool) -> None:
    run(alone(data, tmp_path / "whole"))
    stopped = tmp_path / "run"
    step = Trainer.train_step

    def stop(self: Trainer) -> None:
        if self.step == 7:
            raise KeyboardInterrupt
        step(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "train_step", stop)
        with pytest.raises(KeyboardInterrupt):
            run(alone(data, stopped))
    train_together(data, stopped, steps=STEPS, validate_every=STEPS, resume=True, fsdp=fsdp, loader_workers=1)
    check_same(stopped, tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on the CPU")
def test_compiled_code_makes_the_same_steps(data: Path, tmp_path: Path) -> None:
    run(alone(data, tmp_path / "plain"))
    run(alone(data, tmp_path / "compiled", compile=True))
    check_same(tmp_path / "compiled", tmp_path / "plain")


def test_a_batch_that_does_not_divide_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="accumulate=3 does not divide batch=8"):
        alone(data, tmp_path / "run", accumulate=3)


@pytest.mark.parametrize("cut", [lambda n: n // 2, lambda n: 1, lambda n: n - 1])
def test_the_parts_of_a_batch_are_the_batch(data: Path, tmp_path: Path, cut: Callable[[int], int]) -> None:
    sampler, _ = open_sampler(alone(data, tmp_path, head=Head.flow), open_dataset(data))
    batch = sampler.draw(0, 0, 8)
    at = cut(8)
    parts = part(batch, 0, at), part(batch, at, 8)
    for value, halves in ((batch, parts), (batch.patches, [p.patches for p in parts]), (batch.jitter, [p.jitter for p in parts])):
        for field in fields(value):  # pyright: ignore[reportArgumentType]
            whole = getattr(value, field.name)
            if isinstance(whole, torch.Tensor):
                torch.testing.assert_close(torch.cat([getattr(half, field.name) for half in halves]), whole, rtol=0, atol=0)
    assert batch.noise is not None
    torch.testing.assert_close(torch.cat([p.noise.start for p in parts if p.noise is not None]), batch.noise.start, rtol=0, atol=0)
