"""Faults as values: what goes wrong, at which request, how often. Each door realises broken connections in its way."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dev.tenant.switches import Switches

__all__ = ["DAMAGE", "EXEMPT", "ODD_PAGES", "REFUSALS", "Fault", "Faults", "Switches"]

REFUSALS: dict[str, tuple[int, str, str]] = {
    "throttle": (429, "ApplicationThrottled", "The app sent more than this mailbox takes at the moment."),
    "unavailable": (503, "ServiceUnavailable", "The service cannot answer at the moment."),
    "gateway_timeout": (504, "GatewayTimeout", "The service behind the gateway did not answer in time."),
    "bad_gateway": (502, "BadGateway", "The service behind the gateway gave no answer that can be read."),
    "bandwidth": (509, "BandwidthLimitExceeded", "The app moved more bytes than it may at the moment."),
    "server_error": (500, "ErrorInternalServerTransientError", "Something failed inside; trying again may help."),
    "unauthorized": (401, "InvalidAuthenticationToken", "The access token is no longer valid."),
    "forbidden": (403, "ErrorAccessDenied", "The app has no right to this mailbox."),
    "gone": (410, "syncStateNotFound", "The state behind this delta token was dropped; start a full round."),
    "lost_cursor": (400, "syncStateNotFound", "The state behind this delta token was dropped; start a full round."),
    "not_found": (404, "ErrorItemNotFound", "The store has no such object."),
    "no_mailbox": (404, "MailboxNotEnabledForRESTAPI", "This mailbox is inactive, soft-deleted, or on premises."),
    "bad_request": (400, "ErrorInvalidRequest", "The request cannot be carried out as it is."),
    "conflict": (409, "ErrorIrresolvableConflict", "Somebody else changed the item at the same time."),
    "precondition": (412, "ErrorIrresolvableConflict", "The item has another change key than the request names."),
    "too_large": (413, "ErrorMessageSizeExceeded", "The request is larger than what is taken."),
    "locked": (423, "ErrorMailboxMoveInProgress", "The mailbox is being moved."),
    "full": (507, "ErrorQuotaExceeded", "The mailbox is full."),
    "redirect": (302, "Found", "The answer lies elsewhere."),
}
DAMAGE = ("reset", "truncate", "connect_timeout", "timeout", "malformed", "html")
ODD_PAGES = ("empty_page", "next_loop", "foreign_link", "item_again", "removed_stranger")

# What the contract with Microsoft's schema leaves out: injected faults (recorded with their kind under "exempt", for a
# batch part as "part:<kind>") and the 501 for what the tenant does not imitate.
EXEMPT = frozenset((*REFUSALS, *DAMAGE, *ODD_PAGES, *(f"part:{kind}" for kind in (*REFUSALS, *ODD_PAGES)), "not built"))
ELSEWHERE = "https://graph.microsoft.com.elsewhere.example/v1.0/users"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. `match` is a pattern searched in "METHOD url"; "part:<pattern>" looks at the parts of a batch instead,
    with `position` (from 1) at the part in that place of its batch only.

    It strikes at the `nth` matching request and `times` in a row (None: for ever). `after`: Retry-After in seconds
    (refusals; none where it is None), bytes let through (reset, truncate), seconds of silence (timeouts).
    `status` and `code` replace what the kind would say. `location` adds the Location header some 410 answers have.
    `committed` says whether the request was carried out all the same: by itself a refusal and a connection that was
    never made were not, any other damage comes after the work.
    Odd pages: `empty_page` is empty and its nextLink leads to the page that was asked for; `next_loop` is the page with
    a nextLink that leads to itself (once: a replayed page; for ever: a loop); `foreign_link` has its link on another
    host; `item_again` begins with an item of the page before; `removed_stranger` tells that something is gone that was
    never there. `link` is where a foreign link or a redirect leads.
    """

    match: str
    kind: str
    nth: int = 1
    times: int | None = 1
    after: float | None = None
    status: int = 0
    code: str = ""
    location: bool = False
    committed: bool | None = None
    position: int | None = None
    link: str = ELSEWHERE

    def __post_init__(self) -> None:
        kinds = (*REFUSALS, *ODD_PAGES) if self.of_part else (*REFUSALS, *ODD_PAGES, *DAMAGE)
        if self.kind not in kinds:
            raise ValueError(f"A fault of kind {self.kind!r} is not known here; there are {', '.join(kinds)}.")
        if self.position is not None and not self.of_part:
            raise ValueError("Only a part of a batch has a position; let match begin with part:.")

    @property
    def of_part(self) -> bool:
        """Whether it strikes a part of a batch."""
        return self.match.startswith("part:")

    @property
    def works(self) -> bool:
        """Whether the request is carried out although its answer is lost or a refusal."""
        if self.committed is not None:
            return self.committed
        return self.kind not in REFUSALS and self.kind != "connect_timeout"

    def covers(self, text: str, position: int | None) -> bool:
        """Whether this request is one that it counts; `position` is None outside of a batch."""
        if self.of_part != (position is not None) or self.position not in (None, position):
            return False
        return re.search(self.match.removeprefix("part:"), text) is not None


class Faults:
    """The faults in wait; `fired` lists those that struck with the request each struck at."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Fault, list[int]]] = []
        self.fired: list[tuple[Fault, str]] = []
        self.told: dict[str, object] = {}

    def add(self, fault: Fault) -> Fault:
        """Put a fault in wait, counting matching requests from now on."""
        self._waiting.append((fault, [0]))
        return fault

    def clear(self) -> None:
        """Forget all that wait."""
        self._waiting.clear()

    @property
    def waiting(self) -> bool:
        """Whether any fault is in wait."""
        return bool(self._waiting)

    @property
    def kinds(self) -> frozenset[str]:
        """What kinds are in wait."""
        return frozenset(fault.kind for fault, _ in self._waiting)

    def due(self, text: str, *, position: int | None = None) -> Fault | None:
        """The fault that strikes this request, if any; every fault that covers it counts it."""
        struck = None
        for fault, seen in self._waiting:
            if not fault.covers(text, position):
                continue
            seen[0] += 1
            late = fault.times is not None and seen[0] >= fault.nth + fault.times
            if struck is None and seen[0] >= fault.nth and not late:
                struck = fault
        if struck is not None:
            self.fired.append((struck, text))
        return struck
