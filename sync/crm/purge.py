"""Removes mails that expired. The rules stand in `sync.crm.removal`; here is the order of the effects.

1. One group of the bucket: the record at the version read, its other rows, the feed row, and beside the index row that
   goes one that says what is left to do. Where somebody stored the mail again since it was read, the group fails and
   the mail is left alone.
2. Then the timeline rows, rows too many for the group, files; what is left to do is removed last.
3. A run that finds something left to do does that first.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime

from sync.crm import records, removal
from sync.crm.addresses import in_parts
from sync.crm.feed import TABLE, Feed, Unit
from sync.crm.mails import TIMELINE
from sync.crm.removal import Removal
from sync.errors import Conflict, Retry, Stale, StorageUnavailable
from sync.keys import BUCKETS, bucket
from sync.ports import Blobs, Row, Tables, Write

AT_ONCE = 60  # rows of a mail that go in the group of its record
PAGE = 300  # rows of the index that are read at a time
TRIES = 5
MOST_INDEXES = 30  # and rows of the index; further ones are dropped when their time comes


logger = logging.getLogger("accord")


class Purge:
    """Removes what expired. Two workers may do so at the same time."""

    def __init__(self, tables: Tables, blobs: Blobs, feed: Feed) -> None:
        self._tables = tables
        self._blobs = blobs
        self._feed = feed

    def run(self, now: datetime, limit: int, going: Callable[[], bool] = lambda: True) -> int:
        """Remove up to `limit` mails that expired until `now`, as long as it is `going`; returns how many. Sixteen
        reads find them. A mail that cannot be removed stops no other one: its error rises at the end."""
        until = removal.moment(now)
        removed = 0
        failed: Exception | None = None
        for partition, row in self._due(until):
            if removed >= limit or not going():
                break
            try:
                removed += self._remove(partition, row, until)
            except StorageUnavailable:
                raise
            except Exception as error:  # noqa: BLE001 - one bad item is not a bad run
                logger.error("purge: a mail could not be removed (%s)", type(error).__name__)
                failed = failed or error
        if failed:
            raise failed
        return removed

    def _due(self, until: str) -> Iterator[tuple[str, Row]]:
        """All rows of the index until then, by bucket; not each leads to a mail that goes."""
        for partition in BUCKETS:
            first = removal.INDEX
            while first:
                # "~" follows "|": what expires at this very second is among them.
                found = self._tables.rows(TABLE, partition, first, f"{removal.INDEX}{until}~", limit=PAGE)
                rows = list(found)
                yield from ((partition, row) for row in sorted(rows, key=lambda row: "removal" not in row.values))
                first = f"{rows[-1].key}!" if len(rows) == PAGE else ""

    def _remove(self, partition: str, index: Row, until: str) -> bool:
        """Whether the mail of an index row is removed now."""
        key = index.key.split("|")[2]
        if "removal" in index.values:
            self._finish(partition, index.key, key, Removal.from_json(self._text(str(index.values["removal"]))))
            return True
        rows = self._rows(key)
        expires = removal.expires(key, rows)
        if f"r|{key}" not in rows or not expires or expires > until:
            self._drop(partition, index)
            return False
        left = self._left(key, rows)
        writes = self._writes(key, rows, index, left)
        try:
            self._feed.append(partition, [Unit(key, "mail", writes, removed=True)])
        except Conflict:  # it was stored again since it was read
            return False
        self._finish(partition, f"{index.key}|left", key, left)
        return True

    def _left(self, key: str, rows: Mapping[str, Row]) -> Removal:
        """What goes after the record. Versions are read now: whoever writes a line or file again from here on keeps
        it."""
        found = [(one, self._tables.get(TIMELINE, bucket(one), one)) for one in removal.timeline_keys(key, rows)]
        return Removal(
            timeline=tuple((one, row.version) for one, row in found if row),
            rows=tuple((row.key, row.version) for row in removal.ordered(key, rows)[AT_ONCE:]),
            files=tuple((name, self._blobs.version(name)) for name in sorted(self._files(key, rows))),
            kin=tuple(sorted(self._kin(key, rows))),
        )

    def _writes(self, key: str, rows: Mapping[str, Row], index: Row, left: Removal) -> list[Write]:
        """The group that removes a record."""
        text = left.to_json()
        if _is_large(text):
            self._blobs.put(_file(key), text.encode())
            text = _file(key)
        writes = [
            Write("delete", row.key, {}, row.version if row.key == f"r|{key}" else None)
            for row in removal.ordered(key, rows)[:AT_ONCE]
        ]
        others = sorted(removal.index_keys(key, rows) - {index.key})[:MOST_INDEXES]
        writes += [Write("delete", one) for one in others]
        return [*writes, Write("delete", index.key, {}, index.version), removal.left_write(index.key, text)]

    def _finish(self, partition: str, index: str, key: str, left: Removal) -> None:
        groups: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for one in left.timeline:
            groups[bucket(one[0])].append(one)
        for of, many in groups.items():
            self._delete(TIMELINE, of, many)
        self._delete(TABLE, partition, left.rows)
        # Looked at here and not before: who stores the mail again names the same files.
        kept = {name for one in (key, *left.kin) for name in self._files(one, self._rows(one))} if left.files else set()
        for name, version in left.files:
            if version and name not in kept:
                with suppress(Stale):  # written again, for a record that may be stored in a moment
                    self._blobs.delete(name, version)
        if _is_large(left.to_json()):
            self._blobs.delete(_file(key))
        self._tables.write(TABLE, partition, [Write("delete", index)])

    def _delete(self, table: str, partition: str, many: Iterable[tuple[str, str]]) -> None:
        """Delete rows that are as they were; who wrote one again keeps it."""
        for part in in_parts([Write("delete", key, {}, version) for key, version in many]):
            rest = list(part)
            for _ in range(TRIES):
                try:
                    self._tables.write(table, partition, rest)
                    break
                except Stale:
                    rest = [write for write in rest if self._as_it_was(table, partition, write)]
                    if not rest:
                        break
            else:
                raise Retry("Other workers keep writing what is being removed.", after=5)

    def _as_it_was(self, table: str, partition: str, write: Write) -> bool:
        row = self._tables.get(table, partition, write.key)
        return row is not None and row.version == write.version

    def _drop(self, partition: str, index: Row) -> None:
        """An index row that means nothing any more, unless it was written again."""
        try:
            self._tables.write(TABLE, partition, [Write("delete", index.key, {}, index.version)])
        except Stale:
            return

    def _files(self, key: str, rows: Mapping[str, Row]) -> set[str]:
        lists = [self._text(name) for name in removal.lists(rows)]
        return removal.files(key, rows, lists)

    def _kin(self, key: str, rows: Mapping[str, Row]) -> set[str]:
        near = removal.kin(key, rows)
        return {one for other in near for one in removal.kin(other, self._rows(other))} - {key} | near

    def _text(self, text: str) -> str:
        """A text, or what the file holds that it names."""
        if text[:1] == "[":
            return text
        blob = self._blobs.get(text)
        return blob.data.decode() if blob else ""

    def _rows(self, key: str) -> dict[str, Row]:
        return {row.key: row for row in self._tables.rows(TABLE, bucket(key), f"r|{key}", f"r|{key}~")}


def _is_large(text: str) -> bool:
    return len(text) > records.INLINE_BYTES


def _file(key: str) -> str:
    return f"mail/{key}/removal"
