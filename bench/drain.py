"""The product with many mailboxes, in a process of its own: all are added, then one new mail comes into each. Ticks a
minute apart by a clock of ours, and after each its jobs, until nothing is left. Prints one line of JSON."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import urllib3
from azure.storage.queue import QueueClient, TextBase64DecodePolicy

from bench.product import WORKERS, arguments, set_environment
from bench.usage import clocks, since
from dev.detour import DetourAdapter
from dev.memory import ManualClock
from sync import fanout, jobs, poll, storage, wiring
from sync.settings import load
from sync.wiring import Site
from sync.world import World

MINUTE = 60
MOST_TICKS = 30
CLIENT = "client@client.example"


def main() -> None:
    """Add the mailboxes, work; deliver the mails, work; print what each took."""
    told = _told()
    set_environment(told)
    os.environ["ACCORD_INTERNAL_DOMAINS"] = told.domain
    storage.prepare(told.storage)
    clock = ManualClock(datetime.now(UTC))
    site, watching = (wiring.build(load(), lambda: DetourAdapter(told.port), clock) for _ in range(2))
    watching.crm.save_contact("Client", [CLIENT])
    addresses = [f"person{number}@{told.domain}" for number in range(told.mailboxes)]
    for address in addresses:
        watching.world.state.add_mailbox(told.tenant_id, address)
    queues = [
        QueueClient.from_connection_string(told.storage, name, message_decode_policy=TextBase64DecodePolicy())
        for name in (poll.QUEUE, *WORKERS)
    ]
    met = _worked(site.world, clock, queues, lambda: _quiet(watching, 0))
    for address in addresses:
        _deliver(told.port, address)
    mails = _worked(site.world, clock, queues, lambda: _quiet(watching, told.mailboxes))
    captured = _captured(watching)
    for closing in (site, watching, *queues):
        closing.close()
    print(json.dumps({"meeting": met, "mails": mails, "captured": captured}))


def _told() -> argparse.Namespace:
    parser = arguments("bench.drain", __doc__)
    parser.add_argument("--mailboxes", type=int, required=True, help="person0@, person1@ ... of the domain")
    return parser.parse_args()


def _worked(world: World, clock: ManualClock, queues: list[QueueClient], done: Callable[[], bool]) -> dict[str, Any]:
    """Tick and work until nothing is left; what that took, apart from looking whether it is."""
    before, cpu, ticks, messages = world.meter.counts(), 0.0, 0, 0
    while ticks < MOST_TICKS and not (ticks and done()):
        start = clocks()
        fanout.tick(world)
        ticks += 1
        while worked := sum(_drained(world, queue) for queue in queues):
            messages += worked
        cpu += since(start)["cpu"]
        clock.advance(MINUTE)
    units = world.meter.counts()["graph_units"] - before.get("graph_units", 0)
    return {"ticks": ticks, "messages": messages, "units": units, "cpu": cpu}


def _drained(world: World, queue: QueueClient) -> int:
    messages = 0
    while (message := queue.receive_message(visibility_timeout=600)) is not None:
        if queue.queue_name == poll.QUEUE:
            poll.poll_idle(world, message.content)
        else:
            jobs.work(world, queue.queue_name, message.content, WORKERS[queue.queue_name])
        queue.delete_message(message)
        messages += 1
    return messages


def _quiet(watching: Site, mails: int) -> bool:
    """Whether so many mails are captured, and nothing is wanted any more."""
    return _captured(watching) == mails and not any(want.open for want in watching.world.state.wants.all())


def _captured(watching: Site) -> int:
    (key,) = [one.key for one in watching.crm.contacts(10)[0]]
    return len(watching.crm.timeline(key, 200)[0])


def _deliver(port: int, address: str) -> None:
    body = {"mailbox": address, "author": CLIENT, "to": [address], "subject": f"To {address}"}
    answer = urllib3.request("POST", f"http://127.0.0.1:{port}/_tenant/deliver", json=body, retries=False)
    assert answer.status == 201, answer.data


if __name__ == "__main__":
    main()
