"""`retry`: one item, one run, or all errors of some days once more."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from sync.admin.arguments import DONE, PART, REFUSED, Commands, Desk, number, only_with
from sync.admin.client import part
from sync.admin.overview import ADMIN
from sync.admin.render import Column, amount
from sync.admin.runs import RUNS

DAYS = 30


def add(commands: Commands) -> None:
    """Have this command understood."""
    parser = commands.leaf("retry", _retry, "try again what went wrong")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--run", metavar="ID", help="one run, as `runs` shows it")
    what.add_argument("--errors", action="store_true", default=None, help="all errors of the last days")
    parser.add_argument("--item", type=number(0, 10**9 - 1), metavar="N", help="one item of the run, as `run` shows it")
    parser.add_argument("--days", type=number(1, DAYS), metavar="N", help=f"how many days (1 to {DAYS}; {DAYS})")


def _retry(asked: Namespace, desk: Desk) -> int:
    only_with(asked, "item", "run")
    only_with(asked, "days", "errors")
    if asked.errors:
        answer = _all(desk, asked.days or DAYS)
    else:
        item = "" if asked.item is None else f"/items/{asked.item}"
        answer = desk.client.post(f"{RUNS}/{part(asked.run)}{item}/retry").json
    queued, refused = answer["queued"], answer["refused"]
    columns = [Column("run", least=32), Column("item", right=True), Column("why nothing can be done", wraps=True)]
    rows = [(one["run"], one["number"], one["reason"]) for one in refused]
    said = f"{amount(queued, 'thing')} will be tried again." if queued or refused else "There is nothing to try again."
    desk.screen.show(answer, said, desk.screen.table(columns, rows, ""))
    if not refused:
        return DONE
    return PART if queued else REFUSED


def _all(desk: Desk, days: int) -> dict[str, Any]:
    """All errors, in as many requests as it takes: each goes on where the one before stopped."""
    queued, after = 0, ""
    refused: list[dict[str, Any]] = []
    with desk.screen.progress("Trying again") as told:
        while True:
            answer = desk.client.post(f"{ADMIN}/errors/retry", {"days": days, "after": after}).json
            queued, after = queued + answer["queued"], answer["next"]
            refused += answer["refused"]
            if not after:
                return {"queued": queued, "refused": refused, "next": ""}
            told(None, f"{queued} queued, {len(refused)} refused")
