"""Mesh files become packs: each in a child process with limits, as many at a time as there are cores, kept in a cache."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import cache as once
from importlib.metadata import version
from pathlib import Path
from threading import Event

from assets.errors import ObjectError
from assets.objects.document import read_document
from assets.objects.guard.meshfile import check_mesh
from assets.objects.guard.place import read
from assets.objects.home import cache_folder
from assets.objects.making.child import REFUSED
from assets.objects.making.companions import FILE_BYTES, MOST_FACES, companions
from assets.objects.making.weight import Weight, find_weight
from assets.objects.meta import META
from assets.objects.pack import Pack, open_pack

DEADLINE, PROCESSOR, MEMORY = 600.0, 1800, 6 << 30
"""What a child process may take: time [s], time of all its cores [s], addresses [bytes]."""
_MAKERS = ("coacd", "fast-simplification", "manifold3d", "trimesh")
"""Other versions of these make other packs."""


def pack_meshes(paths: Sequence[Path], cache: Path | None = None) -> list[Pack | ObjectError]:
    """The pack of each mesh file, or why there is none, in the order of the files: see `each_pack`."""
    found = dict(each_pack(paths, cache))
    return [found[path] for path in paths]


def each_pack(paths: Sequence[Path], cache: Path | None = None) -> Iterator[tuple[Path, Pack | ObjectError]]:
    """Each mesh file with its pack, or with why there is none, as they are finished; as many at a time as there are cores.

    A mesh is in metres, z up, unless the table beside it says otherwise (`making.weight`); its materials and pictures are those that it
    names, or that lie beside it under its name. Who stops asking stops the work.

    Args:
        paths: files of one of the formats of `guard.FORMATS`.
        cache: where packs are kept, by the content of the mesh, its pictures, its mass and the way they are made.
    """
    kept, cores, stop = cache or cache_folder() / "objects", os.cpu_count() or 1, Event()
    workers = max(1, min(len(paths), cores))

    def one(path: Path) -> Pack | ObjectError:
        try:
            return pack_mesh(path, kept, threads=max(1, cores // workers), stop=stop)
        except ObjectError as error:
            return error

    pool = ThreadPoolExecutor(workers)
    try:
        jobs = {pool.submit(one, path): path for path in dict.fromkeys(paths)}
        for job in as_completed(jobs):
            yield jobs[job], job.result()
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def pack_mesh(path: Path, cache: Path, *, threads: int = 1, stop: Event | None = None) -> Pack:
    """The pack of one mesh file, made unless the cache has it. Raises ObjectError with the reason where it cannot be."""
    try:
        weight = find_weight(path)
        check_mesh(path, faces=MOST_FACES, size=FILE_BYTES)
        name = re.sub(r"[^A-Za-z0-9_.-]+", "_", path.stem).strip("._-")[:80] or "object"
        folder = cache.expanduser().resolve() / _key(path, weight) / name
        verdict = folder.parent / "refused.txt"
        if verdict.is_file():
            raise ObjectError(verdict.read_text())
        if (folder / "object.xml").is_file():
            try:
                return open_pack(folder)
            except ObjectError:  # a disk was full, or somebody was curious
                shutil.rmtree(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            made = Path(temporary) / name
            try:
                _make(path, made, weight, threads, stop or Event())
                open_pack(made)
            except _FaultyError as error:
                verdict.write_text(str(error))  # the same bytes will be refused again
                raise
            shutil.rmtree(folder, ignore_errors=True)
            made.rename(folder)
    except OSError as error:
        raise ObjectError(f"it cannot be read or prepared: {error.strerror}: {error.filename}") from error
    return open_pack(folder)


def warnings_of(pack: Pack) -> tuple[str, ...]:
    """What the owner of a mesh should look at, such as its units; nothing where all was as it should be."""
    try:
        said = read_document(pack.folder / META).get("warnings", [])
    except ObjectError:
        return ()
    return tuple(str(line)[:300] for line in said) if isinstance(said, list) else ()


class _FaultyError(ObjectError):
    """The file is at fault, not the moment."""


def _make(path: Path, out: Path, weight: Weight, threads: int, stop: Event) -> None:
    """Writes the pack; where the surface cannot be cut as it is, or a decomposition crashes, another surface is made of it first."""
    for mode in ("as-is", "remesh"):
        code, said = _in_a_child(path, out, weight, mode, threads, stop)
        if code == 0:
            return
        if code == REFUSED:
            raise _FaultyError(said)
        if code in (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT):
            raise ObjectError("what prepares it was ended from outside, perhaps since the memory was full: try again")
        shutil.rmtree(out, ignore_errors=True)
    raise _FaultyError(said or "its surface cannot be cut into convex pieces: the program that tries it crashes")


def _in_a_child(path: Path, out: Path, weight: Weight, mode: str, threads: int, stop: Event) -> tuple[int, str]:
    """Exit code and last words of a process that makes the pack: broken meshes make decompositions hang, crash and eat memory."""
    numbers = ("" if value is None else repr(float(value)) for value in (weight.mass, weight.density))
    words = [str(path.absolute()), str(out), weight.unit, *numbers, mode, str(MEMORY), str(PROCESSOR)]
    room = {"MUJOCO_GL": "disable", "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    until = time.monotonic() + DEADLINE
    with subprocess.Popen(
        [sys.executable, "-c", "from assets.objects.making.child import main; main()", *words],
        env=os.environ | room,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,  # Ctrl-C is for the parent, which ends its children
    ) as child:
        while True:
            try:
                said = child.communicate(timeout=0.2)[1].strip().splitlines()
                return child.returncode, said[-1][:300] if said else ""
            except subprocess.TimeoutExpired:
                if stop.is_set() or time.monotonic() > until:
                    os.killpg(child.pid, signal.SIGKILL)
                    child.wait()
                    why = "nobody waits for it any more" if stop.is_set() else f"it takes more than {DEADLINE:g} s to prepare: simplify it"
                    raise ObjectError(why) from None


def _key(path: Path, weight: Weight) -> str:
    """One name for everything that decides what becomes of a mesh."""
    data = read(path, FILE_BYTES)
    told = hashlib.sha256(repr((_recipe(), path.suffix.lower(), weight)).encode() + data)
    for name, file in sorted(companions(path, data).items()):
        told.update(name.encode("utf-8", "surrogateescape") + b"\0" + hashlib.sha256(read(file, FILE_BYTES)).digest())
    return told.hexdigest()[:20]


@once
def _recipe() -> str:
    """How packs are made: the code that does it, and what it stands on."""
    folder = Path(__file__).parent / "making"
    code = hashlib.sha256(b"".join(file.read_bytes() for file in sorted(folder.glob("*.py"))))
    return code.hexdigest() + " ".join(f"{name}=={version(name)}" for name in _MAKERS)
