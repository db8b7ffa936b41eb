"""Answers in. Pure: what an answer of Microsoft Graph means.

A caller above this file reads an error class, never a status code.
https://learn.microsoft.com/graph/errors
"""

from __future__ import annotations

import json as stdjson
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias, TypeVar, cast

import orjson

from sync.errors import (
    AccessDenied,
    BadItem,
    CursorGone,
    ForeignLink,
    Gone,
    MailboxMissing,
    MalformedAnswer,
    NeedsPerson,
    Retry,
    Scope,
    SignInRefused,
    Throttled,
    Unavailable,
)
from sync.graph.wire import checked
from sync.kinds.mail import AttachmentJson, MessageJson, read_attachment, read_body, read_envelope, read_folder
from sync.model import Attachment, Body, Broken, Envelope, FolderRound, MailPage

Thing = TypeVar("Thing")
# What became of one part of a batch: the thing, None where it is gone, Broken where it cannot be read, or a refusal.
Part: TypeAlias = Thing | Broken | Retry | NeedsPerson | None
LONGEST_WAIT = 3600.0
LARGE = 4 * 1024 * 1024

_CURSOR_GONE = {"syncstatenotfound", "resyncrequired", "syncstateinvalid", "syncstatenotfoundorexpired"}
_NO_MAILBOX = {
    "errorinvaliduser",
    "resourcenotfound",
    "request_resourcenotfound",
    "mailboxnotenabledforrestapi",
    "mailboxnothostedinexchangeonline",
    "mailboxnotsupportedforrestapi",
}
_RECONNECT = "Open the connection, check the app's secret and consent, and connect again."
_GRANT = (
    "Grant the app Mail.Read for this mailbox (consent, or the Exchange role assignment that names it) and retry; "
    "a new permission can take two hours to act."
)
_DIRECTORY = "Grant the app User.Read.All with admin consent; a new permission can take two hours to act."
_ADDRESS = "Check the spelling of the address and the licence of the mailbox, or remove the mailbox from Accord."


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, headers by lower-case name. A batch comes parsed, in `json`, and so does a part of it."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    json: Any = None
    scope: Scope = "mailbox"


def read_user(answer: Answer) -> tuple[str, tuple[str, ...]]:
    """Graph's id of a user, and his folded addresses."""
    json = _object(answer, "the user of the mailbox")
    smtp = [one[5:] for one in json.get("proxyAddresses") or () if str(one).lower().startswith("smtp:")]
    names = [json.get("mail"), json.get("userPrincipalName"), *smtp]
    own = dict.fromkeys(str(name).strip().lower() for name in names if name)
    return _text(json, "id", "the user of the mailbox"), tuple(own)


def read_reached(answer: Answer) -> None:
    """Nothing of an answer but whether it is a good one to `wire.anybody`; raises what a refusal means."""
    what = "the users of the directory"
    try:
        _object(answer, what)
    except AccessDenied as denied:
        raise AccessDenied(denied.sentence, _DIRECTORY) from None


def read_folder_page(answer: Answer) -> tuple[FolderRound, str | None]:
    """One page of the folder delta, and the link to the next page if there is one."""
    json = _object(answer, "the mail folders")
    rows = json.get("value") or []
    try:
        folders = tuple(read_folder(row) for row in rows if "@removed" not in row)
        removed = tuple(row["id"] for row in rows if "@removed" in row)
    except (TypeError, AttributeError, KeyError):
        raise MalformedAnswer("Microsoft Graph listed a mail folder of another shape than documented.", 60) from None
    return FolderRound(folders, removed, _link(json, "@odata.deltaLink") or ""), _link(json, "@odata.nextLink")


def read_well_known(answers: Sequence[Answer], names: Sequence[str]) -> dict[str, str]:
    """Ids of the folders that exist, by well-known name; a name Exchange does not know here is left out."""
    found = {}
    for answer in answers:
        for place, part in _parts(answer, "the well-known folders"):
            # Unknown here, or not ours to see: what cannot be named cannot be left out by name.
            if part.status in (400, 403, 404):
                continue
            found[names[place]] = _text(_object(part, "a well-known folder"), "id", "a well-known folder")
    return found


def read_page(answer: Answer, what: str) -> MailPage:
    """One page of messages; a message that cannot be read stands in `broken` and hides nothing beside it."""
    json = _object(answer, what)
    items: list[Envelope] = []
    broken: list[Broken] = []
    removed: list[str] = []
    for row in json.get("value") or []:
        try:
            if "@removed" in row:
                removed.append(row.get("id") or "")
            else:
                items.append(read_envelope(row))
        except BadItem as bad:
            broken.append(Broken(bad.name, bad.sentence))
        except (TypeError, AttributeError, KeyError):
            # Not the shape that Graph documents: this row alone cannot be read.
            broken.append(Broken(_name_of(row), "Microsoft Graph listed a message of another shape than documented."))
    links = _link(json, "@odata.nextLink"), _link(json, "@odata.deltaLink")
    return MailPage(tuple(items), tuple(removed), tuple(broken), *links)


def read_message(answer: Answer) -> Envelope | None:
    """One message, or the first of a list; None where there is none. Raises BadItem for one that cannot be read."""
    try:
        json = _object(answer, "a message")
    except Gone:
        return None
    rows = json.get("value", [json])
    return read_envelope(cast(MessageJson, rows[0])) if rows else None


def read_bodies(answer: Answer, ids: Sequence[str]) -> dict[str, Part[Body]]:
    """What became of each id of a batch of bodies."""

    def body(part: Answer) -> Body:
        return read_body(cast(MessageJson, _object(part, "a message")))

    return read_batch(answer, ids, body)


def read_attachments(answer: Answer, ids: Sequence[str]) -> dict[str, Part[tuple[Attachment, ...]]]:
    """What became of each id of a batch of attachment lists."""

    def listed(part: Answer) -> tuple[Attachment, ...]:
        rows = _object(part, "the attachments of a message").get("value") or []
        return tuple(read_attachment(cast(AttachmentJson, row)) for row in rows)

    return read_batch(answer, ids, listed)


def _link(json: Mapping[str, Any], name: str) -> str | None:
    """A link of a page, refused where it leads elsewhere: once remembered, it would be refused for ever."""
    link = json.get(name)
    return checked(str(link)) if link else None


def _name_of(row: object) -> str:
    known = row.get("id") if isinstance(row, dict) else None
    return known if isinstance(known, str) and known else "a message without an id"


def read_batch(answer: Answer, ids: Sequence[str], read: Callable[[Answer], Thing]) -> dict[str, Part[Thing]]:
    """What became of each id of a batch, as `read` understands its part."""
    found: dict[str, Part[Thing]] = {}
    for place, part in _parts(answer, "a batch of messages"):
        found[ids[place]] = _read_part(part, ids[place], read)
    for one in ids:
        found.setdefault(one, Unavailable("A batch came back without an answer for a message.", 10))
    return found


def _read_part(part: Answer, message: str, read: Callable[[Answer], Thing]) -> Part[Thing]:
    if part.status in (401, 410, 424):
        # Of one message these mean the whole: the token, the session, the batch. Asked again they are answered.
        return Unavailable(f"Microsoft Graph refused a part of a batch for now ({part.status}).", 10)
    try:
        return read(part)
    except (Retry, NeedsPerson) as refused:
        return refused
    except Gone:
        return None
    except (BadItem, CursorGone, ForeignLink) as bad:
        return Broken(message, bad.sentence)
    except (TypeError, AttributeError, KeyError):
        return Broken(message, "Microsoft Graph gave a message of another shape than documented.")


def code_of(answer: Answer) -> str:
    """The error code of an answer, lower case: casing varies between workloads."""
    try:
        error = (answer.json or orjson.loads(answer.body))["error"]
        return str(error.get("code") or "").lower()
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""


def refuse(answer: Answer, what: str) -> NoReturn:
    """Raise what an answer of 300 or above means."""
    status, code = answer.status, code_of(answer)
    asked = f"{what} ({status}{' ' + code if code else ''}, request {answer.headers.get('request-id', 'unknown')})"
    if status == 410 or code in _CURSOR_GONE:
        raise CursorGone(f"Microsoft Graph no longer knows the place in {asked}.")
    if throttled(answer):
        raise Throttled(f"Microsoft Graph asked us to wait before {asked}.", retry_after(answer), scope=answer.scope)
    if status >= 500 or status in (408, 409, 423):
        raise Unavailable(f"Microsoft Graph could not give {asked}.", retry_after(answer))
    if status == 401:
        raise SignInRefused(f"Microsoft Graph refused the token for {asked}.", _RECONNECT)
    if status == 403:
        raise AccessDenied(f"Accord may not read {asked}.", _GRANT)
    if status == 404 and (code in _NO_MAILBOX or not code):
        raise MailboxMissing(f"There is no mailbox behind {asked}.", _ADDRESS)
    if status == 404:
        raise Gone(f"Microsoft Graph no longer has {asked}.")
    if status in (301, 302, 303, 307, 308):
        raise ForeignLink(f"Microsoft Graph redirected {asked}; a token is never sent after a redirect.")
    raise BadItem(what, f"Microsoft Graph refused {asked}.")


def throttled(answer: Answer) -> bool:
    """Whether an answer asks us to wait: a 503 or 504 that names no time is trouble of another kind."""
    return answer.status == 429 or (answer.status in (503, 504) and "retry-after" in answer.headers)


def retry_after(answer: Answer) -> float:
    """Seconds to wait: what the answer says, an hour at most, or half a minute."""
    try:
        said = float(answer.headers.get("retry-after", "30"))
    except ValueError:
        return 30.0
    return min(max(1.0, said), LONGEST_WAIT) if said == said else 30.0


def _object(answer: Answer, what: str) -> dict[str, Any]:
    if answer.status >= 300:
        refuse(answer, what)
    try:
        json = loads(answer.body) if answer.json is None else answer.json
    except (ValueError, RecursionError):
        raise MalformedAnswer(
            f"Microsoft Graph's answer for {what} is not JSON "
            f"(request {answer.headers.get('request-id', 'unknown')}, {len(answer.body)} bytes).",
            30,
        ) from None
    if not isinstance(json, dict) or not isinstance(json.get("value", []), list | None):
        raise MalformedAnswer(f"Microsoft Graph's answer for {what} has another shape than documented.", 30)
    return json


def loads(body: bytes) -> Any:
    """The JSON of a body; raises ValueError or RecursionError."""
    # orjson takes thirteen times a body's length at once: a large one is read by the slower reader, which takes two.
    try:
        return orjson.loads(body) if len(body) <= LARGE else stdjson.loads(body)
    except ValueError:
        # Half of a surrogate pair, which mail does hold, is no reason to lose the page it stands on.
        return stdjson.loads(body)


def _parts(answer: Answer, what: str) -> list[tuple[int, Answer]]:
    parts = []
    try:
        for one in _object(answer, what).get("responses") or []:
            headers = {str(name).lower(): str(value) for name, value in (one.get("headers") or {}).items()}
            parts.append((int(one["id"]), Answer(int(one["status"]), headers, json=one.get("body") or {})))
    except (TypeError, AttributeError, KeyError, ValueError):
        raise MalformedAnswer(f"Microsoft Graph's answer for {what} has parts of another shape.", 30) from None
    return parts


def _text(json: Mapping[str, Any], name: str, what: str) -> str:
    value = json.get(name)
    if not isinstance(value, str) or not value:
        raise MalformedAnswer(f"Microsoft Graph's answer for {what} has no {name}.", 60)
    return value
