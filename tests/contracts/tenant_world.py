"""A tenant with two users, a clock that stands still, and a signed-in session at one of its doors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import quote

import requests

from dev.detour import ORIGINS, DetourAdapter
from dev.tenant import Mailbox, Switches, Tenant, TenantAdapter, serve
from tests.oracle import check

DAY = date(2026, 11, 20)
NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
GRAPH = "https://graph.microsoft.com/v1.0"
ADA = "ada@cedar.example"
BOB = "bob@cedar.example"
IMMUTABLE = 'IdType="ImmutableId"'

Json = dict[str, Any]


class Clock:
    """Time that passes only when told to."""

    def __init__(self) -> None:
        self.time = NOW

    def __call__(self) -> datetime:
        return self.time

    def pass_(self, **amount: float) -> None:
        self.time += timedelta(**amount)


@dataclass(slots=True)
class World:
    """What a test works with."""

    tenant: Tenant
    clock: Clock
    session: requests.Session
    token: str = ""

    @property
    def ada(self) -> Mailbox:
        return self.tenant.user(ADA)

    def ask(self, method: str, path: str, prefer: str = "", **more: Any) -> requests.Response:
        """A signed-in request; `path` is relative to /v1.0 or a whole link."""
        headers = {"Authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        if prefer:
            headers["Prefer"] = prefer
        url = path if path.startswith("http") else GRAPH + path
        return self.session.request(method, url, headers=headers, timeout=5, **more)

    def get(self, path: str, prefer: str = "") -> Json:
        """The JSON of a GET that must succeed."""
        response = self.ask("GET", path, prefer)
        assert response.status_code == 200, response.text
        return response.json()

    def refusal(self, path: str, prefer: str = "") -> tuple[int, str]:
        """Status and code of a GET that must not succeed."""
        response = self.ask("GET", path, prefer)
        return response.status_code, response.json()["error"]["code"]

    def pages(self, path: str, prefer: str = "") -> list[Json]:
        """All pages from here to the end."""
        out = [self.get(path, prefer)]
        while "@odata.nextLink" in out[-1]:
            out.append(self.get(out[-1]["@odata.nextLink"], prefer))
            assert len(out) < 200, "paging does not end"
        return out

    def items(self, path: str, prefer: str = "") -> list[Json]:
        """The items of all pages."""
        return [item for page in self.pages(path, prefer) for item in page["value"]]

    def batch(self, *parts: Json) -> requests.Response:
        """A $batch of these requests."""
        return self.ask("POST", "/$batch", json={"requests": list(parts)})

    def sign_in(self, **changes: str) -> requests.Response:
        """A token request with some fields changed."""
        form = {
            "grant_type": "client_credentials",
            "client_id": self.tenant.client_id,
            "client_secret": self.tenant.client_secret,
            "scope": "https://graph.microsoft.com/.default",
            **changes,
        }
        tenant = form.pop("tenant", self.tenant.tenant_id)
        url = f"https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"
        return self.session.post(url, data=form, timeout=5)


@contextmanager
def open_world(door: str = "process", switches: Switches | None = None, judged: bool = True) -> Iterator[World]:
    """A world at the door "process" or "server". At its end every exchange is held against Microsoft's schema."""
    clock = Clock()
    tenant = Tenant(DAY, clock, switches or Switches())
    tenant.add_user(ADA, "Ada Lovell", ("a.lovell@cedar.example",))
    tenant.add_user(BOB, "Bob Finch")
    tenant.recording = True
    with ExitStack() as stack:
        session = stack.enter_context(requests.Session())
        session.trust_env = False
        session.adapters.clear()
        adapter: Any = TenantAdapter(tenant)
        if door == "server":
            server = serve(tenant)
            stack.callback(server.stop)
            adapter = DetourAdapter(server.port)
        for origin in ORIGINS:
            session.mount(origin + "/", adapter)
        world = World(tenant, clock, session)
        world.token = world.sign_in().json()["access_token"]
        yield world
        found = check(tenant.exchanges) if judged else []
        assert not found, "\n".join(found)


def inbox(query: str = "") -> str:
    """The path of Ada's inbox messages."""
    return f"/users/{ADA}/mailFolders/inbox/messages{query}"


def inbox_delta(query: str = "") -> str:
    """The path of Ada's inbox delta."""
    return f"/users/{ADA}/mailFolders/inbox/messages/delta{query}"


def message(id: str, more: str = "") -> str:
    """The path of one of Ada's messages."""
    return f"/users/{ADA}/messages/{quote(id, safe='')}{more}"


def fill(world: World, count: int, **fields: Any) -> list[str]:
    """Deliver mails one minute apart, the oldest first; returns their immutable ids."""
    start = NOW - timedelta(minutes=count)
    return [
        world.ada.deliver(
            subject=f"Mail {at}", author="Cy <cy@client.example>", received=start + timedelta(minutes=at), **fields
        )
        for at in range(count)
    ]
