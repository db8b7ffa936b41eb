"""`exclusions ...`: whose mail is left out, by the firm's list or a mailbox's own."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from sync.admin import mailboxes
from sync.admin.arguments import DONE, Commands, Desk
from sync.admin.overview import ADMIN
from sync.admin.render import Column, clean, moment

LISTS = f"{ADMIN}/exclusions"
_PATTERN = "PATTERN an address, a domain, or an address with stars, like *@news.example"


def add(commands: Commands) -> None:
    """Have these commands understood."""
    group = commands.group("exclusions", "addresses whose mail is left out")
    _scoped(group.leaf("list", _list, "a list as it stands, with what was taken back"))
    _scoped(group.leaf("add", _add, "leave out what fits a pattern from now on; what is captured stays", _PATTERN))
    _scoped(group.leaf("take-back", _take_back, "end an exclusion: later mail comes in, earlier stays out", _PATTERN))


def _scoped(parser: ArgumentParser) -> None:
    parser.add_argument("--mailbox", metavar="ADDRESS", help="the list of this mailbox instead of the firm's")


def _scope(asked: Namespace, desk: Desk) -> str:
    return str(mailboxes.found(desk.client, asked.mailbox)["id"]) if asked.mailbox else ""


def _list(asked: Namespace, desk: Desk) -> int:
    answer = desk.client.get(LISTS, {"mailbox": _scope(asked, desk) or None}).json
    columns = [Column("pattern", least=20), Column("taken back for mail from (UTC)", least=19)]
    rows = [(one["pattern"], moment(one["until"])) for one in answer["items"]]
    desk.screen.show(answer, desk.screen.table(columns, rows, "Nothing is left out."))
    return DONE


def _add(asked: Namespace, desk: Desk) -> int:
    answer = desk.client.post(LISTS, {"pattern": asked.pattern, "mailbox": _scope(asked, desk)}).json
    desk.screen.show(answer, f"{clean(answer['pattern'])} is left out. Within a minute every worker knows.")
    return DONE


def _take_back(asked: Namespace, desk: Desk) -> int:
    answer = desk.client.post(f"{LISTS}/take-back", {"pattern": asked.pattern, "mailbox": _scope(asked, desk)}).json
    desk.screen.show(
        answer, f"{clean(answer['pattern'])} comes in again from {moment(answer['until'])} UTC; earlier mail stays out."
    )
    return DONE
