"""Settings -> objects: the one place that knows every implementation. Nothing is built before it is asked for."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from requests.adapters import BaseAdapter

from sync import storage
from sync.audit import Audit
from sync.crm.builtin import Builtin
from sync.errors import ConnectionGone, NeedsPerson, Retry
from sync.graph.client import Graph, GraphMailbox, GraphPoll
from sync.graph.gates import Gates
from sync.graph.session import ThreadSessions
from sync.graph.signin import SignIn
from sync.health import Checks, checks_of
from sync.keys import Keys
from sync.lists import ExclusionLists
from sync.log import Log
from sync.meter import Meter
from sync.model import MailboxRow
from sync.policies import Policies
from sync.policy import MailPolicy, MatchingPolicy, Policy
from sync.ports import Clock, Mailbox
from sync.rounds import Rounds
from sync.settings import Settings, load
from sync.state import State
from sync.world import World

Adapter = Callable[[], BaseAdapter]


@dataclass(frozen=True, slots=True)
class Site:
    """The built application: the world of the jobs, and what the web needs beside it."""

    world: World
    crm: Builtin
    settings: Settings
    policies: Policies
    audit: Audit
    checks: Checks
    close: Callable[[], None]


_lock = threading.Lock()
_site: Site | None = None
_adapter: Adapter | None = None


def install(adapter: Adapter | None) -> None:
    """Lead the two Microsoft origins elsewhere, for a simulated tenant: an argument, never a setting.

    Called before the first job; forgets what was built for another adapter.
    """
    global _adapter
    reset()
    _adapter = adapter


def reset() -> None:
    """Close and forget what was built."""
    global _site
    with _lock:
        if _site is not None:
            _site.close()
        _site = None


def site() -> Site:
    """The application for this process, built once from the environment; raises BadSettings with all problems."""
    global _site
    if _site is None:
        with _lock:
            if _site is None:
                _site = build(load(), _adapter)
    return _site


def world() -> World:
    """The world of the jobs for this process."""
    return site().world


def build(settings: Settings, adapter: Adapter | None = None, clock: Clock | None = None) -> Site:
    """All objects for these settings."""
    logging.getLogger("msal").setLevel(logging.WARNING)  # the storage does the same for its own libraries
    meter = Meter()
    now = clock or _now
    if settings.storage.get_secret_value():
        stored = storage.open_storage(settings.storage.get_secret_value(), meter)
    else:
        stored = storage.open_storage_by_identity(settings.storage_account, meter, settings.storage_client_id)
    keys = Keys(settings.digest_secret())
    crm = Builtin(stored.tables, stored.blobs, keys, now)
    sessions = ThreadSessions(adapter)
    signin = SignIn(settings.tenant_id, settings.client_id, settings.client_secret.get_secret_value(), sessions)
    graph = Graph(sessions, signin, meter, Gates(now))

    def connect(row: MailboxRow) -> Mailbox:
        if row.connection != settings.tenant_id:
            raise _connection_gone()
        return GraphMailbox(graph, row.user or row.address, row.id)

    def poll(rows: Sequence[MailboxRow]) -> Iterator[tuple[str, bool | Retry | NeedsPerson]]:
        yield from ((row.id, _connection_gone()) for row in rows if row.connection != settings.tenant_id)
        yield from GraphPoll(graph)([row for row in rows if row.connection == settings.tenant_id])

    policies, audit = Policies(stored.tables, now, _default(settings)), Audit(stored.tables, now)
    made = World(
        clock=now,
        keys=keys,
        state=State(stored.tables, keys, now),
        log=Log(stored.tables),
        queue=stored.queue,
        crm=crm,
        connect=connect,
        poll=poll,
        policy=policies.now,
        exclusions=ExclusionLists(stored.tables, keys, now),
        rounds=Rounds(stored.tables),
        audit=audit,
        meter=meter,
    )

    checks = Checks(checks_of(made, stored.blobs, settings.tenant_id, signin.token, graph.reach), now)

    def close() -> None:
        checks.close()
        sessions.close()
        stored.close()

    return Site(made, crm, settings, policies, audit, checks, close)


def _connection_gone() -> ConnectionGone:
    return ConnectionGone("This mailbox belongs to a connection that is gone.", "Remove the mailbox, or reconnect.")


def _default(settings: Settings) -> Policy:
    """What is gone by until somebody saves a policy."""
    return Policy(
        mail=MailPolicy(backfill_months=settings.backfill_months or None),
        matching=MatchingPolicy(internal_domains=settings.domains()),
    )


def _now() -> datetime:
    return datetime.now(UTC)
