"""`runs` and `run`: Logs & Errors."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import Any

from sync.admin import mailboxes
from sync.admin.arguments import DONE, Commands, Desk, since
from sync.admin.client import Query, part
from sync.admin.overview import ADMIN, limit
from sync.admin.render import Column, clean, moment

RUNS = f"{ADMIN}/runs"


def add(commands: Commands) -> None:
    """Have these commands understood."""
    listed = commands.leaf("runs", _runs, "what was done and what went wrong, newest first")
    narrowed(listed)
    limit(listed)
    run = commands.leaf("run", _run, "one run with its items", "ID as `runs` shows it")
    run.add_argument("--errors", action="store_true", help="only items that went wrong")


def narrowed(parser: ArgumentParser) -> None:
    """The options that say which runs are meant."""
    parser.add_argument("--mailbox", metavar="ADDRESS", help="only those of this mailbox")
    parser.add_argument("--errors", action="store_true", help="only those with errors")
    parser.add_argument("--since", type=since, metavar="DATE", help="only those from this day on (UTC)")
    parser.add_argument("--until", type=since, metavar="DATE", help="only those before this day (UTC)")


def which(asked: Namespace, desk: Desk) -> Query:
    """The same as the service takes it."""
    return {
        "mailbox": str(mailboxes.found(desk.client, asked.mailbox)["id"]) if asked.mailbox else None,
        "errors": True if asked.errors else None,
        "since": asked.since,
        "until": asked.until,
    }


def _runs(asked: Namespace, desk: Desk) -> int:
    items = list(desk.client.pages(RUNS, which(asked, desk), asked.limit))
    names = {} if desk.screen.json or not items else mailboxes.addresses(desk.client)
    columns = [
        Column("run", least=32),
        Column("started (UTC)", least=19),
        Column("mailbox", least=12),
        Column("seen", right=True),
        Column("kept", right=True),
        Column("errors", right=True),
        Column("trouble", wraps=True, least=10),
    ]
    rows = [
        (
            one["id"],
            moment(one["started"]),
            _mailbox(one, names),
            one["seen"],
            one["kept"],
            one["errors"],
            one["sentence"],
        )
        for one in items
    ]
    desk.screen.show({"items": items, "next": ""}, desk.screen.table(columns, rows, "There is no such run."))
    return DONE


def _run(asked: Namespace, desk: Desk) -> int:
    path = f"{RUNS}/{part(asked.id)}"
    run = desk.client.get(path).json
    items = list(desk.client.pages(f"{path}/items", {"errors": True if asked.errors else None}))
    names = {} if desk.screen.json else mailboxes.addresses(desk.client)
    facts = [
        ("run", run["id"]),
        ("mailbox", _mailbox(run, names)),
        ("of", run["stream"]),
        ("because", run["reason"]),
        ("started", f"{moment(run['started'])} UTC"),
        ("ended", f"{moment(run['ended'])} UTC"),
        ("seen", run["seen"]),
        ("kept", run["kept"]),
        ("errors", run["errors"]),
        ("not kept", run["skipped"] or ""),
        ("failed", run["sentence"]),
        ("where", run["stage"]),
        ("retried", f"{moment(run['retried'])} UTC" if run["retried"] else ""),
    ]
    columns = [
        Column("item", right=True),
        Column("became", least=6),
        Column("why", wraps=True, least=16),
        Column("where", least=5),
        Column("retry", wraps=True, least=8),
        Column("what", least=12),
    ]
    rows = [(one["number"], one["outcome"], one["reason"], one["stage"], _retry(one), one["name"]) for one in items]
    desk.screen.show(
        {**run, "items": items}, desk.screen.facts(facts), desk.screen.table(columns, rows, "It has no items.")
    )
    return DONE


def _mailbox(run: Mapping[str, Any], names: Mapping[str, str]) -> str:
    return ", ".join(names.get(one, one) for one in str(run["mailbox"]).split(",") if one)


def _retry(item: Mapping[str, Any]) -> str:
    """What became of an item that was asked for again."""
    return " ".join(clean(item[name]) for name in ("retry", "retry_reason") if item[name])
