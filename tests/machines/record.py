"""What a flow does when nothing goes wrong, and what it leaves: cells are made of the one and held to the other."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import unquote, urlsplit

import orjson

from dev.tenant.exchange import Request
from sync import mailboxes
from sync.crm.records import read_attachments
from sync.keys import BUCKETS
from sync.progress import progress
from tests.machines.flows import FLOWS, Flow
from tests.machines.world import Effect, HostedStage

# The first pattern that is found in "METHOD path?query" names the call; what none names goes by its own path.
NAMES = (
    (r"login\.microsoftonline\.com.*/token", "token"),
    (r"login\.microsoftonline\.com", "sign-in"),
    (r"mailFolders/delta\?.*(skip|delta)token", "folders-again"),
    (r"mailFolders/delta", "folders"),
    (r"messages/delta\?.*skiptoken", "delta-page"),
    (r"messages/delta\?.*deltatoken", "delta"),
    (r"messages/delta", "delta-open"),
    (r"attachments/[^/?]+/\$value", "file"),
    (r"/messages\?", "list"),
    (r"/users/[^/?]+\?", "user"),
)
PARTS = (
    (r"/attachments\?", "batch-files"),
    (r"/messages/", "batch-bodies"),
    (r"/mailFolders/", "batch-known"),
)
DELTAS = ("folders", "folders-again", "delta", "delta-page", "delta-open")
FOUR = ("AccordMailboxes", "AccordWanted", "AccordState", "AccordRuns")


@dataclass(frozen=True, slots=True)
class Call:
    """A request of the run by its name; `parts` are the places of a batch's parts, `mailbox` whom it asks."""

    name: str
    mailbox: str = ""
    parts: int = 0


@dataclass(frozen=True, slots=True)
class Ending:
    """What stands in the CRM, by record key: its rows, its files, and how often the feed names it. `status` is how each
    mailbox and its backfill stand, `unread` what the log says of mails that cannot be read."""

    records: Mapping[str, Mapping[str, Any]]
    status: Mapping[str, tuple[str, str, int | None]]
    unread: frozenset[str]


@dataclass(frozen=True, slots=True)
class Recording:
    """A run in which nothing went wrong. `idle` is how many calls a cycle makes when there is nothing to do."""

    flow: Flow
    effects: tuple[Effect, ...]
    calls: tuple[Call, ...]
    messages: tuple[str, ...]
    ending: Ending
    idle: int


@cache
def recording(name: str) -> Recording:
    """The flow's run without faults."""
    flow = FLOWS[name]
    stage = flow.stage()
    for step in flow.steps:
        step(stage)
        stage.cycle()
    made = len(stage.calls)
    effects, calls, messages = tuple(stage.effects.seen), [call_of(one, stage) for one in stage.calls], stage.queue.sent
    messages = tuple(messages)
    stage.cycle()
    found = Recording(flow, effects, tuple(calls), messages, ending(stage), len(stage.calls) - made)
    subjects = sorted({one["r"]["subject"] for one in found.ending.records.values()})
    assert subjects == sorted(flow.expected), f"The flow {name} leaves {subjects}."
    assert (stage.bugs, stage.parked, len(errors(stage))) == ([], [], len(found.ending.unread))
    stage.close()
    return found


def call_of(request: Request, stage: HostedStage) -> Call:
    """A request by its name."""
    text = f"{request.method} {request.url}"
    if "$batch" in request.url:
        parts = orjson.loads(request.body)["requests"]
        name = next((name for pattern, name in PARTS if re.search(pattern, parts[0]["url"])), "batch")
        return Call(name, _mailbox(parts[0]["url"], stage), len(parts))
    known = next((name for pattern, name in NAMES if re.search(pattern, text)), "")
    return Call(known or re.sub(r"\W+", "-", urlsplit(request.url).path)[:40], _mailbox(request.url, stage))


def _mailbox(url: str, stage: HostedStage) -> str:
    found = re.search(r"/users(?:/|\(')([^/'?]+)", url)
    return stage.tenant.canonical(unquote(found[1])) if found else ""


# -- what is left


def ending(stage: HostedStage) -> Ending:
    """What stands in the CRM now. Left out is what may well differ: numbers and times of the feed, versions, and what
    tells which of a mail's mailboxes came first (the timeline names one, conversations are called by each its own)."""
    records: dict[str, dict[str, Any]] = {}
    feed: Counter[str] = Counter()
    for row in stage.tables.scan("CrmRecords"):
        kind, _, rest = row.key.partition("|")
        if kind == "f":
            feed[str(row.values["key"])] += 1
        if kind == "r" and rest.startswith("m"):
            key, _, part = rest.partition("|")
            values = {name: value for name, value in row.values.items() if name != "conversation"}
            records.setdefault(key, {})[part or "r"] = values
    for row in stage.tables.scan("CrmTimeline"):
        person, _, key, *only = row.key.split("|")
        values = {name: value for name, value in row.values.items() if name != "mailbox"}
        records.setdefault(key, {})[" ".join(("timeline", person, *only))] = {**values, "at": row.key}
    for key, rows in records.items():
        rows["feed"] = feed[key]
        for name, file in _files(rows):
            blob = stage.blobs.get(file)
            rows[f"file {name}"] = None if blob is None else blob.data
    world = stage.world
    status = {
        one.row.address: (one.status.status, one.row.backfill, progress(world, one.row)["percent"])
        for one in mailboxes.all_standings(world)
    }
    return Ending(records, status, frozenset(why for _, why in errors(stage) if "without an id" in why))


def _files(rows: Mapping[str, Any]) -> list[tuple[str, str]]:
    body, found = rows.get("b", {}), []
    for values in (rows.get("r", {}), body):
        found += list(json.loads(values.get("large", "{}")).items())
    return found + [(one.attachment.name, one.file) for one in read_attachments(body.get("files", "")) if one.file]


def errors(stage: HostedStage) -> list[tuple[str, str]]:
    """Record and reason of every error item in the log that was not mended since; one whose run was never written does
    not show."""
    runs = {run.id for run in stage.world.log.runs(1000)[0]}
    return [
        (str(row.values["record"]), str(row.values["reason"]))
        for row in stage.tables.scan("AccordRunItems")
        if row.values["outcome"] == "error" and row.partition in runs and row.values.get("retry") != "mended"
    ]


def gaps(stage: HostedStage) -> list[str]:
    """What is wrong with the feed: a number that is missing, a change of nothing, a record without a change."""
    wrong: list[str] = []
    named: set[str] = set()
    rows = list(stage.tables.scan("CrmRecords"))
    for bucket in BUCKETS:
        mine = [row for row in rows if row.partition == bucket]
        numbers = [int(row.key[2:], 16) for row in mine if row.key.startswith("f|")]
        counted = next((int(str(row.values["number"]), 16) for row in mine if row.key == "c"), 0)
        if numbers != list(range(1, counted + 1)):
            wrong.append(f"The feed of bucket {bucket} has the numbers {numbers} and counts {counted}.")
        # In order of their numbers: what was removed last is not there.
        for row in mine:
            if row.key.startswith("f|"):
                (named.discard if row.values.get("removed") else named.add)(str(row.values["key"]))
    stored = {row.key[2:] for row in rows if row.key.startswith("r|") and row.key.count("|") == 1}
    if named != stored:
        wrong.append(f"The feed names {sorted(named - stored)} and leaves out {sorted(stored - named)}.")
    return wrong


def doubled(stage: HostedStage) -> list[str]:
    """Mails that stand more than once, in the CRM or on a timeline as anybody may read it: the flows have no two of one
    subject. Who was known from a Bcc and is openly known today has a row for some eyes beside the open one: no reader
    sees more than one of them, and of each there is one."""
    subjects: Counter[Any] = Counter(
        row.values.get("subject")
        for row in stage.tables.scan("CrmRecords")
        if row.key.startswith("r|m") and row.key.count("|") == 1
    )
    rows = list(stage.tables.scan("CrmTimeline"))
    lines: Counter[Any] = Counter()
    for row in rows:
        person, _, _, *only = row.key.split("|")
        lines[("row", person, *only, row.values.get("subject"))] += 1
    readers = {None, "nobody", *(str(row.values["only"]) for row in rows if "only" in row.values)}
    for person in {row.key.partition("|")[0] for row in rows}:
        for reader in readers:
            entries, _ = stage.crm.timeline(person, len(rows), viewer=reader)
            lines.update(("line", person, reader, entry.subject) for entry in entries)
    return [str(one) for one, times in [*subjects.items(), *lines.items()] if times > 1]
