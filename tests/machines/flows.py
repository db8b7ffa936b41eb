"""What users do while something goes wrong: each flow is a name, what was there before, steps, and what must stand in
the CRM at the end. A cycle of the host follows each step. A flow that is added here has all its cells by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

from dev.firm import Attachment
from dev.tenant.exchange import Request
from dev.tenant.faults import Fault, Switches
from sync import retention, retry
from sync.policy import MailPolicy, Policy
from tests.builders import NOON
from tests.machines.scene import again, kept
from tests.machines.world import HostedStage
from tests.stage import ADA, BEN, FIRM, ROSA, Scene

UMA, OTTO = "uma@client.example", "otto@other.example"
PDF = Attachment("offer.pdf", "application/pdf", b"%PDF-1.4 an offer")
PLAIN, PAGE = Switches(), Switches(page_size_cap=5)


@dataclass(frozen=True, slots=True)
class Flow:
    """`expected` are the subjects on Rosa's timeline when all is well, in any order; `beside` those that do not depend
    on Ada's mailbox, which is the one that lasting faults strike. `lasting` is False where another flow calls the same
    routes from the same state."""

    name: str
    prepare: Callable[[HostedStage], None]
    steps: tuple[Callable[[HostedStage], None], ...]
    expected: tuple[str, ...]
    beside: tuple[str, ...] = ()
    mailboxes: tuple[str, ...] = (ADA, BEN)
    switches: Switches = PLAIN
    lasting: bool = True

    def stage(self, on: type[HostedStage] = HostedStage) -> HostedStage:
        """A stage on which everything is as it was before, watched from now on; its worker is new."""
        stage = on(mailboxes=self.mailboxes, scene=again(_before(self.name)))
        stage.watch()
        return stage


@cache
def _before(name: str) -> bytes:
    """The scene with which a flow begins."""
    flow = FLOWS[name]
    stage = HostedStage(flow.switches, flow.mailboxes)
    stage.crm.save_contact("Uma Client", [UMA], "c" + "2" * 32)
    flow.prepare(stage)
    stage.close()
    inner = stage.tables.inner, stage.blobs.inner, stage.queue.inner
    return kept(Scene(stage.clock, stage.tenant, *inner, stage.policy))


def _goes_on(stage: HostedStage) -> None:
    """Who lost his place in silence shows it now."""
    for address in stage.scope:
        _arrives(stage, address, 30, subject=f"afterwards to {address.partition('@')[0]}")


# -- live


def _in_scope(stage: HostedStage) -> None:
    _arrives(stage, ADA, -1440, subject="old")
    for address in (ADA, BEN):
        stage.add(address)
    stage.tick()
    stage.drain()


def _mail_arrives(stage: HostedStage) -> None:
    ada = stage.tenant.user(ADA)
    _arrives(stage, ADA, 6, subject="with a file", attachments=(PDF,))
    for address in (ADA, BEN):
        _arrives(stage, address, 7, subject="to both", to=(ADA, BEN), message_id="<both@client.example>")
    _arrives(stage, BEN, 7, subject="out", author=BEN, to=(ROSA,), bcc=(UMA,), folder="sentitems")
    _arrives(stage, ADA, 8, subject="no contact", author="somebody@else.example")
    ada.add_folder("Clients", "inbox")
    _arrives(stage, ADA, 9, subject="in a new folder", folder="inbox/Clients")
    old = next(one.id for one in ada.messages.values() if one.mail.subject == "old")
    ada.move(old, "archive")


def _arrives(stage: HostedStage, address: str, minutes: int, **fields: Any) -> None:
    """A mail with a time of its own: when it comes does not depend on what struck before."""
    when = NOON + timedelta(minutes=minutes)
    given = {"author": ROSA, "to": (address,), "body": "<p>Dear all</p>", "received": when, "sent": when}
    named = f"<{fields['subject'].replace(' ', '-')}@client.example>"
    stage.tenant.user(address).deliver(**{**given, "message_id": named, **fields})


# -- backfill


def _old_mail(stage: HostedStage) -> None:
    for number in range(7):
        files = (PDF,) if number == 2 else ()
        # The first page ends between two mails of one second.
        day = 5 if number == 3 else number + 1
        _arrives(stage, ADA, -1440 * day, subject=f"old {number}", attachments=files)
    _arrives(stage, ADA, -1440, subject="no contact", author="somebody@else.example")
    stage.add()


def _nothing(stage: HostedStage) -> None:
    """The host is enough."""


# -- a mail that cannot be read


def _ada_in_scope(stage: HostedStage) -> None:
    stage.add()
    stage.tick()
    stage.drain()


def _two_mails(stage: HostedStage) -> None:
    _arrives(stage, ADA, 6, subject="unreadable")
    _arrives(stage, ADA, 7, subject="beside it")


# -- errors that are done again


def _two_errors(stage: HostedStage) -> None:
    """A mail that Microsoft did not give, and a file of another one, beside a mail that is well."""
    _ada_in_scope(stage)
    stage.tenant.faults.add(Fault(match=r"part:GET .*messages/[^/]*\?", kind="forbidden", times=1))
    _arrives(stage, ADA, 1, subject="not given")
    _arrives(stage, ADA, 2, subject="beside it")
    stage.cycle()
    stage.tenant.faults.add(Fault(match="attachments/.*value", kind="forbidden", times=1))
    _arrives(stage, ADA, 6, subject="with a file", attachments=(PDF,))
    stage.cycle()


def _all_again(stage: HostedStage) -> None:
    """Somebody asks for all errors, and once more where nobody answered."""
    answers: list[retry.Answer] = []
    while not answers:
        stage.timer(lambda world: answers.append(retry.errors(world)))


# -- a mailbox is removed


def _licence_ends(stage: HostedStage) -> None:
    """In the middle of Ada's round, when she has shown her folders and not yet her mail."""
    _arrives(stage, ADA, 6, subject="never seen")
    _arrives(stage, BEN, 6, subject="beside it")

    def strike(request: Request) -> None:
        if "messages/delta" in request.url and stage.tenant.find(ADA).id in request.url:
            stage.tenant.before.remove(strike)
            stage.tenant.remove_licence(ADA)

    stage.tenant.before.append(strike)


def _more_for_ben(stage: HostedStage) -> None:
    _arrives(stage, BEN, 12, subject="and on")


# -- somebody becomes a contact


def _with_otto(stage: HostedStage) -> None:
    """Otto, whom nobody knows, is on mail of both mailboxes, once beside Rosa."""
    _arrives(stage, ADA, -2880, subject="from otto", author=OTTO)
    _arrives(stage, ADA, -1440, subject="from rosa", cc=(OTTO,))
    _arrives(stage, BEN, -1440, subject="to otto", author=BEN, to=(OTTO,), folder="sentitems", attachments=(PDF,))
    _arrives(stage, BEN, -1440, subject="no contact", author="somebody@else.example")
    for address in (ADA, BEN):
        stage.add(address)
    stage.tick()
    stage.drain()


def _otto_is_known(stage: HostedStage) -> None:
    with stage.unwatched():
        stage.crm.save_contact("Otto", [OTTO], "c" + "3" * 32)


def _many_are_known(stage: HostedStage) -> None:
    """More than are searched for one by one."""
    with stage.unwatched():
        for number in range(5):
            stage.crm.save_contact(f"Person {number}", [f"person{number}@other.example"], f"c{number}" + "4" * 31)
    _otto_is_known(stage)


# -- mail that matches nobody, kept for a time


def _kept_for_a_week(stage: HostedStage) -> None:
    stage.policy = Policy(matching=FIRM.matching, mail=MailPolicy(unmatched_days=7))
    _arrives(stage, ADA, -1440, subject="no contact", author="somebody@else.example", attachments=(PDF,))
    _in_scope(stage)


def _its_time_is_over(stage: HostedStage) -> None:
    stage.clock.advance(7 * 86400)
    stage.timer(retention.purge)


def _the_next_day(stage: HostedStage) -> None:
    stage.clock.advance(86400)
    stage.timer(retention.purge)


FLOWS: dict[str, Flow] = {
    flow.name: flow
    for flow in (
        Flow(
            "live",
            _in_scope,
            (_mail_arrives, _goes_on),
            ("old", "with a file", "to both", "out", "in a new folder", "afterwards to ada", "afterwards to ben"),
            ("to both", "out", "afterwards to ben"),
        ),
        Flow(
            "backfill",
            _old_mail,
            (_nothing, _goes_on),
            (*(f"old {number}" for number in range(7)), "afterwards to ada"),
            (),
            (ADA,),
            PAGE,
        ),
        Flow(
            "unreadable",
            _ada_in_scope,
            (_two_mails, _goes_on),
            ("beside it", "afterwards to ada"),
            mailboxes=(ADA,),
            switches=Switches(one_message_without_id=True),
            lasting=False,
        ),
        Flow(
            "removed",
            _in_scope,
            (_licence_ends, _more_for_ben),
            ("old", "beside it", "and on"),
            ("beside it", "and on"),
            lasting=False,
        ),
        Flow(
            "history",
            _with_otto,
            (_otto_is_known, _nothing, _nothing, _goes_on),
            ("from otto", "from rosa", "to otto", "afterwards to ada", "afterwards to ben"),
            lasting=False,
        ),
        Flow(
            "listing",
            _with_otto,
            (_many_are_known, _nothing, _nothing),
            ("from otto", "from rosa", "to otto"),
            switches=PAGE,
            lasting=False,
        ),
        Flow(
            "retry",
            _two_errors,
            (_all_again,),
            ("not given", "beside it", "with a file"),
            mailboxes=(ADA,),
            lasting=False,
        ),
        Flow(
            "expiry",
            _kept_for_a_week,
            (_its_time_is_over, _the_next_day),
            ("old",),
            mailboxes=(ADA, BEN),
            lasting=False,
        ),
    )
}
