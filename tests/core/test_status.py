"""How a mailbox stands: by its own row, its streams, and what its connection is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import get_args

import pytest

from sync import errors
from sync.model import Cause, Trouble, Want
from sync.status import TITLES, shown, trouble
from tests.builders import NOON, a_mailbox

WELL = a_mailbox(met=True, backfill="done")
SOON = NOON + timedelta(minutes=3)
REFUSED = Trouble("blocked", "access", "Refused.", "Grant it.")
FAILING = Trouble("failing", "error", "An unexpected error stopped the run (ValueError).")
SLOW = Trouble("waiting", "unavailable", "No answer.")


def a_want(found: Trouble | None) -> Want:
    return Want(WELL.id, "mail-backfill", 1, trouble=found)


def test_a_mailbox_that_is_well_needs_no_sentence() -> None:
    assert (shown(WELL, [], None, NOON).title, shown(WELL, [], None, NOON).sentence) == ("In agreement", "")


@pytest.mark.parametrize("backfill", ["running", "paused"])
def test_a_mailbox_whose_old_mail_is_not_there_yet_says_so(backfill: str) -> None:
    found = shown(replace(WELL, backfill=backfill), [], None, NOON)

    assert (found.status, found.cause) == ("connected", "catching up")


def test_a_new_mailbox_says_when_it_is_looked_at() -> None:
    found = shown(a_mailbox(backfill="running"), [], None, NOON)

    assert (found.status, found.sentence) == ("new", "It is looked at within a minute or two.")


def test_a_mailbox_that_is_off_says_nothing_else() -> None:
    found = shown(replace(WELL, off=True, trouble=REFUSED), [a_want(FAILING)], SOON, NOON)

    assert (found.status, found.title) == ("off", "Switched off")


def test_what_a_slow_stream_suffers_shows_though_new_mail_comes_in() -> None:
    found = shown(WELL, [a_want(REFUSED)], None, NOON)

    assert (found.status, found.title, found.remedy) == ("blocked", "Access denied", "Grant it.")


def test_of_several_troubles_the_one_that_needs_a_person_shows() -> None:
    found = shown(replace(WELL, trouble=FAILING), [a_want(SLOW), a_want(REFUSED)], None, NOON)

    assert found.cause == "access"
    assert shown(replace(WELL, trouble=SLOW), [a_want(FAILING)], None, NOON).status == "failing"


def test_a_wait_of_the_connection_is_the_status_of_its_mailboxes() -> None:
    found = shown(WELL, [], SOON, NOON)

    assert (found.status, found.cause, found.until) == ("waiting", "throttled", SOON)
    assert found.sentence == "Microsoft asked us to wait until 12:03:00 UTC; it goes on by itself then."


def test_a_wait_hides_nothing_that_needs_a_person() -> None:
    found = shown(replace(WELL, not_before=SOON), [a_want(REFUSED)], None, NOON)

    assert (found.status, found.until) == ("blocked", SOON)


def test_the_longer_of_two_waits_is_told_and_none_that_is_over() -> None:
    later = SOON + timedelta(minutes=1)

    assert shown(replace(WELL, not_before=SOON, trouble=SLOW), [], later, NOON).until == later
    assert shown(replace(WELL, not_before=NOON), [], NOON, NOON).status == "connected"
    assert shown(replace(WELL, trouble=SLOW), [], NOON, NOON).sentence == "No answer."


@pytest.mark.parametrize(
    ("error", "status", "cause"),
    [
        (errors.SignInRefused("No.", "Do."), "blocked", "sign-in"),
        (errors.AccessDenied("No.", "Do."), "blocked", "access"),
        (errors.MailboxMissing("No.", "Do."), "blocked", "mailbox"),
        (errors.ConnectionGone("No.", "Do."), "blocked", "connection"),
        (errors.NeedsPerson("No.", "Do."), "blocked", "person"),
        (errors.Throttled("No.", 9), "waiting", "throttled"),
        (errors.Unavailable("No.", 9), "waiting", "unavailable"),
        (errors.StorageUnavailable("No.", 9), "waiting", "storage"),
        (errors.MalformedAnswer("No.", 9), "waiting", "malformed"),
        (errors.CursorGone("No."), "waiting", "place lost"),
        (errors.TooLarge("No."), "failing", "error"),
    ],
)
def test_every_error_has_its_cause(error: errors.AccordError, status: str, cause: str) -> None:
    found = trouble(error)

    assert (found.status, found.cause, found.sentence) == (status, cause, "No.")
    assert found.remedy == getattr(error, "remedy", "")


def test_of_a_bug_nothing_is_told_but_its_class() -> None:
    found = trouble(ValueError("what a mail says"))

    assert (found.status, found.sentence) == ("failing", "An unexpected error stopped the run (ValueError).")


def test_every_cause_has_its_title() -> None:
    assert sorted(TITLES) == sorted(get_args(Cause))
