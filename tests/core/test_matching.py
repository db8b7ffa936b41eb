"""Which mails are kept, and why."""

from __future__ import annotations

import pytest

from sync.matching import correspondents, decide, set_aside, usable
from sync.model import Person
from sync.policy import MatchingPolicy, Policy
from tests.builders import CLIENT, COLLEAGUE, an_address, an_envelope

OWN = ("ada@firm.example",)
PEOPLE = {"rosa@client.example": (CLIENT,), "ben@partner.example": (COLLEAGUE,)}
FIRM = Policy(matching=MatchingPolicy(internal_domains=("firm.example",)))


def test_a_mail_from_a_contact_is_kept_beside_him():
    decision = decide(an_envelope(), OWN, PEOPLE, FIRM)

    assert decision.keep
    assert decision.reason == "kept"
    assert decision.direction == "in"
    assert [(one.person, one.role) for one in decision.relations] == [(CLIENT, "from")]


def test_a_mail_to_a_contact_goes_out():
    mail = an_envelope(author=an_address("Ada@Firm.example"), to=(an_address("ROSA@client.example"),))

    decision = decide(mail, OWN, PEOPLE, FIRM)

    assert (decision.keep, decision.direction) == (True, "out")


def test_one_outside_contact_is_enough_beside_colleagues():
    mail = an_envelope(
        to=(an_address("ada@firm.example"), an_address("ben@firm.example")), cc=(an_address("x@y.example"),)
    )

    assert decide(mail, OWN, PEOPLE, FIRM).keep


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
    decision = decide(mail, OWN, PEOPLE, FIRM)

    assert (decision.keep, decision.reason) == (False, reason), what
    assert decision.relations == ()


def test_a_contact_with_an_internal_address_alone_keeps_nothing():
    people = {"rosa@firm.example": (CLIENT,)}

    assert decide(an_envelope(author=an_address("rosa@firm.example")), OWN, people, FIRM).reason == "only internal"


def test_a_user_on_a_kept_mail_stands_beside_it_too():
    mail = an_envelope(cc=(an_address("ben@partner.example"),))

    assert [one.person for one in decide(mail, OWN, PEOPLE, FIRM).relations] == [CLIENT, COLLEAGUE]


def test_a_person_stands_beside_a_mail_once():
    mail = an_envelope(to=(an_address("rosa@client.example"), an_address("rosa@client.example")))

    assert len(decide(mail, OWN, PEOPLE, FIRM).relations) == 1


LEFT_OUT = Policy(
    matching=MatchingPolicy(internal_domains=("firm.example",), exclusions=("*@client.example", "news@partner.example"))
)


def test_a_mail_whose_outside_addresses_are_all_excluded_is_skipped():
    assert decide(an_envelope(), OWN, PEOPLE, LEFT_OUT).reason == "excluded"


def test_one_outside_address_that_is_not_excluded_is_enough_and_the_excluded_one_stands_beside_nothing():
    other = Person("c" + "3" * 32, "contact", "Otto Other")
    mail = an_envelope(cc=(an_address("otto@other.example"),))

    decision = decide(mail, OWN, {**PEOPLE, "otto@other.example": (other,)}, LEFT_OUT)

    assert [one.person for one in decision.relations] == [other]


def test_a_stranger_beside_an_excluded_contact_keeps_nothing():
    mail = an_envelope(cc=(an_address("who@else.example"),))

    assert decide(mail, OWN, PEOPLE, LEFT_OUT).reason == "no contact"


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
