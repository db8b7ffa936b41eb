"""The tenant: a directory of users with mailboxes, a sign-in service and Graph, all behind one `handle`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from threading import RLock
from typing import Any
from urllib.parse import urlsplit

import orjson

from dev.firm import Firm
from dev.tenant import graph, uploads
from dev.tenant.exchange import Json, Refusal, Request, Response
from dev.tenant.faults import DAMAGE, REFUSALS, Faults, Switches
from dev.tenant.ids import Ids
from dev.tenant.limits import Grant, Quota, Traffic, mailboxes_in
from dev.tenant.login import App, SignIn
from dev.tenant.mailbox import Mailbox
from dev.tenant.tally import Tally, exchange_of
from dev.tenant.transport import Sent, Transport
from dev.tenant.uploads import Upload


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the directory; one without a mailbox has no licence, or his mailbox is on premises."""

    id: str
    address: str
    name: str
    aliases: tuple[str, ...]
    mailbox: Mailbox | None

    @property
    def addresses(self) -> frozenset[str]:
        """All addresses mail reaches him at, in lower case."""
        return frozenset(one.lower() for one in (self.address, *self.aliases))


class Tenant:
    """A small Microsoft 365 tenant. Its ids and tokens are functions of what is loaded and of `day`.

    `latency` (seconds) is slept per request outside the lock, for a batch once per four parts of one mailbox.
    While `recording` is set, `exchanges` grows by every request to Graph. `outbox` holds mail sent to anyone.
    `before` and `after` are called with every request, outside the lock, before it is looked at and when its work is
    done: a test stops the world there, changes it, or ends the caller by raising.
    `send_as` are (user id, address) of those who may send as somebody else.
    """

    def __init__(self, day: date, clock: Callable[[], datetime], switches: Switches = Switches()) -> None:  # noqa: B008 - frozen
        self.day = day
        self.switches = switches
        self.ids = Ids(day)
        self.tenant_id = self.ids.guid("tenant")
        self.client_id = self.ids.guid("client")
        self.client_secret = self.ids.text(24, "secret")
        self.accounts: list[Account] = []
        self.faults = Faults()
        self.tally = Tally()
        self.traffic = Traffic()
        self.latency = 0.0
        self.recording = False
        self.exchanges: list[Json] = []
        self.outbox: list[Sent] = []
        self.uploads: dict[str, Upload] = {}
        self.send_as: set[tuple[str, str]] = set()
        self.before: list[Callable[[Request], None]] = []
        self.after: list[Callable[[Request], None]] = []
        self.quota = Quota()
        self.transport = Transport(self)
        self._clock = clock
        self._lock = RLock()
        self._names: dict[str, Account] = {}
        self._left: Counter[str] = Counter()
        self._unlicensed: dict[str, Mailbox] = {}
        self._numbers = 0
        self.sign_in = SignIn(App(self.tenant_id, self.client_id, self.client_secret), self.ids, self.now)

    # -- who and what is there

    def load(self, firm: Firm) -> None:
        """Add a firm's mailboxes with their mail."""
        with self._lock:
            for one in firm.mailboxes:
                account = self.add_user(one.address, one.name, one.aliases)
                if account.mailbox is not None:
                    account.mailbox.load(one)

    def add_user(self, address: str, name: str = "", aliases: tuple[str, ...] = (), *, mailbox: bool = True) -> Account:
        """Add a user; ValueError where one of the addresses is taken."""
        with self._lock:
            taken = [one for one in (address, *aliases) if one.lower() in self._names]
            if taken:
                raise ValueError(f"The tenant has {taken[0]} already.")
            low = address.lower()
            # One who takes the place of another is another object of the directory.
            key = f"{low} {self._left[low]}" if self._left[low] else low
            box = Mailbox(self.ids, self._lock, self.now, self.switches, low, key) if mailbox else None
            account = Account(self.ids.guid("user", key), address, name or address, tuple(aliases), box)
            self.accounts.append(account)
            for key in (account.id, address, *aliases):
                self._names[key.lower()] = account
            self._accept_domain(address)
            return account

    def remove_user(self, name: str) -> None:
        """Take a user out of the directory, his mailbox with him; KeyError where there is none."""
        with self._lock:
            account = self._account(name)
            self.accounts.remove(account)
            self._left.update(account.addresses)
            self._names = {key: one for key, one in self._names.items() if one is not account}

    def remove_licence(self, name: str) -> None:
        """Close a user's mailbox to Graph, as when his licence goes; he stays in the directory."""
        with self._lock:
            account = self._account(name)
            if account.mailbox is not None:
                self._unlicensed[account.id] = account.mailbox
                self._change(account, mailbox=None)

    def restore_licence(self, name: str) -> None:
        """Open the mailbox again, as it was."""
        with self._lock:
            account = self._account(name)
            self._change(account, mailbox=self._unlicensed.pop(account.id))

    def rename_user(self, name: str, address: str) -> None:
        """Give a user another address; he keeps his id, and mail to the old address still reaches him."""
        with self._lock:
            account = self._account(name)
            taken = self.find(address)
            if taken is not None and taken is not account:
                raise ValueError(f"The tenant has {address} already.")
            others = tuple(one for one in (*account.aliases, account.address) if one.lower() != address.lower())
            self._change(account, address=address, aliases=others)
            self._accept_domain(address)

    def drop_delta_states(self) -> None:
        """From now on no delta token given out so far is believed."""
        with self._lock:
            for account in self.accounts:
                if account.mailbox is not None:
                    account.mailbox.forget_deltas()

    def user(self, name: str) -> Mailbox:
        """A user's mailbox by address, alias or id; KeyError where there is none."""
        account = self.find(name)
        if account is None or account.mailbox is None:
            raise KeyError(f"The tenant has no mailbox {name!r}.")
        return account.mailbox

    def find(self, name: str) -> Account | None:
        """A user by id or any of his addresses."""
        return self._names.get(name.lower())

    def canonical(self, name: str) -> str:
        """One name for a mailbox, whichever of its names is given."""
        account = self.find(name)
        return account.address.lower() if account else name

    def numbered(self) -> int:
        """A number that was not given out before."""
        self._numbers += 1
        return self._numbers

    def now(self) -> datetime:
        """The tenant's time, in UTC."""
        return self._clock().astimezone(UTC)

    def revoke_tokens(self) -> None:
        """From now on no token issued so far is taken."""
        with self._lock:
            self.sign_in.revoke()

    # -- what was asked

    def counts(self) -> dict[str, int]:
        """Units, calls, batches, token_calls, login_calls, body_reads, preview_reads, bytes_out, and one per route."""
        with self._lock:
            names = ("units", "calls", "batches", "token_calls", "login_calls", "body_reads", "bytes_out")
            zero = dict.fromkeys(names, 0)
            return {**zero, **self.tally.counts()}

    @property
    def bodies_read(self) -> set[tuple[str, str]]:
        """(mailbox address, immutable message id) of all that were shown with a body or as MIME."""
        with self._lock:
            return set(self.tally.bodies_read)

    @property
    def high_water(self) -> dict[str, int]:
        """The most requests that were under way at once, by mailbox as the clients name it."""
        return dict(self.traffic.high_water)

    # -- the one door

    def handle(self, request: Request) -> Response:
        """Answer a request to graph.microsoft.com or login.microsoftonline.com (or to any host with such a path)."""
        for hook in tuple(self.before):
            hook(request)
        asked = mailboxes_in(request)
        mailboxes: Counter[str] = Counter()
        for name, amount in asked.items():
            mailboxes[self.canonical(name)] += amount
        with self.traffic.during(mailboxes, self.switches.concurrency) as grant:
            if self.latency:
                time.sleep(self.latency * max(1, -(-sum(mailboxes.values()) // 4)))
            response = self._handled(request, grant)
            for hook in tuple(self.after):
                hook(request)
            return response

    def _handled(self, request: Request, grant: Grant) -> Response:
        with self._lock:
            self.transport.settle()
            if uploads.is_upload(request):
                response = graph.uploaded(self, request)
            elif self._for_graph(request):
                response, exempt = graph.answer(self, request, grant)
                if self.recording:
                    self.exchanges.append(exchange_of(request, response, exempt))
            else:
                response = self._login(request)
            self.tally.count("bytes_out", len(response.body))
            return response

    def _for_graph(self, request: Request) -> bool:
        parts = urlsplit(request.url)
        if parts.hostname == "login.microsoftonline.com":
            return False
        first = parts.path.strip("/").partition("/")[0].lower()
        return parts.hostname == "graph.microsoft.com" or first in ("v1.0", "beta")

    def _login(self, request: Request) -> Response:
        self.tally.count("login_calls")
        if urlsplit(request.url).path.lower().endswith("/token"):
            self.tally.count("token_calls")
        fault = self.faults.due(f"{request.method} {request.url}")
        headers = {"Content-Type": "application/json; charset=utf-8", "Cache-Control": "no-store, no-cache"}
        if fault and fault.kind in REFUSALS:
            refusal = graph.injected(fault, request.url)
            body = orjson.dumps(self.sign_in.struck(fault, refusal.status))
            return Response(refusal.status, {**headers, **refusal.headers}, body)
        try:
            _, status, payload = self.sign_in.answer(request)
        except Refusal as refusal:
            status, payload = refusal.status, {"error": refusal.code, "error_description": refusal.message}
        response = Response(status, headers, orjson.dumps(payload))
        return graph.damaged(fault, response) if fault and fault.kind in DAMAGE else response

    def _account(self, name: str) -> Account:
        account = self.find(name)
        if account is None:
            raise KeyError(f"The tenant has no user {name!r}.")
        return account

    def _change(self, account: Account, **changes: Any) -> None:
        changed = replace(account, **changes)
        self.accounts[self.accounts.index(account)] = changed
        self._names = {key: changed if one is account else one for key, one in self._names.items()}
        self._names[changed.address.lower()] = changed

    def _accept_domain(self, address: str) -> None:
        app = self.sign_in.app
        domain = address.rpartition("@")[2].lower()
        self.sign_in.app = App(app.tenant_id, app.client_id, app.client_secret, app.domains | {domain})
