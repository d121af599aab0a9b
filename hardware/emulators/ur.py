"""An emulated Universal Robots controller in a process of its own: real wire formats on a loopback address, faults on demand.

    with open_controller() as controller:
        UR(controller.address).connect()
        controller.do("protective_stop")

The vendor's client knows only fixed ports, so each emulator takes an address of its own among 127.0.0.2 to 127.0.0.254. By hand:
`python -m hardware.emulators.ur` prints its address; faults are JSON lines on stdin: {"do": "slider", "value": 0.5}.
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
from hardware.emulators.ur_controller import Controller, Mode, Safety
from hardware.emulators.ur_packets import Kind, package
from hardware.emulators.ur_ports import Identity, Ports

HOME = (0.0, -1.6, 1.6, -1.6, -1.6, 0.0)
"""Where the joints begin [rad]."""
TICK = 0.002
"""Of the controller [s]."""


def open_controller() -> Emulator:
    """One UR5e. What it can be told to do are the public methods of Machine."""
    return Emulator("hardware.emulators.ur")


class Machine:
    """What runs in the process. Every public method is something that `Emulator.do` can ask for."""

    def __init__(self) -> None:
        self._ports = Ports(Identity(), Controller(q=np.array(HOME)))

    def look(self, _: Any = None) -> None:
        """Nothing: the answer says how things are."""

    def protective_stop(self, why: str | None) -> None:
        """As after a collision."""
        self._ports.controller.protect(Safety.PROTECTIVE_STOP, why or "protective stop")

    def emergency_stop(self, _: Any) -> None:
        """The red button."""
        self._ports.controller.protect(Safety.ROBOT_EMERGENCY_STOP, "emergency stop")

    def unlock(self, _: Any) -> None:
        """A person unlocks a protective stop at the pendant and presses play."""
        self._ports.controller.unlock()
        self._ports.controller.resume()

    def end_program(self, _: Any) -> None:
        """A person presses stop at the pendant."""
        self._ports.controller.end("stopped at the pendant")

    def identity(self, changed: dict[str, Any]) -> None:
        """Another controller stands there: what is not given is as Identity says."""
        self._ports.identity = Identity(**changed)

    def power(self, on: bool) -> None:
        """A person powers the arm on and releases its brakes, or off."""
        self._ports.controller.robot_mode = Mode.RUNNING if on else Mode.POWER_OFF

    def slider(self, fraction: float) -> None:
        """A person moves the speed slider."""
        self._ports.controller.slider = float(fraction)

    def lag(self, share: float) -> None:
        """The arm follows at a share of its speed without a word; 0: it stands."""
        self._ports.controller.follow = float(share)

    def push(self, amperes: list[float]) -> None:
        """Somebody leans on the joints."""
        self._ports.controller.push = np.array(amperes, dtype=float)

    def mute(self, seconds: float) -> None:
        """No data packages for a while, sockets stay open."""
        self._ports.mute = self._ports.now + float(seconds)

    def cut(self, _: Any) -> None:
        """The network breaks for a moment: all connections are gone, new ones are welcome."""
        self._ports.cut()

    def malformed(self, kind: str) -> None:
        """A broken package: "short" or "long" (another length than agreed), "noise" (no data), "header" (shorter than itself)."""
        broken = {
            "short": package(Kind.DATA, b"\x01\x00\x00"),
            "long": package(Kind.DATA, b"\x01" + b"\xff" * 900),
            "noise": package(Kind.TEXT, b"\xff" * 40),
            "header": bytes([0, 1, Kind.DATA]) + b"\xff" * 40,
        }
        self._ports.send_raw(broken[kind])

    def gripper_dead(self, dead: bool) -> None:
        """The gripper answers every question with "?"."""
        self._ports.gripper.dead = dead

    def gripper_active(self, active: bool) -> None:
        """A person activates the gripper, or takes its power away."""
        self._ports.gripper.values |= {"ACT": int(active), "STA": 3 * int(active)}

    def power_loss(self, _: Any) -> None:
        """All connections break and nobody listens any more; the brakes hold the arm."""
        self._ports.shut()
        self._ports.controller.robot_mode = Mode.POWER_OFF
        self._ports.controller.end("power lost")

    async def run(self) -> None:
        """Until stdin ends."""
        address = await self._listen()
        print(json.dumps({"address": address}), flush=True)
        clock = asyncio.create_task(self._clock())
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            print(json.dumps(self._obey(line)), flush=True)
        clock.cancel()
        self._ports.shut()
        await asyncio.wait([clock, *self._ports.connections], timeout=5)

    def _obey(self, line: bytes) -> dict[str, Any]:
        try:
            wish = json.loads(line)
            deed = str(wish["do"])
            if deed.startswith("_") or deed == "run" or not hasattr(self, deed):
                raise EmulatorError(f"unknown deed {deed!r}")
            getattr(self, deed)(wish.get("value"))
        except (ValueError, KeyError, TypeError, EmulatorError) as error:
            return {"refused": f"{type(error).__name__}: {error}"}
        arm = self._ports.controller
        return {
            "q": arm.q.tolist(),
            "qd": arm.qd.tolist(),
            "program": arm.runtime.name,
            "safety": arm.safety.name,
            "servos": arm.servos,
            "clients": len(self._ports.clients),
            "grip": self._ports.gripper.position,
            "log": arm.log,
        }

    async def _listen(self) -> str:
        first = os.getpid() % 253  # emulators that start at once begin their search at different addresses
        for i in range(253):
            address = f"127.0.0.{2 + (first + i) % 253}"
            with contextlib.suppress(OSError):
                await self._ports.open(address)
                return address
        raise EmulatorError("no loopback address is free")

    async def _clock(self) -> None:
        start = last = time.monotonic()
        while True:
            now = time.monotonic()
            self._ports.now = now - start
            self._ports.controller.tick(self._ports.now, min(now - last, 0.05))
            self._ports.gripper.tick(min(now - last, 0.05))
            self._ports.send_data()
            last = now
            await asyncio.sleep(max(TICK - (time.monotonic() - now), 0))


if __name__ == "__main__":
    asyncio.run(Machine().run())
