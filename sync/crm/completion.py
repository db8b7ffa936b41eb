"""Files that could not be had when their mail was stored, brought later (T4).

The body's row is replaced over exactly the record that was read, in one group with the feed row: readers of the feed
see that the mail has changed. Files that the mail has stay; it never lacks one that it had.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import orjson

from sync.crm import records
from sync.crm.feed import TABLE, Feed, Unit
from sync.crm.records import Content, Draft
from sync.errors import Exists, Retry, Stale
from sync.keys import Keys, bucket
from sync.model import Filed, MailRecord
from sync.ports import Blobs, Row, Tables, Write

TRIES = 10


class Completion:
    """Completes mails that stand."""

    def __init__(self, tables: Tables, blobs: Blobs, keys: Keys, feed: Feed) -> None:
        self._tables = tables
        self._blobs = blobs
        self._keys = keys
        self._feed = feed

    def complete(self, record: MailRecord) -> bool:
        """Store the files of a copy that its mail lacks; says whether there were any. Twice is once.

        Raises Retry where other workers are storing the same mail.
        """
        for _ in range(TRIES):
            draft, rows = self._found(record)
            if draft is None or f"r|{draft.key}|b" not in rows:
                return False
            before = self._files(rows[f"r|{draft.key}|b"])
            after = united(before, record.attachments)
            if len(after) == len(before) and _names(after) == _names(before):
                return False
            content = records.content(self._keys, replace(draft, record=replace(record, attachments=after)))
            for name, data in content.files.items():
                self._blobs.put(name, data)
            unit = Unit(draft.key, "mail", _writes(draft, content, after, rows), content.weight)
            try:
                self._feed.append(bucket(draft.key), [unit])
            except (Exists, Stale):
                continue  # removed, or stored again, since it was read
            return True
        raise Retry("Other workers are storing the same mail.", after=5)

    def _found(self, record: MailRecord) -> tuple[Draft | None, Mapping[str, Row]]:
        """The mail as which this copy stands, with its rows: its own, or one that was told apart."""
        draft = Draft(record.key, record)
        rows = self._rows(draft.key)
        copy = rows.get(_sighting(draft))
        if copy is None:
            return None, rows
        subject = records.mark(self._keys, record.envelope.subject)
        if record.envelope.id != copy.values.get("item") and subject != copy.values.get("mark"):
            draft = records.told_apart(self._keys, draft)
            rows = self._rows(draft.key)
        return (draft if f"r|{draft.key}" in rows and _sighting(draft) in rows else None), rows

    def _files(self, body: Row) -> tuple[Filed, ...]:
        large = orjson.loads(str(body.values.get("large") or "{}"))
        if "files" not in large:
            return records.read_attachments(str(body.values.get("files", "")))
        blob = self._blobs.get(large["files"])
        return records.read_attachments(blob.data.decode()) if blob else ()

    def _rows(self, key: str) -> dict[str, Row]:
        return {row.key: row for row in self._tables.rows(TABLE, bucket(key), f"r|{key}", f"r|{key}~")}


def united(before: Sequence[Filed], after: Sequence[Filed]) -> tuple[Filed, ...]:
    """What hangs on a mail, read again: what has no bytes this time keeps those it had. Pure."""
    had = {(one.attachment.name, one.attachment.size): one for one in before if one.file}
    found = [one if one.file else had.get((one.attachment.name, one.attachment.size), one) for one in after]
    there = {one.file for one in found}
    return (*found, *(one for one in before if one.file and one.file not in there))


def _names(many: Sequence[Filed]) -> set[str]:
    return {one.file for one in many if one.file}


def _writes(draft: Draft, content: Content, files: Sequence[Filed], rows: Mapping[str, Row]) -> list[Write]:
    """The record over what was read, the body, and beside the copy the files it brought: whoever erases the mail finds
    them all."""
    writes = [Write("merge", f"r|{draft.key}", {"type": "mail"}, rows[f"r|{draft.key}"].version)]
    writes += records.body_writes(draft, content)
    copy = rows[_sighting(draft)]
    known = orjson.loads(str(copy.values.get("files") or "[]"))
    named = orjson.dumps(sorted({*known, *content.files, *_names(files)})).decode()
    if len(named) <= records.INLINE_BYTES:
        writes.append(Write("merge", copy.key, {"files": named}))
    return writes


def _sighting(draft: Draft) -> str:
    return f"r|{draft.key}|s|{draft.record.mailbox}"
