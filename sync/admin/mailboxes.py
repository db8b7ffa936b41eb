"""`mailbox ...`, `sync` and `explain`: one mailbox, by its address or id."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Mapping
from functools import partial
from typing import Any

from sync.admin.arguments import DONE, PART, REFUSED, Commands, Desk, number
from sync.admin.client import Client, part
from sync.admin.overview import ADMIN
from sync.admin.render import Column, amount, clean, duration, moment
from sync.errors import NotReached, Refused

BOXES = f"{ADMIN}/mailboxes"
SECONDS_BETWEEN_LOOKS = 2.0
# A mailbox that is in trouble already gets this long to be tried once more.
SECONDS_TO_MEND = 60.0
MISSED = 5
TROUBLED = ("blocked", "failing", "off")
_ID = re.compile(r"[0-9a-f]{32}")
_WHICH = "ADDRESS the mailbox: its address, or its id"


def add(commands: Commands) -> None:
    """Have these commands understood."""
    box = commands.group("mailbox", "the mailboxes in scope")
    box.leaf("list", _list, "all mailboxes and how they stand")
    added = box.leaf("add", _add, "take a mailbox into scope; twice is once", "ADDRESS its mail address")
    added.add_argument("--owner", default="", metavar="KEY", help="the key of its CRM user")
    box.leaf("show", _show, "one mailbox: how it stands, what to do, how far it is", _WHICH)
    changes: tuple[tuple[str, dict[str, Any], str], ...] = (
        ("off", {"off": True}, "stop reading a mailbox until it is switched on"),
        ("on", {"off": False}, "go on with a mailbox that was switched off; it catches up"),
        ("pause", {"backfill": "paused"}, "let the old mail of a mailbox wait; new mail goes on"),
        ("resume", {"backfill": "running"}, "go on with its old mail"),
    )
    for name, change, meaning in changes:
        box.leaf(name, partial(_change, change=change), meaning, _WHICH)
    owner = box.leaf("owner", _owner, "say whose mailbox it is", _WHICH)
    owner.add_argument("key", metavar="KEY", help="the key of its CRM user; '' for nobody")
    box.leaf("remove", _remove, "take a mailbox out of scope; what was captured stays", _WHICH)
    box.leaf("reset", _reset, "forget how far a mailbox is and read it again from the start", _WHICH)
    sync = commands.leaf("sync", _sync, "look at a mailbox now", _WHICH)
    sync.add_argument("--wait", action="store_true", help="until it is done or in trouble")
    sync.add_argument(
        "--minutes", type=number(1, 100_000), default=60, help=f"wait no longer than this (60), then end with {PART}"
    )
    explain = commands.leaf("explain", _explain, "why a message is kept or not", _WHICH)
    explain.add_argument("message", metavar="MESSAGE", help="Graph's id of it, or its message id in angle brackets")


def found(client: Client, named: str) -> dict[str, Any]:
    """The mailbox in scope with this address or id. Raises Refused where there is none."""
    wanted = named.strip().lower()
    if _ID.fullmatch(wanted):
        box: dict[str, Any] = client.get(f"{BOXES}/{wanted}").json
        return box
    for one in client.pages(BOXES):
        if one["address"].lower() == wanted:
            line: dict[str, Any] = one
            return line
    raise Refused("No mailbox in scope has this address.", "See `mailbox list`, or take it in by `mailbox add`.")


def addresses(client: Client) -> dict[str, str]:
    """The address of each mailbox in scope, by id."""
    return {one["id"]: one["address"] for one in client.pages(BOXES)}


def _list(asked: Namespace, desk: Desk) -> int:  # noqa: ARG001 - every command is called with both
    items = list(desk.client.pages(BOXES))
    columns = [
        Column("mailbox", least=12),
        Column("status", least=12),
        Column("old mail", least=8),
        Column("until (UTC)"),
        Column("what to do", wraps=True, least=16),
    ]
    rows = [
        (one["address"], one["title"], one["backfill"], moment(one["until"]), one["remedy"])
        for one in sorted(items, key=lambda one: str(one["address"]))
    ]
    desk.screen.show(
        {"items": items, "next": ""}, desk.screen.table(columns, rows, "There is no mailbox yet: see `mailbox add`.")
    )
    return DONE


def _add(asked: Namespace, desk: Desk) -> int:
    answer = desk.client.post(BOXES, {"address": asked.address, "owner": asked.owner})
    desk.screen.show(answer.json, _standing(answer.json, "" if answer.status == 201 else "was in scope already"))
    return DONE


def _show(asked: Namespace, desk: Desk) -> int:
    box = found(desk.client, asked.address)
    answer = desk.client.get(f"{BOXES}/{box['id']}").json
    far = answer["progress"]
    facts = [
        ("mailbox", answer["address"]),
        ("id", answer["id"]),
        ("owner", answer["owner"]),
        ("status", answer["title"]),
        ("", answer["sentence"]),
        ("what to do", answer["remedy"]),
        ("goes on at", f"{moment(answer['until'])} UTC" if answer["until"] else ""),
        ("seen", far["seen"]),
        ("kept", far["kept"]),
        ("errors", far["errors"]),
        ("not kept", far["skipped"] or ""),
        ("old mail", _old(answer)),
    ]
    desk.screen.show(answer, desk.screen.facts(facts))
    return DONE


def _change(asked: Namespace, desk: Desk, change: Mapping[str, Any]) -> int:
    box = found(desk.client, asked.address)
    answer = desk.client.ask("PATCH", f"{BOXES}/{box['id']}", body=change).json
    desk.screen.show(answer, _standing(answer), _old(answer) and f"Old mail: {_old(answer)}")
    return DONE


def _owner(asked: Namespace, desk: Desk) -> int:
    return _change(asked, desk, {"owner": asked.key})


def _remove(asked: Namespace, desk: Desk) -> int:
    box = found(desk.client, asked.address)
    sentence = f"{box['address']} leaves the scope and is not read any more. What was captured stays in the CRM."
    if desk.screen.ask(sentence, desk.yes):
        desk.client.ask("DELETE", f"{BOXES}/{box['id']}")
        desk.screen.tell(f"{box['address']} is out of scope.")
    return DONE


def _reset(asked: Namespace, desk: Desk) -> int:
    box = found(desk.client, asked.address)
    sentence = f"{box['address']} is read again from the start, which takes time. Nothing is lost or doubled."
    if desk.screen.ask(sentence, desk.yes):
        answer = desk.client.post(f"{BOXES}/{box['id']}/reset").json
        desk.screen.show(answer, f"{box['address']} is read again from the start.")
    return DONE


def _sync(asked: Namespace, desk: Desk) -> int:
    box = found(desk.client, asked.address)
    answer = desk.client.post(f"{BOXES}/{box['id']}/sync").json
    before = str(box["status"])
    if not asked.wait:
        desk.screen.show(answer, f"{box['address']} is looked at now: see `mailbox show`.")
        return DONE
    box = _waited(desk, str(box["id"]), asked.minutes * 60, before)
    far = box["progress"]
    troubled = box["status"] in TROUBLED
    done = _ended(box, 0.0, 0.0)
    counted = f"{amount(far['seen'], 'mail')} seen, {far['kept']} kept so far."
    desk.screen.show(box, f"{clean(box['address'])}: {clean(box['title'])}. {counted}")
    if troubled:
        desk.screen.tell("\n".join(clean(box[name]) for name in ("sentence", "remedy") if box[name]))
    elif not done:
        desk.screen.tell("It is not done yet and goes on by itself: see `mailbox show`.")
    return REFUSED if troubled else DONE if done else PART


def _waited(desk: Desk, id: str, seconds: float, before: str) -> dict[str, Any]:
    """The mailbox as it stands when nothing is left to do, when it is in trouble, or when the time is over."""
    begun = desk.shell.clock()
    mend = SECONDS_TO_MEND if before in TROUBLED else 0.0
    with desk.screen.progress("Looking at it") as told:
        while True:
            box = _looked_at(desk, id)
            waited = desk.shell.clock() - begun
            if _ended(box, waited, mend) or waited >= seconds:
                return box
            percent = box["progress"]["percent"]
            words = f"{box['title']}, {amount(box['progress']['seen'], 'mail')} seen"
            told(None if percent is None else percent / 100, words)
            desk.shell.sleep(SECONDS_BETWEEN_LOOKS)


def _looked_at(desk: Desk, id: str) -> dict[str, Any]:
    """The mailbox as it stands. An app that restarts, or a network gone for a moment, ends no wait of an hour."""
    for left in reversed(range(MISSED + 1)):
        try:
            box: dict[str, Any] = desk.client.get(f"{BOXES}/{id}").json
        except NotReached:
            if not left:
                raise
            desk.shell.sleep(SECONDS_BETWEEN_LOOKS)
        else:
            break
    return box


def _ended(box: Mapping[str, Any], waited: float, mend: float) -> bool:
    """Whether there is nothing to wait for: it is done, or in a trouble that a new try did not end."""
    if box["status"] in TROUBLED:
        return waited >= mend
    return not box["busy"] and not (box["cause"] == "catching up" and box["backfill"] == "running")


def _explain(asked: Namespace, desk: Desk) -> int:
    box = found(desk.client, asked.address)
    answer = desk.client.post(f"{BOXES}/{part(str(box['id']))}/explain", {"message": asked.message}).json
    stored = "The CRM has it" if answer["stored"] else "The CRM does not have it"
    columns = [Column("role"), Column("address", least=20), Column("is", wraps=True, least=16)]
    rows = [(one["role"], one["address"], one["standing"]) for one in answer["lines"]]
    desk.screen.show(
        answer,
        f"{clean(answer['sentence'])}\n{stored}{', as ' + clean(answer['record']) if answer['stored'] else ''}.",
        desk.screen.table(columns, rows, ""),
    )
    return DONE


def _standing(box: Mapping[str, Any], before: str = "") -> str:
    """A mailbox in a line."""
    said = " ".join(clean(box[name]) for name in ("sentence", "remedy") if box[name])
    address = clean(box["address"])
    return f"{address}{' ' + before if before else ''}: {clean(box['title'])}.{' ' + said if said else ''}"


def _old(box: Mapping[str, Any]) -> str:
    """How the old mail of a mailbox comes along."""
    far = box.get("progress") or {}
    told = [clean(box["backfill"])]
    if box["backfill"] == "running":
        told += [f"{far['percent']} %"] if far.get("percent") is not None else []
        told += [f"{far['rate']:g} mails a minute"] if far.get("rate") is not None else []
        told += [f"{duration(far['left'])} left"] if far.get("left") is not None else []
    return ", ".join(told)
