"""Queue triggers and bindings of the local host, on real storage."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.queue import QueueClient

from dev.host import Host
from tests.functions.host_world import left_in, put, queue, running_app, seen, until


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
            go.wait(10)
            seen.append("ended")
    """)
    put(account, "work", "one")
    host = Host(root, {}, account)
    host.start()
    until(seen, "it runs")
    app = running_app()
    with ThreadPoolExecutor(1) as other:
        stopped = other.submit(host.stop)
        early = list(app.seen)
        app.go.set()

        assert stopped.result()
    assert early == ["begun"]
    assert app.seen == ["begun", "ended"]
    assert left_in(account, "work") == 0


def test_what_waited_for_a_thread_is_given_back_when_the_host_stops(tree: Callable[..., Path], account: str) -> None:
    root = tree("""
        @app.queue_trigger("msg", "work", "AzureWebJobsStorage")
        def work(msg: func.QueueMessage) -> None:
            seen.append("begun")
            go.wait(10)
            seen.append("ended")
    """)
    put(account, "work", "a", "b", "c")
    host = Host(root, {"PYTHON_THREADPOOL_THREAD_COUNT": "1"}, account)
    host.start()
    until(seen, "one runs")
    app = running_app()

    drained = host.stop(seconds=0.2)

    assert not drained
    with queue(account, "work") as client:
        assert len(client.peek_messages(5)) == 2
    app.go.set()
    until(lambda: app.seen == ["begun", "ended"], "the one that ran lets go of its thread")


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
            go.wait(10)
    """,
        maxDequeueCount=1,
    )
    host_json = json.loads((root / "host.json").read_text("utf-8")) | {"functionTimeout": "00:00:01"}
    (root / "host.json").write_text(json.dumps(host_json), "utf-8")
    put(account, "work", "one")

    with Host(root, {}, account) as host:
        until(lambda: host.failures, "it failed")
        running_app().go.set()
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
