"""HTTP triggers of the local host with real requests, and its admin door."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from dev.host import Host
from tests.functions.host_world import ECHO, ask, seen, until


def test_path_query_and_body_arrive_as_utf_8(tree: Callable[..., Path], account: str) -> None:
    root = tree(ECHO)
    target = f"/people/{quote('Zoë/ß', safe='')}?q={quote('Käse & Brot', safe='')}&a=1&a=2&empty="

    with Host(root, {}, account) as host:
        status, headers, body = ask(host, "PUT", target, "Grüße".encode())

        method, url, query, route, sent = json.loads(body)
        assert (status, dict(headers)["Content-Type"]) == (200, "application/json")
        assert (method, sent) == ("PUT", "Grüße")
        assert url == f"http://127.0.0.1:{host.port}{target}"
        assert query == {"q": "Käse & Brot", "a": "1,2", "empty": ""}
        assert route == {"name": "Zoë%2Fß"}


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        ("GET", "/people/me", b"me"),
        ("GET", "/PEOPLE/ME/", b"me"),
        ("POST", "/people/ada", b"everything"),
        ("GET", "/", b"everything"),
        ("GET", "/a/b/c", b"everything"),
        ("GET", "//a", b"everything"),
        ("GET", "/numbers/12", b'{"number": "12"}'),
        ("GET", "/numbers/12/kg", b'{"number": "12", "unit": "kg"}'),
        ("GET", "/numbers/twelve", b"everything"),
    ],
)
def test_the_most_specific_route_answers(
    tree: Callable[..., Path], account: str, method: str, target: str, expected: bytes
) -> None:
    with Host(tree(ECHO), {}, account) as host:
        _, _, body = ask(host, method, target)

        assert body.startswith(expected)


def test_an_error_in_a_function_is_500_and_tells_the_client_nothing(tree: Callable[..., Path], account: str) -> None:
    with Host(tree(ECHO), {}, account) as host:
        status, _, body = ask(host, "GET", "/broken")

        assert (status, body) == (500, b"")
        assert host.failures == [("broken", "RuntimeError: secret detail")]


def test_the_route_prefix_stands_before_every_route(tree: Callable[..., Path], account: str) -> None:
    with Host(tree(ECHO, prefix="api"), {}, account) as host:
        with_prefix, without = ask(host, "GET", "/api/people/me"), ask(host, "GET", "/people/me")

        assert (with_prefix[0], with_prefix[2], without[0]) == (200, b"me", 404)


def test_head_has_headers_and_no_body_and_the_connection_stays_usable(tree: Callable[..., Path], account: str) -> None:
    with Host(tree(ECHO), {}, account) as host:
        connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=10)
        connection.request("HEAD", "/any")
        head = connection.getresponse()
        head.read()
        connection.request("POST", "/any", iter([b"in ", b"pieces"]), encode_chunked=True)
        post = connection.getresponse().read()
        connection.close()

        assert (head.status, head.getheader("X-One")) == (200, "1")
        assert int(head.getheader("Content-Length") or 0) > 0
        assert post.endswith(b'"in pieces"]')


def test_the_server_names_itself_and_nothing_else(tree: Callable[..., Path], account: str) -> None:
    with Host(tree(ECHO), {}, account) as host:
        _, headers, _ = ask(host, "GET", "/any")

        assert dict(headers)["Server"] == "AccordLocalHost"


def test_several_cookies_survive_and_of_other_headers_the_last_wins(tree: Callable[..., Path], account: str) -> None:
    root = tree("""
        @app.route("{*rest}")
        def web(req: func.HttpRequest) -> func.HttpResponse:
            answer = func.HttpResponse("", headers={"Set-Cookie": "a=1", "X-Twice": "1"})
            answer.headers.add("Set-Cookie", "b=2")
            answer.headers.add("X-Twice", "2")
            return answer
    """)

    with Host(root, {}, account) as host:
        _, headers, _ = ask(host, "GET", "/")

        assert [value for name, value in headers if name == "Set-Cookie"] == ["a=1", "b=2"]
        assert [value for name, value in headers if name == "X-Twice"] == ["2"]


def test_a_body_above_100_mb_is_refused_before_it_is_read(tree: Callable[..., Path], account: str) -> None:
    with Host(tree(ECHO), {}, account) as host:
        status, _, _ = ask(host, "POST", "/any", b"", {"Content-Length": str(100 * 1024 * 1024 + 1)})

        assert status == 413


def test_an_asgi_app_answers_with_its_path_and_query(tree: Callable[..., Path], account: str) -> None:
    root = tree("""
        async def web(scope, receive, send):
            if scope["type"] == "lifespan":
                while True:
                    message = await receive()
                    await send({"type": message["type"] + ".complete"})
                    if message["type"] == "lifespan.shutdown":
                        return
            await receive()
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": f"{scope['path']} {scope['query_string']}".encode()})

        del app
        site = func.AsgiFunctionApp(web, func.AuthLevel.ANONYMOUS)
    """)

    with Host(root, {}, account) as host:
        status, _, body = ask(host, "GET", f"/{quote('größe')}/x?q=%C3%A4")

        assert (status, body.decode()) == (200, "/größe/x b'q=%C3%A4'")


# The admin door


def test_the_admin_door_starts_a_function_with_an_input(tree: Callable[..., Path], account: str) -> None:
    root = tree("""
        @app.queue_trigger("msg", "work", "AzureWebJobsStorage")
        def work(msg: func.QueueMessage) -> None:
            seen.append(msg.get_body().decode())

        @app.timer_trigger("timer", "0 0 0 1 1 *")
        def yearly(timer: func.TimerRequest) -> None:
            seen.append("yearly")

        @app.route("{*rest}")
        def web(req: func.HttpRequest) -> str:
            return "web"
    """)

    with Host(root, {}, account) as host:
        queued = ask(host, "POST", "/admin/functions/work", json.dumps({"input": "Hä?"}).encode())
        timed = ask(host, "POST", "/admin/functions/yearly", b"{}")
        refused = [
            ask(host, "POST", "/admin/functions/none", b"{}")[0],
            ask(host, "POST", "/admin/functions/work", b"{")[0],
            ask(host, "POST", "/admin/functions/web", b"{}")[0],
            ask(host, "GET", "/admin/functions/work")[0],
            ask(host, "GET", "/runtime/webhooks")[0],
            ask(host, "GET", "/administration")[0],
        ]
        until(lambda: len(seen()) == 2, "both ran")

        assert (queued[0], timed[0]) == (202, 202)
        assert refused == [404, 400, 400, 404, 404, 200]
        assert sorted(seen()) == ["Hä?", "yearly"]
