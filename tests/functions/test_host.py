"""The local host on small function apps of its own, with real storage and real requests."""

from __future__ import annotations

import http.client
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any
from urllib.parse import quote

import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.queue import QueueClient, TextBase64EncodePolicy

from dev.host import Host, HostError, main
from dev.host_invoke import Failed

QUEUES = {"batchSize": 4, "newBatchThreshold": 2, "maxDequeueCount": 3, "visibilityTimeout": "00:00:00"}


@pytest.fixture
def tree(tmp_path: Path) -> Callable[..., Path]:
    """Writes a function app and its host.json; the app's code sees `func`, `app` and a list `seen` in `seen.py`."""

    def write(code: str, prefix: str = "", **queues: Any) -> Path:
        (tmp_path / "function_app.py").write_text(
            "import time\nimport azure.functions as func\napp = func.FunctionApp(func.AuthLevel.ANONYMOUS)\n"
            f"seen = []\n{dedent(code)}",
            "utf-8",
        )
        host = {"version": "2.0", "extensions": {"queues": QUEUES | queues, "http": {"routePrefix": prefix}}}
        (tmp_path / "host.json").write_text(json.dumps(host), "utf-8")
        return tmp_path

    return write


def seen() -> list[Any]:
    """What the running app noted."""
    return list(sys.modules["function_app"].seen)


def until(true: Callable[[], Any], what: str, seconds: float = 10) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.02)


@contextmanager
def queue(account: str, name: str) -> Iterator[QueueClient]:
    """A queue as the product sees it: base64 on the wire."""
    policy = TextBase64EncodePolicy()
    with QueueClient.from_connection_string(account, name, message_encode_policy=policy, use_env_settings=False) as one:
        yield one


def put(account: str, name: str, *texts: str, delay: int = 0) -> None:
    with queue(account, name) as client:
        try:
            client.get_queue_properties()
        except ResourceNotFoundError:
            client.create_queue()
        for text in texts:
            client.send_message(text, visibility_timeout=delay)


def left_in(account: str, name: str) -> int:
    with queue(account, name) as client:
        return int(client.get_queue_properties().approximate_message_count)


def ask(
    host: Host, method: str, target: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, list[tuple[str, str]], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=10)
    try:
        connection.request(method, target, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.getheaders(), answer.read()
    finally:
        connection.close()


# Queues


def test_a_message_is_worked_with_all_it_carries_and_deleted(tree: Callable[..., Path], account: str) -> None:
    root = tree("""
        @app.queue_trigger("msg", "work", "AzureWebJobsStorage")
        def work(msg: func.QueueMessage) -> None:
            seen.append((msg.get_body().decode(), msg.dequeue_count, bool(msg.id), bool(msg.pop_receipt),
                         msg.insertion_time < msg.expiration_time, msg.time_next_visible is not None))
    """)
    put(account, "work", "Grüße, Zoë")

    with Host(root, {}, account) as host:
        until(host.quiet, "the queue is empty")
        counts = host.counts()

        assert seen() == [("Grüße, Zoë", 1, True, True, True, True)]
        assert (counts.invocations, counts.failures, host.failures) == ({"work": 1}, {}, [])
        assert counts.host_queue_requests == 2
        assert counts.empty_polls > 0
    assert left_in(account, "work") == 0


def test_a_failing_message_comes_again_and_is_counted(tree: Callable[..., Path], account: str) -> None:
    root = tree(
        """
        @app.queue_trigger("msg", "work", "AzureWebJobsStorage")
        def work(msg: func.QueueMessage) -> None:
            seen.append((msg.dequeue_count, time.monotonic()))
            if msg.dequeue_count == 1:
                raise ValueError("first\\ntime")
    """,
        visibilityTimeout="00:00:01",
    )
    put(account, "work", "one")

    with Host(root, {}, account) as host:
        until(host.quiet, "the message is done")
        tries = seen()

        assert [count for count, _ in tries] == [1, 2]
        assert tries[1][1] - tries[0][1] > 0.5
        assert host.failures == [("work", "ValueError: first time")]
        assert host.counts().failures == {"work": 1}


def test_after_the_last_try_the_poison_function_gets_the_message(tree: Callable[..., Path], account: str) -> None:
    root = tree("""
        @app.queue_trigger("msg", "work", "AzureWebJobsStorage")
        def work(msg: func.QueueMessage) -> None:
            seen.append("try")
            raise RuntimeError("never")

        @app.queue_trigger("msg", "work-poison", "AzureWebJobsStorage")
        def poisoned(msg: func.QueueMessage) -> None:
            seen.append(msg.get_json())
    """)
    put(account, "work", '{"mailbox": "ä"}')

    with Host(root, {}, account, poll_cap=0.2) as host:
        until(lambda: {"mailbox": "ä"} in seen(), "the poison function ran")
        until(host.quiet, "all is empty")

        assert seen() == ["try", "try", "try", {"mailbox": "ä"}]


def test_a_poison_queue_has_no_poison_queue_of_its_own(tree: Callable[..., Path], account: str) -> None:
    root = tree(
        """
        @app.queue_trigger("msg", "work-poison", "AzureWebJobsStorage")
        def poisoned(msg: func.QueueMessage) -> None:
            raise RuntimeError("never")
    """,
        maxDequeueCount=1,
    )
    put(account, "work-poison", "one")

    with Host(root, {}, account) as host:
        until(lambda: host.failures, "it failed")

        assert not host.quiet()
    assert left_in(account, "work-poison") == 1
    with queue(account, "work-poison-poison") as other, pytest.raises(ResourceNotFoundError):
        other.get_queue_properties()


def test_a_message_that_is_not_base64_goes_to_poison_without_a_try(tree: Callable[..., Path], account: str) -> None:
    root = tree("""
        @app.queue_trigger("msg", "work", "AzureWebJobsStorage")
        def work(msg: func.QueueMessage) -> None:
            seen.append("try")
    """)
    put(account, "work")
    with QueueClient.from_connection_string(account, "work") as raw:
        raw.send_message("plain text!")

    with Host(root, {}, account) as host:
        until(host.quiet, "the queue is empty")

        assert seen() == []
        assert "not base64" in host.failures[0][1]
    with QueueClient.from_connection_string(account, "work-poison") as raw:
        assert [one.content for one in raw.peek_messages()] == ["plain text!"]


def test_plain_text_messages_where_host_json_says_so(tree: Callable[..., Path], account: str) -> None:
    root = tree(
        """
        @app.queue_trigger("msg", "work", "AzureWebJobsStorage")
        def work(msg: str) -> None:
            seen.append(msg)
    """,
        messageEncoding="none",
    )
    put(account, "work")
    with QueueClient.from_connection_string(account, "work") as raw:
        raw.send_message("plain <text> & more")

    with Host(root, {}, account) as host:
        until(host.quiet, "the queue is empty")

        assert seen() == ["plain <text> & more"]


def test_no_more_messages_run_at_once_than_host_json_allows(tree: Callable[..., Path], account: str) -> None:
    root = tree(
        """
        import threading
        lock, running = threading.Lock(), []

        @app.queue_trigger("msg", "work", "AzureWebJobsStorage")
        def work(msg: func.QueueMessage) -> None:
            with lock:
                running.append(1)
                seen.append(len(running))
            time.sleep(0.1)
            with lock:
                running.pop()
    """,
        batchSize=3,
        newBatchThreshold=1,
    )
    put(account, "work", *(str(number) for number in range(12)))

    with Host(root, {"PYTHON_THREADPOOL_THREAD_COUNT": "16"}, account) as host:
        until(host.quiet, "the queue is empty")

        assert len(seen()) == 12
        assert max(seen()) in (3, 4)


def test_the_thread_pool_is_as_large_as_the_setting_says(tree: Callable[..., Path], account: str) -> None:
    root = tree("""
        running = []

        @app.queue_trigger("msg", "work", "AzureWebJobsStorage")
        def work(msg: func.QueueMessage) -> None:
            running.append(1)
            seen.append(len(running))
            time.sleep(0.05)
            running.pop()
    """)
    put(account, "work", "a", "b", "c", "d")

    with Host(root, {"PYTHON_THREADPOOL_THREAD_COUNT": "1"}, account) as host:
        until(host.quiet, "the queue is empty")

        assert seen() == [1, 1, 1, 1]


def test_a_long_message_is_held_while_it_runs(tree: Callable[..., Path], account: str) -> None:
    root = tree("""
        @app.queue_trigger("msg", "work", "AzureWebJobsStorage")
        def work(msg: func.QueueMessage) -> None:
            seen.append(msg.dequeue_count)
            time.sleep(3)
    """)
    put(account, "work", "one")

    with Host(root, {}, account, hold=2) as host:
        until(host.quiet, "the queue is empty")

        assert seen() == [1]


def test_quiet_is_false_while_a_delayed_message_waits(tree: Callable[..., Path], account: str) -> None:
    root = tree("""
        @app.queue_trigger("msg", "work", "AzureWebJobsStorage")
        def work(msg: func.QueueMessage) -> None:
            seen.append(1)
    """)
    put(account, "work", "later", delay=2)

    with Host(root, {}, account, poll_cap=0.2) as host:
        at_first = (host.quiet(), seen())
        until(host.quiet, "the message came and went")

        assert at_first == (False, [])
        assert seen() == [1]


def test_a_trigger_never_creates_its_queue(tree: Callable[..., Path], account: str) -> None:
    root = tree("""
        @app.queue_trigger("msg", "absent", "AzureWebJobsStorage")
        def work(msg: func.QueueMessage) -> None:
            pass
    """)

    with Host(root, {}, account) as host:
        until(lambda: host.counts().empty_polls > 1, "it was polled")

        assert host.quiet()
    with queue(account, "absent") as client, pytest.raises(ResourceNotFoundError):
        client.get_queue_properties()


def test_an_output_binding_creates_its_queue_and_sends(tree: Callable[..., Path], account: str) -> None:
    root = tree("""
        import typing

        @app.queue_trigger("msg", "work", "AzureWebJobsStorage")
        @app.queue_output("several", "%SEVERAL%", "AzureWebJobsStorage")
        def work(msg: func.QueueMessage, several: func.Out[typing.List[str]]) -> None:
            several.set([msg.get_body().decode(), "zwei ü"])

        @app.queue_trigger("msg", "several", "AzureWebJobsStorage")
        async def next_one(msg: func.QueueMessage, context: func.Context) -> None:
            seen.append((context.function_name, msg.get_body().decode()))
    """)
    put(account, "work", "eins")

    with Host(root, {"SEVERAL": "several"}, account, poll_cap=0.2) as host:
        until(lambda: len(seen()) == 2, "both arrived")

        assert sorted(seen()) == [("next_one", "eins"), ("next_one", "zwei ü")]
        assert host.failures == []


def test_a_returned_value_without_a_binding_is_a_failure(tree: Callable[..., Path], account: str) -> None:
    root = tree(
        """
        @app.queue_trigger("msg", "work", "AzureWebJobsStorage")
        def work(msg: func.QueueMessage):
            return "surprise"
    """,
        maxDequeueCount=1,
    )
    put(account, "work", "one")

    with Host(root, {}, account) as host:
        until(host.quiet, "the queue is empty")

        assert host.failures == [("work", "it returned a str and has no $return binding to take it")]
    assert left_in(account, "work-poison") == 1


def test_stopping_waits_for_what_runs(tree: Callable[..., Path], account: str) -> None:
    root = tree("""
        @app.queue_trigger("msg", "work", "AzureWebJobsStorage")
        def work(msg: func.QueueMessage) -> None:
            seen.append("begun")
            time.sleep(1)
            seen.append("ended")
    """)
    put(account, "work", "one")
    host = Host(root, {}, account)
    host.start()
    until(seen, "it runs")
    noted = sys.modules["function_app"].seen

    drained = host.stop()

    assert drained
    assert noted == ["begun", "ended"]
    assert left_in(account, "work") == 0


def test_what_waited_for_a_thread_is_given_back_when_the_host_stops(tree: Callable[..., Path], account: str) -> None:
    root = tree("""
        @app.queue_trigger("msg", "work", "AzureWebJobsStorage")
        def work(msg: func.QueueMessage) -> None:
            seen.append(1)
            time.sleep(1.5)
    """)
    put(account, "work", "a", "b", "c")
    host = Host(root, {"PYTHON_THREADPOOL_THREAD_COUNT": "1"}, account)
    host.start()
    until(seen, "one runs")

    drained = host.stop(seconds=0.2)

    assert not drained
    with queue(account, "work") as client:
        assert len(client.peek_messages(5)) == 2
    time.sleep(1)  # the one that ran lets go of its thread


def test_a_message_whose_host_died_too_often_goes_to_poison_without_a_try(
    tree: Callable[..., Path], account: str
) -> None:
    root = tree("""
        @app.queue_trigger("msg", "work", "AzureWebJobsStorage")
        def work(msg: func.QueueMessage) -> None:
            seen.append("try")
    """)
    put(account, "work", "one")
    with queue(account, "work") as client:
        for _ in range(3):
            taken = client.receive_message()
            assert taken is not None
            client.update_message(taken.id, taken.pop_receipt, visibility_timeout=0)

    with Host(root, {}, account) as host:
        until(host.quiet, "the queue is empty")

        assert seen() == []
    assert left_in(account, "work-poison") == 1


def test_a_function_that_runs_longer_than_host_json_allows_has_failed(tree: Callable[..., Path], account: str) -> None:
    root = tree(
        """
        @app.queue_trigger("msg", "work", "AzureWebJobsStorage")
        def work(msg: func.QueueMessage) -> None:
            time.sleep(1.5)
    """,
        maxDequeueCount=1,
    )
    host_json = json.loads((root / "host.json").read_text("utf-8")) | {"functionTimeout": "00:00:01"}
    (root / "host.json").write_text(json.dumps(host_json), "utf-8")
    put(account, "work", "one")

    with Host(root, {}, account) as host:
        until(host.quiet, "the queue is empty")

        assert host.failures == [("work", "it ran longer than functionTimeout (1 s)")]
    assert left_in(account, "work-poison") == 1


def test_an_empty_queue_is_asked_ever_more_rarely(tree: Callable[..., Path], account: str) -> None:
    root = tree(
        """
        @app.queue_trigger("msg", "work", "AzureWebJobsStorage")
        def work(msg: func.QueueMessage) -> None: ...
    """,
        maxPollingInterval="00:01:00",
    )
    put(account, "work")

    with Host(root, {}, account) as host:
        time.sleep(1.5)

        assert 2 <= host.counts().empty_polls <= 6


# Timers


def test_a_timer_fires_by_its_schedule_and_at_the_start(tree: Callable[..., Path], account: str) -> None:
    root = tree("""
        @app.timer_trigger("timer", "%TICK%", run_on_startup=True)
        def tick(timer: func.TimerRequest) -> None:
            seen.append(("tick", timer.past_due))

        @app.timer_trigger("timer", "0 0 0 1 1 *")
        def yearly(timer: func.TimerRequest) -> None:
            seen.append(("yearly", timer.past_due))
    """)

    with Host(root, {"TICK": "* * * * * *"}, account) as host:
        until(lambda: len(seen()) >= 3, "three ticks", 5)
        host.invoke_timer("yearly")

        assert ("yearly", False) in seen()
        assert ("tick", False) in seen()
        assert host.failures == []


def test_a_timer_never_overlaps_itself(tree: Callable[..., Path], account: str) -> None:
    root = tree("""
        running = []

        @app.timer_trigger("timer", "* * * * * *", run_on_startup=True)
        def tick(timer: func.TimerRequest) -> None:
            running.append(1)
            seen.append(len(running))
            time.sleep(0.4)
            running.pop()
    """)

    with Host(root, {}, account) as host:
        host.invoke_timer("tick")
        host.invoke_timer("tick")

        assert set(seen()) == {1}


def test_a_failing_timer_says_so_and_goes_on(tree: Callable[..., Path], account: str) -> None:
    root = tree("""
        @app.timer_trigger("timer", "* * * * * *")
        def tick(timer: func.TimerRequest) -> None:
            raise SystemExit(3)
    """)

    with Host(root, {}, account) as host:
        with pytest.raises(Failed, match=r"sys\.exit"):
            host.invoke_timer("tick")
        until(lambda: len(host.failures) >= 2, "the next time failed too", 5)


# HTTP

ECHO = """
    import json

    def shown(req):
        return json.dumps([req.method, req.url, dict(req.params), dict(req.route_params), req.get_body().decode()])

    @app.route("{*rest}")
    def everything(req: func.HttpRequest) -> func.HttpResponse:
        return func.HttpResponse("everything " + shown(req), headers={"X-One": "1"})

    @app.route("people/{name}", methods=["GET", "PUT"])
    async def person(req: func.HttpRequest) -> func.HttpResponse:
        return func.HttpResponse(shown(req), mimetype="application/json")

    @app.route("people/me")
    def me(req: func.HttpRequest) -> str:
        return "me"

    @app.route("numbers/{number:int}/{unit?}")
    def number(req: func.HttpRequest) -> func.HttpResponse:
        return func.HttpResponse(json.dumps(dict(req.route_params)), status_code=201)

    @app.route("broken")
    def broken(req: func.HttpRequest) -> func.HttpResponse:
        raise RuntimeError("secret detail")
"""


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


# Starting


def refusal(root: Path, account: str, **settings: str) -> str:
    before = (dict(os.environ), list(sys.path))
    with pytest.raises(HostError) as refused:
        Host(root, settings, account).start()
    assert (dict(os.environ), list(sys.path)) == before
    return str(refused.value)


def test_two_app_objects_are_refused_by_name(tree: Callable[..., Path], account: str) -> None:
    root = tree("other = func.FunctionApp()")

    assert "app, other" in refusal(root, account)


def test_an_app_without_functions_or_without_an_app_is_refused(tree: Callable[..., Path], account: str) -> None:
    empty = refusal(tree(""), account)
    none = refusal(tree("del app"), account)

    assert "no functions" in empty
    assert "no FunctionApp" in none


def test_everything_wrong_is_told_at_once(tree: Callable[..., Path], account: str) -> None:
    root = tree("""
        @app.timer_trigger("timer", "%TICK%")
        def tick(timer: func.TimerRequest) -> None: ...

        @app.timer_trigger("timer", "0 61 * * * *")
        def wrong(timer: func.TimerRequest) -> None: ...

        @app.queue_trigger("msg", "%WORK%", "OtherStorage")
        def work(msg: func.QueueMessage, database=None) -> None: ...

        @app.blob_trigger("blob", "files/{name}", "AzureWebJobsStorage")
        def files(blob: func.InputStream) -> None: ...

        @app.queue_trigger("msg", "queue", "AzureWebJobsStorage")
        @app.blob_output("blob", "files/x", "AzureWebJobsStorage")
        def output(msg: func.HttpRequest, blob: func.Out[str]) -> None: ...
    """)

    told = refusal(root, account)

    for part in (
        "tick needs the setting TICK",
        "wrong minute '61'",
        "work needs the setting WORK",
        "work needs the setting OtherStorage",
        "work has parameters without a binding: database",
        "files has a blobTrigger",
        "output has a binding blob of type blob",
        "output takes msg as <class 'azure.functions._http.HttpRequest'>",
    ):
        assert part in told


@pytest.mark.parametrize(
    ("host_json", "named"),
    [
        ("{", "host.json is not JSON"),
        ("[]", '"version": "2.0"'),
        ('{"version": "2.0", "extensions": {"queues": {"batchSize": 33}}}', "batchSize"),
        ('{"version": "2.0", "extensions": {"queues": {"visibilityTimeout": "30"}}}', "visibilityTimeout"),
        ('{"version": "2.0", "extensions": {"queues": {"messageEncoding": "utf-8"}}}', "messageEncoding"),
        ('{"version": "2.0", "functionTimeout": "ten"}', "functionTimeout"),
    ],
)
def test_a_wrong_host_json_is_refused_and_the_value_named(
    tree: Callable[..., Path], account: str, host_json: str, named: str
) -> None:
    root = tree(ECHO)
    (root / "host.json").write_text(host_json, "utf-8")

    assert named in refusal(root, account)


def test_settings_are_in_the_environment_from_the_import_on_and_gone_afterwards(
    tree: Callable[..., Path], account: str
) -> None:
    root = tree("""
        import os
        seen.append((os.environ["ONLY_HERE"], os.environ["AzureWebJobsStorage"]))

        @app.route("{*rest}")
        def web(req: func.HttpRequest) -> str:
            return ""
    """)

    with Host(root, {"ONLY_HERE": "yes"}, account):
        inside = seen()

    assert inside == [("yes", account)]
    assert "ONLY_HERE" not in os.environ
    assert "function_app" not in sys.modules


def test_the_command_names_the_file_that_is_missing(
    tree: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    root = tree(ECHO)

    status = main(["--root", str(root)])

    assert status == 1
    assert "local.settings.json is missing" in capsys.readouterr().err
