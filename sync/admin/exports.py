"""`export ...`: runs, the policy and the mailboxes as files."""

from __future__ import annotations

import csv
import io
import os
import re
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator
from pathlib import Path

from sync.admin.arguments import DONE, PART, Commands, Desk
from sync.admin.mailboxes import BOXES
from sync.admin.overview import ADMIN
from sync.admin.policy import POLICY
from sync.admin.render import as_json, moment
from sync.admin.runs import narrowed, which
from sync.errors import BadCommand

# What a spreadsheet would take for a formula gets an apostrophe before it, as in what the service writes.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
# Tells Excel that the file is UTF-8.
_BOM = "\ufeff".encode()
_FIELDS = ("address", "id", "title", "sentence", "remedy", "until", "backfill", "owner")
_HEADER = ("Address", "Id", "Status", "Reason", "What to do", "Until (UTC)", "Old mail", "Owner")


# The last line of a file that ends early, with the moment to go on from.
_EARLY = re.compile(rb"There are more: ask again with until=([0-9T:Z-]+)\r\n$")


def add(commands: Commands) -> None:
    """Have these commands understood."""
    group = commands.group("export", "files to keep or to look at elsewhere")
    runs = group.leaf("runs", _runs, "runs and what went wrong, as CSV")
    narrowed(runs)
    _to(runs)
    _to(group.leaf("mailboxes", _mailboxes, "all mailboxes and how they stand, as CSV"))
    _to(group.leaf("policy", _policy, "the policy in force, as `policy set` takes it"))


def _to(parser: ArgumentParser) -> None:
    parser.add_argument("-o", dest="file", metavar="FILE", help="where to (standard output)")


def _runs(asked: Namespace, desk: Desk) -> int:
    seen = _Tail()
    status = _put(desk, asked.file, seen.through(desk.client.download(f"{ADMIN}/runs.csv", which(asked, desk))))
    early = _EARLY.search(seen.kept)
    if early is None:
        return status
    desk.screen.tell(f"There are more runs than one file takes: export the rest with --until {early[1].decode()}.")
    return PART


def _mailboxes(asked: Namespace, desk: Desk) -> int:
    return _put(desk, asked.file, _lines(desk))


def _policy(asked: Namespace, desk: Desk) -> int:
    policy = desk.client.get(POLICY).json["policy"]
    return _put(desk, asked.file, [f"{as_json(policy)}\n".encode()])


class _Tail:
    """Keeps the end of what comes by."""

    def __init__(self) -> None:
        self.kept = b""

    def through(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The pieces as they are."""
        for piece in pieces:
            self.kept = (self.kept + piece)[-200:]
            yield piece


def _lines(desk: Desk) -> Iterator[bytes]:
    """All mailboxes as CSV (RFC 4180), page by page."""
    yield _BOM + _line(_HEADER)
    for one in desk.client.pages(BOXES):
        told = {**one, "until": moment(one["until"])}
        yield _line([str(told[name]) for name in _FIELDS])


def _line(cells: Iterable[str]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out).writerow([f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in cells])
    return out.getvalue().encode()


def _put(desk: Desk, name: str | None, pieces: Iterable[bytes]) -> int:
    """Write a file whole or not at all; without a name, to standard output."""
    if name is None:
        desk.screen.raw(pieces)
        return DONE
    path = desk.shell.folder / Path(name)
    try:
        made, unfinished = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError:
        raise BadCommand("The file cannot be written.", "Name a folder that is there and may be written to.") from None
    try:
        with os.fdopen(made, "wb") as out, desk.screen.progress("Writing") as told:
            for piece in pieces:
                out.write(piece)
                told(None, f"Writing, {out.tell() // 1024} KB")
        Path(unfinished).replace(path)
    except OSError:
        raise BadCommand("The file cannot be written.", "Name another one, or make room.") from None
    finally:
        Path(unfinished).unlink(missing_ok=True)
    desk.screen.tell(f"{path.name} is written.")
    return DONE
