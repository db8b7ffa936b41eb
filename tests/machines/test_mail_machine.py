"""Random mail, moves, folders, contacts and faults in any order; when all has settled, the CRM is what users expect."""

from __future__ import annotations

import os

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    multiple,
    precondition,
    rule,
)

from dev.tenant.faults import DAMAGE, Fault, Switches
from sync import mailboxes
from sync.fanout import FULL_ROUND
from tests.machines.firm import ROOTS, Copy, Firm
from tests.machines.play import QUIET
from tests.machines.record import doubled, gaps
from tests.machines.world import HostedStage
from tests.stage import ADA, BEN, ROSA

SOAK = bool(os.environ.get("SOAK"))
UMA, VERA, STRANGER, COLLEAGUE = "uma@else.example", "vera@client.example", "eve@else.example", "cy@firm.example"
OUTSIDE = (ROSA, UMA, VERA, STRANGER)
KEYS = {"Rosa Client": "c" + "1" * 32, "Uma": "c" + "2" * 32, "Vera": "c" + "3" * 32}
BOXES = (ADA, BEN)
HOUR = 3600
ALL_FOLDERS = FULL_ROUND.total_seconds()
FAULTS = {
    "throttle": {"after": 20},
    "unavailable": {},
    "gateway_timeout": {},
    "reset": {},
    "timeout": {},
    "truncate": {},
    "unauthorized": {},
}
AWAY = ("deleteditems", "junkemail")
INTO = ("inbox", "inbox", "archive", "junkemail")
PARENTS = ("inbox", "archive", "deleteditems")
boxes = st.sampled_from(BOXES)
authors = st.sampled_from((*OUTSIDE, COLLEAGUE))
copied = st.sets(st.sampled_from(OUTSIDE), max_size=2)


class MailMachine(RuleBasedStateMachine):
    """Two mailboxes, three contacts, a stranger and a colleague. The model is `firm`, the product is on `stage`."""

    mails = Bundle("mails")
    folders = Bundle("folders")

    def __init__(self) -> None:
        super().__init__()
        self.stage = HostedStage(Switches(immutable_move_loses=True))
        self.firm = Firm()
        self.scope: set[str] = set()
        self.number = 0
        self.worked = 0
        self.put_back = False
        self.firm.contacts[ROSA] = "Rosa Client"

    @initialize(scope=st.sampled_from(((ADA, BEN), (ADA,), ())))
    def begin(self, scope: tuple[str, ...]) -> None:
        self.stage.watch()
        for box in scope:
            self.add_mailbox(box)
        self.contact_is_saved(("Uma", (UMA,)))
        for box in BOXES:  # who may become a contact later has had mail before
            self._deliver(box, "inbox", VERA, [box], [], [])

    # -- mail

    @rule(target=mails, many=st.lists(st.tuples(boxes, authors, copied, st.sampled_from(INTO)), min_size=1, max_size=4))
    def mail_arrives(self, many: list[tuple[str, str, set[str], str]]) -> MultipleResults[Copy]:
        return multiple(*(self._deliver(box, into, who, [box], sorted(cc), []) for box, who, cc, into in many))

    @rule(target=mails, author=st.sampled_from(OUTSIDE), cc=copied)
    def mail_arrives_at_both(self, author: str, cc: set[str]) -> MultipleResults[Copy]:
        self.number += 1
        name = self.number
        return multiple(*(self._deliver(box, "inbox", author, [*BOXES], sorted(cc), [], name) for box in BOXES))

    @rule(target=mails, box=boxes, to=st.sampled_from((*OUTSIDE, COLLEAGUE, ADA, BEN)), bcc=copied)
    def mail_is_sent(self, box: str, to: str, bcc: set[str]) -> Copy:
        self.number += 1
        name = self.number
        self._deliver(box, "drafts", box, [to], [], [])
        if to in BOXES and to != box:
            self._deliver(to, "inbox", box, [to], [], [], name)
        return self._deliver(box, "sentitems", box, [to], [], sorted(bcc), name)

    def _deliver(
        self,
        box: str,
        folder: str,
        author: str,
        to: list[str],
        cc: list[str],
        bcc: list[str],
        number: int = 0,
        path: str = "",
    ) -> Copy:
        if not number:
            self.number += 1
        name = f"<{number or self.number}@x.example>"
        now = self.stage.clock()
        made = self.stage.tenant.user(box).deliver(
            author=author,
            to=to,
            cc=cc,
            bcc=bcc,
            folder=path or folder,
            message_id=name,
            subject=name,
            sent=now,
            received=now,
            body="<p>Dear all</p>",
        )
        addresses = frozenset((author, *to, *cc, *bcc))
        copy = Copy(
            box,
            made,
            name,
            folder,
            self.firm.concerned(addresses),
            addresses,
            folder == "drafts",
            box not in self.firm.passed,
        )
        self.firm.put(copy)
        return copy

    def _now(self, mail: Copy) -> Copy | None:
        """The mail as it lies now; None where it was purged, or where moving it now may well lose it: old mail of a
        mailbox whose backfill has not passed it."""
        copy = self.firm.copies.get((mail.mailbox, mail.id))
        if copy is None or (copy.old and copy.mailbox not in self.firm.passed):
            return None
        return copy

    @rule(mail=mails, to=st.sampled_from((*ROOTS, *AWAY, "back", "purged", "opened")))
    def mail_is_moved(self, mail: Copy, to: str) -> None:
        copy = self._now(mail)
        if copy is None:
            return
        box = self.stage.tenant.user(copy.mailbox)
        if to == "opened":
            box.mark_read(copy.id)
        elif to == "purged":
            box.purge(copy.id)
            self.firm.gone(copy)
        elif to == "back":
            self._move(copy, "deleteditems")
            self._move(copy, copy.folder)
        else:
            self._move(copy, to)

    @rule(mail=mails, folder=folders)
    def mail_is_filed(self, mail: Copy, folder: tuple[str, str]) -> None:
        copy = self._now(mail)
        if copy is not None and folder in self.firm.folders and folder[0] == copy.mailbox:
            self._move(copy, folder[1])

    def _move(self, copy: Copy, folder: str) -> None:
        self.stage.tenant.user(copy.mailbox).move(copy.id, folder)
        self.firm.moved(copy, folder)

    # -- folders

    @rule(target=folders, box=boxes, parent=st.sampled_from(PARENTS), author=authors)
    def folder_is_made(self, box: str, parent: str, author: str) -> tuple[str, str]:
        self.number += 1
        made = self.stage.tenant.user(box).add_folder(f"folder {self.number}", parent)
        self.firm.folders[(box, made)] = parent
        self._deliver(box, made, author, [box], [], [], path=f"{parent}/folder {self.number}")
        return box, made

    @rule(folder=folders, to=st.sampled_from((*PARENTS, "renamed", "removed")))
    def folder_is_changed(self, folder: tuple[str, str], to: str) -> None:
        if folder not in self.firm.folders:
            return
        box, inside = self.stage.tenant.user(folder[0]), self._inside(folder)
        if to == "renamed":
            self.number += 1
            box.rename_folder(folder[1], f"folder {self.number}")
        elif any(self._now(copy) is None for copy in inside):
            return
        elif to == "removed":
            box.remove_folder(folder[1])
            for copy in inside:
                self.firm.gone(copy)
            del self.firm.folders[folder]
        else:
            box.move_folder(folder[1], to)
            self.put_back |= self.firm.folders[folder] in AWAY and to not in AWAY
            self.firm.folders[folder] = to
            self.firm.learned()

    def _inside(self, folder: tuple[str, str]) -> list[Copy]:
        return [one for one in self.firm.copies.values() if (one.mailbox, one.folder) == folder]

    # -- people and mailboxes

    @rule(who=st.sampled_from((("Uma", (UMA,)), ("Vera", (VERA,)), ("Rosa Client", (ROSA, VERA)))))
    def contact_is_saved(self, who: tuple[str, tuple[str, ...]]) -> None:
        name, addresses = who
        if any(self.firm.contacts.get(one, name) != name for one in addresses):
            return  # an address of two people is a story of its own
        with self.stage.unwatched():
            self.stage.crm.save_contact(name, list(addresses), KEYS[name])
        self.firm.contacts.update(dict.fromkeys(addresses, name))
        self.firm.learned()

    @rule(box=boxes)
    def add_mailbox(self, box: str) -> None:
        with self.stage.unwatched():
            self.stage.add(box)
        self.scope.add(box)

    # -- what goes wrong, while there is work

    @rule(kind=st.sampled_from(sorted(FAULTS)), nth=st.integers(1, 10), times=st.integers(1, 3), part=st.booleans())
    def microsoft_refuses(self, kind: str, nth: int, times: int, part: bool) -> None:
        if part and kind in DAMAGE:
            return
        where = "part:messages" if part else "graph.microsoft.com"
        nth = (nth + 2) // 3 if part else nth
        self.stage.tenant.faults.add(Fault(where, kind, nth=nth, times=times, **FAULTS[kind]))
        self.five_minutes()

    @rule()
    def deltas_are_lost(self) -> None:
        self.stage.tenant.drop_delta_states()

    @rule(effect=st.integers(0, 30), what=st.sampled_from(("killed", "overtaken", "cut off")), after=st.booleans())
    def worker_is_struck(self, effect: int, what: str, after: bool) -> None:
        stage = self.stage
        stage.lost = effect % 2 == 0
        strikes = stage.effects.after if after else stage.effects.before
        strike = {"killed": stage.killed, "overtaken": stage.overtaken, "cut off": stage.cut_off}[what]
        strikes[len(stage.effects.seen) + effect] = strike
        self.five_minutes()

    @rule(what=st.sampled_from(("twice", "dropped", "delayed")), nth=st.integers(0, 2))
    def message_is(self, what: str, nth: int) -> None:
        put = self.stage.queue.inner.put
        self.stage.queue.twist[len(self.stage.queue.sent) + nth] = {
            "twice": lambda *given: (put(*given), put(*given))[0],
            "dropped": lambda *_: None,
            "delayed": lambda queue, text, _: put(queue, text, 90),
        }[what]
        self.five_minutes()

    # -- time

    @rule(seconds=st.sampled_from((1, 61, 400)), reversed=st.booleans())
    def time_passes(self, seconds: int, reversed: bool) -> None:
        self.stage.clock.advance(seconds)
        self.stage.reversed = reversed

    @rule()
    def five_minutes(self) -> None:
        self.stage.cycle()
        self.worked += 1

    @precondition(lambda self: self.worked >= 3)
    @rule()
    def all_settles(self) -> None:
        stage = self.stage
        stage.tenant.faults.clear()
        stage.rested()
        if any(one.status.status == "blocked" for one in mailboxes.all_standings(stage.world)):
            stage.clock.advance(HOUR)
        if self.put_back:
            # No mail of a folder that moves is changed by it: no light call tells of it, the next round of all does.
            stage.clock.advance(ALL_FOLDERS)
        for _ in range(3):
            stage.cycle()
        self.worked, self.put_back = 0, False
        self.firm.settled(self.scope)
        seen = len(stage.effects.seen)
        stage.cycle()
        written = {effect.name for effect in stage.effects.seen[seen:]} - QUIET
        assert self.firm.wrong(*in_the_crm(stage)) == []
        assert [*gaps(stage), *doubled(stage), *stage.bugs, *stage.harm, *stage.parked] == []
        assert not written, f"A cycle in which nothing happened wrote {sorted(written)}."

    def _a_day_passes(self) -> None:
        """Rounds of all folders, the pass by date and the history of later contacts have had their time."""
        for _ in range(6):
            self.stage.clock.advance(5 * HOUR)
            self.stage.cycle()
        self.firm.all_told(self.scope)

    def teardown(self) -> None:
        try:
            self.all_settles()
            self._a_day_passes()
            self.all_settles()
        finally:
            self.stage.close()


def in_the_crm(stage: HostedStage) -> tuple[dict[str, set[str]], set[tuple[str, str]]]:
    """Who stands beside which mail, and which mailbox has shown it; timelines say the same."""
    names_of = {row.id: row.address for row in stage.world.state.mailboxes()}
    names: dict[str, str] = {}
    beside: dict[str, set[str]] = {}
    sightings: set[tuple[str, str]] = set()
    people = {key: name for name, key in KEYS.items()}
    for_whom: set[tuple[str, ...]] = set()
    for row in stage.tables.scan("CrmRecords"):
        if not row.key.startswith("r|m"):
            continue
        _, key, *rest = row.key.split("|")
        if not rest:
            names[key] = str(row.values["message_id"])
        elif rest[0] == "p":
            beside.setdefault(key, set()).add(str(row.values["name"]))
            if rest[1] in people:
                for_whom.add((key, *rest[1:]))
        elif rest[0] == "s":
            sightings.add((key, names_of[rest[1]]))
    shown: dict[str, set[str]] = {}
    shown_to: set[tuple[str, ...]] = set()
    for row in stage.tables.scan("CrmTimeline"):
        person, _, key, *only = row.key.split("|")
        if person in people:  # and no conversation
            shown.setdefault(key, set()).add(people[person])
            shown_to.add((key, person, *only))
    assert (shown, shown_to) == (beside, for_whom)
    return {names[key]: who for key, who in beside.items()}, {(names[key], box) for key, box in sightings}


MailMachine.TestCase.settings = settings(
    max_examples=400 if SOAK else 80,
    stateful_step_count=50 if SOAK else 25,
    deadline=None,
    derandomize=not SOAK,
    database=None,
)
TestMailMachine = MailMachine.TestCase
if SOAK:
    # Ten times as much mail, and where something is found, time to make it small and to say what it was.
    TestMailMachine.pytestmark = [pytest.mark.timeout(1800)]
