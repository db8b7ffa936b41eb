"""The gates in front of Microsoft Graph: how many at once, in which order, and nothing while we were told to wait."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime

import pytest

from dev.memory import ManualClock
from sync.errors import Retry, SlotTimeout, Throttled, Unavailable
from sync.graph.gates import Gates
from sync.pace import GROWS_AFTER
from tests.builders import NOON

ADA, BEN = "ada", "ben"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def gates(clock) -> Gates:
    """Gates at which nobody waits: who finds no slot is told so at once."""
    return Gates(clock, patience=0)


def told(seconds: float, scope: str = "mailbox") -> Throttled:
    return Throttled("Wait.", seconds, scope=scope)


def refuse(gates: Gates, mailbox: str | None, *refused: Throttled) -> None:
    """A request that is answered so."""
    with gates.turn(mailbox, batch=False) as turn:
        turn.heard(refused)


def passes(gates: Gates, mailbox: str | None, batch: bool = False) -> bool:
    """Whether a request is let through now."""
    try:
        with gates.turn(mailbox, batch):
            return True
    except Retry:
        return False


# -- a mailbox's four


def test_a_mailbox_has_three_single_calls_at_once_and_the_fourth_is_told_to_come_again(gates):
    with gates.turn(ADA, False), gates.turn(ADA, False), gates.turn(ADA, False):
        with pytest.raises(SlotTimeout) as full, gates.turn(ADA, False):
            pass
        elsewhere = passes(gates, BEN)

    assert isinstance(full.value, Unavailable)
    assert full.value.after == 2
    assert elsewhere
    assert passes(gates, ADA)


def test_a_batch_takes_all_slots_of_its_mailbox_and_none_of_another(gates):
    with gates.turn(ADA, batch=True):
        assert not passes(gates, ADA)
        assert not passes(gates, ADA, batch=True)
        assert passes(gates, BEN, batch=True)

    with gates.turn(ADA, batch=False):
        assert not passes(gates, ADA, batch=True)
    assert passes(gates, ADA, batch=True)


def test_slots_come_back_however_a_request_ends(gates):
    for _ in range(5):
        with pytest.raises(ZeroDivisionError), gates.turn(ADA, batch=True):
            raise ZeroDivisionError

    assert passes(gates, ADA, batch=True)


def test_requests_of_no_single_mailbox_stand_in_nobodys_way(gates):
    with gates.turn(None, batch=True), gates.turn(None, batch=True):
        assert passes(gates, ADA, batch=True)


# -- waiting for one's turn


class Asked:
    """A clock that tells when it is asked from a thread: at these gates, when somebody stands in line."""

    def __init__(self) -> None:
        self.by: dict[str, threading.Event] = {"batch": threading.Event(), "single": threading.Event()}

    def __call__(self) -> datetime:
        event = self.by.get(threading.current_thread().name)
        if event is not None:
            event.set()
        return NOON


def in_a_thread(name: str, work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, name=name)
    thread.start()
    return thread


def test_a_batch_waits_for_the_calls_before_it_and_is_not_overtaken_by_those_behind_it():
    clock = Asked()
    gates = Gates(clock, patience=60)
    order: list[str] = []

    def request() -> None:
        name = threading.current_thread().name
        with gates.turn(ADA, batch=name == "batch"):
            order.append(name)

    with gates.turn(ADA, batch=False):
        batch = in_a_thread("batch", request)
        assert clock.by["batch"].wait(30)
        single = in_a_thread("single", request)
        assert clock.by["single"].wait(30)
        order.append("first")
    batch.join(30)
    single.join(30)

    assert order == ["first", "batch", "single"]


def test_who_stands_in_line_goes_home_as_soon_as_microsoft_says_wait():
    clock = Asked()
    gates = Gates(clock, patience=60)
    outcome: list[Throttled] = []

    def request() -> None:
        with pytest.raises(Throttled) as refused, gates.turn(ADA, batch=True):
            pass
        outcome.append(refused.value)

    with gates.turn(ADA, batch=True) as turn:
        waiting = in_a_thread("batch", request)
        assert clock.by["batch"].wait(30)
        turn.heard([told(90)])
        waiting.join(30)

    assert [one.after for one in outcome] == [90]


def test_sixteen_threads_never_have_more_than_four_slots_of_a_mailbox():
    gates = Gates(lambda: NOON, patience=60)
    lock, used, most = threading.Lock(), {ADA: 0, BEN: 0}, {ADA: 0, BEN: 0}

    def request(number: int) -> None:
        mailbox, batch = (ADA, BEN)[number % 2], number % 3 == 0
        for _ in range(50):
            with gates.turn(mailbox, batch):
                with lock:
                    used[mailbox] += 4 if batch else 1
                    most[mailbox] = max(most[mailbox], used[mailbox])
                with lock:
                    used[mailbox] -= 4 if batch else 1

    threads = [in_a_thread(str(number), lambda number=number: request(number)) for number in range(16)]
    for thread in threads:
        thread.join(60)

    assert not any(thread.is_alive() for thread in threads)
    assert max(most.values()) <= 4
    assert used == {ADA: 0, BEN: 0}


# -- told to wait


def test_a_mailbox_that_has_to_wait_is_let_through_when_its_time_is_over(gates, clock):
    refuse(gates, ADA, told(30))
    clock.advance(20)

    with pytest.raises(Throttled) as refused, gates.turn(ADA, batch=False):
        pass

    assert (refused.value.after, refused.value.scope) == (10, "mailbox")
    assert passes(gates, BEN)
    clock.advance(10)
    assert passes(gates, ADA)


@pytest.mark.parametrize("scope", ["app", "connection"])
def test_a_wait_of_app_or_connection_is_everybodys(gates, clock, scope):
    refuse(gates, ADA, told(30, scope))

    with pytest.raises(Throttled) as refused, gates.turn(BEN, batch=False):
        pass

    assert refused.value.scope == scope
    assert not passes(gates, None)
    clock.advance(30)
    assert passes(gates, BEN)


def test_a_shorter_wait_takes_nothing_from_a_longer_one(gates, clock):
    with gates.turn(ADA, False) as first, gates.turn(ADA, False) as second:
        first.heard([told(60)])
        second.heard([told(5)])
    clock.advance(59)

    assert not passes(gates, ADA)
    clock.advance(1)
    assert passes(gates, ADA)


def test_a_refused_part_of_a_batch_over_many_mailboxes_is_noted_for_none_of_them(gates):
    refuse(gates, None, told(60))

    assert passes(gates, None)
    assert passes(gates, ADA)


def test_a_turn_that_was_given_before_a_refusal_sees_it_when_it_looks_again(gates):
    with gates.turn(ADA, False) as early, gates.turn(ADA, False) as late:
        early.check()
        late.heard([told(60)])

        with pytest.raises(Throttled):
            early.check()


# -- the app's ceiling


def fallen(gates: Gates, clock: ManualClock) -> Gates:
    """Gates whose ceiling has fallen to four, with nobody told to wait any more."""
    with gates.turn(ADA, batch=True) as turn, gates.turn(BEN, batch=True):
        turn.heard([told(1)])
    clock.advance(1)
    return gates


def test_a_mailbox_refused_within_its_four_makes_the_whole_app_slower(gates, clock):
    fallen(gates, clock)

    with gates.turn(ADA, batch=True):
        assert not passes(gates, BEN)
        assert not passes(gates, None)
    assert passes(gates, BEN, batch=True)


@pytest.mark.parametrize("scope", ["app", "connection"])
def test_a_refusal_that_is_not_a_mailboxs_leaves_the_ceiling_alone(gates, clock, scope):
    with gates.turn(ADA, batch=True) as turn, gates.turn(BEN, batch=True):
        turn.heard([told(1, scope)])
    clock.advance(1)

    with gates.turn(ADA, batch=True):
        assert passes(gates, BEN, batch=True)


def test_good_answers_raise_the_ceiling_again_slot_by_slot(gates, clock):
    fallen(gates, clock)
    for _ in range(GROWS_AFTER):
        refuse(gates, ADA)

    with gates.turn(ADA, batch=True):
        assert passes(gates, BEN)
        assert not passes(gates, BEN, batch=True)


def test_a_process_starts_with_sixteen_batches_at_once(gates):
    with ExitStack() as stack:
        for number in range(16):
            stack.enter_context(gates.turn(str(number), batch=True))

        assert not passes(gates, "one more")
