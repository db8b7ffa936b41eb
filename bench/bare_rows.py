"""The bare loop's rows: what it writes, in the same groups as the product. No class, and nothing of `sync`."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import orjson
from azure.core import MatchConditions
from azure.data.tables import UpdateMode

Json = dict[str, Any]

INLINE = 30_000
FILES = {"html": "html", "text": "txt"}
GROUP_ROWS, GROUP_BYTES = 99, 3_900_000
YEAR_ONE = datetime(1, 1, 1, tzinfo=UTC)
MERGE = {"mode": UpdateMode.MERGE}
REPLACE = {"mode": UpdateMode.REPLACE}
BRIEF = {"response_preference": "return-no-content"}


def store(
    messages: list[Json], tables: Json, files: Any, counters: Json, mailbox: str, digest: Callable[..., str]
) -> list[Json]:
    """Records with relations, sighting, feed and counter in one group for each bucket, then the timelines."""
    buckets: dict[str, list[list[Json]]] = defaultdict(list)
    timeline: dict[str, list[Json]] = defaultdict(list)
    items: list[Json] = []
    for one in messages:
        sender = one["from"]["emailAddress"]["address"].strip().lower()
        sent = one["sentDateTime"][:19]
        key = "m" + digest("mail", one["internetMessageId"].strip().lower(), sent, sender)
        buckets[key[1]].append(rows_of(one, key, sent, mailbox, files, digest))
        for row in shown(one, key, sent, mailbox, digest):
            timeline[row["PartitionKey"]].append(row)
        direction = "out" if one["out"] else "in"
        items.append({"name": one["id"], "outcome": "kept", "reason": direction, "record": key, "stage": ""})
    for bucket, many in buckets.items():
        for group in grouped(many):
            append(tables["CrmRecords"], counters, bucket, group)
    for rows in timeline.values():
        for at in range(0, len(rows), 100):
            tables["CrmTimeline"].submit_transaction([("upsert", row, MERGE) for row in rows[at : at + 100]])
    return items


def shown(one: Json, key: str, sent: str, mailbox: str, digest: Callable[..., str]) -> list[Json]:
    """A timeline row for each person, and one for the conversation."""
    author = one["from"]["emailAddress"]
    values: Json = {
        "type": "mail",
        "subject": one["subject"][:400],
        "author": author["name"][:400],
        "address": author["address"][:400],
        "time": f"{sent}+00:00",
        "mailbox": mailbox,
    }
    if one["out"]:
        values["direction"] = "out"
    place = 10**16 - 1 - int((datetime.fromisoformat(f"{sent}+00:00") - YEAR_ONE).total_seconds())
    whose = [*one["people"], *threads(one, digest)]
    return [{"PartitionKey": who[1], "RowKey": f"{who}|{place:016d}|{key}", **values} for who in whose]


def threads(one: Json, digest: Callable[..., str]) -> list[str]:
    """Under which key a conversation's mails stand."""
    return ["t" + digest("thread", one["conversationId"])] if one["conversationId"] else []


def rows_of(one: Json, key: str, sent: str, mailbox: str, files: Any, digest: Callable[..., str]) -> list[Json]:
    """The body first (its size counts), the record, its relations, and the sighting."""
    where = {"PartitionKey": key[1]}
    record: Json = {**where, "RowKey": f"r|{key}", "type": "mail"}
    body: Json = {**where, "RowKey": f"r|{key}|b"}
    bcc: Json = {**where, "RowKey": f"r|{key}|h|{mailbox}|"}
    large = {}
    for name, text in texts_of(one).items():
        if len(text) > INLINE:
            large[name] = f"mail/{key}/{digest('file', text)[:16]}.{FILES[name]}"
            files.upload_blob(large[name], text.encode(), overwrite=True)
        elif text:
            (body if name in FILES else bcc if name == "bcc" else record)[name] = text
    record |= {"sent": f"{sent}+00:00", "time": f"{sent}+00:00"}
    if one["out"]:
        record["direction"] = "out"
    if one["hasAttachments"]:
        record["attachments"] = True
    people = [
        {**where, "RowKey": f"r|{key}|p|{person}", "kind": "contact", "name": name, "role": role, "address": address}
        for person, (name, role, address) in one["people"].items()
    ]
    sighting: Json = {
        **where,
        "RowKey": f"r|{key}|s|{mailbox}",
        "item": one["id"],
        "folder": one["parentFolderId"],
        "subject": one["subject"][:400],
        "mark": digest("subject", one["subject"].casefold())[:16],
        "received": f"{one['receivedDateTime'][:19]}+00:00",
    }
    for thread in threads(one, digest):
        sighting["thread"] = thread
    if large:
        body["large"] = orjson.dumps(large).decode()
        sighting["files"] = orjson.dumps(sorted(large.values())).decode()
    return [body, record, *([bcc] if "bcc" in bcc else []), *people, sighting]


def texts_of(one: Json) -> dict[str, str]:
    """What a record says of a message, by property."""
    return {
        "message_id": one["internetMessageId"],
        "conversation": one["conversationId"],
        "subject": one["subject"],
        "author": pairs([one["from"]]),
        "sender": pairs([one["sender"]]),
        "to": pairs(one["toRecipients"]),
        "cc": pairs(one["ccRecipients"]),
        "bcc": pairs(one["bccRecipients"]),
        "html": one["html"],
        "text": one["text"],
    }


def pairs(parties: Iterable[Json]) -> str:
    """Names and addresses as JSON."""
    known = [[one["emailAddress"]["name"], one["emailAddress"]["address"]] for one in parties]
    return orjson.dumps(known).decode() if known else ""


def grouped(units: list[list[Json]]) -> Iterator[list[list[Json]]]:
    """Units that fit into one group: rows with a feed row each, and bytes."""
    group: list[list[Json]] = []
    rows = size = 0
    for unit in units:
        weight = 2 * (len(unit[0].get("html", "")) + len(unit[0].get("text", ""))) + 5_000 * len(unit)
        if group and (rows + len(unit) + 1 > GROUP_ROWS or size + weight > GROUP_BYTES):
            yield group
            group, rows, size = [], 0, 0
        group.append(unit)
        rows, size = rows + len(unit) + 1, size + weight
    if group:
        yield group


def append(table: Any, counters: Json, bucket: str, units: list[list[Json]]) -> None:
    """One group: the counter over the version read, the rows, a feed row for each record."""
    counter = counters[bucket]
    number = int(counter["number"], 16)
    etag = counter["etag"] if "etag" in counter else counter.metadata["etag"]
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}+00:00"
    following = {"PartitionKey": bucket, "RowKey": "c", "number": f"{number + len(units):016x}"}
    only = {"etag": etag, "match_condition": MatchConditions.IfNotModified, **REPLACE}
    group: list[Any] = [("update", following, only)]
    for position, rows in enumerate(units, number + 1):
        group.append(("upsert", rows[0], REPLACE))
        group += [("upsert", row, MERGE) for row in rows[1:-1]]
        group.append(("create", rows[-1], BRIEF))
        change = {"key": rows[1]["RowKey"][2:], "type": "mail", "time": now}
        group.append(("create", {"PartitionKey": bucket, "RowKey": f"f|{position:016x}", **change}, BRIEF))
    answers = table.submit_transaction(group)
    counters[bucket] = {"number": following["number"], "etag": answers[0]["etag"]}


def log(
    tables: Json,
    run: str,
    mailbox: str,
    connection: str,
    started: datetime,
    seen: int,
    items: list[Json],
    reasons: dict[str, int],
) -> None:
    """A run with its items."""
    rows = [{"PartitionKey": run, "RowKey": f"k|{at:06d}", **item} for at, item in enumerate(items)]
    for at in range(0, len(rows), 100):
        tables["AccordRunItems"].submit_transaction([("upsert", row, MERGE) for row in rows[at : at + 100]])
    time = f"{10**16 - round(started.timestamp() * 1e6):016d}"
    row = {
        "PartitionKey": "runs",
        "id": run,
        "connection": connection,
        "mailbox": mailbox,
        "stream": "mail-backfill",
        "reason": "continued",
        "started": started,
        "ended": datetime.now(UTC),
        "seen": seen,
        "kept": len(items),
        "errors": 0,
        "bodies": len(items),
        "skipped": json.dumps(reasons),
        "sentence": "",
        "job": "",
        "stage": "",
    }
    group: list[Any] = [
        ("upsert", {**row, "RowKey": key}, MERGE) for key in (f"a|{time}|{run}", f"m|{mailbox}|{time}|{run}")
    ]
    group.append(("upsert", {"PartitionKey": "runs", "RowKey": f"r|{run}", "time": time}, MERGE))
    tables["AccordRuns"].submit_transaction(group)


def save(
    table: Any, mailbox: str, stream: str, number: int, cursor: Json, places: list[tuple[str, Json]] | None = None
) -> None:
    """Lease, cursor and folders of a stream in one group."""
    where = {"PartitionKey": mailbox}
    group: list[Any] = [
        ("upsert", {**where, "RowKey": f"{stream}|0lease", "number": number, "until": datetime.now(UTC)}, REPLACE),
        ("upsert", {**where, "RowKey": f"{stream}|1cursor", "json": json.dumps(cursor)}, REPLACE),
    ]
    group += [("upsert", {**where, "RowKey": key, **values}, REPLACE) for key, values in places or ()]
    table.submit_transaction(group)
