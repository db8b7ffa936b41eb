"""The product with many idle mailboxes, in a process of its own: one cycle without news, one after a few mails.

Prints one line of JSON. A cycle is five ticks, a minute apart by a clock of ours; after each tick its messages are
received, worked and deleted here. What the ticks and the light calls take is counted apart from what rounds take.

Only mailboxes that get a round in these cycles are settled by real rounds: 1,000 of them would take minutes. The
others are written as a round without news leaves them, which a light call cannot tell apart.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

import urllib3
from azure.storage.queue import QueueClient, TextBase64DecodePolicy

from bench.product import arguments, set_environment
from dev.detour import DetourAdapter
from dev.memory import ManualClock
from sync import capture, fanout, history, jobs, poll, storage, wiring
from sync.idle import newest
from sync.model import Job, MailboxRow
from sync.schedule import due
from sync.settings import load
from sync.wiring import Site
from sync.world import World

TICKS = 5
MINUTE = 60
CLIENT = "client@client.example"
WORKERS: dict[str, Callable[[World, str], None]] = {
    poll.QUEUE: poll.poll_idle,
    "sync-mail": lambda world, text: jobs.work(world, "sync-mail", text, capture.live),
}


def main() -> None:
    """Prepare the mailboxes, work both cycles, and print what they took."""
    told = _told()
    set_environment(told)
    os.environ["ACCORD_INTERNAL_DOMAINS"] = told.domain
    storage.prepare(told.storage)
    clock = ManualClock(datetime.now(UTC))
    sites = [wiring.build(load(), lambda: DetourAdapter(told.port), clock) for _ in range(2)]
    preparing, measured = sites
    rows, woken = _prepared(preparing, told)
    queues = [
        QueueClient.from_connection_string(told.storage, name, message_decode_policy=TextBase64DecodePolicy())
        for name in WORKERS
    ]
    quiet = _cycle(measured.world, clock, queues)
    for row in woken:
        _deliver(told.port, row)
    after = _cycle(measured.world, clock, queues)
    key = next(one.key for one in measured.crm.contacts(10)[0])
    captured = len(measured.crm.timeline(key, 200)[0])
    blocked = sum(not row.met or row.trouble is not None for row in preparing.world.state.mailboxes())
    for closing in (*sites, *queues):
        closing.close()
    result = {"mailboxes": rows, "quiet": quiet, "after": after, "mails": len(woken), "captured": captured}
    print(json.dumps({**result, "not connected": blocked}))


def _told() -> argparse.Namespace:
    parser = arguments("bench.cycle", __doc__)
    parser.add_argument("--mailboxes", type=int, required=True, help="person0@, person1@ ... of the domain")
    parser.add_argument("--mails", type=int, required=True, help="how many of them get a mail between the cycles")
    return parser.parse_args()


def _prepared(site: Site, told: argparse.Namespace) -> tuple[int, list[MailboxRow]]:
    """All mailboxes idle and the tick under way; those that are to get a mail."""
    world = site.world
    site.crm.save_contact("Client", [CLIENT])
    start = world.clock()
    end = start + timedelta(seconds=2 * TICKS * MINUTE)
    rows = [
        world.state.add_mailbox(told.tenant_id, f"person{number}@{told.domain}") for number in range(told.mailboxes)
    ]
    rounds = [row for row in rows if due(row.id, start, end, fanout.FULL_ROUND)]
    light = [row for row in rows if row not in rounds]
    for row in (*rounds, *light[: told.mails]):
        job = Job(row.connection, "mail", (row.id,), "prepared").to_json()
        jobs.work(world, "sync-mail", job, capture.live)
        jobs.work(world, "backfill-mail", job, capture.backfill)
        jobs.work(world, "sync-mail", job, capture.live)
    for row in light[told.mails :]:
        user, own = world.connect(row).identity()
        known = newest("", None, start, woken=False)
        world.state.note(row, user=user, own=own, met=True, backfill="done", newest=known)
        world.state.wants.served(row.id, "mail", 1)
    for name in ("sync-mail", "backfill-mail"):
        with QueueClient.from_connection_string(told.storage, name) as queue:
            queue.clear_messages()
    world.state.ticked(start)
    history.gather(world)  # as the first tick of all has
    return len(rows), light[: told.mails]


def _cycle(world: World, clock: ManualClock, queues: Iterable[QueueClient]) -> dict[str, dict[str, int]]:
    """What five ticks with their light calls took, and what the rounds took."""
    light: Counter[str] = Counter()
    rounds: Counter[str] = Counter()
    ask, work = queues
    for _ in range(TICKS):
        clock.advance(MINUTE)
        light += _taken(world, lambda: fanout.tick(world) and 0)
        light += _taken(world, lambda: _drained(world, ask))
        rounds += _taken(world, lambda: _drained(world, work))
    return {"light": dict(light), "rounds": dict(rounds)}


def _taken(world: World, does: Callable[[], int]) -> Counter[str]:
    """What the meter counted while something was done, and how many messages that were."""
    before = world.meter.counts()
    messages = does()
    counts = {name: count - before.get(name, 0) for name, count in world.meter.counts().items()}
    return Counter({**counts, "messages": messages})


def _drained(world: World, queue: QueueClient) -> int:
    messages = 0
    while (message := queue.receive_message(visibility_timeout=600)) is not None:
        WORKERS[queue.queue_name](world, message.content)
        queue.delete_message(message)
        messages += 1
    return messages


def _deliver(port: int, row: MailboxRow) -> None:
    body = {"mailbox": row.address, "author": CLIENT, "to": [row.address], "subject": f"To {row.address}"}
    answer = urllib3.request("POST", f"http://127.0.0.1:{port}/_tenant/deliver", json=body, retries=False)
    assert answer.status == 201, answer.data


if __name__ == "__main__":
    main()
