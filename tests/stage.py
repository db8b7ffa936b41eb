"""A whole small world for stories: the product on memory, a simulated tenant in process, one clock for all of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from dev.firm import Firm, FirmMailbox
from dev.memory import ManualClock, MemoryBlobs, MemoryQueue, MemoryTables
from dev.tenant import Tenant
from dev.tenant.adapter import TenantAdapter
from dev.tenant.faults import Switches
from sync import capture, fanout, history, jobs, mailboxes, poll
from sync.audit import Audit
from sync.crm.builtin import Builtin
from sync.graph.client import Graph, GraphMailbox, GraphPoll
from sync.graph.gates import Gates
from sync.graph.session import ThreadSessions
from sync.graph.signin import SignIn
from sync.lists import ExclusionLists
from sync.log import Log
from sync.meter import Meter
from sync.model import Job, MailboxRow
from sync.policy import MatchingPolicy, Policy
from sync.ports import Blobs, Queue, Tables
from sync.rounds import Rounds
from sync.state import State
from sync.status import Shown
from sync.world import World
from tests.builders import KEYS, NOON

DOES = {"sync-mail": capture.live, "backfill-mail": capture.backfill, "history-mail": history.history}
FIRM = Policy(matching=MatchingPolicy(internal_domains=("firm.example",)))
ADA, BEN = "ada@firm.example", "ben@firm.example"
ROSA = "rosa@client.example"


@dataclass(frozen=True, slots=True)
class Scene:
    """What stands outside of every process: time, the tenant, what is stored, what the firm wants."""

    clock: ManualClock
    tenant: Tenant
    tables: MemoryTables
    blobs: MemoryBlobs
    queue: MemoryQueue
    policy: Policy


def a_scene(switches: Switches, policy: Policy, mailboxes: tuple[str, ...]) -> Scene:
    """A tenant with these mailboxes, empty as everything else."""
    clock = ManualClock(NOON)
    tenant = Tenant(NOON.date(), clock, switches)
    tenant.load(Firm("sample", ("firm.example",), tuple(FirmMailbox(one, one) for one in mailboxes), ()))
    return Scene(clock, tenant, MemoryTables(), MemoryBlobs(), MemoryQueue(clock), policy)


class Stage:
    """The product and the tenant, on a scene that is new or given. `tables`, `queue` and `crm` may be wrapped before a
    worker is made of them."""

    def __init__(
        self,
        switches: Switches | None = None,
        policy: Policy = FIRM,
        mailboxes: tuple[str, ...] = (ADA, BEN),
        scene: Scene | None = None,
    ):
        found = scene or a_scene(switches or Switches(), policy, mailboxes)
        self.clock, self.tenant, self.policy = found.clock, found.tenant, found.policy
        self.tables: Tables
        self.blobs: Blobs
        self.queue: Any
        self.tables, self.blobs, self.queue = self.storage(found)
        self.sessions = self.open_sessions()
        self.world = self.a_worker()
        if scene is None:
            self.crm.save_contact("Rosa Client", [ROSA], "c" + "1" * 32)

    def storage(self, scene: Scene) -> tuple[Tables, Blobs, Any]:
        """Tables, files and queues: the scene's, unless another stage says otherwise."""
        return scene.tables, scene.blobs, scene.queue

    def open_sessions(self) -> ThreadSessions:
        """What leads to the tenant: nothing but a call, unless another stage says otherwise."""
        return ThreadSessions(lambda: TenantAdapter(self.tenant))

    def a_worker(self, tables: Tables | None = None, queue: Queue | None = None) -> World:
        """A fresh process: nothing remembered but what is stored."""
        tables = tables or self.tables
        keys, meter = KEYS, Meter()
        self.crm = Builtin(tables, self.blobs, keys, self.clock)
        tenant = self.tenant
        self.signin = SignIn(tenant.tenant_id, tenant.client_id, tenant.client_secret, self.sessions)
        graph = Graph(self.sessions, self.signin, meter, Gates(self.clock))
        return World(
            clock=self.clock,
            keys=keys,
            state=State(tables, keys, self.clock),
            log=Log(tables),
            queue=queue or self.queue,
            crm=self.crm,
            connect=lambda row: GraphMailbox(graph, row.user or row.address, row.id),
            poll=GraphPoll(graph),
            policy=lambda: self.policy,
            exclusions=ExclusionLists(tables, keys, self.clock),
            rounds=Rounds(tables),
            audit=Audit(tables, self.clock),
            meter=meter,
        )

    def add(self, address: str = ADA) -> MailboxRow:
        """Put a mailbox in scope."""
        return self.world.state.add_mailbox(self.tenant.tenant_id, address)

    def mail(self, to: str = ADA, **fields: Any) -> str:
        """A client's mail arrives, from Rosa to the mailbox unless said otherwise."""
        given = {"author": ROSA, "to": (to,), "subject": "Review", "body": "<p>Dear Ada</p>", **fields}
        return self.tenant.user(to).deliver(**given)

    def status(self, address: str = ADA) -> Shown:
        """How a mailbox stands, as a person reads it."""
        row = next(row for row in self.world.state.mailboxes() if row.address == address)
        return mailboxes.status(self.world, row)

    def work(self, world: World | None = None) -> int:
        """Do all jobs that are visible now, as the host would; returns how many."""
        done = 0
        while (text := self.queue.take(poll.QUEUE)) is not None:
            poll.poll_idle(world or self.world, text)
            done += 1
        for queue, do in DOES.items():
            while (text := self.queue.take(queue)) is not None:
                jobs.work(world or self.world, queue, text, do)
                done += 1
        return done

    def work_one(self, queue: str) -> None:
        """Do the next visible job of one queue."""
        text = self.queue.take(queue)
        assert text is not None, f"There is nothing to do on {queue}."
        jobs.work(self.world, queue, text, DOES[queue])

    def settle(self, world: World | None = None, ticks: int = 3) -> None:
        """Tick and work until nothing is left to do, `ticks` times over, five minutes apart."""
        for _ in range(ticks):
            fanout.tick(world or self.world)
            while self.work(world):
                pass
            self.clock.advance(301)

    def timeline(self, name: str = "Rosa Client") -> list[str]:
        """Subjects on a contact's timeline, newest first."""
        contacts, _ = self.crm.contacts(200)
        key = next(one.key for one in contacts if one.name == name)
        return [entry.subject for entry in self.crm.timeline(key, 200)[0]]

    def rows(self) -> dict[str, list[tuple[str, str]]]:
        """Keys of everything the CRM stores, for comparing two ends."""
        return {
            table: [(row.partition, row.key) for row in self.tables.scan(table)]
            for table in ("CrmRecords", "CrmTimeline")
        }

    def close(self) -> None:
        """End the sessions."""
        self.sessions.close()


class Stopped(BaseException):
    """The process was killed here: nothing after this line ran."""


@dataclass(slots=True)
class Fuse:
    """Counts effects and kills the process before the n-th one."""

    left: int

    def burn(self) -> None:
        """One effect more."""
        if self.left == 0:
            raise Stopped
        self.left -= 1


class FusedTables:
    """Tables that may die before any write."""

    def __init__(self, inner: Tables, fuse: Fuse) -> None:
        self._inner, self._fuse = inner, fuse

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def write(self, *given: Any) -> dict[str, str]:
        """One group."""
        self._fuse.burn()
        return self._inner.write(*given)


class FusedQueue:
    """A queue that may die before any message."""

    def __init__(self, inner: Queue, fuse: Fuse) -> None:
        self._inner, self._fuse = inner, fuse

    def put(self, *given: Any) -> None:
        """One message."""
        self._fuse.burn()
        self._inner.put(*given)


class CountingTables(FusedTables):
    """Tables that note what is written."""

    def __init__(self, inner: Tables) -> None:
        super().__init__(inner, Fuse(-1))
        self.written: list[str] = []

    def write(self, *given: Any) -> dict[str, str]:
        """One group, noted."""
        self.written.append(given[0])
        return self._inner.write(*given)


def a_job(row: MailboxRow, **changes: Any) -> Job:
    """A job for a mailbox."""
    return replace(Job(row.connection, "mail", (row.id,), "due"), **changes)
