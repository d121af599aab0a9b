"""An emulated UFACTORY control box with an xArm, in a process of its own: real wire formats on a loopback address, faults on demand.

    with open_box(dof=7) as box:
        XArm(box.address).connect()
        box.do("error", 31)

The vendor's client knows only fixed ports, so each emulator takes an address of its own among 127.0.0.2 to 127.0.0.254; port 502 needs
the right to bind low ports. By hand: `python -m hardware.emulators.xarm 7` prints its address; faults are JSON lines on stdin.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from typing import Any

import numpy as np

from hardware.emulators.handle import Emulator, EmulatorError
from hardware.emulators.xarm_controller import Controller
from hardware.emulators.xarm_frames import CONTROL, HEADER, RATES, REAL, SIZES, FrameError, body_length, report, request
from hardware.model import load_arm

TICK = 0.002
"""Of the controller [s]."""


def open_box(dof: int = 7) -> Emulator:
    """One control box with an arm of 6 or 7 joints. What it can be told to do are the public methods of Box."""
    return Emulator("hardware.emulators.xarm", str(dof))


class Box:
    """What runs in the process. Every public method is something that `Emulator.do` can ask for."""

    def __init__(self, dof: int) -> None:
        arm = load_arm(f"xarm{dof}")
        self._controller = Controller(arm, np.array(arm.home))
        self._servers: list[asyncio.Server] = []
        self._reporting: dict[asyncio.StreamWriter, int] = {}
        self._clients: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._silent = self._deaf = False

    def look(self, _: Any = None) -> None:
        """Nothing: the answer says how things are."""

    def error(self, code: int) -> None:
        """An error of this code, as 22 for self-collision or 31 for a collision."""
        self._controller.fail(int(code))

    def restart(self, _: Any) -> None:
        """The control box is switched off and on: as it was at first, connections broken."""
        self.cut(None)
        self._controller = Controller(self._controller.arm, np.array(self._controller.arm.home))
        self._silent = self._deaf = False

    def studio_stop(self, _: Any) -> None:
        """A person presses stop in the vendor's program."""
        self._controller.halt()

    def refuse(self, on: bool) -> None:
        """Answers servoj with "not ready", and does not move."""
        self._controller.refuses = bool(on)

    def lag(self, share: float) -> None:
        """The arm follows at a share of its speed without a word; 0: it stands."""
        self._controller.follow = float(share)

    def push(self, torques: list[float]) -> None:
        """Somebody leans on the joints [N m]."""
        self._controller.push = np.array([*torques, *[0.0] * (7 - len(torques))])

    def place(self, q: list[float]) -> None:
        """The arm stands elsewhere [rad]."""
        self._controller.q = np.array(q, float)

    def identity(self, changed: dict[str, Any]) -> None:
        """Another control box: `kind` (device type), `version`."""
        for name in changed.keys() & {"kind", "version"}:
            setattr(self._controller, name, changed[name])

    def mute(self, on: bool) -> None:
        """No reports, connections stay open."""
        self._silent = bool(on)

    def hang(self, on: bool) -> None:
        """No replies, connections stay open."""
        self._deaf = bool(on)

    def malformed(self, kind: str) -> None:
        """A broken report: "nan", "far" (joints nowhere), "long" or "short" (another size than before), "noise"."""
        good = bytearray(report(REAL, self._controller.measured()))
        broken = {
            "nan": bytes(good[:7]) + b"\0\0\xc0\x7f" * 7 + bytes(good[35:]),
            "far": bytes(good[:7]) + b"\0\0\x7a\x44" * 7 + bytes(good[35:]),
            "long": (400).to_bytes(4, "big") + bytes(good[4:]) + bytes(265),
            "short": (60).to_bytes(4, "big") + bytes(good[4:60]),
            "noise": bytes(range(255, 120, -1)),
        }[kind]
        for writer, port in self._reporting.items():
            if port == REAL:
                writer.write(broken)

    def noise(self, _: Any) -> None:
        """Bytes on the control connections that are no reply."""
        for writer in self._clients:
            writer.write(HEADER.pack(7, 99, 0) + b"\xff" * 9)

    def jaw(self, changed: dict[str, Any]) -> None:
        """The gripper: `error`, `present`, `position` (counts)."""
        for name in changed.keys() & {"error", "present", "position"}:
            setattr(self._controller.jaw, name, changed[name])

    def baud(self, rate: int) -> None:
        """Of the tool's bus: 2000000 or 115200."""
        self._controller.baud = int(rate)

    def cut(self, _: Any) -> None:
        """All connections break; who asks is let in again."""
        for writer in [*self._clients, *self._reporting]:
            writer.transport.abort()

    def power_loss(self, _: Any) -> None:
        """All connections break and nobody listens any more; the brakes hold the arm."""
        self._shut()
        self._controller.halt()
        self._controller.enabled = False

    async def run(self) -> None:
        """Until stdin ends."""
        try:
            address = await self._listen()
        except EmulatorError as error:
            print(json.dumps({"refused": str(error)}), flush=True)
            return
        print(json.dumps({"address": address}), flush=True)
        clock = asyncio.create_task(self._clock())
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            print(json.dumps(self._obey(line)), flush=True)
        clock.cancel()
        self._shut()
        await asyncio.wait([clock, *self._tasks], timeout=5)

    def _obey(self, line: bytes) -> dict[str, Any]:
        try:
            wish = json.loads(line)
            deed = str(wish["do"])
            if deed.startswith("_") or deed == "run" or not hasattr(self, deed):
                raise EmulatorError(f"unknown deed {deed!r}")
            getattr(self, deed)(wish.get("value"))
        except (ValueError, KeyError, TypeError, EmulatorError) as error:
            return {"refused": f"{type(error).__name__}: {error}"}
        box = self._controller
        truth = {
            name: getattr(box, name) for name in ("state", "mode", "error", "enabled", "servos", "bad", "cleaned", "sensitivity", "load")
        }
        return {**truth, "q": box.q.tolist(), "qd": box.qd.tolist(), "clients": len(self._clients), "jaw": box.jaw.position}

    async def _listen(self) -> str:
        first, trouble = os.getpid() % 253, OSError()
        for i in range(253):
            address = f"127.0.0.{2 + (first + i) % 253}"  # emulators that start at once begin their search at different addresses
            try:
                self._servers.append(await asyncio.start_server(self._kept(self._control), address, CONTROL))
                for port in SIZES:
                    self._servers.append(await asyncio.start_server(self._kept(self._report, port), address, port))
                return address
            except PermissionError as error:
                raise EmulatorError(f"port {CONTROL} cannot be bound: {error}") from error
            except OSError as error:
                trouble = error
                self._shut()
        raise EmulatorError(f"no loopback address is free: {trouble}")

    def _kept(self, serve: Any, *extra: Any) -> Any:
        """The connection's task, known so that it can be waited for; a client that goes is no error."""

        async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            if task:
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, FrameError):
                await serve(reader, writer, *extra)
            writer.close()

        return serve_one

    async def _control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        try:
            while True:
                header = await reader.readexactly(HEADER.size)
                asked = request(header, await reader.readexactly(body_length(header)))
                if not self._deaf:
                    writer.write(self._controller.answer(asked))
        finally:
            self._clients.discard(writer)

    async def _report(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
        self._reporting[writer] = port
        try:
            while await reader.read(64):
                pass
        finally:
            self._reporting.pop(writer, None)

    async def _clock(self) -> None:
        last = time.monotonic()
        due = dict.fromkeys(RATES, last)
        while True:
            now = time.monotonic()
            self._controller.tick(min(now - last, 0.05))
            last = now
            for port in RATES:
                if now >= due[port]:
                    due[port] = max(due[port] + 1 / RATES[port], now)
                    self._send(port)
            await asyncio.sleep(max(TICK - (time.monotonic() - now), 0))

    def _send(self, port: int) -> None:
        writers = [writer for writer, at in self._reporting.items() if at == port and not writer.is_closing()]
        if writers and not self._silent:
            data = report(port, self._controller.measured())
            for writer in writers:
                writer.write(data)

    def _shut(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()
        self.cut(None)


if __name__ == "__main__":
    asyncio.run(Box(int(sys.argv[1])).run())
