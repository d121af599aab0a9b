"""One shard on disk: episodes concatenated over steps in a zarr v3 group that knows the checksums of its files.

    NAME.zarr/zarr.json             attributes: the episodes' metadata, size and SHA-256 of every other file, and a digest of all that
    NAME.zarr/images/CAMERA         (N, H, W, 3) uint8
    NAME.zarr/masks/CAMERA          (N, H, ceil(W / 8)) uint8, bits packed along the rows
    NAME.zarr/qpos, gripper, ...    (N, n) float32 and so on; state has one row more for each episode

A shard is read only as this program writes it: names, types, shapes, chunks and codecs are compared before anything is
allocated, paths come from here, never from the file, and nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import ZstdCodec

from episodes.episode import Episode
from episodes.errors import StoreError
from episodes.info import FORMAT, DatasetInfo
from episodes.zstd import unpacked_size

_LEVEL = 3  # of zstd: 20 ms and 1.2 MB for 540 rendered pictures of 128 px; lz4 takes 12 ms and 2.3 MB, shuffling only hurts
_PICTURES, _ROWS = 32, 1024  # steps in a chunk of pictures, of vectors
_HEADER_LIMIT = 256 * 2**20  # bytes of zarr.json


@dataclass(frozen=True)
class _Layout:
    """How one array of a shard must look."""

    shape: tuple[int, ...]
    dtype: str
    chunk: int
    """Steps in a chunk; the other axes are whole."""

    @property
    def chunks(self) -> tuple[int, ...]:
        return (self.chunk, *self.shape[1:])

    @property
    def chunk_bytes(self) -> int:
        """Size of a chunk, unpacked; the last one is as large as the others."""
        return math.prod(self.chunks) * np.dtype(self.dtype).itemsize

    @property
    def files(self) -> list[str]:
        """Names of the chunk files under the array's folder."""
        rest = "/0" * (len(self.shape) - 1)
        return [f"c/{i}{rest}" for i in range(-(-self.shape[0] // self.chunk))]


def _layout(info: DatasetInfo, steps: int, episodes: int, state: int) -> dict[str, _Layout]:
    n, m = len(info.joints), info.gripper
    arrays = {
        "qpos": _Layout((steps, n), "float32", _ROWS),
        "gripper": _Layout((steps, m), "float32", _ROWS),
        "actions": _Layout((steps, n + m), "float32", _ROWS),
        "sent": _Layout((steps, n + m), "float32", _ROWS),
        "labelled": _Layout((steps,), "bool", _ROWS),
        "state": _Layout((steps + episodes, state), "float64", _ROWS),
    }
    for name, camera in info.cameras.items():
        arrays[f"images/{name}"] = _Layout((steps, camera.height, camera.width, 3), "uint8", _PICTURES)
        arrays[f"masks/{name}"] = _Layout((steps, camera.height, -(-camera.width // 8)), "uint8", 8 * _PICTURES)
    return {name: layout for name, layout in arrays.items() if 0 not in layout.shape[1:]}


def write_shard(folder: Path, episodes: Sequence[Episode], info: DatasetInfo) -> None:
    """Writes episodes to a new folder and makes sure that they are on the disk. Raises OSError."""
    state = {episode.state.shape[1] for episode in episodes}
    if len(state) > 1:
        raise StoreError(f"episodes of one shard have states of one size, got {sorted(state)}")
    steps = sum(map(len, episodes))
    group = zarr.create_group(folder, zarr_format=3)
    for name, layout in _layout(info, steps, len(episodes), max(state, default=0)).items():
        _write_array(group, name, layout, [_rows(episode, name) for episode in episodes])
    meta = [
        {"steps": len(e), "instruction": e.instruction, "dt": float(e.dt), "success": bool(e.success), "provenance": dict(e.provenance)}
        for e in episodes
    ]
    files = {path: [(folder / path).stat().st_size, _sha256(folder / path)] for path in _files(folder) if path != "zarr.json"}
    content = {"version": FORMAT, "state": max(state, default=0), "episodes": meta, "files": files}
    head = {"zarr_format": 3, "node_type": "group", "attributes": {"cezanne": content, "sha256": _digest(content)}}
    (folder / "zarr.json").write_text(json.dumps(head, allow_nan=False), encoding="utf-8")
    _to_disk(folder)


def _write_array(group: zarr.Group, name: str, layout: _Layout, parts: list[np.ndarray]) -> None:
    array = group.create_array(
        name,
        shape=layout.shape,
        dtype=layout.dtype,
        chunks=layout.chunks,
        compressors=ZstdCodec(level=_LEVEL),
        filters=None,
        fill_value=0,
        config={"write_empty_chunks": True},  # a chunk that is not there is a broken shard
    )
    if parts:
        array[:] = np.concatenate(parts)


def _rows(episode: Episode, name: str) -> np.ndarray:
    kind, _, camera = name.partition("/")
    value = getattr(episode, kind)
    if kind == "masks":
        return np.packbits(value[camera], axis=-1)
    return value[camera] if camera else value


class Shard:
    """A shard being read. Opening reads one small file; the others are checked against it before the first array is read."""

    def __init__(self, folder: Path, info: DatasetInfo) -> None:
        self.folder, self.info, self.name = folder, info, folder.name.removesuffix(".zarr")
        content = self._header()
        try:
            self.episodes: list[dict[str, Any]] = content["episodes"]
            self.lengths = np.array([episode["steps"] for episode in self.episodes], np.int64)
            self._files: dict[str, list] = dict(content["files"])
            for episode in self.episodes:
                types = [type(episode[key]) for key in ("steps", "instruction", "dt", "success", "provenance")]
                if types != [int, str, float, bool, dict] or not 1 <= episode["steps"] < 2**31:
                    raise ValueError("an episode's metadata is malformed")
            self._layout = _layout(info, int(self.lengths.sum()), len(self.episodes), int(content["state"]))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise self._broken(str(error)) from error
        self._starts = np.concatenate([[0], np.cumsum(self.lengths)])
        self._checked = False
        self._arrays: dict[str, zarr.Array] = {}

    def rows(self, name: str, first: int, last: int) -> np.ndarray:
        """Rows of one array for the episodes from `first` to before `last`, decoded; masks are unpacked."""
        self.check()
        layout = self._layout.get(name)
        a, b = int(self._starts[first]), int(self._starts[last])
        if name == "state":
            a, b = a + first, b + last
        if layout is None:  # an array without columns
            return np.zeros((b - a, 0), np.float64 if name == "state" else np.float32)
        return self._decoded(name, slice(a, b))

    def first_rows(self, name: str) -> np.ndarray:
        """One array at the first step of every episode, (E, ...): only the chunks that hold those are decoded."""
        self.check()
        starts = self._starts[:-1] + (np.arange(len(self.lengths)) if name == "state" else 0)
        if self._layout.get(name) is None:
            return np.zeros((len(starts), 0), np.float64 if name == "state" else np.float32)
        return self._decoded(name, starts)

    def _decoded(self, name: str, rows: slice | np.ndarray) -> np.ndarray:
        try:
            if name not in self._arrays:
                self._arrays[name] = zarr.open_array(self.folder / name, mode="r", zarr_format=3)
            values = np.asarray(self._arrays[name].oindex[rows])
        except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
            raise self._broken(f"{name}: {error}") from error
        kind, _, camera = name.partition("/")
        if kind == "masks":
            values = np.unpackbits(values, axis=-1, count=self.info.cameras[camera].width).view(bool)
        return values

    def read(self, first: int, last: int) -> list[Episode]:
        """The episodes from `first` to before `last`, each chunk decoded once."""
        vectors = {name: self.rows(name, first, last) for name in ("qpos", "gripper", "actions", "sent", "labelled", "state")}
        images = {camera: self.rows(f"images/{camera}", first, last) for camera in self.info.cameras}
        masks = {camera: self.rows(f"masks/{camera}", first, last) for camera in self.info.cameras}
        episodes = []
        for i in range(first, last):
            a, b = self._starts[i] - self._starts[first], self._starts[i + 1] - self._starts[first]
            parts = {name: values[a:b] for name, values in vectors.items()}
            parts["state"] = vectors["state"][a + i - first : b + i - first + 1]
            meta = {key: self.episodes[i][key] for key in ("instruction", "dt", "success", "provenance")}
            pictures = {camera: values[a:b] for camera, values in images.items()}
            episodes.append(Episode(images=pictures, masks={camera: values[a:b] for camera, values in masks.items()}, **parts, **meta))
        return episodes

    def check(self, *, again: bool = False) -> None:
        """Compares every file with its checksum and every array with how it must look. Raises StoreError."""
        if self._checked and not again:
            return
        wanted = {f"{name}/{file}" for name, layout in self._layout.items() for file in ("zarr.json", *layout.files)}
        wanted |= {f"{kind}/zarr.json" for kind in ("images", "masks") if self.info.cameras}
        try:
            found = set(_files(self.folder)) - {"zarr.json"}
            if found != wanted or set(self._files) != wanted:
                missing, strange = sorted(wanted - found), sorted((found | set(self._files)) - wanted)
                raise self._broken(f"{len(missing)} files missing, {len(strange)} strange: {', '.join((missing + strange)[:3])}")
            for path in sorted(wanted):
                size, digest = self._files[path]
                there = (self.folder / path).stat().st_size
                if there != size:
                    raise self._broken(f"{path} has {there} bytes, {size} were written")
                if _sha256(self.folder / path) != digest:
                    raise self._broken(f"{path} is not what was written")
            for name, layout in self._layout.items():
                _check_array(json.loads((self.folder / name / "zarr.json").read_text(encoding="utf-8")), layout)
                for file in layout.files:
                    if unpacked_size((self.folder / name / file).read_bytes()) != layout.chunk_bytes:
                        raise self._broken(f"{name}/{file} is no chunk of {layout.chunk_bytes} bytes")
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise self._broken(str(error)) from error
        self._checked = True

    def _header(self) -> dict[str, Any]:
        path = self.folder / "zarr.json"
        try:
            if path.stat().st_size > _HEADER_LIMIT:
                raise self._broken(f"zarr.json has {path.stat().st_size} bytes")
            attributes = json.loads(path.read_text(encoding="utf-8"))["attributes"]
            content = attributes["cezanne"]
            if content["version"] != FORMAT:
                raise StoreError(f"shard {self.name!r} has format version {content['version']}, this program reads {FORMAT}; collect again")
            if _digest(content) != attributes["sha256"]:
                raise self._broken("zarr.json is not what was written")
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise self._broken(f"zarr.json: {error}" if str(error) else "zarr.json") from error
        return content

    def _broken(self, why: str) -> StoreError:
        return StoreError(f"shard {self.name!r} is broken ({' '.join(why.split())[:200]}); delete {self.folder} and run collect again")


def _check_array(raw: Any, layout: _Layout) -> None:
    """Raises ValueError where the metadata of an array is not what this program writes."""
    grid = {"name": "regular", "configuration": {"chunk_shape": list(layout.chunks)}}
    codecs = [codec["name"] for codec in raw["codecs"]]
    given = (raw["node_type"], raw["shape"], raw["data_type"], raw["chunk_grid"], codecs, raw.get("storage_transformers") or [])
    wanted = ("array", list(layout.shape), layout.dtype, grid, ["bytes", "zstd"], [])
    if given != wanted:
        raise ValueError(f"an array is {given}, must be {wanted}")


def _files(folder: Path) -> list[str]:
    """Paths of all files under a folder, relative to it. Links are not followed."""
    found = []
    for root, _, names in os.walk(folder):
        found += [os.path.relpath(os.path.join(root, name), folder).replace(os.sep, "/") for name in names]
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()).hexdigest()


def _to_disk(folder: Path) -> None:
    """Waits until every file and folder below is on the disk."""
    for root, _, names in os.walk(folder):
        for path in (*(os.path.join(root, name) for name in names), root):
            sync(Path(path))


def sync(path: Path) -> None:
    """Waits until one file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
