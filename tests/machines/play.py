"""Plays a cell, and says what is wrong with how it ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sync import mailboxes
from sync.storage import QUEUES
from tests.machines.cells import Cell
from tests.machines.flows import Flow
from tests.machines.record import Ending, Recording, doubled, ending, errors, gaps, recording
from tests.machines.world import HostedStage
from tests.stage import ADA

CYCLES = 3
# Shorter than it takes until a mail is given up.
LASTS = 3
HOUR = 3600.0
# What a cycle in which nothing happens may write.
QUIET = {"AccordState", "tick", "message-sync-mail", "message-poll-idle"}
# Signing in again, looking at the folders again: what a new worker may ask beside twice what was asked before.
MORE_CALLS = 8


def played(cell: Cell, on: type[HostedStage] = HostedStage) -> list[str]:
    """Play it; returns what is wrong, in sentences. What is expected was recorded in memory."""
    made = recording(cell.flow)
    stage = made.flow.stage(on)
    try:
        cell.arm(stage)
        wrong = _lasting(cell, made, stage) if cell.lasting else _struck(cell, made, stage)
        return [*wrong, *_always(cell, stage)]
    finally:
        stage.close()


def _struck(cell: Cell, made: Recording, stage: HostedStage) -> list[str]:
    _happens(made.flow, stage)
    again = made.idle if "zombie" in cell.id else 0
    wrong = _bounded(len(stage.calls), len(made.calls) + again)
    stage.rested()
    if cell.restarts:
        stage.world = stage.a_worker()
    _patience(stage, made.ending)
    if cell.late:
        for queue, text in stage.belated:
            stage.queue.inner.put(queue, text)
    return wrong + _recovers(cell, made, stage)


def _lasting(cell: Cell, made: Recording, stage: HostedStage) -> list[str]:
    stage.listening = True
    _happens(made.flow, stage)
    # At least one cycle after the last step. A folder whose changes are refused with 404 may have been thrown away: the
    # next round opens it anew and shows what came. Nothing is lost, so nothing is said; asked right after the step that
    # brings the mail, `history-lasting-404-delta` would miss it.
    for _ in range(max(1, LASTS - len(made.flow.steps))):
        stage.cycle()
    wrong = _said(cell, made, stage) + ([] if cell.shared else _beside(made, stage))
    if len(stage.calls) > 4 * (len(made.calls) + 2 * made.idle) + 40:
        wrong.append(f"{len(stage.calls)} calls while it lasted, {len(made.calls)} without it.")
    stage.tenant.faults.clear()
    if cell.restarts:
        stage.world = stage.a_worker()
    stage.clock.advance(HOUR)
    return wrong + _recovers(cell, made, stage)


def _happens(flow: Flow, stage: HostedStage) -> None:
    for step in flow.steps:
        step(stage)
        stage.cycle()


def _patience(stage: HostedStage, expected: Ending) -> None:
    """A mailbox that waits for a person, and should not, is tried again by the hour."""
    now = {one.row.address: one.status.status for one in mailboxes.all_standings(stage.world)}
    if any(status == "blocked" != expected.status[address][0] for address, status in now.items()):
        stage.clock.advance(HOUR)


def _recovers(cell: Cell, made: Recording, stage: HostedStage) -> list[str]:
    """At most three cycles, the last of which has nothing left to do."""
    wrong: list[str] = []
    for _ in range(CYCLES + 1):
        wrong = _differs(cell, made.ending, stage)
        seen = len(stage.effects.seen)
        stage.cycle()
        written = {effect.name for effect in stage.effects.seen[seen:]} - QUIET
        if written and not wrong:
            wrong.append(f"A cycle in which nothing happened wrote {sorted(written)}.")
        if not wrong:
            return []
    return wrong


# -- what is held against what


def _differs(cell: Cell, expected: Ending, stage: HostedStage) -> list[str]:
    now = ending(stage)
    if now == expected:
        return []
    wrong = [f"{key} is a record too many." for key in now.records.keys() - expected.records.keys()]
    parked = {record for record, _ in errors(stage)} if cell.parks else set()
    spared = cell.loses
    for key, rows in expected.records.items():
        other = _different(key, rows, now.records.get(key, {})) if key not in parked else []
        if other and spared:
            spared -= 1
        else:
            wrong += other
    wrong += [f"The log never said: {why}" for why in expected.unread - now.unread]
    if now.status != expected.status:
        wrong.append(f"The mailboxes are {dict(now.status)}.")
    return wrong


def _different(key: str, rows: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    subject = rows["r"].get("subject")
    return [
        f"{subject!r} ({key[:8]}) has {part}: {found.get(part)}, not {rows.get(part)}"[:400]
        for part in sorted({*rows, *found})
        if rows.get(part) != found.get(part)
    ]


def _bounded(calls: int, without: int) -> list[str]:
    most = 2 * without + MORE_CALLS
    return [f"{calls} calls instead of {without}."] if calls > most else []


def _said(cell: Cell, made: Recording, stage: HostedStage) -> list[str]:
    """Whose mail is not complete has said why."""
    if cell.loses or ADA in stage.said or errors(stage) or ending(stage) == made.ending:
        return []
    return ["Ada's mailbox lacks mail and never said why."]


def _beside(made: Recording, stage: HostedStage) -> list[str]:
    """What does not depend on Ada's mailbox stands in the CRM all the while."""
    there = {rows["r"].get("subject") for rows in ending(stage).records.values() if "r" in rows}
    return [
        f"{subject!r} waits for a mailbox that it has nothing to do with."
        for subject in made.flow.beside
        if subject not in there
    ]


def _always(cell: Cell, stage: HostedStage) -> list[str]:
    wrong = [*gaps(stage), *doubled(stage), *stage.bugs, *stage.harm]
    if stage.parked and not cell.given_up:
        wrong.append(f"{len(stage.parked)} messages were given up.")
    if cell.given_up:
        logged = sum(run.reason == "poisoned" for run in stage.world.log.runs(1000)[0])
        wrong += [f"{len(stage.parked)} were given up, {logged} are in the log."] if logged != len(stage.parked) else []
    elif not cell.parks and (found := [why for _, why in errors(stage) if "without an id" not in why]):
        wrong.append(f"The log has errors: {found}")
    for queue in QUEUES:
        left = [*stage.queue.messages(queue), *stage.queue.waiting(queue)]
        wrong += [f"{queue} holds {len(left)} messages."] if left else []
    return wrong
