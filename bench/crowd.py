"""One tick over many mailboxes, in a process of its own. Prints one line of JSON.

The rows are those that the product itself writes: they are made in memory and copied into the storage, a hundred to a
request. Of the mailboxes with work of their own some have their round of all folders in this tick, some cannot be asked
lightly; of the others a fifth has a job that got lost, and the rest was asked for by somebody.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import groupby

from azure.storage.queue import QueueClient, TextBase64DecodePolicy

from bench.product import arguments, set_environment
from bench.usage import clocks, since
from dev.memory import ManualClock, MemoryTables
from sync import fanout, history, poll, storage, wiring
from sync.idle import newest
from sync.keys import Keys
from sync.meter import Meter
from sync.model import Job, MailboxRow
from sync.ports import Write
from sync.schedule import EVERY, due
from sync.settings import load
from sync.state import MAILBOXES, State
from sync.storage.groups import in_groups
from sync.wants import TABLE

CYCLE = EVERY["live"]
A_WEEK_AGO = timedelta(days=7)
LOST = timedelta(minutes=10)


def main() -> None:
    """Write the mailboxes, tick once, and print what it took."""
    told = _told()
    set_environment(told)
    storage.prepare(told.storage)
    now = datetime.now(UTC)
    clock = ManualClock(now - CYCLE)
    site = wiring.build(load(), None, clock)
    world = site.world
    _copied(_made(told, world.keys, now), told.storage)
    world.state.ticked(clock())
    history.gather(world)  # as the first tick of all has
    clock.advance(CYCLE.total_seconds())
    before, start = world.meter.counts(), clocks()
    fanout.tick(world)
    took = since(start)
    counts = world.meter.counts()
    meter = {name: count - before.get(name, 0) for name, count in counts.items()}
    jobs, shards = _sent(told.storage, "sync-mail"), _sent(told.storage, poll.QUEUE)
    site.close()
    light = sum(len(job.subjects) for job in shards)
    print(json.dumps({**took, "meter": meter, "jobs": len(jobs), "shards": len(shards), "light": light}))


def _told() -> argparse.Namespace:
    parser = arguments("bench.crowd", __doc__)
    parser.add_argument("--mailboxes", type=int, required=True)
    parser.add_argument("--busy", type=int, required=True, help="how many of them have work of their own")
    return parser.parse_args()


def _made(told: argparse.Namespace, keys: Keys, now: datetime) -> MemoryTables:
    """Mailboxes as they stand after a week of work."""
    tables, clock = MemoryTables(), ManualClock(now - A_WEEK_AGO)
    state = State(tables, keys, clock)
    rows = [state.add_mailbox(told.tenant_id, f"person{number}@{told.domain}", "") for number in range(told.mailboxes)]
    for row in rows:
        seen = newest("", None, clock(), woken=False)
        state.note(row, user=row.id, own=(row.address,), met=True, backfill="done", newest=seen)
        state.wants.want(row.id, "mail-backfill")
        for stream in ("mail", "mail-backfill"):
            state.wants.ticket(row.id, stream)
            state.wants.served(row.id, stream, 1)
    rounds = [row for row in rows if due(row.id, now - CYCLE, now, fanout.FULL_ROUND)]
    others = [row for row in rows if row not in rounds][: told.busy - len(rounds)]
    half = len(others) // 2
    for row in others[:half]:
        state.note(replace(row, newest="unknown"), newest="")
    _wanted(state, clock, others[half:], now)
    return tables


def _wanted(state: State, clock: ManualClock, rows: Sequence[MailboxRow], now: datetime) -> None:
    for row in rows:
        state.wants.want(row.id, "mail")
    clock.advance((now - LOST - clock()).total_seconds())
    for row in rows[::5]:
        state.wants.ticket(row.id, "mail")


def _copied(made: MemoryTables, connection: str) -> None:
    with closing(storage.open_storage(connection, Meter())) as stored:
        for table in (MAILBOXES, TABLE):
            for partition, rows in groupby(made.scan(table), lambda row: row.partition):
                for group in in_groups([Write("insert", row.key, row.values) for row in rows]):
                    stored.tables.write(table, partition, group)


def _sent(connection: str, queue: str) -> list[Job]:
    """The jobs on a queue."""
    with QueueClient.from_connection_string(connection, queue, message_decode_policy=TextBase64DecodePolicy()) as one:
        return [Job.from_json(message.content) for message in one.receive_messages(messages_per_page=32)]


if __name__ == "__main__":
    main()
