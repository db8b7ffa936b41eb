"""Which mails are kept, and why."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sync import matching
from sync.exclusions import Exclusion
from sync.matching import Decision, Rules, correspondents, set_aside, usable
from sync.model import Envelope, Person
from sync.policy import MailPolicy, MatchingPolicy, Policy
from tests.builders import CLIENT, COLLEAGUE, NOON, an_address, an_envelope

OWN = ("ada@firm.example",)
PEOPLE = {"rosa@client.example": (CLIENT,), "ben@partner.example": (COLLEAGUE,)}
FIRM = Policy(matching=MatchingPolicy(internal_domains=("firm.example",)))
DAY = timedelta(days=1)
CLIENTS = "rosa@client.example"


def decide(
    mail: Envelope, people: dict[str, tuple[Person, ...]] = PEOPLE, policy: Policy = FIRM, **more: Any
) -> Decision:
    return matching.decide(mail, people, Rules.of(policy, OWN, NOON, **more))


def test_a_mail_from_a_contact_is_kept_beside_him():
    decision = decide(an_envelope())

    assert decision.keep
    assert decision.reason == "kept"
    assert decision.direction == "in"
    assert [(one.person, one.role) for one in decision.relations] == [(CLIENT, "from")]


def test_a_mail_to_a_contact_goes_out():
    mail = an_envelope(author=an_address("Ada@Firm.example"), to=(an_address("ROSA@client.example"),))

    decision = decide(mail)

    assert (decision.keep, decision.direction) == (True, "out")


def test_one_outside_contact_is_enough_beside_colleagues():
    mail = an_envelope(
        to=(an_address("ada@firm.example"), an_address("ben@firm.example")), cc=(an_address("x@y.example"),)
    )

    assert decide(mail).keep


@pytest.mark.parametrize(
    ("what", "mail", "reason"),
    [
        ("a stranger", an_envelope(author=an_address("who@else.example")), "no contact"),
        ("all of one internal domain", an_envelope(author=an_address("ben@firm.example")), "only internal"),
        ("a CRM user of another domain", an_envelope(author=an_address("ben@partner.example")), "only internal"),
        ("himself alone", an_envelope(author=None, to=(an_address("ada@firm.example"),)), "only internal"),
        ("nobody", an_envelope(author=None, to=()), "no address"),
        ("a legacy Exchange name alone", an_envelope(author=an_address("/O=EX/CN=ada@x"), to=()), "no address"),
    ],
)
def test_a_mail_is_skipped_with_its_reason(what, mail, reason):
    decision = decide(mail)

    assert (decision.keep, decision.reason) == (False, reason), what
    assert decision.relations == ()


def test_a_contact_with_an_internal_address_alone_keeps_nothing():
    people = {"rosa@firm.example": (CLIENT,)}

    assert decide(an_envelope(author=an_address("rosa@firm.example")), people).reason == "only internal"


def test_a_user_on_a_kept_mail_stands_beside_it_too():
    mail = an_envelope(cc=(an_address("ben@partner.example"),))

    assert [one.person for one in decide(mail).relations] == [CLIENT, COLLEAGUE]


def test_a_person_stands_beside_a_mail_once():
    mail = an_envelope(to=(an_address("rosa@client.example"), an_address("rosa@client.example")))

    assert len(decide(mail).relations) == 1


LEFT_OUT = [[Exclusion("*@client.example"), Exclusion("news@partner.example")]]


def test_a_mail_whose_outside_addresses_are_all_excluded_is_skipped():
    assert decide(an_envelope(), lists=LEFT_OUT).reason == "excluded"


def test_one_outside_address_that_is_not_excluded_is_enough_and_the_excluded_one_stands_beside_nothing():
    other = Person("c" + "3" * 32, "contact", "Otto Other")
    mail = an_envelope(cc=(an_address("otto@other.example"),))

    decision = decide(mail, {**PEOPLE, "otto@other.example": (other,)}, lists=LEFT_OUT)

    assert [one.person for one in decision.relations] == [other]


def test_a_stranger_beside_an_excluded_contact_keeps_nothing():
    mail = an_envelope(cc=(an_address("who@else.example"),))

    assert decide(mail, lists=LEFT_OUT).reason == "no contact"


def test_everybody_on_a_mail_is_listed_by_role():
    mail = an_envelope(
        sender=an_address("assistant@client.example"),
        cc=(an_address("c@x.example"),),
        bcc=(an_address("b@x.example"), an_address("no address")),
    )

    assert correspondents(mail) == [
        ("from", "rosa@client.example"),
        ("sender", "assistant@client.example"),
        ("to", "ada@firm.example"),
        ("cc", "c@x.example"),
        ("bcc", "b@x.example"),
    ]


def test_a_sender_who_is_the_author_is_listed_once():
    mail = an_envelope(sender=an_address("rosa@client.example", "Rosa"))

    assert [role for role, _ in correspondents(mail)] == ["from", "to"]


def test_drafts_and_folders_left_out_are_not_looked_at():
    assert set_aside(an_envelope(draft=True), ()) == "draft"
    assert set_aside(an_envelope(folder="junk"), {"junk"}) == "folder"
    assert set_aside(an_envelope(), {"junk"}) is None


@pytest.mark.parametrize(("text", "good"), [("a@b", True), ("", False), ("/O=EX/CN=a@b", False), ("nobody", False)])
def test_what_is_an_address(text, good):
    assert usable(text) is good


def test_a_list_of_the_mailbox_leaves_out_what_the_firm_lets_in():
    lists = [(), (Exclusion("*@client.example"),)]

    assert decide(an_envelope(), lists=lists).reason == "excluded"


def test_an_exclusion_that_was_taken_back_still_leaves_out_the_mail_from_before():
    lists = [(Exclusion("*@client.example", until=NOON),)]

    assert decide(an_envelope(received=NOON - DAY), lists=lists).reason == "excluded"
    assert decide(an_envelope(received=NOON), lists=lists).keep


STRANGER = an_envelope(author=an_address("who@else.example"), cc=(an_address("ben@partner.example"),))
FOR_A_WEEK = Policy(matching=FIRM.matching, mail=MailPolicy(unmatched_days=7))


def test_mail_that_matches_nobody_is_kept_for_a_time_where_the_policy_says_so():
    decision = decide(STRANGER, policy=FOR_A_WEEK)

    assert (decision.keep, decision.reason, decision.expires) == (True, "unmatched", NOON + 7 * DAY)
    assert [one.person for one in decision.relations] == [COLLEAGUE]


@pytest.mark.parametrize(
    "mail",
    [
        replace(STRANGER, received=NOON - 7 * DAY),
        replace(STRANGER, received=None, sent=None),
        replace(STRANGER, received=datetime.max.replace(tzinfo=UTC)),
    ],
    ids=["older than that", "of no known time", "dated at the end of time"],
)
def test_unmatched_mail_is_kept_by_its_own_age(mail):
    assert decide(mail, policy=FOR_A_WEEK).reason == "no contact"


def test_unmatched_mail_without_a_time_received_goes_by_the_time_sent():
    assert decide(replace(STRANGER, received=None), policy=FOR_A_WEEK).expires == NOON + 7 * DAY


@pytest.mark.parametrize(
    ("mail", "reason"),
    [
        (an_envelope(author=an_address("ben@firm.example")), "only internal"),
        (an_envelope(author=None, to=()), "no address"),
    ],
)
def test_keeping_unmatched_mail_keeps_nothing_internal(mail, reason):
    assert decide(mail, policy=FOR_A_WEEK).reason == reason


def test_a_matched_mail_never_expires():
    assert decide(an_envelope(), policy=FOR_A_WEEK).expires is None


NO_BCC = Policy(matching=FIRM.matching, mail=MailPolicy(bcc=False, unmatched_days=7))
BY_BCC = an_envelope(to=(an_address("ben@firm.example"),))


def test_mail_that_came_by_bcc_is_kept_unless_the_policy_says_no():
    assert decide(BY_BCC).keep
    assert decide(BY_BCC, policy=NO_BCC).reason == "bcc only"


def test_unmatched_mail_that_came_by_bcc_is_left_out_too():
    assert decide(replace(STRANGER, to=()), policy=NO_BCC).reason == "bcc only"


@pytest.mark.parametrize(
    "mail", [an_envelope(), an_envelope(author=an_address("ada@firm.example"), to=(an_address("rosa@client.example"),))]
)
def test_mail_that_names_the_mailbox_is_no_bcc(mail):
    assert decide(mail, policy=NO_BCC).keep


def test_a_mailbox_whose_addresses_are_not_known_yet_has_no_bcc():
    assert matching.decide(BY_BCC, PEOPLE, Rules.of(NO_BCC, (), NOON)).keep


def test_a_relation_that_only_a_bcc_tells_of_is_for_the_eyes_of_its_owner():
    mail = an_envelope(
        author=an_address("ada@firm.example"), to=(an_address("ben@partner.example"),), bcc=(an_address(CLIENTS),)
    )

    decision = decide(mail, eyes="u1")

    assert [(one.person, one.role, one.only) for one in decision.relations] == [
        (COLLEAGUE, "to", ""),
        (CLIENT, "bcc", "u1"),
    ]


def test_a_relation_that_is_open_as_well_is_for_everybody():
    mail = an_envelope(author=an_address("ada@firm.example"), to=(an_address(CLIENTS),), bcc=(an_address(CLIENTS),))

    assert [one.only for one in decide(mail, eyes="u1").relations] == [""]


def test_mail_from_before_the_oldest_time_is_not_looked_at():
    assert set_aside(an_envelope(received=NOON - DAY), (), NOON) == "too old"
    assert set_aside(an_envelope(received=NOON), (), NOON) is None
    assert set_aside(an_envelope(received=None), (), NOON) is None
