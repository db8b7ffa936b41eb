"""idle-1k: what a cycle costs for 1,000 mailboxes of 8 folders where nothing happens, and with a mail in ten of them.

The gates hold what a mailbox costs that is asked lightly. Every six hours each mailbox gets a round of all its
folders, so a few fall into any cycle, how many is chance: the gate of Graph units counts as many as fall into one on
average, and what those of this cycle took is told beside it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from bench.cycle import MINUTE, TICKS
from bench.figures import Figure
from bench.stage import printed, stage
from sync.fanout import FULL_ROUND

MAILBOXES = 1000
FOLDERS = 8
MAILS = 10
CYCLE = timedelta(seconds=TICKS * MINUTE)

Counts = Mapping[str, int]


def idle_1k() -> tuple[list[Figure], list[str]]:
    """Counts only, so once is enough."""
    day = datetime.now(UTC).date().isoformat()
    with stage(["--day", day, "--quiet", str(MAILBOXES), "--folders", str(FOLDERS)]) as on:
        told = ["--domain", "cedar.example", "--mailboxes", str(MAILBOXES), "--mails", str(MAILS)]
        said = json.loads(printed("bench.cycle", [*on.arguments(), *told]))
    quiet = said["quiet"]
    rounds = quiet["rounds"]
    note = (
        f"idle-1k: {rounds['messages']} mailboxes had their round of all folders in the first cycle, as {MAILBOXES} "
        "mailboxes with one every six hours have it; they are not among those asked lightly."
    )
    return [*_light(quiet["light"], rounds["messages"]), *_with_rounds(quiet), *_after(said)], [note]


MEASURES: dict[str, Callable[[], tuple[list[Figure], list[str]]]] = {"idle-1k": idle_1k}


def _light(light: Counts, rounds: int) -> list[Figure]:
    """What the ticks and the light calls took."""
    figure = partial(Figure, "idle-1k")
    asked = MAILBOXES - rounds
    units, calls, queues = light["graph_units"], light["graph_calls"], light["queues"] + 2 * light["messages"]
    writes = light["tables_writes"] - TICKS + light.get("blobs_writes", 0)
    reads = light["tables"] - light["tables_writes"]
    return [
        figure("mailboxes asked lightly", units, f"{units:,} (and {rounds} rounds)", asked, exact=True),
        figure("HTTP calls / mailbox", calls / MAILBOXES, f"{calls / MAILBOXES:.3f} ({calls:,})", 0.1),
        figure("queue operations / mailbox", queues / MAILBOXES, f"{queues / MAILBOXES:.3f} ({queues:,})", 0.1),
        figure("writes of tables and files, without the ticks' own", writes, f"{writes}", 0, exact=True),
        figure("table reads / mailbox", reads / MAILBOXES, f"{reads / MAILBOXES:.3f} ({reads:,})"),
        figure("executions", light["messages"] + TICKS, f"{light['messages'] + TICKS} ({TICKS} ticks)"),
    ]


def _with_rounds(quiet: Mapping[str, Counts]) -> list[Figure]:
    """What the whole cycle took."""
    figure = partial(Figure, "idle-1k")
    light, rounds = quiet["light"], quiet["rounds"]
    share = CYCLE / FULL_ROUND
    each = rounds["graph_units"] / rounds["messages"]
    units = light["graph_units"] / (MAILBOXES - rounds["messages"]) * (1 - share) + each * share
    return [
        figure("Graph units / mailbox, rounds included", units, f"{units:.3f} (a round is {each:.0f})", 1.2),
        figure("Graph units of this cycle's rounds", rounds["graph_units"], f"{rounds['graph_units']:,}"),
        figure("HTTP calls of this cycle's rounds", rounds["graph_calls"], f"{rounds['graph_calls']:,}"),
        figure("table writes of this cycle's rounds", rounds["tables_writes"], f"{rounds['tables_writes']:,}"),
    ]


def _after(said: Mapping[str, Any]) -> list[Figure]:
    """What the cycle took in which a mail had come into a few mailboxes."""
    figure = partial(Figure, "idle-1k")
    light, rounds = said["after"]["light"], said["after"]["rounds"]
    units, writes = light["graph_units"] + rounds["graph_units"], light["tables_writes"] + rounds["tables_writes"]
    return [
        figure(
            "mails captured in the cycle after they came", said["captured"], f"{said['captured']}", MAILS, exact=True
        ),
        figure("mailboxes in trouble", said["not connected"], f"{said['not connected']}", 0, exact=True),
        figure(
            f"that cycle, {MAILS} mails: Graph units / mailbox",
            units / MAILBOXES,
            f"{units / MAILBOXES:.3f} ({units:,}; {rounds['messages']} rounds, {writes} table writes)",
        ),
    ]
