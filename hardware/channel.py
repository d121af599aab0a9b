"""A connected socket on which every read and every write has a deadline."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time

from hardware.wire import Limits, Message, Refused, WireLost, decode, encode

PIECE = 1 << 18
"""Written at a time [bytes], so that a slow reader cannot stretch the deadline."""


class Channel:
    """One side of a connection, plain or TLS. To be used by one thread at a time; only `shut` may be called by others."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def read(self, size: int, deadline: float) -> bytearray:
        """Exactly `size` bytes before `deadline` [s, monotonic]. Raises WireLost."""
        data = bytearray(size)
        view = memoryview(data)
        while view:
            try:
                self._socket.settimeout(_left(deadline))
                n = self._socket.recv_into(view)
            except OSError as error:
                raise WireLost(f"{size - len(view)} of {size} bytes came: {_why(error)}") from None
            if not n:
                raise WireLost(f"{size - len(view)} of {size} bytes came, then the connection ended")
            view = view[n:]
        return data

    def write(self, data: bytes, deadline: float) -> None:
        """All of `data` before `deadline` [s, monotonic]. Raises WireLost."""
        view = memoryview(data)
        while view:
            try:
                self._socket.settimeout(_left(deadline))
                view = view[self._socket.send(view[:PIECE]) :]
            except OSError as error:
                raise WireLost(f"{len(data) - len(view)} of {len(data)} bytes could be sent: {_why(error)}") from None

    def receive(self, limits: Limits, deadline: float) -> Message:
        """The next message. Raises WireError, WireLost."""
        return decode(lambda size: self.read(size, deadline), limits)

    def send(self, message: Message, deadline: float) -> None:
        """Raises WireError, WireLost."""
        self.write(encode(message), deadline)

    def refuse(self, refused: Refused, seconds: float = 1.0) -> None:
        """Says no, and gives the other side time to read it: closing on unread bytes resets the connection, and the message is lost."""
        deadline = time.monotonic() + seconds
        with contextlib.suppress(WireLost, OSError):
            self.send(refused, deadline)
            socket.socket.shutdown(self._socket, socket.SHUT_WR)
            for _ in range(16):  # what was sent meanwhile, within reason, unseen
                self._socket.settimeout(_left(deadline))
                if not socket.socket.recv(self._socket, 1 << 16):
                    break
        self.close()

    def shut(self) -> None:
        """Ends the connection under whoever is reading or writing, from any thread: they raise WireLost."""
        with contextlib.suppress(OSError):  # the plain socket's: TLS must not be touched from two threads
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Idempotent."""
        self.shut()
        with contextlib.suppress(OSError):
            self._socket.close()


def tune(sock: socket.socket) -> None:
    """Small messages go at once, and a vanished machine is noticed by the kernel, too."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _why(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "the time was up"
    return str(error.reason or error) if isinstance(error, ssl.SSLError) else error.strerror or type(error).__name__
