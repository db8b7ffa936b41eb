"""fan-out-10k: one tick over 10,000 mailboxes, 1,000 of them with work of their own. drain-200: one new mail in each of
200 mailboxes, ticks and jobs until nothing is left.

The tick is the hardest of its kind: the one before was a whole cycle ago, so every mailbox is met, those that are idle
fifty to a message. Its seconds are those of the wall, on this machine; messages and requests are counted.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from bench.figures import Figure
from bench.stage import printed, stage

MAILBOXES = 10_000
BUSY = 1_000
DRAINED = 200
FOLDERS = 4


def fan_out_10k() -> tuple[list[Figure], list[str]]:
    """One tick."""
    with stage(["--day", _today(), "--quiet", "1", "--folders", "1"]) as on:
        told = ["--domain", "cedar.example", "--mailboxes", str(MAILBOXES), "--busy", str(BUSY)]
        said = json.loads(printed("bench.crowd", [*on.arguments(), *told]))
    figure = partial(Figure, "fan-out-10k")
    meter, jobs, shards = said["meter"], said["jobs"], said["shards"]
    writes = meter["tables_writes"]
    figures = [
        figure("seconds of one tick", said["wall"], f"{said['wall']:.1f}", 10),
        figure("queue messages", meter["queues"], f"{meter['queues']:,} ({jobs:,} jobs, {shards} shards)", 1250),
        figure("mailboxes with a job of their own", jobs, f"{jobs:,}", BUSY, exact=True),
        figure("mailboxes asked lightly", said["light"], f"{said['light']:,}", MAILBOXES - BUSY, exact=True),
        figure("table requests", meter["tables"], f"{meter['tables']:,} ({writes} of them write)"),
        figure("processor seconds", said["cpu"], f"{said['cpu']:.1f}"),
    ]
    return figures, []


def drain_200() -> tuple[list[Figure], list[str]]:
    """Ticks and jobs until nothing is left."""
    with stage(["--day", _today(), "--quiet", str(DRAINED), "--folders", str(FOLDERS)]) as on:
        told = ["--domain", "cedar.example", "--mailboxes", str(DRAINED)]
        said = json.loads(printed("bench.drain", [*on.arguments(), *told]))
    figure = partial(Figure, "drain-200")
    figures = [figure("mails captured", said["captured"], f"{said['captured']}", DRAINED, exact=True)]
    for part, name in (("mails", "one new mail each"), ("meeting", "mailboxes added, without mail")):
        took = said[part]
        figures += [
            figure(f"{name}: ticks", took["ticks"], f"{took['ticks']}"),
            figure(f"{name}: messages", took["messages"], f"{took['messages']:,}"),
            figure(f"{name}: Graph units", took["units"], f"{took['units']:,}"),
            figure(f"{name}: processor seconds", took["cpu"], f"{took['cpu']:.1f}"),
        ]
    return figures, []


MEASURES: dict[str, Callable[[], tuple[list[Figure], list[str]]]] = {
    "fan-out-10k": fan_out_10k,
    "drain-200": drain_200,
}


def _today() -> str:
    return datetime.now(UTC).date().isoformat()
