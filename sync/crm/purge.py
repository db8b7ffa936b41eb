"""Removes mails that expired. The rules stand in `sync.crm.removal`; here is the order of the effects.

1. One group of the bucket: the record at the version read, its other rows, the feed row, and in the index row what is
   left to do. Where somebody stored the mail again since it was read, the group fails and the mail is left alone.
2. Then the timeline rows, rows too many for the group, files; the index row last.
3. A run that finds such an index row goes on from there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime

from sync.crm import records, removal
from sync.crm.addresses import in_parts
from sync.crm.feed import GROUP_ROWS, TABLE, Feed, Unit
from sync.crm.mails import TIMELINE
from sync.crm.removal import Removal
from sync.errors import Conflict, Stale
from sync.keys import BUCKETS, bucket
from sync.ports import Blobs, Row, Tables, Write

MOST_INDEXES = 30  # of a mail in one group; further ones are dropped when their time comes


class Purge:
    """Removes what expired. Two workers may do so at the same time."""

    def __init__(self, tables: Tables, blobs: Blobs, feed: Feed) -> None:
        self._tables = tables
        self._blobs = blobs
        self._feed = feed

    def run(self, now: datetime, limit: int) -> int:
        """Remove up to `limit` mails that expired until `now`; returns how many. Sixteen reads find them."""
        until = removal.moment(now)
        removed = 0
        for partition in BUCKETS:
            if removed >= limit:
                break
            # "~" follows "|": what expires at this very second is among them.
            for row in list(self._tables.rows(TABLE, partition, removal.INDEX, f"{removal.INDEX}{until}~")):
                if removed < limit:
                    removed += self._remove(partition, row, until)
        return removed

    def _remove(self, partition: str, index: Row, until: str) -> bool:
        """Whether the mail of an index row is removed now."""
        key = str(index.values["key"])
        if "removal" in index.values:
            self._finish(partition, index.key, key, Removal.from_json(self._text(str(index.values["removal"]))))
            return True
        rows = self._rows(key)
        expires = removal.expires(key, rows)
        if f"r|{key}" not in rows or not expires or expires > until:
            self._drop(partition, index)
            return False
        left, writes = self._planned(key, rows, index)
        try:
            self._feed.append(partition, [Unit(key, "mail", writes, removed=True)])
        except Conflict:  # it was stored again since it was read
            return False
        self._finish(partition, index.key, key, left)
        return True

    def _planned(self, key: str, rows: Mapping[str, Row], index: Row) -> tuple[Removal, list[Write]]:
        """What goes after the record, and the writes of the group that removes it."""
        indexes = sorted(removal.index_keys(key, rows) - {index.key})[:MOST_INDEXES]
        ordered = removal.ordered(key, rows)
        room = GROUP_ROWS - 2 - len(indexes)  # the feed row and this index row
        shown = []
        for one in removal.timeline_keys(key, rows):
            row = self._tables.get(TIMELINE, bucket(one), one)
            if row:
                shown.append((one, row.version))
        left = Removal(
            timeline=tuple(shown),
            rows=tuple((row.key, row.version) for row in ordered[room:]),
            files=tuple(sorted(self._files(key, rows))),
            kin=tuple(sorted(self._kin(key, rows))),
        )
        text = left.to_json()
        if _is_large(text):
            self._blobs.put(_file(key), text.encode())
            text = _file(key)
        first = f"r|{key}"
        gone = [Write("delete", row.key, {}, row.version if row.key == first else None) for row in ordered[:room]]
        gone += [Write("delete", one) for one in indexes]
        return left, [*gone, Write("merge", index.key, {"removal": text}, index.version)]

    def _finish(self, partition: str, index: str, key: str, left: Removal) -> None:
        groups: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for one in left.timeline:
            groups[bucket(one[0])].append(one)
        for of, many in groups.items():
            self._delete(TIMELINE, of, many)
        self._delete(TABLE, partition, left.rows)
        # Looked at here and not before: who stores the mail again names the same files.
        kept = {name for one in (key, *left.kin) for name in self._files(one, self._rows(one))} if left.files else set()
        for name in left.files:
            if name not in kept:
                self._blobs.delete(name)
        if _is_large(left.to_json()):
            self._blobs.delete(_file(key))
        self._tables.write(TABLE, partition, [Write("delete", index)])

    def _delete(self, table: str, partition: str, many: Iterable[tuple[str, str]]) -> None:
        """Delete rows that are as they were; who wrote one again keeps it."""
        for part in in_parts([Write("delete", key, {}, version) for key, version in many]):
            rest = list(part)
            while rest:
                try:
                    self._tables.write(table, partition, rest)
                except Stale as error:
                    other = [write for write in rest if write.key != error.key]
                    if len(other) == len(rest):  # the storage does not tell which: one by one
                        self._delete_each(table, partition, rest)
                        break
                    rest = other
                else:
                    break

    def _delete_each(self, table: str, partition: str, writes: Iterable[Write]) -> None:
        for write in writes:
            try:
                self._tables.write(table, partition, [write])
            except Stale:
                continue

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
