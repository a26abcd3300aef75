"""Serve pages to browsers of this machine, and to nobody else.

Only 127.0.0.1 is listened on, for the pages show images, and there is no password: a phone or
another machine comes through a tunnel (``ssh -L``, ``adb reverse``), which asks who it is. What
else could reach a server of this kind is refused:

* other users of this machine, by a key in the address that only the terminal was told;
* pages of others in the same browser (DNS rebinding, CVE-2018-5702 is one of many): the ``Host``
  must be a name of this machine, an ``Origin`` that is given must be the same;
* whatever a name of a file or a run says: see ``pages`` and the content security policy.
"""

from __future__ import annotations

import errno
import hmac
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from threading import Thread
from urllib.parse import unquote

from ssl_patches.studies.view.site import LARGEST_MB, Reply, Site

LOOPBACK = "127.0.0.1"
NAMES = (LOOPBACK, "localhost")
PATIENCE = 30.0  # seconds for a browser to send what it began


def new_key() -> str:
    """Make a key of 50 random bits, short enough to be typed on a phone."""
    return "".join(secrets.choice("abcdefghijkmnpqrstuvwxyz23456789") for _ in range(10))


class _Server(ThreadingMixIn, TCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a browser that went away; of anything else as usual."""
        import sys

        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class Handler(BaseHTTPRequestHandler):
    """Answers one browser. ``site``, ``key``: set by ``serving``."""

    site: Site
    key: str
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "ssl-patches", ""
    timeout = PATIENCE

    def do_GET(self) -> None:
        """Answer with a page, a picture or numbers."""
        if (parts := self._parts()) is not None:
            self._send(self.site.get(parts))

    def do_POST(self) -> None:
        """Take an image that was dropped, of at most ``LARGEST_MB``."""
        if (parts := self._parts()) is None:
            return
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            self._refuse(411, "the size of the image must be stated")
        elif len(length) > 12 or int(length) > LARGEST_MB * 2**20:
            self._refuse(413, f"an image of at most {LARGEST_MB} MB is taken")
        else:
            self._send(self.site.post(parts, self.rfile.read(int(length))))

    def _parts(self) -> list[str] | None:
        """Return the parts of the address behind the key; None where it was refused."""
        if said := self._wrong():
            self._refuse(403, said)
            return None
        return [unquote(part) for part in self._path()[2:]]

    def _path(self) -> list[str]:
        return self.path.partition("?")[0].split("/")

    def _wrong(self) -> str:
        """Say why a request is refused, whatever it asks for; "" where it is not."""
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        if host.rpartition(":")[0] not in NAMES and host not in NAMES:
            return "this server answers to 127.0.0.1 and localhost only"
        if origin is not None and origin != f"http://{host}":
            return "pages of others may not ask"
        begin, key = [*self._path(), ""][:2]
        if begin or not hmac.compare_digest(key.encode(), self.key.encode()):
            return "the address must be the one in the terminal, with its key"
        return ""

    def _refuse(self, status: int, said: str) -> None:
        """Refuse a request whose content, if any, is not read."""
        self.close_connection = True
        self._send(Reply(status, "text/plain; charset=utf-8", f"{said}\n".encode()))

    def _send(self, answer: Reply) -> None:
        self.send_response(answer.status)
        headers = {
            "Content-Type": answer.kind,
            "Content-Length": str(len(answer.body)),
            "Content-Security-Policy": answer.policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cache-Control": "no-store",
            **({"Connection": "close"} if self.close_connection else {}),
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep the terminal for what is computed."""


@contextmanager
def serving(site: Site, *, key: str, port: int) -> Iterator[str]:
    """Serve ``site`` from threads for the block; yield the address to open.

    ``port``: 0 for a free one. ValueError where it cannot be had.
    """
    handler = type("KeyedHandler", (Handler,), {"site": site, "key": key})
    try:
        server = _Server((LOOPBACK, port), handler)
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        said = "is in use" if error.errno == errno.EADDRINUSE else "is for administrators"
        raise ValueError(f"port={port}: {said}; set port=0 for a free one") from None
    with server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        thread.start()
        try:
            yield f"http://{LOOPBACK}:{server.server_address[1]}/{key}/"
        finally:
            server.shutdown()
