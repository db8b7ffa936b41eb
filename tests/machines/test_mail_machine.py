"""Random mail, moves, folders, contacts and faults in any order; when all has settled, the CRM is what users expect."""

from __future__ import annotations

import os

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, precondition, rule

from dev.tenant.faults import Fault
from tests.machines.firm import ROOTS, Copy, Firm
from tests.machines.record import doubled, gaps
from tests.machines.world import HostedStage
from tests.stage import ADA, BEN, ROSA

SOAK = bool(os.environ.get("SOAK"))
UMA, VERA, STRANGER, COLLEAGUE = "uma@else.example", "vera@client.example", "eve@else.example", "cy@firm.example"
OUTSIDE = (ROSA, UMA, VERA, STRANGER)
KEYS = {"Rosa Client": "c" + "1" * 32, "Uma": "c" + "2" * 32, "Vera": "c" + "3" * 32}
BOXES = (ADA, BEN)
HOUR = 3600
FAULTS = {
    "throttle": {"after": 20},
    "unavailable": {},
    "gateway_timeout": {},
    "reset": {},
    "timeout": {},
    "truncate": {},
    "unauthorized": {},
}
anywhere = st.integers(0, 60)


class MailMachine(RuleBasedStateMachine):
    """Two mailboxes, three contacts, a stranger and a colleague. The model is `firm`, the product is on `stage`."""

    mails = Bundle("mails")
    folders = Bundle("folders")

    def __init__(self) -> None:
        super().__init__()
        self.stage = HostedStage()
        self.firm = Firm()
        self.scope: set[str] = set()
        self.settled: set[str] = set()
        self.number = 0
        self.firm.contacts[ROSA] = "Rosa Client"

    @initialize(ada=st.booleans())
    def begin(self, ada: bool) -> None:
        self.stage.watch()
        if ada:
            self.add_mailbox(ADA)

    # -- mail

    @rule(
        target=mails,
        box=st.sampled_from(BOXES),
        author=st.sampled_from((*OUTSIDE, COLLEAGUE)),
        cc=st.sets(st.sampled_from(OUTSIDE), max_size=2),
        folder=st.sampled_from(("inbox", "archive", "junkemail")),
    )
    def arrives(self, box: str, author: str, cc: set[str], folder: str) -> Copy:
        return self._deliver(box, folder, author, [box], sorted(cc), [])

    @rule(author=st.sampled_from(OUTSIDE), cc=st.sets(st.sampled_from(OUTSIDE), max_size=1))
    def arrives_at_both(self, author: str, cc: set[str]) -> None:
        self.number += 1
        for box in BOXES:
            self._deliver(box, "inbox", author, [*BOXES], sorted(cc), [], self.number)

    @rule(
        target=mails,
        box=st.sampled_from(BOXES),
        to=st.sampled_from((*OUTSIDE, COLLEAGUE, ADA, BEN)),
        bcc=st.sets(st.sampled_from(OUTSIDE), max_size=1),
    )
    def is_sent(self, box: str, to: str, bcc: set[str]) -> Copy:
        self.number += 1
        if to in BOXES and to != box:
            self._deliver(to, "inbox", box, [to], [], [], self.number)
        return self._deliver(box, "sentitems", box, [to], [], sorted(bcc), self.number)

    @rule(box=st.sampled_from(BOXES), to=st.sampled_from(OUTSIDE))
    def is_drafted(self, box: str, to: str) -> None:
        self._deliver(box, "drafts", box, [to], [], [])

    def _deliver(
        self, box: str, folder: str, author: str, to: list[str], cc: list[str], bcc: list[str], number: int = 0
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
            folder=folder,
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
            box not in self.scope,
        )
        self.firm.put(copy)
        return copy

    def _now(self, mail: Copy) -> Copy | None:
        """The mail as it lies now; None where it was purged, or where moving it now may well lose it: old mail of a
        mailbox whose backfill has not passed it."""
        copy = self.firm.copies.get((mail.mailbox, mail.id))
        if copy is None or (copy.old and copy.mailbox not in self.settled):
            return None
        return copy

    @rule(mail=mails, folder=st.sampled_from((*ROOTS, "deleteditems", "junkemail")))
    def is_moved(self, mail: Copy, folder: str) -> None:
        if (copy := self._now(mail)) is not None:
            self._move(copy, folder)

    @rule(mail=mails)
    def is_moved_out_and_back(self, mail: Copy) -> None:
        if (copy := self._now(mail)) is not None and copy.folder in ROOTS:
            self._move(copy, "deleteditems")
            self._move(self.firm.copies[(copy.mailbox, copy.id)], copy.folder)

    @rule(mail=mails, folder=folders)
    def is_filed(self, mail: Copy, folder: tuple[str, str]) -> None:
        copy = self._now(mail)
        if copy is not None and folder in self.firm.folders and folder[0] == copy.mailbox:
            self._move(copy, folder[1])

    def _move(self, copy: Copy, folder: str) -> None:
        self.stage.tenant.user(copy.mailbox).move(copy.id, folder)
        self.firm.moved(copy, folder)

    @rule(mail=mails)
    def is_purged(self, mail: Copy) -> None:
        if (copy := self._now(mail)) is not None:
            self.stage.tenant.user(copy.mailbox).purge(copy.id)
            self.firm.gone(copy)

    @rule(mail=mails)
    def is_opened(self, mail: Copy) -> None:
        if (copy := self.firm.copies.get((mail.mailbox, mail.id))) is not None:
            self.stage.tenant.user(copy.mailbox).mark_read(copy.id)

    # -- folders

    @rule(target=folders, box=st.sampled_from(BOXES), parent=st.sampled_from(("inbox", "archive", "deleteditems")))
    def folder_is_made(self, box: str, parent: str) -> tuple[str, str]:
        self.number += 1
        made = self.stage.tenant.user(box).add_folder(f"folder {self.number}", parent)
        self.firm.folders[(box, made)] = parent
        return box, made

    @rule(folder=folders)
    def folder_is_renamed(self, folder: tuple[str, str]) -> None:
        if folder in self.firm.folders:
            self.number += 1
            self.stage.tenant.user(folder[0]).rename_folder(folder[1], f"folder {self.number}")

    @rule(folder=folders, parent=st.sampled_from(("inbox", "archive", "deleteditems")))
    def folder_is_moved(self, folder: tuple[str, str], parent: str) -> None:
        if folder in self.firm.folders:
            self.stage.tenant.user(folder[0]).move_folder(folder[1], parent)
            self.firm.folders[folder] = parent
            self.firm.learned()

    @rule(folder=folders)
    def folder_is_removed(self, folder: tuple[str, str]) -> None:
        if folder in self.firm.folders:
            for copy in [one for one in self.firm.copies.values() if (one.mailbox, one.folder) == folder]:
                self.firm.gone(copy)
            self.stage.tenant.user(folder[0]).remove_folder(folder[1])
            del self.firm.folders[folder]

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

    @rule(box=st.sampled_from(BOXES))
    def add_mailbox(self, box: str) -> None:
        with self.stage.unwatched():
            self.stage.add(box)
        self.scope.add(box)

    # -- what goes wrong

    @rule(kind=st.sampled_from(sorted(FAULTS)), nth=st.integers(1, 12), times=st.integers(1, 2))
    def microsoft_refuses(self, kind: str, nth: int, times: int) -> None:
        self.stage.tenant.faults.add(Fault("graph.microsoft.com", kind, nth=nth, times=times, **FAULTS[kind]))

    @rule(kind=st.sampled_from(("throttle", "unavailable", "server_error")), nth=st.integers(1, 3))
    def microsoft_refuses_a_part(self, kind: str, nth: int) -> None:
        self.stage.tenant.faults.add(Fault("part:messages", kind, nth=nth))

    @rule()
    def deltas_are_lost(self) -> None:
        self.stage.tenant.drop_delta_states()

    @rule(effect=anywhere, lost=st.booleans(), after=st.booleans())
    def worker_is_killed(self, effect: int, lost: bool, after: bool) -> None:
        effects = self.stage.effects
        self.stage.lost = lost
        strikes = effects.after if after else effects.before
        strikes[len(effects.seen) + effect % 20] = self.stage.killed

    @rule(effect=anywhere)
    def worker_is_overtaken(self, effect: int) -> None:
        self.stage.effects.before[len(self.stage.effects.seen) + effect % 20] = self.stage.overtaken

    @rule(what=st.sampled_from(("twice", "dropped", "delayed")))
    def next_message_is(self, what: str) -> None:
        put = self.stage.queue.inner.put
        self.stage.queue.twist[len(self.stage.queue.sent)] = {
            "twice": lambda *given: (put(*given), put(*given))[0],
            "dropped": lambda *_: None,
            "delayed": lambda queue, text, _: put(queue, text, 90),
        }[what]

    @rule(reversed=st.booleans())
    def messages_come_in_order(self, reversed: bool) -> None:
        self.stage.reversed = reversed

    # -- time

    @rule(seconds=st.sampled_from((1, 30, 61, 400)))
    def time_passes(self, seconds: int) -> None:
        self.stage.clock.advance(seconds)

    @rule()
    def a_minute_of_work(self) -> None:
        self.stage.clock.advance(60)
        self.stage.tick()
        self.stage.drain()

    @precondition(lambda self: self.scope)
    @rule()
    def all_settles(self) -> None:
        stage = self.stage
        stage.tenant.faults.clear()
        stage.rested()
        if any(row.status == "blocked" for row in stage.world.state.mailboxes()):
            stage.clock.advance(HOUR)
        for _ in range(3):
            stage.cycle()
        self.settled = set(self.scope)
        self.firm.settled(self.scope)
        seen = len(stage.effects.seen)
        stage.cycle()
        written = {effect.name for effect in stage.effects.seen[seen:]} - {"AccordState", "message-sync-mail"}
        assert self.firm.wrong(*in_the_crm(stage)) == []
        assert [*gaps(stage), *doubled(stage), *stage.bugs, *stage.harm, *stage.parked] == []
        assert not written, f"A cycle in which nothing happened wrote {sorted(written)}."

    def teardown(self) -> None:
        try:
            if self.scope:
                self.all_settles()
        finally:
            self.stage.close()


def in_the_crm(stage: HostedStage) -> tuple[dict[str, set[str]], set[tuple[str, str]]]:
    """Who stands beside which mail, and which mailbox has shown it; timelines say the same."""
    mailboxes = {row.id: row.address for row in stage.world.state.mailboxes()}
    names: dict[str, str] = {}
    beside: dict[str, set[str]] = {}
    sightings: set[tuple[str, str]] = set()
    for row in stage.tables.scan("CrmRecords"):
        if not row.key.startswith("r|m"):
            continue
        _, key, *rest = row.key.split("|")
        if not rest:
            names[key] = str(row.values["message_id"])
        elif rest[0] == "p":
            beside.setdefault(key, set()).add(str(row.values["name"]))
        elif rest[0] == "s":
            sightings.add((key, mailboxes[rest[1]]))
    people = {key: name for name, key in KEYS.items()}
    shown: dict[str, set[str]] = {}
    for row in stage.tables.scan("CrmTimeline"):
        person, _, rest_of_key = row.key.partition("|")
        shown.setdefault(rest_of_key.rpartition("|")[2], set()).add(people[person])
    assert shown == beside
    return {names[key]: who for key, who in beside.items()}, {(names[key], box) for key, box in sightings}


MailMachine.TestCase.settings = settings(
    max_examples=400 if SOAK else 30,
    stateful_step_count=50 if SOAK else 25,
    deadline=None,
    derandomize=not SOAK,
    database=None,
)
TestMailMachine = MailMachine.TestCase
