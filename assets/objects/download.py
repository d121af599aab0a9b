"""One file over HTTP: continued where it was cut, tried again, held to a size and to a checksum."""

from __future__ import annotations

import errno
import http.client
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from assets.errors import ObjectError
from assets.objects.document import read_document, write_document
from assets.objects.manifest import sha256

PIECE = 1 << 16
_AGAIN = {408, 425, 429, 500, 502, 503, 504}
"""Answers that may be another one a moment later."""
_OURS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}
"""Errors of the disk, which no further attempt mends."""

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there, and the bytes that there will be if that is known."""


class UnreachableError(ObjectError):
    """The other side does not answer at all: the next file would fare no better."""


@dataclass(frozen=True)
class Patience:
    """How long a download goes on."""

    attempts: int = 5
    """In a row without a new byte."""
    pause: float = 1.0
    """Before the second attempt, doubled each time up to 30 [s]."""
    timeout: float = 30.0
    """Without an answer, or without a byte [s]."""
    slowest: float = 1024.0
    """Mean over a minute [bytes/s]; slower is taken for stuck."""


class _Cut(Exception):
    """The connection ended early, or what came does not fit what is there."""

    def __init__(self, why: str, wait: float = 0.0) -> None:
        super().__init__(why)
        self.wait = wait


def download(
    url: str, to: Path, *, most: int, pinned: str | None = None, patience: Patience | None = None, progress: Progress | None = None
) -> str:
    """Gets a file, and returns its SHA-256. What came is in `to` + ".part" until all is there; the next call goes on from it.

    Args:
        url: https, or http.
        to: the file; its folder is there.
        most: bytes; a longer file is refused as soon as that shows.
        pinned: the SHA-256 that it must have.
        patience: with a bad connection.
        progress: told what came.

    Raises:
        UnreachableError: nobody answers.
        ObjectError: the file is not there, too long, or another than was pinned.
    """
    check_url(url)
    patience = patience or Patience()
    part, note = to.with_name(to.name + ".part"), to.with_name(to.name + ".part.json")
    opener = _opener()
    left, answered = patience.attempts, False
    while True:
        before = _size(part)
        try:
            _attempt(opener, url, part, note, most, patience, progress)
            break
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 416 and before:  # what is there is no beginning of what they have
                    part.unlink(missing_ok=True)
                    why = _Cut("what is there already is longer than the file")
                elif error.code in _AGAIN:
                    why = _Cut(f"it answers {error.code} {error.reason}", _seconds(error.headers.get("Retry-After")))
                else:
                    raise ObjectError(f"{url} answers {error.code} {' '.join(str(error.reason).split())[:60]}") from error
            answered = True
        except _Cut as error:
            why, answered = error, True
        except (OSError, http.client.HTTPException) as error:
            if getattr(error, "errno", None) in _OURS:
                raise
            why = _Cut(_reason(error))
            answered = answered or _size(part) > before
        left = patience.attempts if _size(part) > before else left - 1
        if left <= 0:
            kind = ObjectError if answered else UnreachableError
            raise kind(f"{url}: {patience.attempts} attempts in a row failed, the last: {why}; what came is kept, run it again to go on")
        time.sleep(min(30.0, max(why.wait, patience.pause * 2.0 ** (patience.attempts - left - 1))))
    found = sha256(part)
    note.unlink(missing_ok=True)
    if pinned is not None and found != pinned:
        part.unlink()
        raise ObjectError(f"{url}: its bytes are not those that were pinned (SHA-256 {found[:16]}..., pinned {pinned[:16]}...)")
    part.replace(to)
    return found


def check_url(url: str) -> None:
    """Raises ObjectError unless it is an address that can be fetched from."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("https", "http") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good or re.search(r"[\s\x00-\x1f\x7f]", url):
        raise ObjectError(f"{url[:120]!r} is no address of https or http")


class _OnlySecure(urllib.request.HTTPRedirectHandler):
    """Follows a few redirections, to https alone."""

    max_redirections = 5

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme != "https":
            raise ObjectError(f"{urlsplit(req.full_url).hostname} sends us on to {newurl[:120]!r}; only https is followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    """HTTP and nothing else: no file:, no ftp:, no data:."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _OnlySecure(),
    ):
        opener.add_handler(handler)
    return opener


def _attempt(
    opener: urllib.request.OpenerDirector, url: str, part: Path, note: Path, most: int, patience: Patience, progress: Progress | None
) -> None:
    """Goes on from what is in `part` until the end of the file. Raises _Cut where it ends early."""
    start, mark = _size(part), _mark(note, url)
    asked = {"User-Agent": "cezanne", "Accept-Encoding": "identity"}
    if start and mark:
        asked |= {"Range": f"bytes={start}-", "If-Range": mark}
    else:
        start = 0  # nobody knows whether it is still the same file
    with opener.open(urllib.request.Request(url, headers=asked), timeout=patience.timeout) as answer:
        start, total = _begin(answer.status, answer.headers, start, part)
        if total is not None and total > most:
            raise ObjectError(f"{url} holds {total >> 20} MB; at most {most >> 20} MB are fetched")
        write_document(note, {"url": url, "mark": _mark_of(answer.headers)})
        came, since, then = start, start, time.monotonic()
        with part.open("r+b" if start else "wb") as file:
            file.seek(start)
            file.truncate()
            while piece := answer.read1(PIECE):
                came += len(piece)
                if came > most:
                    raise ObjectError(f"{url} holds more than {most >> 20} MB, which is all that is fetched")
                file.write(piece)
                if progress is not None:
                    progress(came, total)
                now = time.monotonic()
                if now - then > 60:
                    if came - since < 60 * patience.slowest:
                        raise _Cut(f"only {came - since} bytes came within a minute")
                    since, then = came, now
    if total is not None and came < total:
        raise _Cut(f"the connection ended after {came} of {total} bytes")


def _begin(status: int, headers: Mapping[str, str], start: int, part: Path) -> tuple[int, int | None]:
    """Where the answer begins, and the length of the whole file if it says so."""
    length = headers.get("Content-Length", "")
    size = int(length) if re.fullmatch(r"\d{1,15}", length) else None
    if status == 200:  # all of it: there was nothing, it changed, or they cannot continue
        return 0, size
    said = re.fullmatch(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15}|\*)", headers.get("Content-Range", ""))
    if status != 206 or not start:
        raise ObjectError(f"it answers {status}, which is no file")
    if said is None or int(said[1]) != start:
        part.unlink(missing_ok=True)
        raise _Cut("it answers with another piece than was asked for")
    return start, None if said[3] == "*" else int(said[3])


def _mark(note: Path, url: str) -> str:
    """What tells this file from a later one at the same address; empty: not known."""
    try:
        found = read_document(note)
    except ObjectError:
        return ""
    mark = found.get("mark")
    return mark if found.get("url") == url and isinstance(mark, str) and mark.isprintable() else ""


def _mark_of(headers: Mapping[str, str]) -> str:
    tag = headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified", "")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _seconds(text: str | None) -> float:
    return float(text) if text and re.fullmatch(r"\d{1,4}", text) else 0.0


def _reason(error: Exception) -> str:
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    said = getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
    return " ".join(str(said).split())[:120]
