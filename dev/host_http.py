"""HTTP triggers: a small server on loopback that turns each request into a func.HttpRequest and writes the answer back.

The most specific route wins (literal, then parameter, then optional, then catch-all). `POST /admin/functions/<name>`
starts a function that is not an HTTP one, as Core Tools has it; every other path below /admin and /runtime is the
host's own and answers 404. Several headers of one name reach the function joined by a comma; of several that a function
sets the last goes out, save Set-Cookie: so it is on Azure.
"""

from __future__ import annotations

import json
import logging
import re
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import azure.functions as func

from dev.host_app import Function, HostError, HttpTrigger
from dev.host_invoke import Cancelled, Failed

log = logging.getLogger("dev.host")

BODY_LIMIT = 100 * 1024 * 1024
CONSTRAINTS = {
    "int": r"-?\d+",
    "alpha": r"[A-Za-z]+",
    "guid": r"[0-9A-Fa-f]{8}(?:-?[0-9A-Fa-f]{4}){3}-?[0-9A-Fa-f]{12}",
}
OWN_PATHS = re.compile(r"/(?:admin|runtime)(?:/|$)", re.IGNORECASE)
_PARAMETER = re.compile(r"\{(\*{0,2})(\w+)(?::(\w+))?(\?)?\}")
_NOT_OURS_TO_SEND = {"content-length", "transfer-encoding", "connection", "date", "server"}


@dataclass(frozen=True, slots=True)
class Route:
    """A route as a pattern over the decoded path, with its rank: the smaller, the more specific."""

    function: Function
    template: str
    methods: tuple[str, ...]
    pattern: re.Pattern[str]
    names: tuple[str, ...]
    rank: tuple[int, ...]


def read_route(function: Function, trigger: HttpTrigger, prefix: str) -> Route:
    """The route of an HTTP function below the route prefix; raises HostError for what is not understood."""
    names: list[str] = []
    ranks: list[int] = []
    pattern = ""
    template = f"{prefix}/{trigger.route}".strip("/")
    for segment in template.split("/"):
        slash = "/" if pattern else ""
        rest, rank, optional = _segment(segment, names, function.name)
        pattern += f"(?:{slash}{rest})?" if optional else f"{slash}{rest}"
        ranks.append(rank)
    return Route(function, template, trigger.methods, re.compile(pattern, re.IGNORECASE), tuple(names), tuple(ranks))


def _segment(segment: str, names: list[str], function: str) -> tuple[str, int, bool]:
    """A segment as (pattern, rank, may be absent)."""
    pattern, at, rank, optional = "", 0, 0, False
    for found in _PARAMETER.finditer(segment):
        star, name, constraint, question = found.groups()
        if constraint and constraint not in CONSTRAINTS:
            raise HostError(
                f"The function {function} has a route with :{constraint}, which the local host does not know."
            )
        names.append(name)
        optional = optional or bool(star or question)
        rank = 4 if star else 3 if question else 1 if constraint else 2
        value = ".*" if star else CONSTRAINTS.get(constraint or "", "[^/]+")
        pattern += f"{re.escape(segment[at : found.start()])}({value})"
        at = found.end()
    rest = segment[at:]
    if "{" in rest or "}" in rest:
        raise HostError(f"The function {function} has a route the local host cannot read: {segment!r}.")
    return pattern + re.escape(rest), rank, optional


class Door(ThreadingHTTPServer):
    """The server. `invoke` runs an HTTP function; `start` starts another one by name and input, or says why not."""

    daemon_threads = True

    def __init__(
        self,
        port: int,
        routes: Sequence[Route],
        invoke: Callable[[Function, func.HttpRequest], Any],
        start: Callable[[str, str], tuple[int, str]],
    ) -> None:
        self.routes = sorted(routes, key=lambda route: route.rank)
        self.invoke = invoke
        self.start_function = start
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", port), _Handler)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.1,), name="http", daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.server_address[1])

    def open(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Answer no more; connections that wait for another request are ended."""
        if self._thread.ident is not None:
            self.shutdown()
            self._thread.join()
        self.server_close()
        with self._lock:
            for connection in self._open:
                _end(connection)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the signature is socketserver's
        log.debug("A client went away.", exc_info=True)

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        """The route for a request and its route parameters."""
        # A slash that came as %2F is part of a segment, never a border.
        whole = "/".join(unquote(part).replace("/", "%2F") for part in path.strip("/").split("/"))
        for route in self.routes:
            found = route.pattern.fullmatch(whole)
            if found and (not route.methods or method in route.methods):
                return route, {name: value for name, value in zip(route.names, found.groups(), strict=True) if value}
        return None


def _end(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        log.debug("A connection was gone already.")


class _TooLarge(Exception):
    """The body is above the limit."""


class _Handler(BaseHTTPRequestHandler):
    server: Door
    protocol_version = "HTTP/1.1"
    server_version = "AccordLocalHost"
    sys_version = ""
    timeout = 120
    disable_nagle_algorithm = True
    _plain: ClassVar[dict[str, str]] = {"Content-Type": "text/plain; charset=utf-8"}

    def _serve(self) -> None:
        try:
            body = self._body()
        except _TooLarge:
            self.close_connection = True
            self._answer(413, self._plain, b"The body is larger than 100 MB.")
            return
        except ValueError:
            self.close_connection = True
            self._answer(400, self._plain, b"The body cannot be read.")
            return
        target = quote(self.path.encode("latin-1"), safe="/?&=%:@!$'()*+,;~[]")
        # Two slashes at the start would read as the name of another host.
        parts = urlsplit("/" + target.lstrip("/"))
        if OWN_PATHS.match(parts.path):
            self._admin(parts.path, body)
            return
        found = self.server.find(self.command, parts.path)
        if found is None:
            self._answer(404, self._plain, b"")
            return
        route, parameters = found
        self._call(route.function, self._request(parts.path, parts.query, parameters, body))

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _serve  # noqa: N815 - http.server's names

    def version_string(self) -> str:
        return self.server_version

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return self._chunks()
        length = int(self.headers.get("Content-Length") or 0)
        if length > BODY_LIMIT:
            raise _TooLarge
        body = self.rfile.read(length) if length > 0 else b""
        if len(body) != length:
            raise ValueError("the body ended early")
        return body

    def _chunks(self) -> bytes:
        body = bytearray()
        while size := int(self.rfile.readline(100).split(b";")[0], 16):
            if len(body) + size > BODY_LIMIT:
                raise _TooLarge
            body += self.rfile.read(size)
            self.rfile.readline(2)
        while self.rfile.readline(65_536).strip():
            continue
        return bytes(body)

    def _request(self, path: str, query: str, parameters: dict[str, str], body: bytes) -> func.HttpRequest:
        headers: dict[str, str] = {}
        for name, value in self.headers.items():
            joint = "; " if name.lower() == "cookie" else ","
            headers[name.lower()] = f"{headers[name.lower()]}{joint}{value}" if name.lower() in headers else value
        asked: dict[str, str] = {}
        for name, value in parse_qsl(query, keep_blank_values=True):
            asked[name] = f"{asked[name]},{value}" if name in asked else value
        host = headers.get("host") or f"127.0.0.1:{self.server.port}"
        url = f"http://{host}{path}" + (f"?{query}" if query else "")
        return func.HttpRequest(self.command, url, headers=headers, params=asked, route_params=parameters, body=body)

    def _call(self, function: Function, request: func.HttpRequest) -> None:
        try:
            answer = self.server.invoke(function, request)
        except Failed:
            self._answer(500, self._plain, b"")
        except Cancelled:
            self._answer(503, self._plain, b"")
        else:
            self._write(answer)

    def _write(self, answer: Any) -> None:
        if answer is None:
            self._answer(204, {}, b"")
        elif isinstance(answer, str):
            self._answer(200, self._plain, answer.encode())
        else:
            self._write_response(answer)

    def _write_response(self, answer: func.HttpResponse) -> None:
        headers: dict[str, str] = {}
        cookies: list[tuple[str, str]] = []
        for name, value in answer.headers.items():
            if name.lower() == "set-cookie":
                cookies.append(("Set-Cookie", value))
            elif name.lower() not in _NOT_OURS_TO_SEND:
                headers[name.title()] = value
        if "Content-Type" not in headers:
            text = answer.mimetype.startswith("text/")
            headers["Content-Type"] = f"{answer.mimetype}; charset={answer.charset}" if text else answer.mimetype
        self._answer(answer.status_code, headers, answer.get_body(), cookies)

    def _answer(
        self, status: int, headers: dict[str, str], body: bytes, cookies: Sequence[tuple[str, str]] = ()
    ) -> None:
        self.send_response(status)
        for name, value in [*headers.items(), *cookies]:
            self.send_header(name, value)
        if status >= 200 and status not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD" and status not in (204, 304):
            self.wfile.write(body)

    def _admin(self, path: str, body: bytes) -> None:
        name = re.fullmatch(r"/admin/functions/([^/]+)/?", path, re.IGNORECASE)
        if name is None or self.command != "POST":
            self._answer(404, self._plain, b"")
            return
        try:
            given = json.loads(body or b"{}")
            text = given.get("input") or ""
            if not isinstance(text, str):
                raise ValueError("the input is no text")
        except (ValueError, AttributeError):
            self._answer(400, self._plain, b'The body must be JSON such as {"input": "..."}.')
            return
        status, sentence = self.server.start_function(unquote(name[1]), text)
        self._answer(status, self._plain, sentence.encode())
