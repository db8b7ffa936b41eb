"""The cells: one thing goes wrong at one effect or call of a flow. Made from recordings: a new effect makes new ones.

A crash (before, after, with and without its message coming again), conflict, outage of the storage
B what Microsoft answers to one call
C queue messages: twice, late, out of order, lost, spoiled, refused, poisonous
E a worker that stands still while another one does everything
F one part of a batch
H deltas that are lost, lead nowhere, or tell things twice
L a route of one mailbox that is refused until somebody mends it

What hardly differs from its neighbours is `soak`: it runs under SOAK=1 only.
 1. After an effect is before the next one: crashes after one run for messages alone. Of outages, of refused groups and
    of crashes whose message comes again every second runs, and of workers overtaken before an effect that is not the
    CRM's.
 2. Of the ticks of a flow, which all write when they were, the first runs.
 3. Of a call that was made before, in this flow or from the same state in another, every sixth answer runs; of one
    that the first flow makes too, every third.
 4. In all flows but the first each effect has its crash; of what else strikes an effect or a message every third runs.
    In one that does most of its steps as another does (`lasting` is False) so does every twelfth answer.
 5. A lasting fault runs with one answer of each class of errors, and only where no other flow makes the same calls from
    the same state.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from urllib.parse import quote

from dev.tenant.faults import DAMAGE, Fault
from sync.errors import Exists, Stale
from tests.machines.flows import FLOWS, Flow
from tests.machines.record import DELTAS, NAMES, PARTS, Call, recording
from tests.machines.world import TRIES, Effect, HostedStage, refused_by_the_storage
from tests.stage import ADA

Arm = Callable[[HostedStage], None]

# Name in the cell, kind and fields of the fault. Definite answers are no promise that asking again helps.
PASSING: dict[str, dict[str, object]] = {
    "429": {"kind": "throttle"},
    "429-wait": {"kind": "throttle", "after": 20},
    "503": {"kind": "unavailable"},
    "504": {"kind": "gateway_timeout"},
    "connect": {"kind": "connect_timeout"},
    "timeout": {"kind": "timeout"},
    "reset": {"kind": "reset", "after": 40},
    "truncated": {"kind": "truncate"},
    "409": {"kind": "conflict"},
}
DEFINITE: dict[str, dict[str, object]] = {
    "401": {"kind": "unauthorized"},
    "403": {"kind": "forbidden"},
    "404": {"kind": "not_found"},
    "412": {"kind": "precondition"},
    "410": {"kind": "gone"},
    "400": {"kind": "bad_request"},
}
ANSWERS = {**PASSING, **DEFINITE}
OF_PARTS = {
    "429": {"kind": "throttle", "after": 20},
    "503": {"kind": "unavailable"},
    "404": {"kind": "not_found"},
    "403": {"kind": "forbidden"},
    "500": {"kind": "server_error"},
}
OF_DELTAS: dict[str, dict[str, object]] = {
    "gone": {"kind": "gone"},
    "lost-cursor": {"kind": "lost_cursor"},
    "replayed": {"kind": "next_loop"},
    "item-again": {"kind": "item_again"},
    "removed-stranger": {"kind": "removed_stranger"},
    "empty-page": {"kind": "empty_page"},
    "loop": {"kind": "next_loop", "times": 3},
    "foreign-link": {"kind": "foreign_link"},
}
# A batch is broken off as a whole.
OF_WHOLE = {answer for answer, fields in ANSWERS.items() if fields["kind"] in DAMAGE}
# What is asked once for all mailboxes.
ALL_ASK = ("token", "sign-in")
# Answers whose class of errors another one has.
ALIKE = {"429", "504", "connect", "reset", "409", "412"}
# The flow whose cells nearly all run each time.
FIRST = next(iter(FLOWS))
# The crash of which the message never comes again, among the cells of an effect.
CRASH = 2
LARGE = '{"version":1,"x":"' + "x" * 40_000


@dataclass(frozen=True, slots=True)
class Cell:
    """What goes wrong, and what it may leave: `parks` allows an error item in the place of what was refused for good,
    `loses` so many messages that Microsoft called gone, `given_up` a message on the poison queue. A `lasting` fault is
    lifted only when the mailbox has said what is wrong; one that is `shared` strikes the other mailbox too. After the
    fault a message comes `late` once more, or a new process `restarts` (msal remembers refusals for a real minute).
    """

    id: str
    flow: str
    arm: Arm
    parks: bool = False
    loses: int = 0
    given_up: bool = False
    lasting: bool = False
    late: bool = False
    restarts: bool = False
    shared: bool = False
    soak: bool = False


@cache
def cells(flow: str) -> tuple[Cell, ...]:
    """All cells of a flow."""
    made = recording(flow)
    found: list[Cell] = []
    ticks = [number for number, effect in enumerate(made.effects) if effect.name == "tick"]
    for number, effect in enumerate(made.effects):
        ones = list(_of_effect(flow, number, effect))
        if flow != FIRST:
            ones = [*_every(3, number, [one for one in ones if one is not ones[CRASH]]), ones[CRASH]]
        found += [replace(one, soak=one.soak or number in ticks[1:]) for one in ones]
    names = set() if made.flow.lasting else {call.name for call in made.calls}
    for number, call in enumerate(made.calls):
        known = 3 if flow != FIRST and any(call.name == one.name for one in recording(FIRST).calls) else 1
        nth = (6 if made.flow.lasting else 12) if call.name in names else known
        found += _every(nth, number, _of_call(flow, number, call))
        names.add(call.name)
    for number, queue in enumerate(made.messages):
        found += _every(1 if flow == FIRST else 3, number, _of_message(flow, number, queue))
    found.append(Cell(f"{flow}-queue-reversed", flow, _reverse))
    found += _lasting(made.flow, made.calls)
    return tuple(found)


def all_cells(soak: bool) -> list[Cell]:
    """The cells of all flows, with those that hardly differ or without."""
    return [cell for flow in FLOWS for cell in cells(flow) if soak or not cell.soak]


def _every(nth: int, first: int, many: Iterable[Cell]) -> Iterator[Cell]:
    """Every `nth` cell, beginning elsewhere each time."""
    for place, cell in enumerate(many, first):
        yield replace(cell, soak=cell.soak or place % nth != 0)


# -- A, E: effects


def _of_effect(flow: str, number: int, effect: Effect) -> Iterator[Cell]:
    at = f"{number}-{effect.name}"
    for lost in (False, True):
        end = "lost" if lost else "redelivered"
        arm, soak = _strike("before", number, HostedStage.killed, lost), not lost and number % 2 == 1
        yield Cell(f"{flow}-crash-before-{at}-{end}", flow, arm, soak=soak)
        soak = lost or not effect.name.startswith("message")
        arm = _strike("after", number, HostedStage.killed, lost)
        yield Cell(f"{flow}-crash-after-{at}-{end}", flow, arm, soak=soak)
    yield Cell(f"{flow}-outage-before-{at}", flow, _strike("before", number, HostedStage.cut_off), soak=number % 2 == 1)
    yield Cell(f"{flow}-outage-after-{at}", flow, _strike("after", number, HostedStage.cut_off), soak=number % 2 == 0)
    arm = _strike("before", number, HostedStage.overtaken)
    yield Cell(f"{flow}-zombie-before-{at}", flow, arm, soak=number % 2 == 1 and not effect.name.startswith("Crm"))
    if effect.guarded:
        yield Cell(f"{flow}-stale-{at}", flow, _strike("before", number, _stale(effect)), soak=number % 2 == 1)
        yield Cell(f"{flow}-exists-{at}", flow, _strike("before", number, _exists(effect)), soak=number % 2 == 0)


def _strike(when: str, number: int, strike: Callable[[HostedStage], None], lost: bool = False) -> Arm:
    def arm(stage: HostedStage) -> None:
        stage.lost = lost
        strikes = stage.effects.before if when == "before" else stage.effects.after
        strikes[number] = lambda: strike(stage)

    return arm


def _stale(effect: Effect) -> Callable[[HostedStage], None]:
    def strike(stage: HostedStage) -> None:
        raise Stale("A row changed since it was read.", effect.rows[0])

    return strike


def _exists(effect: Effect) -> Callable[[HostedStage], None]:
    def strike(stage: HostedStage) -> None:
        raise Exists("A row that had to be new exists already.", effect.rows[-1])

    return strike


# -- B, E, F, H: calls


def _of_call(flow: str, number: int, call: Call) -> Iterator[Cell]:
    at = f"{number}-{call.name}"
    for answer, fields in ANSWERS.items():
        if (call.name, answer) == ("file", "truncated"):
            continue  # a file that is cut, with a length that fits, cannot be told from a whole one
        arm = _fault(nth=number + 1, **fields)
        yield Cell(f"{flow}-{answer}-at-{at}", flow, arm, answer in DEFINITE, restarts=call.name == "token")
    yield Cell(f"{flow}-zombie-after-call-{at}", flow, _sleeps(number))
    if call.name in DELTAS:
        for odd, fields in OF_DELTAS.items():
            yield Cell(f"{flow}-{odd}-at-{at}", flow, _fault(nth=number + 1, **fields), parks=odd != "item-again")
        yield Cell(f"{flow}-all-deltas-lost-at-{at}", flow, _deltas_lost(number))
    for place in sorted({1, (call.parts + 1) // 2, call.parts}) if call.parts else ():
        for answer, fields in OF_PARTS.items():
            loses = int(answer == "404" and call.name == "batch-bodies")
            arm = _part(flow, number, place, fields)
            yield Cell(f"{flow}-part-{place}-{answer}-at-{at}", flow, arm, answer in DEFINITE, loses)


def _fault(**fields: object) -> Arm:
    def arm(stage: HostedStage) -> None:
        stage.tenant.faults.add(Fault(**{"match": "", **fields}))  # type: ignore[arg-type]

    return arm


def _part(flow: str, number: int, place: int, fields: dict[str, object]) -> Arm:
    batches = [one.parts for one in recording(flow).calls[: number + 1] if one.parts]
    # Parts in the same place of earlier batches are counted too.
    nth = sum(parts >= place for parts in batches)
    return _fault(match="part:", position=place, nth=nth, **fields)


def _deltas_lost(number: int) -> Arm:
    def arm(stage: HostedStage) -> None:
        stage.before_call[number] = stage.tenant.drop_delta_states

    return arm


def _sleeps(number: int) -> Arm:
    def arm(stage: HostedStage) -> None:
        stage.after_call[number] = stage.overtaken

    return arm


# -- C: messages


def _of_message(flow: str, number: int, queue: str) -> Iterator[Cell]:
    at = f"{number}-{queue}"

    def cell(name: str, what: Callable[[HostedStage], Callable[[str, str, float], None]], **more: bool) -> Cell:
        def arm(stage: HostedStage) -> None:
            stage.queue.twist[number] = what(stage)

        return Cell(f"{flow}-message-{name}-{at}", flow, arm, **more)

    yield cell("twice", lambda stage: lambda *given: [stage.queue.inner.put(*given) for _ in range(2)] and None)
    yield cell("delayed", lambda stage: lambda queue, text, _: stage.queue.inner.put(queue, text, 90))
    yield cell("dropped", lambda _: lambda *_: None)
    yield cell("halved", _spoiled(lambda text: text[: len(text) // 2]), given_up=True)
    yield cell("large", _spoiled(lambda _: LARGE), given_up=True)
    yield cell("refused", lambda _: refused_by_the_storage)
    yield cell("poisonous", _poisonous, given_up=True)
    yield cell("late", _comes_late, late=True)


def _spoiled(spoil: Callable[[str], str]) -> Callable[[HostedStage], Callable[[str, str, float], None]]:
    return lambda stage: lambda queue, text, delay: stage.queue.inner.put(queue, spoil(text), delay)


def _poisonous(stage: HostedStage) -> Callable[[str, str, float], None]:
    def put(queue: str, text: str, delay: float) -> None:
        stage.doomed[text] = TRIES
        stage.queue.inner.put(queue, text, delay)

    return put


def _comes_late(stage: HostedStage) -> Callable[[str, str, float], None]:
    def put(queue: str, text: str, delay: float) -> None:
        stage.belated.append((queue, text))
        stage.queue.inner.put(queue, text, delay)

    return put


def _reverse(stage: HostedStage) -> None:
    stage.reversed = True


# -- L: until somebody mends it


def _lasting(flow: Flow, calls: tuple[Call, ...]) -> Iterator[Cell]:
    for name in dict.fromkeys(call.name for call in calls if call.mailbox in ("", ADA)):
        yield from _lasting_of(flow, name)


def _lasting_of(flow: Flow, name: str) -> Iterator[Cell]:
    for answer, fields in ANSWERS.items():
        if (name, answer) == ("file", "truncated"):
            continue
        definite = answer in DEFINITE
        yield Cell(
            f"{flow.name}-lasting-{answer}-{name}",
            flow.name,
            _lasts(name, fields),
            parks=definite or name == "file",
            loses=len(flow.expected) if (name, answer) == ("batch-bodies", "404") else 0,
            given_up=definite,
            lasting=True,
            restarts=name == "token",
            shared=name in ALL_ASK or (name.startswith("batch") and answer in OF_WHOLE),
            soak=answer in ALIKE or not flow.lasting,
        )


def _lasts(name: str, fields: dict[str, object]) -> Arm:
    def arm(stage: HostedStage) -> None:
        account = stage.tenant.find(ADA)
        assert account is not None
        # A batch names its mailbox in its parts alone: there the parts of Ada's are struck, elsewhere her calls.
        hers = rf"^(?=.*({re.escape(quote(ADA, safe='@'))}|{re.escape(account.id)}))"
        of_call = next((pattern for pattern, known in NAMES if known == name), None)
        of_part = next((pattern for pattern, known in PARTS if known == name), None)
        whose = "" if name in ALL_ASK else hers
        if of_call is None and fields["kind"] in DAMAGE:
            match = r"\$batch"
        else:
            match = f"{whose}.*{of_call}" if of_call else f"part:{hers}.*{of_part}"
        stage.tenant.faults.add(Fault(**{"match": match, **fields, "times": None}))  # type: ignore[arg-type]

    return arm
