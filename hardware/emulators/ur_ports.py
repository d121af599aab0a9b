"""The ports of an emulated Universal Robots controller: RTDE, dashboard, program upload, and the Robotiq gripper's.

All of them run in one event loop, so nothing is locked. Protocols are those of controllers with PolyScope 5.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field

from hardware.emulators.ur_controller import Controller, Runtime
from hardware.emulators.ur_packets import HEADER, INPUTS, OUTPUTS, Kind, PacketError, Recipe, names_in, package, recipe

DASHBOARD, SCRIPT, RTDE, GRIPPER = 29999, (30001, 30002, 30003), 30004, 63352
"""Port numbers, fixed by the vendors."""
FREQUENCY = struct.Struct(">d")
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]
"""Speaks one protocol on one connection."""


@dataclass(frozen=True)
class Identity:
    """What the controller says of itself."""

    model: str = "UR5"
    """As the dashboard names it."""
    version: tuple[int, int, int, int] = (5, 12, 0, 0)
    remote: bool = True
    """Whether the pendant is set to remote control."""
    fieldbus: bool = False
    """Whether a fieldbus holds the input registers."""


@dataclass
class Client:
    """One RTDE connection."""

    writer: asyncio.StreamWriter
    inputs: list[Recipe] = field(default_factory=list)
    output: Recipe | None = None
    period: float = 0.008
    """Between data packages [s]."""
    started: bool = False
    due: float = 0.0
    """When the next data package goes out [s]."""


@dataclass
class Ports:
    """The servers of one controller."""

    identity: Identity
    controller: Controller
    now: float = 0.0
    """The controller's time [s]."""
    mute: float = 0.0
    """No data packages until then [s]."""
    gripper: RobotiqJaw = field(default_factory=lambda: RobotiqJaw())
    clients: list[Client] = field(default_factory=list)
    writers: set[asyncio.StreamWriter] = field(default_factory=set)
    """Of all open connections."""
    servers: list[asyncio.Server] = field(default_factory=list)
    connections: set[asyncio.Task[None]] = field(default_factory=set)

    async def open(self, address: str) -> None:
        """Starts to listen on all ports of a loopback address. Raises OSError where one is taken."""
        ports = [(DASHBOARD, self._dashboard), (RTDE, self._rtde), (GRIPPER, self._robotiq), *((port, self._script) for port in SCRIPT)]
        try:
            for port, serve in ports:
                self.servers.append(await asyncio.start_server(self._guarded(serve), address, port))
        except OSError:
            self.shut()
            raise

    def send_data(self) -> None:
        """Data packages to all clients whose time has come."""
        due = [client for client in self.clients if client.started and client.output and self.now >= client.due]
        if not due or self.now < self.mute:
            return
        values = self.controller.state(self.now)
        for client in due:
            client.due = max(client.due + client.period, self.now)
            if client.output and not client.writer.is_closing():
                client.writer.write(client.output.pack(values))

    def send_raw(self, data: bytes) -> None:
        """Any bytes to all started RTDE clients: what a broken controller might send."""
        for client in self.clients:
            if client.started:
                client.writer.write(data)

    def shut(self) -> None:
        """Drops all connections without a word and listens no more, as when power is lost."""
        for server in self.servers:
            server.close()
        self.servers.clear()
        self.cut()

    def cut(self) -> None:
        """Drops all connections without a word, and listens on."""
        for writer in self.writers:
            writer.transport.abort()

    def _guarded(self, serve: Serve) -> Serve:
        """One connection, until either side has enough of it."""

        async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            if task:
                self.connections.add(task)
                task.add_done_callback(self.connections.discard)
            self.writers.add(writer)
            try:
                with contextlib.suppress(OSError, asyncio.IncompleteReadError, PacketError):
                    await serve(reader, writer)
            finally:
                self.writers.discard(writer)
                writer.close()

        return one

    async def _rtde(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = Client(writer)
        self.clients.append(client)
        try:
            while True:
                size, kind = HEADER.unpack(await reader.readexactly(HEADER.size))
                if size < HEADER.size:
                    raise PacketError(f"a package of {size} bytes")
                body = await reader.readexactly(size - HEADER.size)
                answer = self._answer(client, kind, body)
                if answer is not None:
                    writer.write(package(Kind(kind), answer))
        finally:
            self.clients.remove(client)

    def _answer(self, client: Client, kind: int, body: bytes) -> bytes | None:
        """The body of the answer to one RTDE request; None: there is none."""
        if kind == Kind.DATA:
            number = body[0] if body else 0
            known = {one.number: one for one in client.inputs}
            if number not in known:
                raise PacketError(f"no recipe {number}")
            self.controller.receive(known[number].unpack(body), self.now)
            return None
        if kind == Kind.PROTOCOL:
            return bytes([body == b"\x00\x02"])
        if kind == Kind.VERSION:
            return b"".join(number.to_bytes(4, "big") for number in self.identity.version)
        if kind == Kind.OUTPUTS:
            return self._agree_outputs(client, body)
        if kind == Kind.INPUTS:
            new, answer = recipe(len(client.inputs) + 1, names_in(body), INPUTS, self._taken(client))
            client.inputs += [new] if new else []
            return answer
        if kind in (Kind.START, Kind.PAUSE):
            client.started, client.due = kind == Kind.START, self.now
            return b"\x01"
        raise PacketError(f"unknown kind {kind}")

    def _agree_outputs(self, client: Client, body: bytes) -> bytes:
        if len(body) < FREQUENCY.size:
            raise PacketError(f"an output set-up of {len(body)} bytes")
        frequency = FREQUENCY.unpack_from(body)[0]
        client.output, answer = recipe(1, names_in(body[FREQUENCY.size :]), OUTPUTS)
        client.period = 1 / min(max(frequency, 1.0), 500.0)
        return answer

    def _taken(self, client: Client) -> frozenset[str]:
        """Inputs that somebody else holds: each belongs to whom asked first, until they go."""
        if self.identity.fieldbus:
            return frozenset(INPUTS)
        return frozenset(name for other in self.clients if other is not client for one in other.inputs for name in one.names)

    async def _dashboard(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"Connected: Universal Robots Dashboard Server\n")
        while line := await reader.readline():
            writer.write(self._say(line.decode("ascii", "replace").strip()).encode() + b"\n")

    def _say(self, request: str) -> str:
        controller, running = self.controller, self.controller.runtime is not Runtime.STOPPED
        said = {
            "polyscopeversion": "URSoftware {}.{}.{}.{}".format(*self.identity.version),
            "get serial number": "20265300001",
            "get robot model": self.identity.model,
            "is in remote control": str(self.identity.remote).lower(),
            "robotmode": f"Robotmode: {controller.robot_mode.name}",
            "safetystatus": f"Safetystatus: {controller.safety.name}",
            "running": f"Program running: {str(running).lower()}",
            "programstate": "PLAYING" if running else "STOPPED",
        }
        request = request.lower()
        if request in said:
            return said[request]
        if not self.identity.remote:
            return f"Command is not allowed due to safety reasons: {request}"
        if request == "stop":
            controller.end("stopped at the dashboard")
            return "Stopped"
        if request == "unlock protective stop":
            controller.unlock()
            return "Protective stop releasing"
        if request == "play":
            controller.resume()
            return "Starting program"
        return f"could not understand: '{request}'"

    async def _script(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        text = ""
        while block := await reader.read(65536):
            text += block.decode("utf-8", "replace")
            while "\nend\n" in text:  # an end without indentation closes a program
                program, text = text.split("\nend\n", 1)
                self.controller.play(program)

    async def _robotiq(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(self.gripper.say(line.decode("ascii", "replace").split()))


@dataclass
class RobotiqJaw:
    """A Robotiq 2F-85 behind its ASCII socket: variables by name, 0 open to 255 closed."""

    values: dict[str, int] = field(
        default_factory=lambda: {"ACT": 1, "GTO": 0, "STA": 3, "FLT": 0, "OBJ": 3, "POS": 3, "PRE": 0, "SPE": 255, "FOR": 0}
    )
    ends: tuple[int, int] = (3, 230)
    """Where the fingers end, open and closed."""
    counts_per_s: float = 400.0
    """Speed of the fingers at SPE 255."""
    position: float = 3.0
    dead: bool = False
    """Answers questions with "?", as in an emergency stop."""

    def tick(self, dt: float) -> None:
        """Moves the fingers for `dt` [s]."""
        if self.values["GTO"] and self.values["ACT"]:
            goal = min(max(self.values["PRE"], self.ends[0]), self.ends[1])
            step = self.counts_per_s * dt * max(self.values["SPE"], 1) / 255
            self.position += min(max(goal - self.position, -step), step)
            self.values["OBJ"] = 3 if self.position == goal else 0
        self.values["POS"] = round(self.position)

    def say(self, words: list[str]) -> bytes:
        """The answer to a line."""
        if len(words) == 2 and words[0] == "GET" and words[1] in self.values:
            return f"{words[1]} {'?' if self.dead else self.values[words[1]]}\n".encode()
        pairs = list(zip(words[1::2], words[2::2], strict=False))
        if words[:1] == ["SET"] and pairs and all(name in self.values and value.isdigit() for name, value in pairs):
            for name, value in pairs:
                self.values["PRE" if name == "POS" else name] = min(int(value), 255)
            return b"ack"
        return b"?"
