"""Queue triggers as the Azure Functions host works them.

1. A message that is taken stays invisible for `hold` seconds (600), renewed at half of that while its function runs.
2. At most batchSize messages are taken at once, and only while no more than newBatchThreshold run.
3. Success deletes the message. Failure makes it visible again after visibilityTimeout; there is no further back-off.
4. A failure with maxDequeueCount reached moves it to `<queue>-poison`, which is created on demand. A message that comes
   with a higher count (its host died) moves there without another try; so does one that is not base64.
5. A queue whose own name ends in -poison has no poison queue: a failing message is left to become visible by itself.
6. An empty queue is asked ever more rarely, by chance and up to maxPollingInterval. A queue that does not exist is
   empty: a trigger never creates its queue.
"""

from __future__ import annotations

import base64
import concurrent.futures
import logging
import random
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import azure.functions as func
from azure.core.exceptions import AzureError, HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.functions.queue import QueueMessage
from azure.storage.queue import QueueClient

from dev.host_app import Function, Options, Output, QueueTrigger
from dev.host_invoke import Cancelled, Failed, Invoker

log = logging.getLogger("dev.host")

POISON = "-poison"
FIRST_PAUSE = 0.1


def open_queue(connection: str, name: str) -> QueueClient:
    """A client for one queue; short retries, and blind to proxies the machine's environment names."""
    return QueueClient.from_connection_string(
        connection, name, use_env_settings=False, retry_total=2, initial_backoff=1, increment_base=1
    )


def put(client: QueueClient, text: str) -> None:
    """Send `text` as it stands, creating the queue where it is missing."""
    try:
        client.send_message(text)
    except ResourceNotFoundError:
        try:
            client.create_queue()
        except ResourceExistsError:
            log.debug("The queue %s was created by somebody else.", client.queue_name)
        client.send_message(text)


def send_output(output: Output, value: Any, encoded: bool) -> None:
    """Write what an output binding was given: a text, bytes, a queue message, or several of them."""
    several = isinstance(value, Iterable) and not isinstance(value, str | bytes)
    with open_queue(output.connection, output.queue) as client:
        for one in value if several else [value]:
            body = one.get_body() if isinstance(one, func.QueueMessage) else one
            raw = body.encode() if isinstance(body, str) else bytes(body)
            put(client, base64.b64encode(raw).decode() if encoded else raw.decode())


class Requests:
    """Counts what the host itself asks of queues; a poll that finds nothing is counted apart."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, name: str) -> None:
        """One more request `name`: receive, empty, delete, update or poison."""
        with self._lock:
            self._counts[name] += 1

    def counts(self) -> dict[str, int]:
        """A copy."""
        with self._lock:
            return dict(self._counts)


@dataclass(slots=True)
class _Held:
    """A message that was taken; its receipt changes with every renewal."""

    id: str
    receipt: str
    text: str
    dequeues: int
    message: Any


class QueueListener:
    """Polls one queue and works its messages."""

    def __init__(
        self,
        function: Function,
        trigger: QueueTrigger,
        options: Options,
        invoker: Invoker,
        requests: Requests,
        poll_cap: float | None = None,
        hold: float = 600,
    ) -> None:
        self.queue = trigger.queue
        self._function = function
        self._options = options
        self._invoker = invoker
        self._requests = requests
        self._longest_pause = options.max_poll if poll_cap is None else min(options.max_poll, poll_cap)
        self._hold = hold
        self._client = open_queue(trigger.connection, trigger.queue)
        self._poison = (
            None if trigger.queue.endswith(POISON) else open_queue(trigger.connection, trigger.queue + POISON)
        )
        self._changed = threading.Condition()
        self._stopping = False
        self._held = 0
        self._workers = concurrent.futures.ThreadPoolExecutor(options.batch + options.threshold, trigger.queue)
        self._poller = threading.Thread(target=self._poll, name=f"poll {trigger.queue}", daemon=True)

    def start(self) -> None:
        """Begin to poll."""
        self._poller.start()

    def stop(self) -> None:
        """Take no more messages; those that are taken go on."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._poller.ident is not None:
            self._poller.join()

    def drain(self, seconds: float) -> bool:
        """Wait until every message taken is settled; says whether that came true in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._held == 0, seconds)

    def close(self) -> None:
        """Let go of threads and connections, after stop() and drain()."""
        self._workers.shutdown(wait=self._held == 0, cancel_futures=True)
        self._client.close()
        if self._poison is not None:
            self._poison.close()

    def held(self) -> int:
        """Messages taken and not yet settled."""
        with self._changed:
            return self._held

    def waiting(self) -> int:
        """Messages in the queue, the invisible ones among them; 0 where there is no queue."""
        try:
            return int(self._client.get_queue_properties().approximate_message_count or 0)
        except ResourceNotFoundError:
            return 0

    def _poll(self) -> None:
        pause = FIRST_PAUSE
        reachable = True
        while self._has_room():
            try:
                messages = self._receive()
                reachable = True
            except AzureError as error:
                if reachable:
                    log.warning("The queue %s cannot be read: %s", self.queue, " ".join(str(error).split())[:200])
                messages, reachable = [], False
            for message in messages:
                with self._changed:
                    self._held += 1
                self._workers.submit(self._work, message)
            pause = FIRST_PAUSE if messages else min(self._longest_pause, pause * 2 * random.uniform(0.8, 1.2))
            if not messages:
                with self._changed:
                    self._changed.wait_for(lambda: self._stopping, pause)

    def _has_room(self) -> bool:
        """Wait until another batch may be taken; False once the host stops."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or self._held <= self._options.threshold)
            return not self._stopping

    def _receive(self) -> list[Any]:
        # by_page: iterating the messages themselves would ask again until a page comes back empty.
        batch = self._options.batch
        pages = self._client.receive_messages(messages_per_page=batch, visibility_timeout=round(self._hold)).by_page()
        try:
            messages = list(next(pages, ()))
        except ResourceNotFoundError:
            messages = []
        self._requests.add("receive" if messages else "empty")
        return messages

    def _work(self, message: Any) -> None:
        held = _Held(message.id, message.pop_receipt, message.content, message.dequeue_count, message)
        try:
            self._attempt(held)
        except AzureError as error:
            # The message shows again by itself when its invisibility ends.
            log.warning("A message of %s could not be settled: %s", self.queue, " ".join(str(error).split())[:200])
        finally:
            with self._changed:
                self._held -= 1
                self._changed.notify_all()

    def _attempt(self, held: _Held) -> None:
        if self._poison is not None and held.dequeues > self._options.max_dequeues:
            self._to_poison(held)
            return
        try:
            argument = self._argument(held)
        except ValueError as wrong:
            self._invoker.fail(self._function.name, f"a message of {self.queue} cannot be read: {wrong}")
            self._to_poison(held)
            return
        try:
            self._invoker.invoke(self._function, argument, lambda: self._renew(held), self._hold / 2)
        except Cancelled:
            self._show_again(held, 0)
        except Failed:
            self._failed(held)
        else:
            self._requests.add("delete")
            self._client.delete_message(held.id, held.receipt)

    def _failed(self, held: _Held) -> None:
        if self._poison is None:
            return
        if held.dequeues >= self._options.max_dequeues:
            self._to_poison(held)
        else:
            self._show_again(held, self._options.visibility)

    def _to_poison(self, held: _Held) -> None:
        if self._poison is None:
            return
        self._requests.add("poison")
        put(self._poison, held.text)
        self._requests.add("delete")
        self._client.delete_message(held.id, held.receipt)

    def _show_again(self, held: _Held, after: float) -> None:
        self._requests.add("update")
        self._client.update_message(held.id, held.receipt, visibility_timeout=round(after))

    def _renew(self, held: _Held) -> None:
        self._requests.add("update")
        try:
            renewed = self._client.update_message(held.id, held.receipt, visibility_timeout=round(self._hold))
        except HttpResponseError as error:
            log.warning("A message of %s could not be held longer: %s", self.queue, error.reason)
        else:
            held.receipt = renewed.pop_receipt or held.receipt

    def _argument(self, held: _Held) -> Any:
        return queue_argument(
            self._function,
            decoded(held.text) if self._options.base64 else held.text.encode(),
            id=held.id,
            dequeue_count=held.dequeues,
            expiration_time=held.message.expires_on,
            insertion_time=held.message.inserted_on,
            time_next_visible=held.message.next_visible_on,
            pop_receipt=held.receipt,
        )


def decoded(text: str) -> bytes:
    """What a message says, from base64; raises ValueError where it is none."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise ValueError("it is not base64, which host.json asks for") from None


def queue_argument(function: Function, body: bytes, **fields: Any) -> Any:
    """The trigger's value as the function declares it; raises ValueError where a text is declared and none came."""
    if function.annotation is bytes:
        return body
    if function.annotation is str:
        return body.decode()
    return QueueMessage(body=body, **fields)
