"""What is wanted of each stream of a mailbox, and how it fares: rows that whoever wants something writes, not the run.

AccordWanted     partition: first digit of the mailbox id; row: id|stream
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import groupby
from typing import TypeVar

from sync import rows
from sync.errors import Exists, Stale
from sync.model import Stream, Trouble, Want
from sync.ports import Clock, Row, Tables, Value, Write
from sync.storage.groups import GROUP_ROWS

TABLE = "AccordWanted"

Result = TypeVar("Result")


class Wants:
    """The rows of what is wanted, by one Tables port."""

    def __init__(self, tables: Tables, clock: Clock) -> None:
        self._tables = tables
        self._clock = clock

    def want(self, mailbox: str, stream: Stream) -> None:
        """Say that there is something to do; `fanout` or the run under way picks it up."""
        self._change(mailbox, stream, lambda before: {"count": before.count + 1})

    def wanted(self, mailbox: str, stream: Stream) -> Want:
        """What is wanted of a stream: note its count before a run, hand it to `served` after."""
        row = self._tables.get(TABLE, mailbox[0], f"{mailbox}|{stream}")
        return _want(row) if row else Want(mailbox, stream)

    def of(self, mailbox: str) -> list[Want]:
        """What was ever wanted of a mailbox, by one request."""
        return self.between(mailbox, mailbox)

    def between(self, first: str, last: str) -> list[Want]:
        """What was ever wanted of the mailboxes from one to another, both of one partition."""
        return [_want(row) for row in self._tables.rows(TABLE, first[0], f"{first}|", f"{last}|~")]

    def all(self) -> Iterator[Want]:
        """Everything that was ever wanted, open or served."""
        return (_want(row) for row in self._tables.scan(TABLE))

    def served(self, mailbox: str, stream: Stream, count: int) -> None:
        """All that was wanted up to `count` is done. Only the holder of the lease says so."""
        self._tables.write(TABLE, mailbox[0], [Write("merge", f"{mailbox}|{stream}", {"served": count})])

    def troubled(self, mailbox: str, stream: Stream, trouble: Trouble | None, failed: bool = False) -> None:
        """Note what keeps a stream from going on, None for nothing; `failed` counts one more failure in a row."""

        def change(before: Want) -> dict[str, Value]:
            return trouble_values(trouble) | ({"failures": before.failures + 1} if failed else {})

        self._change(mailbox, stream, change)

    def mended(self, mailbox: str, stream: Stream) -> None:
        """A run of this stream did its work."""
        self._change(mailbox, stream, lambda _: {**trouble_values(None), "failures": 0})

    def ticket(self, mailbox: str, stream: Stream, wait: float = 0) -> int:
        """The ticket of a job about to be queued for all that is wanted; older jobs of the stream are obsolete with it.

        With `wait` nothing is to be asked for so many seconds.
        """
        now = self._clock()

        def change(before: Want) -> dict[str, Value]:
            values: dict[str, Value] = {"asked": before.count, "ticket": before.ticket + 1, "queued": now}
            return values | ({"not_before": now + timedelta(seconds=wait)} if wait else {})

        return self._change(mailbox, stream, change).ticket + 1

    def tickets(self, wants: Sequence[Want]) -> list[int]:
        """A ticket for each of up to a hundred streams of one partition (`in_groups`), by what was just read of them.

        One request where nobody wrote in between; otherwise row by row.
        """
        now = self._clock()
        asked: list[dict[str, Value]] = [{"asked": one.count, "ticket": one.ticket + 1, "queued": now} for one in wants]
        if self._all(wants, asked) is None:
            return [self.ticket(one.mailbox, one.stream) for one in wants]
        return [one.ticket + 1 for one in wants]

    def raised(self, wants: Sequence[Want]) -> list[Want]:
        """Say that there is something to do for each of up to a hundred streams of one partition, by what was just read
        of them; returns them as they stand now."""
        versions = self._all(wants, [{"count": one.count + 1} for one in wants])
        if versions is None:
            for one in wants:
                self.want(one.mailbox, one.stream)
            return [self.wanted(one.mailbox, one.stream) for one in wants]
        return [replace(one, count=one.count + 1, version=versions[_key(one)]) for one in wants]

    def _all(self, wants: Sequence[Want], values: Sequence[Mapping[str, Value]]) -> dict[str, str] | None:
        """Write values over exactly the rows that were read, all or none; returns the new versions, None for none."""
        pairs = zip(wants, values, strict=True)
        try:
            return self._tables.write(TABLE, wants[0].mailbox[0], [_write(one, given) for one, given in pairs])
        except (Stale, Exists):
            return None

    def forget(self, mailbox: str) -> None:
        """Remove all of a mailbox that is no longer in scope."""
        keys = [f"{one.mailbox}|{one.stream}" for one in self.of(mailbox)]
        if keys:
            self._tables.write(TABLE, mailbox[0], [Write("delete", key) for key in keys])

    def _change(self, mailbox: str, stream: Stream, change: Callable[[Want], Mapping[str, Value]]) -> Want:
        """Write what `change` makes of a want over exactly what was read; returns what was read."""
        key = f"{mailbox}|{stream}"

        def attempt() -> Want:
            row = self._tables.get(TABLE, mailbox[0], key)
            before = _want(row) if row else Want(mailbox, stream)
            self._tables.write(TABLE, mailbox[0], [_write(before, change(before))])
            return before

        return again(attempt)


def in_groups(wants: Iterable[Want]) -> Iterator[list[Want]]:
    """Wants as one request each can write them: up to a hundred of one partition, by mailbox."""
    for _, some in groupby(sorted(wants, key=_key), lambda one: one.mailbox[0]):
        left = list(some)
        yield from (left[at : at + GROUP_ROWS] for at in range(0, len(left), GROUP_ROWS))


def again(attempt: Callable[[], Result], tries: int = 20) -> Result:
    """Do something optimistic until nobody was quicker; raises the last Stale or Exists."""
    for _ in range(tries - 1):
        try:
            return attempt()
        except (Stale, Exists):
            continue
    return attempt()


def trouble_values(trouble: Trouble | None) -> dict[str, Value]:
    """A trouble as it stands in a row; what it lacks is written as empty."""
    if trouble is None:
        return {"trouble": "", "cause": "", "sentence": "", "remedy": ""}
    return {"trouble": trouble.status, "cause": trouble.cause, "sentence": trouble.sentence, "remedy": trouble.remedy}


def trouble_of(row: Row) -> Trouble | None:
    """The trouble of a row."""
    status = rows.text(row, "trouble")
    if not status:
        return None
    return Trouble(status, rows.text(row, "cause"), rows.text(row, "sentence"), rows.text(row, "remedy"))  # type: ignore[arg-type]


def _key(want: Want) -> str:
    return f"{want.mailbox}|{want.stream}"


def _write(before: Want, values: Mapping[str, Value]) -> Write:
    """Values over exactly the row that was read, or a new row where there was none."""
    if before.version:
        return Write("merge", _key(before), values, before.version)
    return Write("insert", _key(before), values)


def _want(row: Row) -> Want:
    mailbox, _, stream = row.key.partition("|")
    return Want(
        mailbox,
        stream,  # type: ignore[arg-type]  # written here alone
        rows.number(row, "count"),
        rows.number(row, "served"),
        rows.number(row, "asked"),
        rows.number(row, "ticket"),
        rows.moment_or_none(row, "queued"),
        rows.moment_or_none(row, "not_before"),
        rows.number(row, "failures"),
        trouble_of(row),
        row.version,
    )
