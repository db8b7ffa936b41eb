"""One request on its way through the routes, with everything a route needs to answer it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import orjson

from dev.tenant.exchange import Json, Refusal, Request, not_built
from dev.tenant.mail import View
from dev.tenant.mailbox import Mailbox
from dev.tenant.odata import Prefer, Query, prefer_of, query_of, segments_of

if TYPE_CHECKING:
    from dev.tenant.state import Account, Tenant


@dataclass(frozen=True, slots=True)
class Call:
    """`base` is scheme and host with /v1.0, `path` the rest as the client wrote it, `segments` the same in parts."""

    tenant: Tenant
    method: str
    base: str
    path: str
    segments: tuple[str, ...]
    query: Query
    query_text: str
    prefer: Prefer
    request: Request = field(repr=False)

    def page_size(self, top: int | None, default: int) -> int:
        """How many items a page holds: $top, else odata.maxpagesize, else the default, never above the switch's cap."""
        size = top or self.prefer.page or default
        cap = self.tenant.switches.page_size_cap
        return size if cap is None else min(size, cap)

    def view(self, *, single: bool = False) -> View:
        """How this client wants to see messages."""
        return View(self.prefer.immutable, self.prefer.text, single)

    def account(self, user: str) -> Account:
        """The directory's user; a 404 as the directory words it."""
        found = self.tenant.find(user)
        if found is None:
            raise Refusal(404, "Request_ResourceNotFound", f"The directory has no user {user!r}.")
        return found

    def mailbox(self, user: str) -> Mailbox:
        """The user's mailbox; a 404 as Exchange words it."""
        found = self.tenant.find(user)
        if found is None:
            raise Refusal(404, "ErrorInvalidUser", f"No mailbox belongs to {user!r}.")
        if found.mailbox is None:
            raise Refusal(
                404, "MailboxNotEnabledForRESTAPI", "This mailbox is inactive, soft-deleted, or hosted on premises."
            )
        return found.mailbox

    def past(self, user: str) -> Mailbox:
        """The user's mailbox as lists and deltas show it, which may lag behind."""
        box, lag = self.mailbox(user), self.tenant.switches.lag_seconds
        return box.as_of(self.tenant.now() - timedelta(seconds=lag)) if lag else box

    def json(self) -> Json:
        """The body as an object, names as the client spelled them; {} for no body, a 400 for anything else."""
        if not self.request.body.strip():
            return {}
        try:
            read = orjson.loads(self.request.body)
        except ValueError:
            raise Refusal(400, "RequestBodyRead", "The body is not JSON.") from None
        if not isinstance(read, dict):
            raise Refusal(400, "RequestBodyRead", "The body is not a JSON object.")
        return read

    def link(self, *path: str, query: str) -> str:
        """An absolute link in the form delta answers use: users('x')/mailFolders('y')/..."""
        return f"{self.base}/{'/'.join(path)}?{query}"

    def chosen(self, path: str) -> str:
        """A path with what $select names, as contexts show it."""
        names = self.query.get("$select").strip()
        return f"{path}({names})" if names else path

    def context(self, text: str) -> str:
        """An @odata.context."""
        return f"{self.base}/$metadata#{text}"


def keyed(collection: str, key: str) -> str:
    """collection('key')."""
    return f"{collection}('{quote(key, safe='@')}')"


def call_of(tenant: Tenant, request: Request) -> Call:
    """Take a Graph URL apart; refuses what is not v1.0."""
    parts = urlsplit(request.url)
    segments = segments_of(parts.path)
    if not segments or segments[0].lower() != "v1.0":
        raise not_built(f"{request.method} {parts.path}: only /v1.0 is imitated")
    path = parts.path.lstrip("/")[len("v1.0") :].strip("/")
    return Call(
        tenant=tenant,
        method=request.method.upper(),
        base=f"{parts.scheme}://{parts.netloc}/v1.0",
        path=path,
        segments=segments[1:],
        query=query_of(parts.query),
        query_text=parts.query,
        prefer=prefer_of(request.header("Prefer")),
        request=request,
    )
