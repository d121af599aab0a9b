"""A web server on this machine that can be told to behave badly, file by file."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Page:
    """A file, and what is wrong with how it is served."""

    content: bytes
    cuts: int | None = None
    """The connection ends after so many bytes of an answer."""
    healthy_after: int | None = None
    """From this request on nothing is wrong any more."""
    ranges: bool = True
    """False: Range is ignored."""
    says: int | None = None
    """Content-Length, instead of the truth; -1: none."""
    status: int = 0
    """Answered instead of the file."""
    headers: dict[str, str] = field(default_factory=dict)
    mark: str = '"1"'
    """ETag; empty: none."""
    shift: int = 0
    """A part begins this many bytes beside where it was asked for."""
    then: bytes | None = None
    """The content from the second request on, under another mark."""
    asked: list[str] = field(default_factory=list)
    """The Range of every request so far."""


class Site:
    """Pages by path; `url` is where they are."""

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.url = ""


@contextmanager
def serving() -> Iterator[Site]:
    site = Site()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(site))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            page = site.pages.get(self.path)
            if page is None:
                self.send_error(404)
                return
            page.asked.append(self.headers.get("Range", ""))
            _answer(self, page)
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


def _answer(to: BaseHTTPRequestHandler, page: Page) -> None:
    well = page.healthy_after is not None and len(page.asked) > page.healthy_after
    later = len(page.asked) > 1 and page.then is not None
    content, mark = (page.then or b"", '"2"') if later else (page.content, page.mark)
    if page.status and not well:
        to.send_response(page.status)
        headers = {"Content-Length": "0", **page.headers}
        body = b""
    else:
        start = 0
        asked = re.fullmatch(r"bytes=(\d+)-", to.headers.get("Range", ""))
        if asked and page.ranges and to.headers.get("If-Range") == mark:
            start = int(asked[1]) + page.shift
        if start >= len(content) and start:
            to.send_response(416)
            headers, body = {"Content-Length": "0"}, b""
        else:
            to.send_response(206 if start else 200)
            body = content[start:]
            headers = {"Content-Length": str(len(body) if page.says is None or well else page.says)}
            if start:
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
    if mark:
        headers["ETag"] = mark
    for name, value in headers.items():
        if value != "-1":
            to.send_header(name, value)
    to.end_headers()
    to.wfile.write(body if page.cuts is None or well else body[: page.cuts])
