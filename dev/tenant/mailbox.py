"""A mailbox: what its owner and the world do to it. Every change is noted in the log of the folder it happens in.

Every change is kept in a journal too. A mailbox as it was some time ago is another one on which the journal is carried
out up to there; ids, logs and marks are functions of what was done, so its delta tokens are good for the present one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from threading import RLock
from typing import Any, TypeVar

from dev.firm import FirmMailbox, MailFile
from dev.tenant.compose import composed
from dev.tenant.exchange import Json
from dev.tenant.faults import Switches
from dev.tenant.folders import DEFAULT_FOLDERS, Entry, Folder, Log, Timeline
from dev.tenant.ids import Ids, twin_of
from dev.tenant.mail import Message, stamp_of

_MESSAGE_ID = re.compile(r"<[^<>\s]+>")
_REPLY = re.compile(r"^\s*((re|aw|fw|fwd|wg|tr|sv)\s*:\s*)+", re.IGNORECASE)

Method = TypeVar("Method", bound=Callable[..., Any])


def journaled(method: Method) -> Method:
    """A method that changes a mailbox: under its lock, and kept with its time; what it calls itself is part of it."""

    @wraps(method)
    def run(box: Mailbox, *given: Any, **named: Any) -> Any:
        with box._lock:
            outer, box._inside = not box._inside, True
            at = box._clock()
            try:
                result = method(box, *given, **named)
            finally:
                box._inside = not outer
            if outer:
                box._journal.append((at, method.__name__, given, named))
            return result

    return run  # type: ignore[return-value]


class Mailbox:
    """One user's mailbox. Methods take folders by id, well-known name or path ("inbox/Clients"), messages by id."""

    def __init__(
        self, ids: Ids, lock: RLock, clock: Callable[[], datetime], switches: Switches, address: str, key: str = ""
    ) -> None:
        self.address = address
        # What ids are made of: another one for a mailbox that takes the place of one that was removed.
        self._key = key or address
        self.folders: dict[str, Folder] = {}
        self.known: dict[str, str] = {}
        self.messages: dict[str, Message] = {}
        self.timeline = Timeline()
        self.tree: Log[Folder] = Log(ids.hex, "folders " + self._key)
        self._ids = ids
        self._lock = lock
        self._clock = clock
        self._switches = switches
        self._moving: dict[str, Message] = {}
        self._places: dict[str, Entry[Message]] = {}
        self._branches: dict[str, Entry[Folder]] = {}
        self._copies: Counter[bytes] = Counter()
        self._threads: dict[str, str] = {}
        self._delivered = 0
        self._made_folders = 0
        self._newest = ""
        self._journal: list[tuple[datetime, str, Any, Any]] = []
        self._inside = False
        self._past: tuple[Mailbox, list[datetime]] | None = None
        self.nameless = ""
        for known, name, parent, hidden in DEFAULT_FOLDERS:
            self._plant(
                name, self.known.get(parent) or self._ids.item("AAMk", self._key, "root", self._key), hidden, known
            )

    # -- mail

    @journaled
    def load(self, mailbox: FirmMailbox) -> None:
        """Take in mail that was there before anybody looked; ids are functions of content."""
        for mail in mailbox.mail:
            content = self._content(mail)
            self._copies[content] += 1
            parts = ("load", content, str(self._copies[content]))
            self._take(mail, self._folder_for(mail.folder), parts, stamp_of(mail.received))

    def deliver(self, mail: MailFile | None = None, *, read: bool | None = None, **fields: Any) -> str:
        """A mail arrives now, given whole or by the keywords of MailFile; returns its immutable id.

        `author`, `to` and the like may be texts ("Name <address>"). Left out: the folder is the inbox, the time is now,
        the Message-ID is made up ("" leaves it away). In the drafts folder it is a draft.
        """
        with self._lock:
            if mail is None:
                mail = self._composed(fields)
            elif fields:
                raise TypeError(f"Give a whole mail or its fields, not both: {', '.join(fields)}.")
            return self.place(mail, read=read)

    @journaled
    def place(
        self,
        mail: MailFile,
        folder: str = "",
        *,
        draft: bool | None = None,
        read: bool | None = None,
        extra: Json | None = None,
        extended: dict[str, str] | None = None,
    ) -> str:
        """Put a mail into a folder (id or well-known name; the mail's own path by default); returns the immutable id.

        Left out: it is a draft in the drafts folder only, and read where the owner wrote it himself.
        """
        target = self.folder(folder) if folder else self._folder_for(mail.folder)
        self._delivered += 1
        parts = ("run", str(self._delivered), self._content(mail))
        message = self._take(mail, target, parts, stamp_of(mail.received), read)
        message.draft = message.draft if draft is None else draft
        message.extra.update(extra or {})
        message.extended.update(extended or {})
        message.modified = self._now()
        return message.id

    @journaled
    def edit(
        self,
        id: str,
        mail: MailFile | None = None,
        *,
        read: bool | None = None,
        draft: bool | None = None,
        extra: Json | None = None,
        extended: dict[str, str] | None = None,
    ) -> None:
        """Change a message where it lies; what is left out stays."""
        message = self.message(id)
        if mail is not None and mail is not message.mail:
            self._restamped(message, mail)
        message.read = message.read if read is None else read
        message.draft = message.draft if draft is None else draft
        message.extra.update(extra or {})
        message.extended.update(extended or {})
        message.edited()
        self._touch(message)
        self.folders[message.folder].log.updated(self._places[message.moving])

    @journaled
    def move(self, id: str, folder: str) -> str:
        """Move a message; its ordinary id changes, the immutable one returned here does not."""
        message, target = self.message(id), self.folder(folder)
        if message.folder == target.id:
            return message.id
        self._leave(message)
        message.moves += 1
        message.moving = self._ids.item("AAMk", self._key, "moved", message.id, str(message.moves))
        message.folder = target.id
        self._touch(message)
        self._enter(message, target)
        return message.id

    @journaled
    def copy(self, id: str, folder: str) -> str:
        """Put a copy of a message into a folder; returns the copy's immutable id."""
        one = self.message(id)
        more: Json = {"extra": dict(one.extra), "extended": dict(one.extended)}
        return self.place(one.mail, self.folder(folder).id, draft=one.draft, read=one.read, **more)

    def delete(self, id: str) -> None:
        """Move a message to Deleted Items."""
        self.move(id, "deleteditems")

    @journaled
    def purge(self, id: str) -> None:
        """Remove a message for good."""
        message = self.message(id)
        self._leave(message)
        self.timeline.discard(message)
        message.folder = ""
        del self.messages[message.id]

    def mark_read(self, id: str, read: bool = True) -> None:
        """Mark a message as read or unread."""
        self.edit(id, read=read)

    def message(self, id: str) -> Message:
        """A message by its immutable or its present ordinary id; KeyError where there is none."""
        found = self.messages.get(id) or self._moving.get(id)
        if found is None:
            raise KeyError(f"{self.address} has no message {id!r}.")
        return found

    # -- folders

    def folder(self, place: str) -> Folder:
        """A folder by id, well-known name or path of display names; KeyError where there is none."""
        found = self.folders.get(place) or self.folders.get(self.known.get(place.lower(), ""))
        if found is None and "/" in place:
            above, _, name = place.rpartition("/")
            found = self._child(self.folder(above), name)
        if found is None:
            found = self._child(self.folders[self.known["msgfolderroot"]], place)
        if found is None:
            raise KeyError(f"{self.address} has no folder {place!r}.")
        return found

    @journaled
    def add_folder(self, name: str, parent: str = "msgfolderroot", hidden: bool = False) -> str:
        """Make a folder; returns its id."""
        return self._plant(name, self.folder(parent).id, hidden, "").id

    @journaled
    def rename_folder(self, folder: str, name: str) -> None:
        """Give a folder another name."""
        found = self.folder(folder)
        found.name = name
        self.tree.updated(self._branches[found.id])

    @journaled
    def move_folder(self, folder: str, parent: str) -> None:
        """Hang a folder below another one; deleting a folder in Outlook hangs it below Deleted Items."""
        found = self.folder(folder)
        found.parent = self.folder(parent).id
        self.tree.updated(self._branches[found.id])

    @journaled
    def remove_folder(self, folder: str) -> None:
        """Remove a folder for good, with all folders and messages in it."""
        found = self.folder(folder)
        for below in self.children(found.id, hidden=True):
            self.remove_folder(below.id)
        for _, gone, _ in list(found.messages.rows):
            self.purge(gone)
        self.tree.removed(self._branches.pop(found.id))
        del self.folders[found.id]
        self.known.pop(found.known, None)

    @journaled
    def forget_deltas(self) -> None:
        """Drop the state behind all delta tokens given out so far: they are answered as gone."""
        for log in (self.tree, *(folder.log for folder in self.folders.values())):
            log.forget()

    # -- as it was

    def as_of(self, when: datetime) -> Mailbox:
        """This mailbox as it was at that time, to be looked at only; what was loaded was always there."""
        with self._lock:
            past = self._past
            if past is None or past[1][0] > when:
                past = self._past = self._blank()
            box, times = past
            while len(box._journal) < len(self._journal):
                at, method, given, named = self._journal[len(box._journal)]
                always = method == "load"
                if at > when and not always:
                    break
                times[0] = times[0] if always else at
                getattr(box, method)(*given, **named)
            return box

    def _blank(self) -> tuple[Mailbox, list[datetime]]:
        times = [datetime.min.replace(tzinfo=UTC)]
        return Mailbox(self._ids, self._lock, lambda: times[0], self._switches, self.address, self._key), times

    def children(self, parent: str, *, hidden: bool) -> list[Folder]:
        """The folders right below one, in the order they were made."""
        return [one for one in self.folders.values() if one.parent == parent and (hidden or not one.hidden)]

    # -- inside

    def _take(
        self, mail: MailFile, folder: Folder, parts: tuple[str | bytes, ...], stamp: int, read: bool | None = None
    ) -> Message:
        key = self._ids.item("AAkA", self._key, self._key, *parts)
        if self._switches.case_twins and len(self.messages) % 2:
            key = twin_of(self._newest)
        own = folder.known in ("sentitems", "drafts", "outbox")
        message = Message(
            id=key,
            moving=self._ids.item("AAMk", self._key, "born", key),
            mail=mail,
            folder=folder.id,
            stamp=stamp,
            modified=mail.received,
            conversation=self._conversation(mail),
            draft=folder.known == "drafts",
            read=own if read is None else read,
            digest=self._ids.digest,
        )
        self._newest = key
        self.nameless = self.nameless or key
        self.messages[key] = message
        self.timeline.add(message)
        self._enter(message, folder)
        return message

    def _restamped(self, message: Message, mail: MailFile) -> None:
        lines = (self.timeline, self.folders[message.folder].messages)
        for line in lines:
            line.discard(message)
        message.mail, message.stamp = mail, stamp_of(mail.received)
        for line in lines:
            line.add(message)

    def _enter(self, message: Message, folder: Folder) -> None:
        self._moving[message.moving] = message
        folder.messages.add(message)
        self._places[message.moving] = folder.log.created(message.moving, message)

    def _leave(self, message: Message) -> None:
        folder = self.folders[message.folder]
        folder.messages.discard(message)
        folder.log.removed(self._places.pop(message.moving))
        del self._moving[message.moving]

    def _touch(self, message: Message) -> None:
        message.version += 1
        message.modified = self._now()

    def _now(self) -> datetime:
        return self._clock()

    def _composed(self, fields: dict[str, Any]) -> MailFile:
        made_up = f"<{self._delivered + 1}.{self._ids.hex(6, 'message', self._key)}@mail.example>"
        fields = {"author": None, "message_id": made_up, "received": self._now(), **fields}
        return composed(**{**fields, "sent": fields.get("sent", fields["received"])})

    def _content(self, mail: MailFile) -> bytes:
        if mail.raw:
            return self._ids.digest(16, mail.name, mail.raw)
        author = mail.author.address if mail.author else ""
        return self._ids.digest(16, mail.name, mail.message_id, mail.subject, author, mail.body)

    def _conversation(self, mail: MailFile) -> str:
        said = {name.lower(): value for name, value in mail.headers}
        before = _MESSAGE_ID.findall(said.get("references", "")) or _MESSAGE_ID.findall(said.get("in-reply-to", ""))
        topic = _REPLY.sub("", mail.subject).strip().lower()
        key = before[0] if before else mail.message_id or topic
        root = self._threads.get(key, key)
        if mail.message_id:
            self._threads.setdefault(mail.message_id, root)
        return "AAQk" + self._ids.text(30, "mailbox", self._key) + self._ids.text(15, "thread", root)

    def _folder_for(self, path: str) -> Folder:
        at: Folder | None = None
        for step in path.strip("/").split("/"):
            root = self.folders[self.known["msgfolderroot"]]
            known = self.folders.get(self.known.get(step.lower(), "")) if at is None else None
            above = at or root
            at = known or self._child(above, step) or self._plant(step, above.id, False, "")
        return at if at is not None else self.folder("inbox")

    def _child(self, above: Folder, name: str) -> Folder | None:
        wanted = name.lower()
        return next((one for one in self.children(above.id, hidden=True) if one.name.lower() == wanted), None)

    def _plant(self, name: str, parent: str, hidden: bool, known: str) -> Folder:
        self._made_folders += 1
        # Named by where it hangs, so that the ids do not depend on which mail was loaded first.
        key = self._ids.item("AAMk", self._key, "folder", known or parent, known or name)
        if key in self.folders:
            key = self._ids.item("AAMk", self._key, "folder", parent, name, str(self._made_folders))
        folder = Folder(key, name, parent, hidden, known, Log(self._ids.hex, key))
        self.folders[key] = folder
        if known:
            self.known[known] = key
        self._branches[key] = self.tree.created(key, folder)
        return folder
