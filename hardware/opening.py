"""How a connection to a policy server begins: token, version, TLS. The token itself never travels.

The server sends NAME, PROTOCOL and a nonce; the client answers with NAME, PROTOCOL, its own nonce and a proof (HMAC-SHA-256 of both, by the
token). The server looks at the proof before it looks at anything else. Its Welcome holds a proof of its own, so that a process
which took over the port of a dead server cannot pose as one. These bytes and Refused stay the same in every version.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import ssl
import stat
import struct
from dataclasses import dataclass
from pathlib import Path

from hardware.api import RobotError
from hardware.wire import PROTOCOL

NAME = b"cezanne policy\r\n"
HEAD = struct.Struct(">16sH32s")
"""Name, version, nonce."""
PROOF = hashlib.sha256().digest_size
MIN_TOKEN = 16
"""Least characters of a token."""


def head(version: int = PROTOCOL) -> bytes:
    """The first bytes of either side, with a new nonce."""
    return HEAD.pack(NAME, version, secrets.token_bytes(32))


def prove(side: str, token: str, heads: bytes) -> bytes:
    """What only a holder of the token can say about two heads, the server's first; `side` is "client" or "server"."""
    return hmac.digest(token.encode(), side.encode() + heads, "sha256")


def make_token() -> str:
    """A new one, 256 bits."""
    return secrets.token_hex(32)


def check_token(token: str) -> str:
    """The token. Raises RobotError where it is short enough to be guessed."""
    if len(token) < MIN_TOKEN:
        raise RobotError(f"a token of {len(token)} characters; give at least {MIN_TOKEN}, such as those of `openssl rand -hex 32`")
    return token


def read_token(path: Path) -> str:
    """The token that a file holds. Raises RobotError where the file is missing, or readable by others."""
    try:
        others = path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise RobotError(f"cannot read token file {path}: {error}") from None
    if others:
        raise RobotError(f"token file {path} can be read by other users: chmod 600 {path}")
    return check_token(token)


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine alone. A name other than localhost is taken for foreign."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Certificate:
    """What a server shows: PEM files."""

    chain: Path
    """The certificate, and those that signed it."""
    key: Path

    def context(self) -> ssl.SSLContext:
        """Raises RobotError."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        try:
            context.load_cert_chain(self.chain, self.key, password=lambda: b"")  # an encrypted key is an error, not a question
        except (OSError, ValueError) as error:
            raise RobotError(f"cannot use certificate {self.chain} with key {self.key}: {error}") from None
        return context


@dataclass(frozen=True)
class Trust:
    """Which server a client believes: one whose certificate it knows, or one that a CA of its own signed."""

    fingerprint: str = ""
    """SHA-256 of the server's certificate, hex, with or without colons."""
    ca: Path | None = None
    """PEM file; the certificate must name the host."""

    def __post_init__(self) -> None:
        if bool(self.fingerprint) == (self.ca is not None):
            raise RobotError("trust needs either the fingerprint of the server's certificate or a CA file")
        if self.fingerprint and not _is_sha256(self.digest):
            raise RobotError(f"fingerprint {self.fingerprint!r} is no SHA-256: 64 hex digits")

    @property
    def digest(self) -> str:
        """The fingerprint, plain."""
        return self.fingerprint.replace(":", "").lower()

    def context(self) -> ssl.SSLContext:
        """Raises RobotError."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        if self.ca is None:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE  # `admits` compares the certificate itself, which is stricter
            return context
        try:
            context.load_verify_locations(self.ca)
        except OSError as error:
            raise RobotError(f"cannot use CA file {self.ca}: {error}") from None
        return context

    def admits(self, sock: ssl.SSLSocket) -> bool:
        """Whether the certificate is the pinned one; where a CA decides, the handshake already did."""
        if self.ca is not None:
            return True
        certificate = sock.getpeercert(binary_form=True) or b""
        return hmac.compare_digest(hashlib.sha256(certificate).hexdigest(), self.digest)


def _is_sha256(text: str) -> bool:
    return len(text) == 64 and all(c in "0123456789abcdef" for c in text)
