"""`status`, `health` and `audit`: how the whole stands, and who did what."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from sync.admin.arguments import DONE, REFUSED, Commands, Desk, number
from sync.admin.render import Column, moment

ADMIN = "/api/admin"
MOST = 100_000


def add(commands: Commands) -> None:
    """Have these commands understood."""
    commands.leaf("status", _status, "how many mailboxes stand how, and what waits on the queues")
    commands.leaf("health", _health, f"whether everything answers that the app depends on; {REFUSED} where not")
    audit = commands.leaf("audit", _audit, "who changed what, newest first")
    limit(audit)


def limit(parser: ArgumentParser) -> None:
    """The option that says how many lines of a list are wanted."""
    parser.add_argument("--limit", type=number(1, MOST), default=50, help="how many at most (50)")


def _status(asked: Namespace, desk: Desk) -> int:  # noqa: ARG001 - every command is called with both
    answer = desk.client.get(f"{ADMIN}/status").json
    screen = desk.screen
    causes = [Column("mailboxes", right=True), Column("how they stand", least=12)]
    queues = [Column("queue", least=20), Column("jobs", right=True), Column("given up", right=True)]
    screen.show(
        answer,
        screen.facts(
            [
                ("mailboxes", answer["mailboxes"]),
                ("last tick", _utc(answer["last_tick"]) or "never"),
                ("policy", f"version {answer['policy_version']}" if answer["policy_version"] else "the default"),
            ]
        ),
        screen.table(causes, [(one["count"], one["title"]) for one in answer["causes"]], ""),
        screen.table(queues, [(one["name"], one["messages"], one["poison"]) for one in answer["queues"]], ""),
    )
    return DONE


def _health(asked: Namespace, desk: Desk) -> int:  # noqa: ARG001
    answer = desk.client.get(f"{ADMIN}/health").json
    columns = [
        Column("what", least=15),
        Column("answers", least=7),
        Column("ms", right=True),
        Column("why not", wraps=True),
    ]
    rows = [(one["name"], one["ok"], one["milliseconds"], one["sentence"]) for one in answer["dependencies"]]
    facts = [
        ("health", answer["status"]),
        ("last tick", _utc(answer["last_tick"]) or "never"),
        ("", answer["sentence"]),
    ]
    desk.screen.show(answer, desk.screen.facts(facts), desk.screen.table(columns, rows, ""))
    return DONE if answer["status"] == "ok" else REFUSED


def _audit(asked: Namespace, desk: Desk) -> int:
    items = list(desk.client.pages(f"{ADMIN}/audit", most=asked.limit))
    columns = [
        Column("at (UTC)", least=19),
        Column("by"),
        Column("what", least=12),
        Column("of what", least=10),
        Column("note", wraps=True),
    ]
    rows = [(moment(one["at"]), one["by"], one["action"], one["subject"], one["note"]) for one in items]
    desk.screen.show({"items": items, "next": ""}, desk.screen.table(columns, rows, "Nobody changed anything yet."))
    return DONE


def _utc(text: object) -> str:
    return f"{moment(text)} UTC" if text else ""
