"""A process that has everything imported, and of which each deed with hostile files gets a copy with little memory and time."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

from assets.objects import ObjectError, open_objects
from assets.objects.guard import check_markup, check_mesh, check_picture, unpack

MEMORY, SECONDS, WAIT = 400 << 20, 20, 90
"""What a copy may take beyond what it has when it starts [bytes], of the processor [s], and of the clock on a busy machine [s]."""


def unpacked(archive: str, into: str) -> object:
    found = unpack(Path(archive), Path(into))
    return [str(f.relative_to(into)) for f in found.files], found.refused


def opened(folder: str, cache: str) -> object:
    found = open_objects(folder, cache=Path(cache))
    return found.names, found.refused


DEEDS = {
    "unpack": unpacked,
    "open": opened,
    "markup": lambda path: check_markup(Path(path).read_bytes(), Path(path)).tag,
    "mesh": lambda path: check_mesh(Path(path)),
    "picture": lambda path: check_picture(Path(path)),
}


class Server:
    """Knows the process, and asks it. A context manager. `module` has the `serve` that it runs."""

    def __init__(self, module: str = "hostile_child") -> None:
        self.module = module

    def __enter__(self) -> Server:
        root = Path(__file__).resolve().parents[1]
        path = os.pathsep.join((str(root), str(root / "tests")))
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"from {self.module} import serve; serve()"],
            env=os.environ | {"MUJOCO_GL": "disable", "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=WAIT)

    def ask(self, deed: str, *paths: Path) -> tuple[bool, object]:
        """Whether it went well, and what came of it or why it was refused. Raises AssertionError where the copy dies of its limits."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([deed, *(os.fsencode(p).hex() for p in paths)]) + "\n")
        self._process.stdin.flush()
        went, found, most = json.loads(self._process.stdout.readline())
        assert went is not None, f"the copy {found}: out of memory, time or luck"
        self.most = most
        return went, found


def serve(deeds: Mapping[str, Callable[..., object]] = DEEDS, refusal: type[Exception] = ObjectError) -> None:
    """Reads deeds, one a line; answers [went well, what came of it, memory taken (bytes)]."""
    for line in sys.stdin:
        deed, *paths = json.loads(line)
        source, sink = os.pipe()
        child = os.fork()
        if not child:
            _copy(sink, deeds[deed], refusal, [os.fsdecode(bytes.fromhex(p)) for p in paths])
        os.close(sink)
        with os.fdopen(source) as answers:
            answer = answers.read()
        _, status, usage = os.wait4(child, 0)
        if status:
            answer = json.dumps([None, f"ended with {os.waitstatus_to_exitcode(status)} after {usage.ru_utime:.1f} s", 0])
        print(answer, flush=True)


def _copy(sink: int, deed: Callable[..., object], refusal: type[Exception], paths: list[str]) -> None:
    code = 1
    try:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        signal.alarm(WAIT)
        try:
            answer = [True, deed(*paths)]
        except refusal as error:
            answer = [False, str(error)]
        taken = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
        os.write(sink, json.dumps([*answer, taken]).encode())
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)  # the copy must not go on as a server
