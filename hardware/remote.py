"""A policy that runs in another process or on another machine, asked with or without waiting for the answer."""

from __future__ import annotations

import hmac
import itertools
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import NoReturn, Self

from hardware.api import ActionChunk, Observation, RobotError
from hardware.channel import Channel, tune
from hardware.opening import HEAD, NAME, Trust, check_token, head, is_loopback, prove
from hardware.wire import (
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
    Table,
    Welcome,
    WireError,
    WireLost,
    encode,
    one_line,
)

ANSWERS = Limits(header=1 << 18, payload=1 << 22)
"""Of what a server may send: contracts and chunks, no pictures."""


class PolicyLost(RobotError):
    """The policy's process or server is gone, or silent: Reason.POLICY_DEAD."""


class PolicyRefused(RobotError):
    """The policy's server said no, or something that means nothing: Reason.POLICY_REFUSED."""


@dataclass(frozen=True)
class PolicyAddress:
    """Where a policy is served. Constructing it does nothing."""

    port: int
    token: str = field(repr=False)
    """Shared with the server."""
    host: str = "127.0.0.1"
    """Another than a loopback address needs `trust`."""
    trust: Trust | None = None
    """Which certificate to believe; None: no TLS."""
    connect_s: float = 5.0
    """Time to be connected and welcomed [s]."""
    answer_s: float = 5.0
    """Time that the server has for each answer, inference included [s]."""
    beat_s: float = 0.5
    """Pause after which a heartbeat is sent [s]."""

    def __post_init__(self) -> None:
        check_token(self.token)
        if not is_loopback(self.host) and self.trust is None:
            raise RobotError(f"host={self.host} is another machine: that needs TLS, and a certificate to trust")
        if min(self.connect_s, self.answer_s, self.beat_s) <= 0:
            raise RobotError("connect_s, answer_s and beat_s must be above 0")

    def connect(self, name: str = "") -> RemotePolicy:
        """The policy there.

        Args:
            name: who asks, for the server's log; "": this machine and process.

        Raises:
            PolicyLost: nobody listens, or nobody answers.
            PolicyRefused: wrong token, version or certificate, a server that serves another, or no policy server at all.
        """
        deadline = time.monotonic() + self.connect_s
        channel = self._dial()
        try:
            welcome = self._enter(channel, name or f"{socket.gethostname()} process {os.getpid()}", deadline)
        except WireError as error:
            channel.close()
            raise PolicyRefused(f"{self._where} answers with something malformed: {one_line(error)}") from None
        except WireLost as error:
            channel.close()
            tls = "" if self.trust else "; does it want TLS?"
            raise PolicyLost(f"{self._where} did not complete the handshake: {error}{tls}") from None
        except BaseException:
            channel.close()
            raise
        return RemotePolicy(channel, welcome, self)

    @property
    def _where(self) -> str:
        return f"the policy server at {self.host}:{self.port}"

    def _dial(self) -> Channel:
        try:
            sock = socket.create_connection((self.host, self.port), self.connect_s)
        except (OSError, OverflowError) as error:
            raise PolicyLost(f"cannot reach {self._where}: {error}") from None
        try:
            tune(sock)
            if self.trust:
                sock = self.trust.context().wrap_socket(sock, server_hostname=self.host)
                if not self.trust.admits(sock):
                    raise PolicyRefused(f"{self._where} shows another certificate than the one that is trusted")
        except ssl.SSLCertVerificationError as error:
            sock.close()
            raise PolicyRefused(f"{self._where} shows a certificate that is not trusted: {error.verify_message}") from None
        except OSError as error:
            sock.close()
            raise PolicyLost(f"{self._where} did not complete the TLS handshake: {one_line(error)}") from None
        except RobotError:
            sock.close()
            raise
        return Channel(sock)

    def _enter(self, channel: Channel, name: str, deadline: float) -> Welcome:
        title = bytes(channel.read(len(NAME), deadline))
        if title != NAME:
            raise PolicyRefused(f"{self.host}:{self.port} is no policy server: it greets with {title!r}")
        theirs, mine = title + bytes(channel.read(HEAD.size - len(NAME), deadline)), head()
        _, version, _ = HEAD.unpack(theirs)
        if version != PROTOCOL:
            raise PolicyRefused(f"{self._where} speaks version {version}, this client {PROTOCOL}: install the same release on both")
        hello = encode(Hello(name))
        channel.write(mine + prove("client", self.token, theirs + mine) + hello, deadline)
        reply = channel.receive(ANSWERS, deadline)
        if isinstance(reply, Refused):
            raise PolicyRefused(f"{self._where} refused: {one_line(reply.code, 40)}: {one_line(reply.detail)}")
        if not isinstance(reply, Welcome):
            raise WireError(f"{NAMES[type(reply)]!r} instead of a welcome")
        if not hmac.compare_digest(reply.proof.encode(), prove("server", self.token, theirs + mine).hex().encode()):
            raise PolicyRefused(f"{self._where} does not know the token itself: another program listens there")
        return reply


class RemotePolicy:
    """Implements `hardware.api.Policy`; can be asked without waiting, too: `ask`, then `answer` until it gives one.

    Made by `PolicyAddress.connect`. One request is under way at a time; the newest one asked meanwhile is sent next, those between are
    never sent. A thread of its own talks to the server and sends heartbeats; what goes wrong there is raised by every later call.
    """

    def __init__(self, channel: Channel, welcome: Welcome, address: PolicyAddress) -> None:
        self.contract: Table = welcome.contract
        """What the policy was trained for, as in contract.json of its checkpoint."""
        self.fingerprint: Table = welcome.fingerprint
        """What made it."""
        self.seconds = float("nan")
        """That the inference of the newest answer took on the server [s]; NaN before the first."""
        self._channel, self._address = channel, address
        self._serials = itertools.count(1)
        self._state = threading.Condition()
        self._request: tuple[int, bytes] | None = None
        self._wanted, self._number, self._time = 0, 0, 0.0
        self._reply: Message | None = None
        self._failure: tuple[type[RobotError], str] | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._talk, name="remote-policy", daemon=True)
        self._thread.start()

    def reset(self, instruction: str) -> None:
        """Starts a new trial; answers to what was asked before are dropped. Waits. Raises PolicyLost, PolicyRefused."""
        self._post(lambda serial: Reset(serial, instruction), 0, 0.0)
        reply = self._wait()
        if not isinstance(reply, Ready):
            self._refuse(reply)

    def predict(self, observation: Observation) -> ActionChunk:
        """The next actions; waits for them, at most `answer_s`. Raises PolicyLost, PolicyRefused."""
        self.ask(observation, 0)
        return self._open(self._wait())

    def ask(self, observation: Observation, number: int) -> None:
        """Asks for the next actions, and returns at once; takes the place of what was asked before.

        Args:
            observation: is copied before the call returns.
            number: comes back with the answer.

        Raises:
            WireError: the observation is none; PolicyLost, PolicyRefused: there is nobody to ask.
        """
        self._post(lambda serial: Predict.of(serial, observation), number, observation.time)

    def answer(self) -> tuple[int, ActionChunk] | None:
        """Number and actions of what was asked last, once; None while there is no answer. Never waits. Raises PolicyLost, PolicyRefused."""
        with self._state:
            self._check()
            reply, self._reply, number = self._reply, None, self._number
        return None if reply is None else (number, self._open(reply))

    def close(self) -> None:
        """Says goodbye and disconnects; idempotent, never raises."""
        with self._state:
            self._closing = True
            self._state.notify_all()
        self._thread.join(0.3)  # an answer under way is not waited for any longer
        self._channel.shut()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _post(self, message: Callable[[int], Message], number: int, sensed: float) -> None:
        serial = next(self._serials)
        data = encode(message(serial))
        with self._state:
            self._check()
            self._request, self._reply = (serial, data), None
            self._wanted, self._number, self._time = serial, number, sensed
            self._state.notify_all()

    def _wait(self) -> Message:
        with self._state:  # the thread has deadlines for all it does, and says so when it ends
            self._state.wait_for(lambda: self._reply is not None or self._failure is not None)
            self._check()
            reply, self._reply = self._reply, None
        assert reply is not None
        return reply

    def _open(self, reply: Message) -> ActionChunk:
        if not isinstance(reply, Chunk):
            self._refuse(reply)
        if reply.time != self._time:
            raise PolicyRefused(f"an answer to the observation of {reply.time} s, asked was about {self._time} s")
        self.seconds = reply.seconds
        return reply.chunk()

    def _refuse(self, reply: Message) -> NoReturn:
        if isinstance(reply, Failed):
            raise PolicyRefused(f"the policy failed: {one_line(reply.detail)}")
        raise PolicyRefused(f"the policy server answered with {NAMES[type(reply)]!r}")

    def _check(self) -> None:
        if self._failure is not None:
            kind, text = self._failure
            raise kind(text)

    def _talk(self) -> None:
        try:
            while (request := self._next()) is not None:
                serial, data = request
                deadline = time.monotonic() + self._address.answer_s
                self._channel.write(data, deadline)
                reply = self._receive(serial, deadline)
                with self._state:
                    if serial == self._wanted:
                        self._reply = reply
                        self._state.notify_all()
            self._channel.send(Bye("the client is done"), time.monotonic() + 0.2)
            self._fail(PolicyLost, "the connection to the policy was closed here")
        except WireLost as error:
            self._fail(PolicyLost, f"the policy server at {self._address.host}:{self._address.port} is lost: {error}")
        except PolicyRefused as error:
            self._fail(PolicyRefused, str(error))
        except WireError as error:
            self._fail(PolicyRefused, f"the policy server sent something malformed: {one_line(error)}")
        except Exception as error:
            self._fail(PolicyLost, f"an error of our own while talking to the policy server: {type(error).__name__}: {error}")
        finally:
            self._channel.close()

    def _fail(self, kind: type[RobotError], text: str) -> None:
        with self._state:
            self._failure = (kind, text)
            self._state.notify_all()

    def _next(self) -> tuple[int, bytes] | None:
        """What to send next, a heartbeat where there is nothing; None at the end."""
        with self._state:
            self._state.wait_for(lambda: self._closing or self._request is not None, self._address.beat_s)
            if self._closing:
                return None
            request, self._request = self._request, None
            if request is None:
                serial = next(self._serials)
                request = serial, encode(Ping(serial))
            return request

    def _receive(self, serial: int, deadline: float) -> Message:
        """The answer of that number; others are late or double, and dropped."""
        while True:
            message = self._channel.receive(ANSWERS, deadline)
            match message:
                case Ready() | Chunk() | Failed() | Pong():
                    if message.number == serial:
                        return message
                case Refused():
                    raise PolicyRefused(f"the policy server refused: {one_line(message.code, 40)}: {one_line(message.detail)}")
                case Bye():
                    raise WireLost(f"it said goodbye: {one_line(message.detail)}")
                case _:
                    raise WireError(f"{NAMES[type(message)]!r} instead of an answer")
