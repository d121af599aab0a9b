"""Batches ahead of time: the same with any number of workers and processes, in order, and nothing is left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, fields, is_dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from policy_world import JOINTS, SIZE, write_dataset

from episodes import open_dataset
from policies.cache import Kept, open_cache
from policies.errors import PolicyError
from policies.loader import open_loader
from policies.network import Batch
from policies.part import part
from policies.patches import Keep, Patches, thin
from policies.recolour import Recolour
from policies.rows import lowest
from policies.sampler import Sampler

KEEPS = (Keep.OBJECT, Keep.ALL)
B = 9


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def samplers(tmp_path_factory: pytest.TempPathFactory) -> dict[Keep, Sampler]:
    folder = tmp_path_factory.mktemp("loader")
    dataset = open_dataset(write_dataset(folder / "toys"))
    settings = {"proprio_noise": 0.01, "colour": True, "before_closing": 0.5, "flow": True}
    made = {}
    for keep in KEEPS:
        cache = open_cache(folder / keep.value, dataset, Kept(patch=4, keep=keep, stride=1, holdout=0.3, seed=0))
        made[keep] = Sampler(cache, 4, 2, 2, JOINTS, **{"cap": 0} | settings)  # pyright: ignore[reportArgumentType]
    made[Keep.OBJECT] = replace(made[Keep.OBJECT], cap=6, training_cap=2)
    made[Keep.ALL] = replace(made[Keep.ALL], recolour=Recolour("octo", (False, True), (SIZE, SIZE), 4))
    return made


def tensors(value: object) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif is_dataclass(value):
        for field in fields(value):
            yield from tensors(getattr(value, field.name))


def assert_same(a: Batch, b: Batch) -> None:
    for x, y in zip(tensors(a), tensors(b), strict=True):
        assert x.dtype == y.dtype
        assert torch.equal(x, y)


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("loader")]


@pytest.mark.parametrize("workers", [0, 1, 4])
@pytest.mark.parametrize("keep", KEEPS)
def test_any_number_of_workers_gives_the_batches_of_the_steps(samplers: dict[Keep, Sampler], keep: Keep, workers: int) -> None:
    with closing(open_loader(samplers[keep], 3, 5, B, workers)) as batches:
        for step, batch in enumerate(islice(batches, 10), 5):
            assert_same(batch, samplers[keep].draw(3, step, B))


@pytest.mark.parametrize("keep", KEEPS)
def test_the_shares_of_all_ranks_are_the_batch(samplers: dict[Keep, Sampler], keep: Keep) -> None:
    for ranks in (2, 4, B):
        for step in range(3):
            whole = samplers[keep].draw(0, step, B)
            for rank in range(ranks):
                assert_same(samplers[keep].draw(0, step, B, (rank, ranks)), part(whole, B * rank // ranks, B * (rank + 1) // ranks))


@pytest.mark.parametrize("share", [(0, B + 1), (2, 2), (-1, 2)])
def test_a_share_without_samples_is_refused(samplers: dict[Keep, Sampler], share: tuple[int, int]) -> None:
    with pytest.raises(PolicyError, match=f"share {share[0]} of {share[1]} of a batch of {B}"):
        next(open_loader(samplers[Keep.OBJECT], 0, 0, B, 1, share))


@pytest.mark.parametrize("equal", [False, True])
def test_patches_are_thinned_before_they_are_read_as_they_would_be_after(equal: bool) -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        lengths = rng.integers(0, 9, 7)
        n = int(lengths.sum())
        priority = rng.integers(0, 3, n) / 4 if equal else rng.random(n)
        places = torch.arange(n)
        patches = Patches(places.view(-1, 1), places.view(-1, 1), places, places[:7], torch.from_numpy(lengths), places[:7])
        for cap in (1, 3, 20):
            kept = thin(patches, cap, torch.from_numpy(priority))
            np.testing.assert_array_equal(np.flatnonzero(lowest(lengths, priority, cap)), kept.index)
            np.testing.assert_array_equal(np.minimum(lengths, cap), kept.lengths)
    assert lowest(np.zeros(3, np.int64), np.empty(0), 2).shape == (0,)


@dataclass
class Watched:
    """Stands in for a sampler; counts, and fails at one step."""

    drawn: list[int]
    fails_at: int = -1

    def draw(self, seed: int, step: int, batch: int, share: tuple[int, int]) -> int:
        self.drawn.append(step)
        if step == self.fails_at:
            raise PolicyError(f"step {step} of seed {seed}")
        return step


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_an_error_comes_at_its_step_as_it_is(workers: int) -> None:
    batches = open_loader(Watched([], fails_at=4), 7, 0, 1, workers)  # pyright: ignore[reportArgumentType]
    assert list(islice(batches, 4)) == [0, 1, 2, 3]
    with pytest.raises(PolicyError, match=r"^step 4 of seed 7$"):
        next(batches)
    assert_no_threads()


def test_batches_ahead_are_few_and_threads_end_when_closed() -> None:
    watched = Watched([])
    batches = open_loader(watched, 0, 0, 1, 2)  # pyright: ignore[reportArgumentType]
    next(batches)
    time.sleep(0.1)
    assert len(watched.drawn) <= 1 + 2 * 2
    batches.close()
    assert_no_threads()


def assert_no_threads() -> None:
    until = time.monotonic() + 5
    while threads() and time.monotonic() < until:
        time.sleep(0.01)
    assert not threads()


def test_a_process_that_is_interrupted_with_workers_ends(tmp_path: Path) -> None:
    """Ctrl-C while batches are made: no thread keeps the process, and it has no children."""
    code = """
import signal, sys, time
from policies.loader import open_loader
class Slow:
    def draw(self, *_):
        time.sleep(0.05)
batches = open_loader(Slow(), 0, 0, 1, 4)
next(batches)
print("begun", flush=True)
while True:
    next(batches)
"""
    script = tmp_path / "interrupted.py"
    script.write_text(code)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(2)
        _, error = process.communicate(timeout=60)
        assert error.rstrip().endswith("KeyboardInterrupt")
    finally:
        process.kill()


@pytest.mark.parametrize("name", ["pixels.bin", "mask.bin", "index.bin", "offsets.npy", "silhouette.npy", "table.npz"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_cache_is_refused_and_says_what_to_delete(tmp_path: Path, name: str, damage: str) -> None:
    dataset = open_dataset(write_dataset(tmp_path / "toys", toys=1, per_toy=1))
    kept = Kept(patch=8, keep=Keep.OBJECT, stride=1, holdout=0.0, seed=0)
    before = np.array(open_cache(tmp_path, dataset, kept).pixels)
    (folder,) = tmp_path.glob("cache-*")
    if damage == "gone":
        (folder / name).unlink()
    else:
        os.truncate(folder / name, (folder / name).stat().st_size - 5)
    with pytest.raises(PolicyError, match=f"{folder} is damaged .*delete that folder"):
        open_cache(tmp_path, dataset, kept)
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    np.testing.assert_array_equal(open_cache(tmp_path, dataset, kept).pixels, before)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's account of memory")
def test_a_pass_over_a_cache_takes_no_memory_of_its_own(samplers: dict[Keep, Sampler], tmp_path: Path) -> None:
    """Pages of a mapped file are the system's to take back; what the process itself holds does not grow with the cache."""
    cache = samplers[Keep.OBJECT].cache
    rows, area = 2_000_000, cache.pixels[0].size
    big = tmp_path / "pixels.bin"
    with open(big, "wb") as file:
        file.truncate(rows * area)  # 96 MB of zeros that take no disk
    pixels = np.memmap(big, np.uint8, "r", shape=(rows, *cache.pixels.shape[1:])).view(np.ndarray)
    order = np.random.default_rng(0).permutation(rows)
    before = _own()
    for part_of in np.array_split(order, 100):
        assert not pixels.take(part_of, 0).any()
    assert _own() - before < rows * area / 4


def _own() -> int:
    """Memory of this process that is no file [bytes]."""
    text = Path("/proc/self/status").read_text()
    return 1024 * int(text.split("RssAnon:")[1].split()[0])
