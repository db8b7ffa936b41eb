"""Faults as values: what goes wrong, at which request, how often. Each door realises broken connections in its way."""

from __future__ import annotations

import re
from dataclasses import dataclass

REFUSALS: dict[str, tuple[int, str, str]] = {
    "throttle": (429, "ApplicationThrottled", "The app sent more than this mailbox takes at the moment."),
    "unavailable": (503, "ServiceUnavailable", "The service cannot answer at the moment."),
    "gateway_timeout": (504, "GatewayTimeout", "The service behind the gateway did not answer in time."),
    "server_error": (500, "ErrorInternalServerTransientError", "Something failed inside; trying again may help."),
    "unauthorized": (401, "InvalidAuthenticationToken", "The access token is no longer valid."),
    "forbidden": (403, "ErrorAccessDenied", "The app has no right to this mailbox."),
    "gone": (410, "syncStateNotFound", "The state behind this delta token was dropped; start a full round."),
    "lost_cursor": (400, "syncStateNotFound", "The state behind this delta token was dropped; start a full round."),
    "not_found": (404, "ErrorItemNotFound", "The store has no such object."),
}
DAMAGE = ("reset", "truncate", "timeout", "malformed", "html")

# What the contract with Microsoft's schema leaves out: injected faults (recorded with their kind under "exempt", for a
# batch part as "part:<kind>") and the 501 for what the tenant does not imitate.
EXEMPT = frozenset((*REFUSALS, *DAMAGE, *(f"part:{kind}" for kind in REFUSALS), "not built"))


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. `match` is a pattern searched in "METHOD url"; "part:<pattern>" looks at the parts of a batch instead.

    It strikes at the `nth` matching request and `times` in a row (None: for ever). `after`: Retry-After in seconds
    (throttle, unavailable; none where it is None), bytes let through (reset, truncate), seconds of silence (timeout).
    `status` and `code` replace what the kind would say. `location` adds the Location header some 410 answers have.
    """

    match: str
    kind: str
    nth: int = 1
    times: int | None = 1
    after: float | None = None
    status: int = 0
    code: str = ""
    location: bool = False

    def __post_init__(self) -> None:
        kinds = REFUSALS if self.of_part else (*REFUSALS, *DAMAGE)
        if self.kind not in kinds:
            raise ValueError(f"A fault of kind {self.kind!r} is not known here; there are {', '.join(kinds)}.")

    @property
    def of_part(self) -> bool:
        """Whether it strikes a part of a batch."""
        return self.match.startswith("part:")

    def covers(self, text: str, part: bool) -> bool:
        """Whether this request is one that it counts."""
        pattern = self.match.removeprefix("part:")
        return part == self.of_part and re.search(pattern, text) is not None


class Faults:
    """The faults in wait; `fired` lists those that struck with the request each struck at."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Fault, list[int]]] = []
        self.fired: list[tuple[Fault, str]] = []

    def add(self, fault: Fault) -> Fault:
        """Put a fault in wait, counting matching requests from now on."""
        self._waiting.append((fault, [0]))
        return fault

    def clear(self) -> None:
        """Forget all that wait."""
        self._waiting.clear()

    def due(self, text: str, *, part: bool = False) -> Fault | None:
        """The fault that strikes this request, if any; every fault that covers it counts it."""
        struck = None
        for fault, seen in self._waiting:
            if not fault.covers(text, part):
                continue
            seen[0] += 1
            late = fault.times is not None and seen[0] >= fault.nth + fault.times
            if struck is None and seen[0] >= fault.nth and not late:
                struck = fault
        if struck is not None:
            self.fired.append((struck, text))
        return struck


@dataclass(frozen=True, slots=True)
class Switches:
    """How the service may behave within what it promises (graph-facts 3 and 11). Off means the plainest behaviour.

    shuffle_batch              a batch is answered in another order than asked
    empty_pages_with_nextlink  an empty page, with a nextLink, precedes each page of a delta and the first of a list
    replay_pages               a delta page begins with a few changes that earlier pages told already
    duplicate_items            a delta page holds one of its items twice
    immutable_move_loses       with immutable ids, moved out and back between two rounds is told as deleted only
    old_changes_pass_filter    a filtered delta later tells of changes to messages older than its filter
    delta_ignores_top          a delta's $top does nothing (seen in 2019); only odata.maxpagesize sets the page
    one_message_without_id     one message of each mailbox is served without its id
    case_twins                 every second message has an id that differs from its neighbour's in letter case only
    page_size_cap              no page of anything holds more than this
    """

    shuffle_batch: bool = False
    empty_pages_with_nextlink: bool = False
    replay_pages: bool = False
    duplicate_items: bool = False
    immutable_move_loses: bool = False
    old_changes_pass_filter: bool = False
    delta_ignores_top: bool = False
    one_message_without_id: bool = False
    case_twins: bool = False
    page_size_cap: int | None = None
