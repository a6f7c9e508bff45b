"""A web server for a folder: answers byte ranges, keeps a log, and fails on request."""

from __future__ import annotations

import re
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Behaviour:
    """What the server does; change it at any time."""

    root: Path
    ranges: bool = True
    truncate: str = ""
    """Close the connection halfway through files whose path holds this."""
    stall_s: float = 0.0
    """Wait so long before each answer."""
    errors: int = 0
    """Answer so many requests with 500."""
    log: list[str] = field(default_factory=list)
    """Path of each request, with its range."""
    url: str = ""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, behaviour: Behaviour, *args):
        self.behaviour = behaviour
        super().__init__(*args)

    def do_GET(self):
        told, wanted = self.behaviour, self.headers.get("Range")
        told.log.append(self.path + (f" {wanted}" if wanted else ""))
        time.sleep(told.stall_s)
        path = told.root / self.path.lstrip("/")
        if told.errors > 0:
            told.errors -= 1
            self.answer(500, b"")
        elif not path.is_file():
            self.answer(404, b"")
        elif wanted and told.ranges:
            low, high = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", wanted).groups())
            self.answer(206, path.read_bytes()[low : high + 1])
        else:
            self.answer(200, path.read_bytes())

    def answer(self, status, data):
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        cut = self.behaviour.truncate
        if cut and cut in self.path:
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
        else:
            self.wfile.write(data)

    def log_message(self, *args):
        pass


@contextmanager
def serving(root: Path):
    """Serve a folder on a free port; gives its `Behaviour`."""
    behaviour = Behaviour(root)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, behaviour))
    behaviour.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
    try:
        yield behaviour
    finally:
        server.shutdown()
        server.server_close()
