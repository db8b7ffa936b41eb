"""The door on the network: a threading HTTP server on 127.0.0.1 that speaks keep-alive HTTP/1.1.

The URL is rebuilt from the Host header, so that links name the host the client used. For the host 127.0.0.1 there are
three control paths: GET /_tenant/counts, POST /_tenant/deliver, POST /_tenant/stop.
"""

from __future__ import annotations

import socket
import ssl
import struct
import sys
import threading
from datetime import datetime
from http.client import responses
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import orjson

from dev.tenant.exchange import Break, Request, Response
from dev.tenant.lazy import pieces
from dev.tenant.state import Tenant

_TIMES = ("received", "sent")
_STOPPING = 202


class Server:
    """A running server; `port` says where, `stopped` is set when everything is closed."""

    def __init__(self, tenant: Tenant, port: int, handler: type[BaseHTTPRequestHandler] | None = None) -> None:
        self.tenant = tenant
        self.stopping = threading.Event()
        self.stopped = threading.Event()
        self._connections: set[socket.socket] = set()
        self._guard = threading.Lock()
        self._http = _Http(("127.0.0.1", port), self, handler or Handler)
        self.port: int = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), name="tenant", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close the door and every connection; returns when all is closed."""
        with self._guard:
            first = not self.stopping.is_set()
            self.stopping.set()
        if not first:
            self.stopped.wait()
            return
        self._http.shutdown()
        self._thread.join()
        with self._guard:
            for connection in self._connections:
                _shut(connection)
        self._http.server_close()
        self.stopped.set()

    def opened(self, connection: socket.socket) -> None:
        """Remember a connection that has to be closed at the end."""
        with self._guard:
            self._connections.add(connection)

    def closed(self, connection: socket.socket) -> None:
        """Forget a connection that ended by itself."""
        with self._guard:
            self._connections.discard(connection)


def serve(tenant: Tenant, port: int = 0, latency_ms: float = 0) -> Server:
    """Serve a tenant on 127.0.0.1; port 0 takes a free one."""
    tenant.latency = latency_ms / 1000
    return Server(tenant, port)


class _Http(ThreadingHTTPServer):
    # Threads that are not daemons are joined by server_close, so that no socket is left behind.
    daemon_threads = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], door: Server, handler: type[BaseHTTPRequestHandler]) -> None:
        self.door = door
        super().__init__(address, handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away, or trusts nobody here, is not worth a word; anything else is."""
        if not isinstance(sys.exception(), ConnectionError | ssl.SSLError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Serves one connection for as long as the client keeps it."""

    server: _Http
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    scheme = "http"
    wbufsize = -1

    def setup(self) -> None:
        super().setup()
        self.server.door.opened(self.connection)

    def finish(self) -> None:
        self.server.door.closed(self.connection)
        super().finish()

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def _serve(self) -> None:
        body = self._body()
        host = self.headers.get("Host", "127.0.0.1")
        local = host.partition(":")[0] in ("127.0.0.1", "localhost")
        if local and self.path.startswith("/_tenant/"):
            answer = self._control(body)
            self._send(answer)
            if answer.status == _STOPPING:
                # Only now: stopping closes every connection, and this one still owed its answer.
                threading.Thread(target=self.server.door.stop, daemon=True).start()
            return
        # A client that says no name but this machine's was not led here; what it speaks decides the scheme.
        url = f"{self.scheme if local else 'https'}://{host}{self.path}"
        response = self.server.door.tenant.handle(Request(self.command, url, dict(self.headers.items()), body))
        if response.breaks:
            self._break(response, response.breaks)
        else:
            self._send(response)

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            length = int(self.headers.get("Content-Length") or 0)
            return self.rfile.read(length) if length else b""
        out = bytearray()
        while size := int(self.rfile.readline(100).split(b";")[0] or b"0", 16):
            out += self.rfile.read(size)
            self.rfile.readline(100)
        while self.rfile.readline(1000).strip():
            continue  # trailers
        return bytes(out)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _serve  # noqa: N815 - named by http.server

    def _send(self, response: Response) -> None:
        self.wfile.write(_head(response))
        for piece in pieces(response.body):
            self.wfile.write(piece)
        self.wfile.flush()

    def _break(self, response: Response, broken: Break) -> None:
        self.close_connection = True
        if broken.kind == "timeout":
            self.server.door.stopping.wait(broken.after or 3600)
            return
        if broken.after and broken.kind == "reset":
            self.wfile.write(_head(response) + response.body[: int(broken.after)])
            self.wfile.flush()
        # Lingering for no time makes the close a reset.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _control(self, body: bytes) -> Response:
        tenant = self.server.door.tenant
        match self.command, urlsplit(self.path).path:
            case "GET", "/_tenant/counts":
                return _json(200, {**tenant.counts(), "high_water": max(tenant.high_water.values(), default=0)})
            case "POST", "/_tenant/deliver":
                return _delivered(tenant, body)
            case "POST", "/_tenant/stop":
                return _json(_STOPPING, {"stopping": True})
        return _json(404, {"error": f"There is no control path {self.command} {self.path}."})


def _delivered(tenant: Tenant, body: bytes) -> Response:
    try:
        fields = orjson.loads(body)
        box = tenant.user(fields.pop("mailbox"))
        for name in _TIMES:
            if name in fields:
                fields[name] = datetime.fromisoformat(fields[name])
        return _json(201, {"id": box.deliver(**fields)})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return _json(400, {"error": f"deliver takes JSON with mailbox and the fields of a mail: {error}"})


def _json(status: int, payload: Any) -> Response:
    return Response(status, {"Content-Type": "application/json"}, orjson.dumps(payload))


def _head(response: Response) -> bytes:
    lines = [f"HTTP/1.1 {response.status} {responses.get(response.status, 'Unknown')}"]
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    if response.status != 204:
        lines.append(f"Content-Length: {len(response.body)}")
    return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n"


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
