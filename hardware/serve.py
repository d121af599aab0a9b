"""Any policy, offered to a control loop in another process or on another machine: one client at a time."""

from __future__ import annotations

import contextlib
import hmac
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from hardware.api import Policy, RobotError
from hardware.channel import Channel, tune
from hardware.opening import HEAD, NAME, PROOF, Certificate, check_token, head, is_loopback, prove
from hardware.wire import (
    DEFAULT_LIMITS,
    NAMES,
    PROTOCOL,
    Bye,
    Chunk,
    Failed,
    Hello,
    Limits,
    Message,
    Ping,
    Pong,
    Predict,
    Ready,
    Refused,
    Reset,
    Welcome,
    WireError,
    WireLost,
    one_line,
)

STRANGER = Limits(header=4096, payload=0)
"""What is read of a client that has shown the token and nothing else."""
GRACE = 0.5
"""Time that the client before has to be gone [s]: its farewell may come after the next one's hello."""


@dataclass(frozen=True)
class Serving:
    """Where and how a policy is served."""

    token: str = field(repr=False)
    """Shared with the client, at least 16 characters."""
    host: str = "127.0.0.1"
    """Another than a loopback address needs a certificate."""
    port: int = 0
    """0: any free one."""
    certificate: Certificate | None = None
    """For TLS."""
    limits: Limits = DEFAULT_LIMITS
    """Of what a client may send."""
    opening_s: float = 5.0
    """Time that a client has to show the token [s]."""
    guess_s: float = 1.0
    """How long a wrong token is kept waiting [s]."""
    silence_s: float = 10.0
    """A client of which nothing came for this long is dropped [s]; clients send a heartbeat much more often."""
    send_s: float = 5.0
    """Time that a client has to take an answer [s]."""
    openings: int = 8
    """Connections that may be opening at the same time; more of them wait."""

    def __post_init__(self) -> None:
        check_token(self.token)
        if not is_loopback(self.host) and self.certificate is None:
            raise RobotError(f"host={self.host} can be reached from other machines: that needs a certificate and its key for TLS")
        if min(self.opening_s, self.silence_s, self.send_s, self.openings) <= 0 or self.guess_s < 0:
            raise RobotError("times and the number of openings must be above 0")


@dataclass(frozen=True)
class _Client:
    channel: Channel
    name: str
    address: str
    since: float
    welcome: Welcome


class PolicyServer:
    """Serves while it is open: `with PolicyServer(policy, ...) as server: server.run()`. The policy runs in the thread of `run`."""

    def __init__(
        self,
        policy: Policy,
        serving: Serving,
        contract: Mapping[str, object],
        fingerprint: Mapping[str, object],
        log: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Does nothing yet.

        Args:
            policy: is asked by one thread alone.
            serving: address, token, deadlines.
            contract: what the policy was trained for, JSON values; every client is told.
            fingerprint: what made it, JSON values.
            log: is given one line for each thing that happens; called from several threads.
        """
        self._policy, self._serving, self._log = policy, serving, log
        self._welcome = (dict(contract), dict(fingerprint))
        self._listener: socket.socket | None = None
        self._tls: ssl.SSLContext | None = None
        self._changed = threading.Condition()
        self._client: _Client | None = None
        self._opening: set[Channel] = set()
        self._threads: list[threading.Thread] = []
        self._slots = threading.BoundedSemaphore(serving.openings)
        self._stopped = threading.Event()

    @property
    def port(self) -> int:
        """The one it listens on. Raises RobotError where the server is not open."""
        if self._listener is None:
            raise RobotError("the policy server is not open")
        return self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        """Binds and accepts. Raises RobotError."""
        s = self._serving
        self._tls = s.certificate.context() if s.certificate else None
        try:
            self._listener = socket.create_server((s.host, s.port), family=socket.AF_INET6 if ":" in s.host else socket.AF_INET)
        except OSError as error:
            raise RobotError(f"cannot listen on {s.host}:{s.port}: {error.strerror or error}") from None
        self._listener.settimeout(0.25)
        self._start(self._accept, self._listener)
        return self

    def run(self) -> None:
        """Serves one client after the other until `stop`."""
        while (client := self._next()) is not None:
            self._log(f"{client.address} {client.name}: served")
            try:
                self._log(f"{client.address} {client.name}: {self._serve(client)}")
            finally:
                client.channel.close()
                with self._changed:
                    self._client = None
                    self._changed.notify_all()

    def stop(self) -> None:
        """Ends `run`, from any thread or signal handler; a prediction that is being made is finished first."""
        self._stopped.set()
        client = self._client
        if client is not None:
            client.channel.shut()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
        if self._listener:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
        with self._changed:
            client, opening = self._client, list(self._opening)
        for channel in [*opening, *([client.channel] if client else [])]:
            channel.shut()
        for thread in list(self._threads):
            thread.join()
        if self._client:  # taken while the server was being stopped
            self._client.channel.close()
        if self._listener:
            self._listener.close()

    def _next(self) -> _Client | None:
        with self._changed:
            while self._client is None and not self._stopped.is_set():
                self._changed.wait(0.25)  # `stop` may come from a signal handler, which must not take locks
            return None if self._stopped.is_set() else self._client

    def _serve(self, client: _Client) -> str:
        """Answers one client until it leaves; says why it left."""
        s, channel = self._serving, client.channel
        try:
            channel.send(client.welcome, time.monotonic() + s.send_s)
            while True:
                message = channel.receive(s.limits, time.monotonic() + s.silence_s)
                if isinstance(message, Bye):
                    return f"done: {one_line(message.detail)}"
                channel.send(self._answer(message), time.monotonic() + s.send_s)
        except WireError as error:
            channel.refuse(Refused("malformed", str(error)))
            return f"refused as malformed: {error}"
        except WireLost as error:
            return f"lost: {error}"
        except Exception as error:  # an error of our own costs this client, not the next one
            channel.refuse(Refused("malformed", "the server cannot read this"))
            return f"dropped after {type(error).__name__}: {one_line(error)}"

    def _answer(self, message: Message) -> Message:
        match message:
            case Ping():
                return Pong(message.number)
            case Reset() | Predict():
                try:
                    return self._reset(message) if isinstance(message, Reset) else self._predict(message)
                except Exception as error:  # whatever a policy raises is its client's to know, and no reason to go
                    self._log(f"the policy failed: {type(error).__name__}: {one_line(error)}")
                    return Failed(message.number, one_line(f"{type(error).__name__}: {error}"))
            case _:
                raise WireError(f"a client that is served does not send {NAMES[type(message)]!r}")

    def _reset(self, message: Reset) -> Message:
        self._policy.reset(message.instruction)
        return Ready(message.number)

    def _predict(self, message: Predict) -> Message:
        start = time.perf_counter()
        chunk = self._policy.predict(message.observation())
        return Chunk.of(message, chunk, time.perf_counter() - start)

    def _start(self, target: Callable[[socket.socket], None], sock: socket.socket) -> None:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        thread = threading.Thread(target=target, args=(sock,), name="policy-server", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while not self._stopped.is_set():
            if not self._slots.acquire(timeout=0.25):
                continue
            try:
                sock, _ = listener.accept()
            except TimeoutError:
                self._slots.release()
            except OSError as error:  # gone again, or no file descriptor left, or woken by `__exit__`
                self._slots.release()
                if not self._stopped.wait(0.25):
                    self._log(f"cannot accept: {error}")
            else:
                self._start(self._open, sock)

    def _open(self, sock: socket.socket) -> None:
        """From a new connection to a client, or to none; has a thread of its own."""
        address, channel = "?", Channel(sock)
        try:
            address = "{}:{}".format(*sock.getpeername()[:2])
            deadline = time.monotonic() + self._serving.opening_s
            tune(sock)
            if self._tls:
                sock = self._tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
                channel = Channel(sock)
            with self._changed:
                self._opening.add(channel)
            if isinstance(sock, ssl.SSLSocket):
                sock.settimeout(self._serving.opening_s)  # of the whole handshake
                sock.do_handshake()
            if refused := self._admit(channel, address, deadline):
                self._log(f"{address} refused: {refused.code}: {one_line(refused.detail)}")
                channel.refuse(refused)
        except (WireLost, OSError) as error:
            self._log(f"{address} gone before it was served: {one_line(error)}")
            channel.close()
        except Exception as error:  # an error of our own costs this client, not the next one
            self._log(f"{address} dropped after {type(error).__name__}: {one_line(error)}")
            channel.close()
        finally:
            with self._changed:
                self._opening.discard(channel)
            self._slots.release()

    def _admit(self, channel: Channel, address: str, deadline: float) -> Refused | None:
        mine = head()
        channel.write(mine, deadline)
        answer = bytes(channel.read(HEAD.size + PROOF, deadline))
        theirs, proof = answer[: HEAD.size], answer[HEAD.size :]
        if not hmac.compare_digest(proof, prove("client", self._serving.token, mine + theirs)):
            self._stopped.wait(self._serving.guess_s)
            return Refused("token", "the token is not this server's")
        name, version, _ = HEAD.unpack(theirs)
        if name != NAME or version != PROTOCOL:
            return Refused("version", f"this server speaks version {PROTOCOL}, the client {version}: install the same release on both")
        try:
            hello = channel.receive(STRANGER, deadline)
        except WireError as error:
            return Refused("malformed", str(error))
        if not isinstance(hello, Hello):
            return Refused("malformed", f"the first message is 'hello', not {NAMES[type(hello)]!r}")
        welcome = Welcome(prove("server", self._serving.token, mine + theirs).hex(), *self._welcome)
        return self._take(_Client(channel, one_line(hello.name, 80), address, time.monotonic(), welcome))

    def _take(self, client: _Client) -> Refused | None:
        """Hands a client over to `run`, unless another is being served."""
        with self._changed:
            self._changed.wait_for(lambda: self._client is None, GRACE)
            if (other := self._client) is not None:
                seconds = client.since - other.since
                return Refused("busy", f"the server serves {other.name} at {other.address} since {seconds:.0f} s, one client at a time")
            self._client = client
            self._changed.notify_all()
        return None
