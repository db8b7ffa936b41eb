"""The contract of `ports.Queue`, held by memory and by Azure's queues alike."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator

import pytest
from azure.storage.queue import QueueClient, TextBase64DecodePolicy

from dev.memory import ManualClock, MemoryQueue
from sync.errors import TooLarge
from sync.model import Job
from sync.ports import Queue
from sync.storage import QUEUES, Storage

Look = Callable[[str], list[str]]


@pytest.fixture
def queue(storage: Storage) -> Queue:
    return storage.queue


@pytest.fixture
def visible(request: pytest.FixtureRequest, storage: Storage) -> Iterator[Look]:
    """What can be read from a queue now, first come first."""
    if isinstance(storage.queue, MemoryQueue):
        yield storage.queue.messages
        return
    connection = request.getfixturevalue("account")

    def look(name: str) -> list[str]:
        policy = TextBase64DecodePolicy()
        with QueueClient.from_connection_string(connection, name, message_decode_policy=policy) as client:
            return [message.content for message in client.peek_messages(32)]

    yield look


@pytest.fixture
def later(storage: Storage, clock: ManualClock) -> Callable[[float], None]:
    """Lets time pass for the queue: the clock's in memory, real time on Azurite."""
    return clock.advance if isinstance(storage.queue, MemoryQueue) else time.sleep


def test_messages_come_out_as_they_went_in(queue: Queue, visible: Look) -> None:
    texts = ["", "plain", '{"subject":"Grüße 😀"}', "<xml>&amp;\x00\x01\r\n\ufffe", "=== base64? ==="]

    for text in texts:
        queue.put("sync-mail", text)

    assert visible("sync-mail") == texts


def test_a_job_survives_the_journey(queue: Queue, visible: Look) -> None:
    job = Job("contoso'; --", "mail", ("0f3c" * 8, "a" * 32), "wanted", ticket=3)

    queue.put("backfill-mail", job.to_json())

    assert [Job.from_json(text) for text in visible("backfill-mail")] == [job]


def test_a_queue_tells_how_many_messages_it_has_those_not_visible_yet_too(queue: Queue) -> None:
    queue.put("sync-mail", "now")
    queue.put("sync-mail", "later", 60)
    queue.put("poll-idle", "another queue")

    assert (queue.length("sync-mail"), queue.length("poll-idle-poison")) == (2, 0)
    with pytest.raises(LookupError):
        queue.length("no-such-queue")


def test_queues_are_apart(queue: Queue, visible: Look) -> None:
    for name in QUEUES:
        queue.put(name, f"for {name}")
        queue.put(f"{name}-poison", f"failed in {name}")

    for name in QUEUES:
        assert visible(name) == [f"for {name}"]
        assert visible(f"{name}-poison") == [f"failed in {name}"]


def test_a_message_may_come_twice(queue: Queue, visible: Look) -> None:
    queue.put("sync-mail", "same")
    queue.put("sync-mail", "same")

    assert visible("sync-mail") == ["same", "same"]


def test_a_delayed_message_is_hidden_until_its_time(
    queue: Queue, visible: Look, later: Callable[[float], None]
) -> None:
    queue.put("sync-mail", "later", delay=1.5)
    queue.put("sync-mail", "now", delay=0)

    before = visible("sync-mail")
    later(2.1)

    assert before == ["now"]
    assert sorted(visible("sync-mail")) == ["later", "now"]


def test_a_message_of_48_kilobytes_is_taken_and_one_byte_more_is_refused(queue: Queue, visible: Look) -> None:
    largest = "é" * (24 * 1024)

    queue.put("sync-mail", largest)

    assert visible("sync-mail") == [largest]
    with pytest.raises(TooLarge, match="49153 bytes"):
        queue.put("sync-mail", largest + "x")


def test_a_delay_of_a_week_is_taken_and_any_other_beyond_is_refused(queue: Queue, visible: Look) -> None:
    queue.put("sync-mail", "in a week", delay=7 * 24 * 3600)

    assert visible("sync-mail") == []
    for delay in (-1, 7 * 24 * 3600 + 1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="seconds"):
            queue.put("sync-mail", "never", delay=delay)


def test_half_a_character_is_no_message(queue: Queue) -> None:
    with pytest.raises(ValueError, match="surrogates"):
        queue.put("sync-mail", "\ud800")


def test_a_queue_that_does_not_exist_is_named(queue: Queue) -> None:
    with pytest.raises(LookupError, match="sync-nothing"):
        queue.put("sync-nothing", "x")


@pytest.mark.parametrize("storage", ["azurite"], indirect=True)
def test_on_the_wire_a_message_is_base64_and_never_expires(queue: Queue, account: str) -> None:
    queue.put("sync-mail", '{"a":"é"}')

    with QueueClient.from_connection_string(account, "sync-mail") as client:
        (raw,) = client.peek_messages(1)

    assert base64.b64decode(raw.content, validate=True).decode() == '{"a":"é"}'
    assert raw.expires_on.year == 9999


# What only the memory queue offers to tests


def test_the_memory_queue_hands_out_what_is_due_in_the_order_it_became_due(clock: ManualClock) -> None:
    queue = MemoryQueue(clock)
    queue.put("sync-mail", "third", delay=60)
    queue.put("sync-mail", "second", delay=30)
    queue.put("sync-mail", "first")

    first, nothing_yet = queue.take("sync-mail"), queue.take("sync-mail")
    waiting = queue.waiting("sync-mail")
    clock.advance(60)

    assert (first, nothing_yet) == ("first", None)
    assert waiting == [(30, "second"), (60, "third")]
    assert [queue.take("sync-mail") for _ in range(3)] == ["second", "third", None]
    assert queue.waiting("sync-mail") == []


def test_of_two_equal_messages_one_is_taken_at_a_time(clock: ManualClock) -> None:
    queue = MemoryQueue(clock)
    queue.put("sync-mail", "same")
    queue.put("sync-mail", "same")

    taken = queue.take("sync-mail")

    assert taken == "same"
    assert queue.messages("sync-mail") == ["same"]
