"""Requests out. Pure: what to ask Microsoft Graph, and how; `answers` says what comes back."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import orjson

from sync.errors import BadItem, ForeignLink, Scope
from sync.kinds.mail import ATTACHMENT_FIELDS, LIGHT_FIELDS

ROOT = "https://graph.microsoft.com/v1.0"
BATCH_URL = f"{ROOT}/$batch"
BODY_FIELDS = "id,body,internetMessageHeaders"
LIST_PAGE = 1000
DELTA_PAGE = 500
BATCH = 20
# One answer of bodies should stay near this size: a worker holds it whole.
BATCH_BYTES = 4 * 1024 * 1024
# Of an answer above this nothing more is read: a dozen jobs share a worker's memory.
ANSWER_MB = 32
NOT_READ = f"[What this mail says was not read: it is larger than {ANSWER_MB} MB.]"

# What has no meaning of its own in the language of the search.
_SEARCHABLE = re.compile(r"[\w.+-]+@[\w.-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `headers` are what Graph should know, the token is added where it is sent. `scope` is who has to
    wait when it is refused."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    units: int = 1
    scope: Scope = "mailbox"


# Immutable ids survive a move between folders; the preference counts for one request only.
_IDS = {"Prefer": 'IdType="ImmutableId"'}


def user(address: str) -> Request:
    """The user behind a mailbox address, with all his addresses."""
    url = f"{ROOT}/users/{segment(address)}?$select=id,mail,userPrincipalName,proxyAddresses"
    return Request("GET", url, scope="connection")


def anybody() -> Request:
    """One user of the directory, whoever it is: what the app may always ask where it is set up.

    https://learn.microsoft.com/graph/api/user-list
    """
    return Request("GET", f"{ROOT}/users?$top=1&$select=id", scope="connection")


def folder_changes(user_id: str, cursor: str = "") -> Request:
    """Changes of the folder tree since a cursor."""
    if cursor:
        return follow(cursor)
    select = "displayName,parentFolderId,isHidden"
    return Request("GET", f"{ROOT}/users/{segment(user_id)}/mailFolders/delta?$select={select}", _paged(DELTA_PAGE))


def well_known(user_id: str, names: Sequence[str]) -> list[Request]:
    """Batches that ask which of these well-known folders exist; part id = place in `names`."""
    urls = [f"/users/{segment(user_id)}/mailFolders/{segment(name)}?$select=id" for name in names]
    return [batch(urls[at : at + BATCH], at) for at in range(0, len(urls), BATCH)]


def open_folder(user_id: str, folder: str, since: datetime, page: int = DELTA_PAGE) -> Request:
    """The first page of a folder's message delta, from a time received on."""
    query = _query({"$select": ",".join(LIGHT_FIELDS), "$filter": f"receivedDateTime ge {instant(since)}"})
    return Request(
        "GET",
        f"{ROOT}/users/{segment(user_id)}/mailFolders/{segment(folder)}/messages/delta?{query}",
        _paged(page),
    )


def follow(link: str, page: int = DELTA_PAGE) -> Request:
    """The page behind a link that Graph gave us; raises ForeignLink for any other."""
    return Request("GET", checked(link), _paged(page))


def older(user_id: str, since: datetime | None, until: datetime, newest_first: bool, page: int = LIST_PAGE) -> Request:
    """Messages of all folders received in [since, until], light fields only."""
    return _by_date(user_id, "receivedDateTime", (since, until), newest_first, page)


def changed(
    user_id: str, since: datetime | None, until: datetime, newest_first: bool, page: int = LIST_PAGE
) -> Request:
    """Messages of all folders last changed in [since, until], light fields only."""
    return _by_date(user_id, "lastModifiedDateTime", (since, until), newest_first, page)


def searchable(address: str) -> bool:
    """Whether an address means nothing but itself in the language of the search.

    https://learn.microsoft.com/graph/search-query-parameter
    """
    return bool(_SEARCHABLE.fullmatch(address))


def search(user_id: str, address: str, page: int = LIST_PAGE) -> Request:
    """Messages that somebody with this address takes part in; the address is a searchable one."""
    query = _query({"$search": f'"participants:{address}"', "$select": ",".join(LIGHT_FIELDS), "$top": str(page)})
    return Request("GET", f"{ROOT}/users/{segment(user_id)}/messages?{query}", _IDS)


def message(user_id: str, name: str) -> Request:
    """A message by its light fields: by Graph's id, or by its message id in angle brackets."""
    select = ",".join(LIGHT_FIELDS)
    if name.startswith("<"):
        quoted = name.replace("'", "''")
        query = _query({"$select": select, "$filter": f"internetMessageId eq '{quoted}'", "$top": "1"})
        return Request("GET", f"{ROOT}/users/{segment(user_id)}/messages?{query}", _IDS)
    return Request(
        "GET", f"{ROOT}/users/{segment(user_id)}/messages/{segment(name)}?{_query({'$select': select})}", _IDS
    )


def bodies(user_id: str, ids: Sequence[str]) -> Request:
    """One batch that reads what these messages say; part id = place in `ids`."""
    return batch([f"/users/{segment(user_id)}/messages/{segment(one)}?$select={BODY_FIELDS}" for one in ids])


def attachments(user_id: str, ids: Sequence[str]) -> Request:
    """One batch that lists what hangs on these messages, without the bytes; part id = place in `ids`."""
    select = ",".join(ATTACHMENT_FIELDS)
    return batch([f"/users/{segment(user_id)}/messages/{segment(one)}/attachments?$select={select}" for one in ids])


def attachment_bytes(user_id: str, message: str, attachment: str) -> Request:
    """The bytes of one attachment; of an enclosed item they are its MIME."""
    path = f"/users/{segment(user_id)}/messages/{segment(message)}/attachments/{segment(attachment)}/$value"
    return Request("GET", ROOT + path, _IDS)


def next_batch_size(size: int, answer_bytes: int) -> int:
    """How many bodies to ask for next, so that an answer stays near BATCH_BYTES."""
    each = max(1, answer_bytes // max(1, size))
    return max(1, min(BATCH, BATCH_BYTES // each))


def checked(link: str) -> str:
    """The link itself if it leads to Graph v1.0 over https and nowhere else (S13)."""
    path = urllib.parse.unquote(link.partition("?")[0])
    if not link.startswith(ROOT + "/") or "\\" in path or {".", ".."} & set(path.split("/")):
        raise ForeignLink("Microsoft Graph handed out a link to another place; it was not followed.")
    return link


def instant(moment: datetime) -> str:
    """A time as OData writes it, to the second below."""
    return moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def batch(urls: Sequence[str], first: int = 0) -> Request:
    """These addresses below the root in one request, at most BATCH; part ids count from `first`."""
    parts = [{"id": str(first + place), "method": "GET", "url": url, "headers": _IDS} for place, url in enumerate(urls)]
    headers = {"Content-Type": "application/json"}
    return Request("POST", BATCH_URL, headers, orjson.dumps({"requests": parts}), units=len(parts), scope="app")


def _by_date(
    user_id: str, field: str, between: tuple[datetime | None, datetime], newest_first: bool, page: int
) -> Request:
    since, until = between
    bounds = f"{field} le {instant(until)}"
    if since is not None:
        bounds = f"{field} ge {instant(since)} and {bounds}"
    query = _query(
        {
            "$select": ",".join(LIGHT_FIELDS),
            "$filter": bounds,
            "$orderby": f"{field} desc" if newest_first else f"{field} asc",
            "$top": str(page),
        }
    )
    return Request("GET", f"{ROOT}/users/{segment(user_id)}/messages?{query}", _IDS)


def _paged(size: int) -> dict[str, str]:
    return {"Prefer": f'IdType="ImmutableId", odata.maxpagesize={size}'}


def _query(options: Mapping[str, str]) -> str:
    return urllib.parse.urlencode(options, quote_via=urllib.parse.quote, safe="$,:")


def segment(text: str) -> str:
    """A text as one segment of a path; raises BadItem for what no id is."""
    # A lone dot segment would survive quoting and be folded away on the road (S23).
    if text in (".", "..", ""):
        raise BadItem("id", "An id of Microsoft Graph is never empty or made of dots.")
    return urllib.parse.quote(text, safe="@")
