"""Pure: which mails expire, and what goes with a mail that is removed.

1. A mail expires if each of its copies does; the last of them counts. One copy that matches, and it stays.
2. Beside each copy that expires stands a row of an index by time, in the same group.
3. The group that removes a record leaves a row in the index that says what else is to go: rows of timelines and files.
   So whoever dies behind it is completed.
4. Rows elsewhere and files go at the version they had before the record went: who stores the mail again keeps his own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from sync.crm import records
from sync.crm.timeline import timeline_key
from sync.ports import Row, Write

INDEX = "x|"


@dataclass(frozen=True, slots=True)
class Removal:
    """What goes after the record: timeline rows and the record's rows beyond one group, and
    files, each with its version, but for files that a mail of `kin` names."""

    timeline: tuple[tuple[str, str], ...] = ()
    rows: tuple[tuple[str, str], ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    kin: tuple[str, ...] = ()

    def to_json(self) -> str:
        """As it is stored."""
        return orjson.dumps([self.timeline, self.rows, self.files, self.kin]).decode()

    @staticmethod
    def from_json(text: str) -> Removal:
        """As it was stored; what is not there any more was done."""
        if not text:
            return Removal()
        timeline, rows, files, kin = orjson.loads(text)
        return Removal(_pairs(timeline), _pairs(rows), _pairs(files), tuple(kin))


def moment(known: datetime) -> str:
    """A time as the index orders by it."""
    return records.iso(known.astimezone(UTC))


def index_key(expires: str, key: str) -> str:
    """The index row of a mail and a time."""
    return f"{INDEX}{expires}|{key}"


def left_write(index: str, text: str) -> Write:
    """Leave behind the index row of a removed mail what is still to go. Where another is left, that must go first."""
    return Write("insert", f"{index}|left", {"removal": text})


def index_write(expires: str, key: str) -> Write:
    """Have a mail be found when it expires."""
    return Write("merge", index_key(expires, key), {"key": key})


def expires(key: str, rows: Mapping[str, Row]) -> str:
    """When the mail with these rows expires, "" if it stays."""
    copies = [row for row in _sightings(key, rows) if "item" in row.values]  # what was noted beside none is no copy
    times = [str(row.values.get("expires", "")) for row in copies]
    return max(times) if times and all(times) else ""


def index_keys(key: str, rows: Mapping[str, Row]) -> set[str]:
    """All index rows of a mail."""
    times = {str(row.values.get("expires", "")) for row in _sightings(key, rows)}
    return {index_key(time, key) for time in times if time}


def timeline_keys(key: str, rows: Mapping[str, Row]) -> list[str]:
    """All timeline rows that lead to a mail."""
    people = f"r|{key}|p|"
    shown = {row.removeprefix(people) for row in rows if row.startswith(people)}
    shown |= {str(row.values["thread"]) for row in _sightings(key, rows) if row.values.get("thread")}
    time = str(rows[f"r|{key}"].values.get("time", ""))
    return sorted(timeline_key(who, time, key) for who in shown)


def ordered(key: str, rows: Mapping[str, Row]) -> list[Row]:
    """The rows of a mail: record, body, copies, and last the people, who may be too many for one group."""
    people = f"r|{key}|p|"
    return sorted(rows.values(), key=lambda row: (row.key.startswith(people), row.key))


def lists(rows: Mapping[str, Row]) -> list[str]:
    """Files that hold a list of attachments too large for a row."""
    return [large["files"] for large in map(_large, rows.values()) if "files" in large]


def files(key: str, rows: Mapping[str, Row], lists: Iterable[str]) -> set[str]:
    """All files that a mail names; `lists` are the contents of `lists(...)`."""
    found = {name for row in rows.values() for name in _large(row).values()}
    for row in _sightings(key, rows):
        found.update(orjson.loads(str(row.values.get("files", "[]"))))
    body = rows.get(f"r|{key}|b")
    texts = [*lists, str(body.values.get("files", ""))] if body else lists
    return found | {one.file for text in texts for one in records.read_attachments(text) if one.file}


def kin(key: str, rows: Mapping[str, Row]) -> set[str]:
    """Mails told apart from this one, or the one it was told apart from: they share files of attachments."""
    found = {str(name) for row in _sightings(key, rows) for name in orjson.loads(str(row.values.get("apart", "[]")))}
    record = rows.get(f"r|{key}")
    first = str(record.values.get("first", "")) if record else ""
    return found | {first} if first else found


def _sightings(key: str, rows: Mapping[str, Row]) -> list[Row]:
    before = f"r|{key}|s|"
    return [row for name, row in rows.items() if name.startswith(before)]


def _large(row: Row) -> dict[str, str]:
    names: dict[str, str] = orjson.loads(str(row.values.get("large") or "{}"))
    return names


def _pairs(found: Sequence[Sequence[str]]) -> tuple[tuple[str, str], ...]:
    return tuple((one, other) for one, other in found)
