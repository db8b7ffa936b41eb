"""`retry`: one item, one run, or all errors of some days once more."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from typing import Any

from sync.admin.arguments import DONE, PART, REFUSED, Commands, Desk, number, only_with
from sync.admin.client import Answer, further, part
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
    parser.add_argument("--item", type=number(0, 999_999), metavar="N", help="one item of the run, as `run` shows it")
    parser.add_argument("--days", type=number(1, DAYS), metavar="N", help=f"how many days (1 to {DAYS}; {DAYS})")


def _retry(asked: Namespace, desk: Desk) -> int:
    only_with(asked, "item", "run")
    only_with(asked, "days", "errors")
    if asked.errors:
        answer = _all(
            desk,
            lambda after: desk.client.post(f"{ADMIN}/errors/retry", {"days": asked.days or DAYS, "after": after}),
        )
    elif asked.item is None:
        path = f"{RUNS}/{part(asked.run)}/retry"
        answer = _all(desk, lambda after: desk.client.ask("POST", path, {"after": after or None}))
    else:
        answer = desk.client.post(f"{RUNS}/{part(asked.run)}/items/{asked.item}/retry").json
    queued, refused = answer["queued"], answer["refused"]
    columns = [Column("run", least=32), Column("item", right=True), Column("why nothing can be done", wraps=True)]
    rows = [(one["run"], one["number"], one["reason"]) for one in refused]
    said = f"{amount(queued, 'error')} will be tried again." if queued or refused else "There is nothing to try again."
    desk.screen.show(answer, said, desk.screen.table(columns, rows, ""))
    if not refused:
        return DONE
    return PART if queued else REFUSED


def _all(desk: Desk, ask: Callable[[str], Answer]) -> dict[str, Any]:
    """All of it, in as many requests as it takes: each goes on where the one before stopped."""
    queued, after = 0, ""
    refused: list[dict[str, Any]] = []
    with desk.screen.progress("Trying again") as told:
        while True:
            answer = ask(after).json
            queued += answer["queued"]
            refused += answer["refused"]
            if not answer["next"]:
                return {"queued": queued, "refused": refused, "next": ""}
            after = further(answer["next"], after)
            told(None, f"{queued} queued, {len(refused)} refused")
