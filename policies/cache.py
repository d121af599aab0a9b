"""The kept patches of every frame of a dataset, in flat files that training maps into memory."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from episodes.dataset import Dataset
from policies.config import Masking, Rule
from policies.edge import RELIEFS
from policies.errors import PolicyError
from policies.patches import Keep, Patches, cut, grid
from policies.selection import Selected
from policies.table import Table, frames_of, read_table

VERSION = 2


@dataclass(frozen=True)
class Kept:
    """What is kept of a dataset."""

    patch: int
    """Side of a patch [px]."""
    keep: Keep
    stride: int
    """Every n-th step is a frame."""
    holdout: float
    """Share of toys for validation."""
    seed: int
    """Of the choice of those toys."""
    rule: Rule = Rule.any
    """Which patches are the object's."""
    masking: Masking = Masking.patch
    """Whose channel of the mask's border is kept too, where it has one."""

    @property
    def relief(self) -> bool:
        """Whether patches have a channel of the mask's border."""
        return self.keep.sparse and self.masking in RELIEFS


@dataclass(frozen=True)
class Cache:
    """Pictures are ordered by frame, then camera; P of them hold N patches of side p [px]."""

    table: Table
    pixels: np.ndarray
    """(N, 3, p * p) u8"""
    bits: np.ndarray
    """Of the target's pixels, (N, ceil(p * p / 8)) u8."""
    index: np.ndarray
    """Place in the grid, (N,) u16."""
    offsets: np.ndarray
    """First patch of each picture, and N, (P + 1,) i64."""
    silhouette: np.ndarray
    """What each whole mask, or box, says by itself, (P, 12) f32."""
    cameras: int
    fingerprint: str
    relief: np.ndarray | None = None
    """What the mask's border adds to its pixels, (N, p * p) u8: see policies/edge.py; None where it was not asked for."""


def fingerprint(dataset: Dataset | Selected, kept: Kept) -> str:
    """Changes with the data and with what is kept of it."""
    settings = [VERSION, dataset.info.to_json(), kept.patch, kept.keep.value, kept.stride, kept.holdout, kept.seed]
    settings += [Rule.majority.value] if kept.keep.sparse and kept.rule is Rule.majority else []  # the others keep the same patches
    settings += [kept.masking.value] if kept.relief else []
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    digest.update(np.asarray(dataset.lengths, np.int64).tobytes())
    for i in range(len(dataset)):
        digest.update(json.dumps(dataset.provenance(i), sort_keys=True, default=str).encode())
    return digest.hexdigest()[:16]


def open_cache(folder: Path, dataset: Dataset | Selected, kept: Kept, watch: Callable[[int], object] = lambda more: None) -> Cache:
    """The cache of a dataset under `folder`, made if it is not there; `watch` hears of each episode. Raises PolicyError."""
    name = fingerprint(dataset, kept)
    path = folder / f"cache-{name}"
    if not path.exists():
        temporary = folder / f".cache-{name}.{os.getpid()}"
        temporary.mkdir(parents=True, exist_ok=True)
        try:
            _write(temporary, dataset, read_table(dataset, kept.stride, kept.holdout, kept.seed), kept, watch)
            os.rename(temporary, path)
        except OSError as error:
            if not path.exists():  # another process may have been quicker
                raise PolicyError(f"cannot write the training cache {path}: {error.strerror or error}") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    for old in folder.glob("cache-*"):
        if old != path:
            shutil.rmtree(old, ignore_errors=True)
    return _open(path, len(dataset.info.cameras), kept, name)


def _open(path: Path, cameras: int, kept: Kept, name: str) -> Cache:
    area = kept.patch**2
    try:
        table = Table.load(path / "table.npz")
        offsets = np.load(path / "offsets.npy", allow_pickle=False)
        silhouette = np.load(path / "silhouette.npy", allow_pickle=False)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise _damaged(path, str(error)) from error
    pictures = len(table.frame) * cameras
    if offsets.shape != (pictures + 1,) or offsets[0] != 0 or (np.diff(offsets) < 0).any():
        raise _damaged(path, f"offsets.npy does not count the patches of {pictures} pictures")
    if len(silhouette) != pictures:
        raise _damaged(path, f"silhouette.npy holds {len(silhouette)} of {pictures} pictures")
    n = int(offsets[-1])
    return Cache(
        table,
        _map(path / "pixels.bin", np.uint8, (n, 3, area)),
        _map(path / "mask.bin", np.uint8, (n, -(-area // 8))),
        _map(path / "index.bin", np.uint16, (n,)),
        offsets,
        silhouette,
        cameras,
        name,
        _map(path / "relief.bin", np.uint8, (n, area)) if kept.relief else None,
    )


def _map(path: Path, dtype: type, shape: tuple[int, ...]) -> np.ndarray:
    """A file as a read-only array, read where it is looked at. Raises PolicyError where it is not as long as it was made."""
    wanted = math.prod(shape) * np.dtype(dtype).itemsize
    try:
        found = path.stat().st_size
        if found != wanted:
            raise _damaged(path.parent, f"{path.name} has {found} of {wanted} bytes")
        return np.memmap(path, dtype, "r", shape=shape).view(np.ndarray) if wanted else np.empty(shape, dtype)
    except OSError as error:
        raise _damaged(path.parent, f"{path.name}: {error.strerror or error}") from error


def _damaged(path: Path, what: str) -> PolicyError:
    return PolicyError(f"the training cache {path} is damaged ({what}); delete that folder, and it is made anew")


def _write(path: Path, dataset: Dataset | Selected, table: Table, kept: Kept, watch: Callable[[int], object]) -> None:
    for camera in dataset.info.cameras.values():
        grid((camera.height, camera.width), kept.patch, kept.keep)
    table.save(path / "table.npz")
    names = tuple(dataset.info.cameras)
    counts, silhouettes = [], []
    with ExitStack() as stack:
        kinds = ("pixels", "mask", "index", *(["relief"] if kept.relief else []))
        files = {kind: stack.enter_context(open(path / f"{kind}.bin", "wb")) for kind in kinds}
        for i, episode in enumerate(dataset):
            frames = frames_of(len(episode.qpos), i, kept.stride)
            images = np.stack([episode.images[c][frames] for c in names], 1)  # (F, V, H, W, 3)
            masks = np.stack([episode.masks[c][frames] for c in names], 1)  # (F, V, H, W)
            patches = _cut(images, masks, kept)
            files["pixels"].write(patches.pixels.numpy().tobytes())
            files["mask"].write(patches.bits.numpy().tobytes())
            files["index"].write(patches.index.numpy().astype(np.uint16).tobytes())
            if patches.relief is not None:
                files["relief"].write(patches.relief.numpy().tobytes())
            counts.append(patches.lengths.numpy())
            silhouettes.append(patches.silhouette.numpy())
            watch(1)
    np.save(path / "silhouette.npy", np.concatenate(silhouettes))
    np.save(path / "offsets.npy", np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.int64))


def _cut(images: np.ndarray, masks: np.ndarray, kept: Kept) -> Patches:
    """The kept patches of (F, V, H, W, 3) pictures with masks (F, V, H, W)."""
    flat = torch.from_numpy(images).flatten(0, 1).permute(0, 3, 1, 2)  # (S, 3, H, W)
    return cut(flat, torch.from_numpy(masks).flatten(0, 1), torch.arange(len(flat)), kept.patch, kept.keep, kept.rule, kept.masking)
