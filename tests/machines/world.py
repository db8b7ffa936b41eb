"""The stage with a host around it: every effect and every call is numbered, and anything may strike at any of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import requests

from dev.memory import MemoryQueue
from dev.tenant.adapter import TenantAdapter
from dev.tenant.exchange import Request
from dev.tenant.faults import Switches
from sync import fanout, jobs, mailboxes, poll
from sync.errors import AccordError, TooLarge
from sync.graph.session import ThreadSessions
from sync.ports import Blobs, Row, Tables, Write
from sync.storage import POISON, QUEUES
from sync.world import World
from tests.stage import ADA, BEN, DOES, Scene, Stage, Stopped

Strike = Callable[[], None]

# As the host's: a failed message is seen again after this, and given up after so many tries.
AGAIN = 30.0
TRIES = 5
# Longer than a lease, and longer than the host hides a message whose worker died.
ASLEEP = 601.0
MINUTES = 5
MOST_JOBS = 300


class BareSessions(ThreadSessions):
    """Sessions that hand Graph's requests to the adapter as they are: preparing them is half of what a cell costs."""

    def current(self) -> Any:
        """This thread's session."""
        return _Bare(super().current())


class _Bare:
    def __init__(self, session: requests.Session) -> None:
        self._session = session

    def request(self, method: str, url: str, data: Any, headers: dict[str, str], stream: bool) -> requests.Response:
        adapter = self._session.get_adapter(url)
        asked = requests.PreparedRequest()
        asked.method, asked.url, asked.body = method, url, data
        asked.headers = requests.structures.CaseInsensitiveDict(headers)
        return adapter.send(asked, stream=stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


@dataclass(frozen=True, slots=True)
class Effect:
    """Something the product did to the world outside: a group of rows, a file, a message. `rows` names what a group
    wrote, `guarded` says whether it may be refused as Stale or Exists."""

    name: str
    rows: tuple[str, ...] = ()
    guarded: bool = False


@dataclass(slots=True)
class Effects:
    """Numbers effects while `watched`. A strike stands `before` or `after` the effect of its number."""

    watched: bool = False
    seen: list[Effect] = field(default_factory=list)
    before: dict[int, Strike] = field(default_factory=dict)
    after: dict[int, Strike] = field(default_factory=dict)

    def run(self, effect: Effect, do: Callable[[], Any]) -> Any:
        """Do it, and note it."""
        if not self.watched:
            return do()
        number = len(self.seen)
        self.seen.append(effect)
        if strike := self.before.get(number):
            strike()
        result = do()
        if strike := self.after.get(number):
            strike()
        return result


class WatchedTables:
    """Tables whose every group is an effect."""

    def __init__(self, inner: Tables, effects: Effects) -> None:
        self.inner, self._effects = inner, effects

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def write(self, table: str, partition: str, writes: Sequence[Write]) -> dict[str, str]:
        """One group."""
        rows = tuple(write.key for write in writes)
        guarded = any(write.action == "insert" or write.version is not None for write in writes)
        effect = Effect("tick" if partition == "tick" else table, rows, guarded)
        done: dict[str, str] = self._effects.run(effect, lambda: self.inner.write(table, partition, writes))
        return done


class WatchedBlobs:
    """Files whose every change is an effect."""

    def __init__(self, inner: Blobs, effects: Effects) -> None:
        self.inner, self._effects = inner, effects

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def put(self, name: str, *given: Any) -> str:
        """One file."""
        done: str = self._effects.run(Effect("file", (name,)), lambda: self.inner.put(name, *given))
        return done

    def stream(self, name: str, pieces: Iterable[bytes]) -> int:
        """One file, piece by piece."""
        done: int = self._effects.run(Effect("stream", (name,)), lambda: self.inner.stream(name, pieces))
        return done


class WatchedQueue:
    """A queue whose every message is an effect. `twist` says what becomes of the message of a number, counted among
    messages alone."""

    def __init__(self, inner: Any, effects: Effects) -> None:
        self.inner, self._effects = inner, effects
        self.twist: dict[int, Callable[[str, str, float], None]] = {}
        self.sent: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def put(self, queue: str, text: str, delay: float = 0) -> None:
        """One message."""

        def do() -> None:
            twisted = None
            if self._effects.watched:
                twisted = self.twist.get(len(self.sent))
                self.sent.append(queue)
            (twisted or self.inner.put)(queue, text, delay)

        self._effects.run(Effect(f"message-{queue}"), do)


class HostedStage(Stage):
    """A stage on which the host runs: messages come again after a failure and are parked at last, ticks come by the
    minute, and whoever is killed is replaced by a worker that knows nothing.

    `scope` are its mailboxes. `lost` says that the message of a killed worker never comes again. `bugs` are errors that
    nobody raised on purpose, `parked` the messages that were given up, `harm` what a worker wrote that had lost its
    lease, `said` (while `listening`) the mailboxes that were in trouble and said why.
    """

    def __init__(
        self,
        switches: Switches | None = None,
        mailboxes: tuple[str, ...] = (ADA, BEN),
        scene: Scene | None = None,
    ) -> None:
        self.effects = Effects()
        self.calls: list[Request] = []
        self.before_call: dict[int, Strike] = {}
        self.after_call: dict[int, Strike] = {}
        self.scope = mailboxes
        self.lost = False
        self.reversed = False
        self.doomed: Counter[str] = Counter()
        self.belated: list[tuple[str, str]] = []
        self.bugs: list[str] = []
        self.parked: list[str] = []
        self.harm: list[str] = []
        self.listening = False
        self.said: set[str] = set()
        self._tries: Counter[tuple[str, str]] = Counter()
        self._taken: tuple[str, str] | None = None
        self._zombie = False
        super().__init__(switches, mailboxes=mailboxes, scene=scene)
        self.tenant.before.append(self._called)
        self.tenant.after.append(self._answered)

    def storage(self, scene: Scene) -> tuple[Tables, Blobs, Any]:
        """The storage of a stage, watched."""
        return self.watched(*super().storage(scene))

    def open_sessions(self) -> ThreadSessions:
        """Nothing but a call."""
        return BareSessions(lambda: TenantAdapter(self.tenant))

    def watched(self, tables: Tables, blobs: Blobs, queue: Any) -> tuple[Tables, Blobs, Any]:
        """This storage, watched."""
        effects = self.effects
        return WatchedTables(tables, effects), WatchedBlobs(blobs, effects), WatchedQueue(queue, effects)

    def watch(self) -> None:
        """From now on effects and calls are numbered from zero."""
        self.effects.watched = True
        self.effects.seen.clear()
        self.queue.sent.clear()
        self.calls.clear()

    @contextmanager
    def unwatched(self) -> Iterator[None]:
        """What somebody else does in the meantime, whom nothing strikes."""
        watched, self.effects.watched = self.effects.watched, False
        try:
            yield
        finally:
            self.effects.watched = watched

    def rested(self) -> None:
        """No strike any more; faults of the tenant stay."""
        self.effects.before.clear()
        self.effects.after.clear()
        self.before_call.clear()
        self.after_call.clear()
        self.queue.twist.clear()

    # -- the host

    def cycle(self) -> None:
        """Five minutes with a tick each."""
        for _ in range(MINUTES):
            self.clock.advance(60)
            self.tick()
            self.drain()

    def tick(self) -> None:
        """The timer of every minute."""
        self.timer(fanout.tick)

    def timer(self, does: Callable[[World], object]) -> None:
        """A timer function: killed or failed, it waits for its next time."""
        try:
            does(self.world)
        except Stopped:
            self.world = self.a_worker()
        except Exception as error:  # noqa: BLE001 - as the host, which waits for the next minute
            self._failed(error)
        self._buried()

    def drain(self) -> None:
        """Deliver what is visible until nothing is."""
        for _ in range(MOST_JOBS):
            if not sum(map(self._deliver_one, QUEUES)):
                return
        raise AssertionError("The queues never get empty.")

    def _deliver_one(self, queue: str) -> bool:
        while (text := self.queue.take(queue + POISON)) is not None:
            self.parked.append(text)
            jobs.poisoned(self.world, queue, text)
        if self.reversed:
            waiting = []
            while (text := self.queue.take(queue)) is not None:
                waiting.append(text)
            for text in reversed(waiting):
                self.queue.inner.put(queue, text)
        text = self.queue.take(queue)
        if text is None:
            return False
        self.deliver(queue, text)
        return True

    def deliver(self, queue: str, text: str) -> None:
        """One message, as the host hands it over."""
        self._taken = (queue, text)
        try:
            if self.doomed[text]:
                self.doomed[text] -= 1
                raise OSError("Out of memory.")
            if queue == poll.QUEUE:
                poll.poll_idle(self.world, text)
            else:
                jobs.work(self.world, queue, text, DOES[queue])
        except Stopped:
            self.world = self.a_worker()
            if not self.lost:
                self.queue.inner.put(queue, text, AGAIN)
        except Exception as error:  # noqa: BLE001 - as the host, which counts and tries again
            self._failed(error)
            self._retry(queue, text)
        else:
            self._tries.pop((queue, text), None)
        self._buried()
        if self.listening:
            self._listen()

    def _retry(self, queue: str, text: str) -> None:
        self._tries[(queue, text)] += 1
        if self._tries[(queue, text)] < TRIES:
            self.queue.inner.put(queue, text, AGAIN)
        else:
            del self._tries[(queue, text)]
            self.queue.inner.put(queue + POISON, text)

    def _failed(self, error: Exception) -> None:
        if not isinstance(error, AccordError | OSError):
            self.bugs.append(repr(error))

    # -- what strikes

    def killed(self) -> None:
        """The process dies here."""
        raise Stopped

    def cut_off(self) -> None:
        """The storage does not answer this once."""
        raise OSError("The storage did not answer.")

    def overtaken(self) -> None:
        """The worker stands still here, while its lease runs out and another one does everything; then it goes on."""
        self.rested()
        asleep, taken = self.world, self._taken
        self.clock.advance(ASLEEP)
        if taken:
            self.queue.inner.put(*taken)
        self.world = self.a_worker()
        self.cycle()
        self._held = self._leases()
        self.world, self._fresh, self._zombie = asleep, self.world, True

    def _listen(self) -> None:
        for one in mailboxes.all_standings(self.world):
            if one.status.status in ("blocked", "waiting", "failing") and one.status.sentence:
                self.said.add(one.row.address)

    def _buried(self) -> None:
        self._taken = None
        if self._zombie:
            self._zombie, self.world = False, self._fresh
            if self._leases() != self._held:
                self.harm.append("A worker that had lost its lease wrote a cursor.")

    def _leases(self) -> list[Row]:
        return [row for row in self.tables.scan("AccordState") if row.partition != "tick"]

    def _called(self, request: Request) -> None:
        if not self.effects.watched:
            return
        if strike := self.before_call.get(len(self.calls)):
            strike()
        self.calls.append(request)

    def _answered(self, request: Request) -> None:
        if self.effects.watched and (strike := self.after_call.get(len(self.calls) - 1)):
            strike()


def refused_by_the_storage(*_: object) -> None:
    """What a queue says to a message above its limit."""
    raise TooLarge("A message above what the queue takes.")


def memory_queue(stage: HostedStage) -> MemoryQueue:
    """The queue behind the watched one."""
    inner: MemoryQueue = stage.queue.inner
    return inner
