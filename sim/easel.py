"""A renderer that nothing stalls: it draws in a child process, which is replaced by one of the other back end when a draw hangs.

For processes that nobody replaces, such as those of `gymnasium.make_vec`. Pictures are those of `sim/render.py`, bit by bit: the child is
told where everything is and draws that; the physics stays where it was, so that a draw can be made again.
"""

from __future__ import annotations

import atexit
import itertools
import mmap
import os
import pickle
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from multiprocessing.connection import Connection
from typing import Any

import mujoco
import numpy as np

from sim import gl, watchdog
from sim.render import Renderer
from sim.sentinel import GRACE, SLOTS

_START = 180.0
"""Longest that a child may take until it listens [s]: it imports, and draws nothing."""
_ATTEMPTS = 2
_TRAY = 1 << 26
"""Room for the pictures of an errand [bytes]; what is not used costs nothing."""
_SEEN = ("geom_xpos", "geom_xmat", "cam_xpos", "cam_xmat", "light_xpos", "light_xdir")
"""What of an MjData is drawn."""
_SHOWN = ("cam_fovy", "cam_pos", "cam_quat", "geom_rgba", "mat_rgba")
"""What of an MjModel may be changed after it was compiled, and is drawn."""


class Easel:
    """As a `Renderer`, of a model that is drawn elsewhere."""

    def __init__(self, model: mujoco.MjModel, *, shadows: bool = False) -> None:
        self._model, self._shadows = model, shadows
        self._painter = _painter(os.getpid(), threading.get_ident())
        self._number = next(self._painter.numbers)

    def look(self, data: mujoco.MjData, camera: str) -> None:
        """As of a `Renderer`."""
        self._data, self._camera = data, camera

    def picture(self, size: int) -> np.ndarray:
        """As of a `Renderer`."""
        return self._ask("picture", size)

    def mask(self, size: int) -> np.ndarray:
        """As of a `Renderer`."""
        return self._ask("mask", size)

    def mask_of(self, bodies: np.ndarray, size: int) -> np.ndarray:
        """As of a `Renderer`."""
        return self._ask("mask_of", bodies, size)

    def depth(self, size: int) -> np.ndarray:
        """As of a `Renderer`."""
        return self._ask("depth", size)

    def views(self, data: mujoco.MjData, cameras: Sequence[str], size: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """As of a `Renderer`: all in one errand."""
        self._data = data
        return self._painter.ask(self._number, self._described, (self._now(), ("views", tuple(cameras), size)))

    @property
    def stalls(self) -> Mapping[str, int]:
        """Draws of this process that hung, by back end."""
        return dict(self._painter.stalls)

    @property
    def backend(self) -> str:
        """Who draws now."""
        return self._painter.backend

    def close(self) -> None:
        """Gives back what drawing took; idempotent."""
        self._painter.forget(self._number)

    def __enter__(self) -> Easel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, kind: str, *arguments: Any) -> np.ndarray:
        return self._painter.ask(self._number, self._described, (self._now(), ("look", self._camera), (kind, *arguments)))

    def _now(self) -> dict[str, np.ndarray]:
        """Where everything is."""
        return {name: getattr(self._data, name) for name in _SEEN} | {name: getattr(self._model, name) for name in _SHOWN}

    def _described(self) -> tuple[bytes, bool]:
        """The model, as a file's content."""
        model = np.empty(mujoco.mj_sizeModel(self._model), np.uint8)
        mujoco.mj_saveModel(self._model, None, model)
        return model.tobytes(), self._shadows


class Painter:
    """The child process of a thread, and its successors."""

    def __init__(self, backend: str) -> None:
        self.backend = backend
        self.stalls: Counter[str] = Counter()
        self.numbers = itertools.count()
        self._deadline = watchdog.deadline()
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection | None = None
        self._tray: mmap.mmap | None = None
        self._known: set[int] = set()
        """Models that the child has."""

    def ask(self, number: int, described: Any, errand: tuple[Any, ...]) -> Any:
        """What comes of an errand. Raises GLError where both back ends hang on it, or no child lives to do it; else what drawing raised."""
        hung: list[str] = []
        deaths = 0
        while True:
            try:
                if self._pipe is None:
                    self._start()
                pipe = self._connected()
                model = None if number in self._known else described()
                pipe.send_bytes(pickle.dumps((number, model, errand), pickle.HIGHEST_PROTOCOL))
                if pipe.poll(None if self._deadline == float("inf") else self._deadline):
                    answer = _unpacked(pipe.recv_bytes(), self._tray)
                    if isinstance(answer, Exception):
                        raise answer
                    self._known.add(number)
                    return answer
            except (EOFError, ConnectionError) as error:
                self.end()
                deaths += 1
                if deaths == _ATTEMPTS:
                    raise gl.GLError(
                        f"the process that draws on {self.backend} died {deaths} times; `cezanne doctor` says what renders"
                    ) from error
                continue
            hung.append(self.backend)
            self._replace(hung)

    def forget(self, number: int) -> None:
        """Lets the child give a model back."""
        if number in self._known and self._pipe is not None:
            self._known.discard(number)
            with suppress(OSError):
                self._pipe.send_bytes(pickle.dumps((number, None, None)))

    def end(self) -> None:
        """Ends the child; one that the kernel holds in a driver is not waited for. Idempotent."""
        if self._pipe is not None:
            self._pipe.close()
        if self._process is not None:
            self._process.kill()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE)
        if self._tray is not None:
            self._tray.close()
        self._pipe = self._process = self._tray = None
        self._known.clear()

    def _connected(self) -> Connection:
        assert self._pipe is not None
        return self._pipe

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        tray = os.memfd_create("cezanne-pictures")
        os.ftruncate(tray, _TRAY)
        self._tray = mmap.mmap(tray, _TRAY, prot=mmap.PROT_READ)
        code = f"from sim.easel import serve; serve({theirs.fileno()}, {tray})"
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", code], env=gl.environment(self.backend), pass_fds=[theirs.fileno(), tray], stdin=subprocess.DEVNULL
            )
        os.close(tray)
        self._pipe = Connection(ours.detach())
        if not self._pipe.poll(_START) or self._pipe.recv_bytes() != b"ready":
            raise EOFError("it does not listen")

    def _replace(self, hung: Sequence[str]) -> None:
        within = f"no picture within {self._deadline:g} s"
        self.stalls[self.backend] += 1
        self.end()
        if len(hung) == _ATTEMPTS:
            raise gl.GLError(
                f"drawing hangs on {' and on '.join(hung)}: {within}; `cezanne doctor` says what renders here, "
                f"{watchdog.VARIABLE}=SECONDS allows more"
            )
        self.backend = gl.other(self.backend)
        print(f"drawing hangs on {hung[-1]}: {within}; from now on {self.backend} draws", file=sys.stderr, flush=True)


@cache
def _painter(process: int, thread: int) -> Painter:
    """Of a thread: it waits for its pictures, and others need not. A fork has none."""
    gl.require()
    painter = Painter(os.environ["MUJOCO_GL"].lower())
    atexit.register(painter.end)
    return painter


def serve(handle: int, tray: int) -> None:
    """A child: draws what it is asked for until the socket closes. What is unpickled here is what its parent sends over that socket."""
    watchdog.owned([0] * SLOTS)  # the parent waits, and not for longer than a draw may take
    watchdog.end_with_parent()
    pipe, shared = Connection(handle), mmap.mmap(tray, _TRAY)
    easels: dict[int, _Copy] = {}
    pipe.send_bytes(b"ready")
    with suppress(EOFError, ConnectionError, KeyboardInterrupt):
        while True:
            number, model, errand = pickle.loads(pipe.recv_bytes())
            if errand is None:
                if number in easels:
                    easels.pop(number).close()
                continue
            try:
                if model is not None:
                    easels[number] = _Copy(*model)
                answer = easels[number].do(*errand)
            except Exception as error:
                answer = error
            pipe.send_bytes(_packed(answer, shared))


def _packed(answer: Any, tray: mmap.mmap) -> bytes:
    """An answer as bytes; its arrays lie in the shared memory as long as there is room."""
    sizes: list[int] = []

    def lay(buffer: pickle.PickleBuffer) -> bool:
        """Whether it must travel with the rest."""
        raw, begin = buffer.raw(), sum(sizes)
        if begin + raw.nbytes > _TRAY:
            return True
        tray[begin : begin + raw.nbytes] = raw
        sizes.append(raw.nbytes)
        return False

    body = pickle.dumps(answer, 5, buffer_callback=lay)
    return pickle.dumps((sizes, body))


def _unpacked(message: bytes, tray: mmap.mmap | None) -> Any:
    """What `_packed` packed; arrays are copies."""
    sizes, body = pickle.loads(message)
    ends = list(itertools.accumulate(sizes))
    assert tray is not None
    return pickle.loads(body, buffers=[bytearray(tray[end - size : end]) for size, end in zip(sizes, ends, strict=True)])


class _Copy:
    """A model of the parent's, and its renderer."""

    def __init__(self, model: bytes, shadows: bool) -> None:
        self._model = mujoco.MjModel.from_binary_path("model.mjb", {"model.mjb": model})
        self._data = mujoco.MjData(self._model)
        self._renderer = Renderer(self._model, shadows=shadows)

    def do(self, now: Mapping[str, np.ndarray], *requests: tuple[Any, ...]) -> Any:
        """Puts everything where it is and does what is asked; the last answer."""
        for name in _SEEN:
            getattr(self._data, name)[:] = now[name]
        for name in _SHOWN:
            getattr(self._model, name)[:] = now[name]
        answer = None
        for kind, *arguments in requests:
            if kind in ("look", "views"):
                arguments = [self._data, *arguments]
            answer = getattr(self._renderer, kind)(*arguments)
        if isinstance(answer, tuple):
            return tuple({name: np.ascontiguousarray(image) for name, image in images.items()} for images in answer)
        return None if answer is None else np.ascontiguousarray(answer)

    def close(self) -> None:
        self._renderer.close()
