"""Everything a job works with, handed over as one value. Built in `wiring`, or in a test from memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sync.audit import Audit
from sync.keys import Keys
from sync.lists import ExclusionLists
from sync.log import Log
from sync.meter import Meter
from sync.policy import Policy
from sync.ports import Clock, Connect, Crm, Poll, Queue
from sync.rounds import Rounds
from sync.state import State


@dataclass(frozen=True, slots=True)
class World:
    """The rim as the middle sees it."""

    clock: Clock
    keys: Keys
    state: State
    log: Log
    queue: Queue
    crm: Crm
    connect: Connect
    poll: Poll
    policy: Callable[[], Policy]
    exclusions: ExclusionLists
    rounds: Rounds
    audit: Audit
    meter: Meter
