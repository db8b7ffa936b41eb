"""One mailbox after the other, and one message, as a person reads them."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from dev.tenant.faults import Fault
from tests.admin.terminal import AppAdapter, Terminal
from tests.stage import ADA, BEN, Stage
from tests.web.web_world import the_web

ID = "2a0db1ffa67f4ebe5cfa3d24bfca2592"


def lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def test_a_mailbox_is_taken_in_once_however_often_it_is_added(stage: Stage, shell: Terminal) -> None:
    first, second = shell("mailbox", "add", ADA), shell("mailbox", "add", ADA.upper())

    assert (first.status, second.status) == (0, 0)
    assert first.out == f"{ADA}: Not looked at yet. It is looked at within a minute or two.\n"
    assert second.out.startswith(f"{ADA} was in scope already: ")
    assert [row.address for row in stage.world.state.mailboxes()] == [ADA]


def test_what_is_no_address_is_refused_in_the_words_of_the_service(shell: Terminal) -> None:
    seen = shell("mailbox", "add", "ada")

    assert (seen.status, seen.out) == (1, "")
    assert "This is no mail address" in seen.err
    assert "repeat the command" in seen.err


def test_all_mailboxes_are_listed_by_address_with_what_somebody_must_do(stage: Stage, shell: Terminal) -> None:
    for address in (BEN, ADA, "gone@firm.example"):
        shell("mailbox", "add", address)
    stage.settle()

    seen = shell("mailbox", "list")

    header, *rows = lines(seen.out)
    assert header == "mailbox status old mail until (UTC) what to do"
    assert rows[:2] == [f"{ADA} In agreement done", f"{BEN} In agreement done"]
    assert rows[2].startswith("gone@firm.example No such mailbox")
    assert seen.out.splitlines()[1].index("In agreement") == seen.out.splitlines()[0].index("status")
    assert "\t" not in seen.out


def test_a_firm_without_mailboxes_is_told_how_to_begin(shell: Terminal) -> None:
    assert shell("mailbox", "list").out == "There is no mailbox yet: see `mailbox add`.\n"


def test_a_mailbox_is_shown_by_its_address_in_any_case_or_by_its_id(stage: Stage, shell: Terminal) -> None:
    row = stage.add()
    stage.mail()
    stage.mail(author="nobody@else.example")
    stage.settle()

    by_address, by_id = shell("mailbox", "show", "Ada@Firm.example"), shell("mailbox", "show", row.id)

    assert by_address.raw == by_id.raw
    assert lines(by_id.out) == [
        f"mailbox {ADA}",
        f"id {row.id}",
        "status In agreement",
        "seen 2",
        "kept 1",
        "errors 0",
        "not kept no contact 1",
        "old mail done",
    ]


@pytest.mark.parametrize("named", ["ben@firm.example", "f" * 32, "", "../status"])
def test_a_mailbox_that_is_not_in_scope_is_told_so(stage: Stage, shell: Terminal, named: str) -> None:
    stage.add()

    seen = shell("mailbox", "show", named)

    assert (seen.status, seen.out) == (1, "")
    assert len(seen.err.splitlines()) == 2


def test_a_mailbox_is_switched_off_and_on_and_given_to_somebody(stage: Stage, shell: Terminal) -> None:
    row = stage.add()

    off = shell("mailbox", "off", ADA)
    on = shell("mailbox", "on", ADA)
    owned = shell("mailbox", "owner", ADA, "u" + "1" * 32)

    assert off.out.startswith(f"{ADA}: Switched off. Nothing of this mailbox is read")
    assert on.out.startswith(f"{ADA}: Not looked at yet.")
    assert owned.status == 0
    now = stage.world.state.mailbox(row.id)
    assert now is not None
    assert (now.off, now.owner) == (False, "u" + "1" * 32)


def test_its_old_mail_is_paused_and_resumed(stage: Stage, shell: Terminal) -> None:
    row = stage.add()

    paused, resumed = shell("mailbox", "pause", ADA), shell("mailbox", "resume", ADA)

    assert "Old mail: paused" in paused.out
    assert "Old mail: running" in resumed.out
    now = stage.world.state.mailbox(row.id)
    assert now is not None
    assert now.backfill == "running"


# -- what cannot be taken back


@pytest.mark.parametrize("word", ["remove", "reset"])
def test_nothing_is_done_where_nobody_can_be_asked(stage: Stage, shell: Terminal, word: str) -> None:
    stage.add()
    stage.settle()

    seen = shell("mailbox", word, ADA)

    assert (seen.status, seen.out) == (2, "")
    assert "--yes" in seen.err
    assert stage.status().status == "connected"


@pytest.mark.parametrize("typed", ["n\n", "\n", "", "yess\n"])
def test_nothing_is_done_where_somebody_says_no(stage: Stage, terminal: Terminal, typed: str) -> None:
    stage.add()
    terminal.typed = typed

    seen = terminal("mailbox", "remove", ADA)

    assert (seen.status, seen.out) == (0, "")
    assert seen.err.startswith(f"{ADA} leaves the scope and is not read any more.")
    assert seen.err.endswith("Nothing was done.\n")
    assert len(list(stage.world.state.mailboxes())) == 1


@pytest.mark.parametrize(("typed", "words"), [("y\n", ()), (" YES\n", ()), (None, ("--yes",))])
def test_a_mailbox_is_removed_where_somebody_says_yes(
    stage: Stage, terminal: Terminal, typed: str | None, words: tuple[str, ...]
) -> None:
    stage.add()
    terminal.typed = typed

    seen = terminal("mailbox", "remove", ADA, *words)

    assert seen.status == 0
    assert seen.err.endswith(f"{ADA} is out of scope.\n")
    assert list(stage.world.state.mailboxes()) == []


def test_a_mailbox_that_is_reset_is_read_again(stage: Stage, shell: Terminal) -> None:
    stage.add()
    stage.settle()

    seen = shell("--yes", "mailbox", "reset", ADA)

    assert (seen.status, seen.out) == (0, f"{ADA} is read again from the start.\n")
    assert stage.status().status == "new"


# -- looked at now


def test_a_mailbox_is_looked_at_without_waiting(stage: Stage, shell: Terminal) -> None:
    stage.add()

    seen = shell("sync", ADA)

    assert (seen.status, seen.out) == (0, f"{ADA} is looked at now: see `mailbox show`.\n")
    assert stage.queue.messages("sync-mail")


def test_waiting_ends_when_everything_is_captured(stage: Stage, shell: Terminal) -> None:
    shell("mailbox", "add", ADA)
    stage.mail()

    seen = shell("sync", ADA, "--wait")

    assert (seen.status, seen.err) == (0, "")
    assert seen.out == f"{ADA}: In agreement. 1 mail seen, 1 kept so far.\n"


def test_waiting_ends_with_a_sentence_and_a_remedy_where_somebody_must_act(stage: Stage, shell: Terminal) -> None:
    shell("mailbox", "add", "gone@firm.example")

    seen = shell("sync", "gone@firm.example", "--wait")

    assert seen.status == 1
    assert seen.out.startswith("gone@firm.example: No such mailbox.")
    assert len(seen.err.splitlines()) == 2


def test_a_mailbox_in_trouble_is_given_the_time_for_another_try(stage: Stage, shell: Terminal) -> None:
    stage.add()
    stage.tenant.faults.add(Fault(match="GET .*mailFolders/delta", kind="forbidden", times=None))
    stage.settle()
    refused = shell("sync", ADA, "--wait")
    stage.tenant.faults.clear()

    mended = shell("sync", ADA, "--wait")

    assert (refused.status, mended.status) == (1, 0)
    assert refused.out.startswith(f"{ADA}: Access denied.")
    assert mended.out.startswith(f"{ADA}: In agreement.")


def test_waiting_ends_when_the_time_is_over(stage: Stage, shell: Terminal) -> None:
    shell("mailbox", "add", ADA)
    shell.meanwhile = lambda seconds: stage.clock.advance(seconds)  # nobody works

    seen = shell("sync", ADA, "--wait", "--minutes", "1")

    assert (seen.status, seen.out) == (4, f"{ADA}: Not looked at yet. 0 mails seen, 0 kept so far.\n")
    assert "goes on by itself" in seen.err


class Shaky(AppAdapter):
    """A network that is gone for some requests from the fourth on."""

    def __init__(self, stage: Stage, gone: int) -> None:
        super().__init__(the_web(stage))
        self._gone = range(3, 3 + gone)

    def send(self, request: requests.PreparedRequest, *given: Any, **more: Any) -> requests.Response:
        if len(self.asked) in self._gone:
            self.asked.append("nothing")
            raise requests.ConnectionError
        return super().send(request, *given, **more)


@pytest.mark.parametrize(("gone", "status"), [(5, 0), (6, 3)])
def test_waiting_outlives_a_network_that_is_gone_for_a_moment(
    stage: Stage, shell: Terminal, gone: int, status: int
) -> None:
    shell("mailbox", "add", ADA)
    shell.adapter = Shaky(stage, gone)

    seen = shell("sync", ADA, "--wait")

    assert isinstance(shell.adapter, AppAdapter)
    assert shell.adapter.asked.count("nothing") == gone
    assert seen.status == status


def test_waiting_waits_for_whatever_microsoft_asks(stage: Stage, shell: Terminal) -> None:
    shell("mailbox", "add", ADA)
    stage.mail()
    stage.tenant.faults.add(Fault(match="GET .*mailFolders/delta", kind="throttle", after=77))

    seen = shell("sync", ADA, "--wait")

    assert (seen.status, stage.tenant.faults.fired) != (0, [])
    assert seen.out.startswith(f"{ADA}: In agreement. 1 mail seen")


def test_a_mailbox_that_is_switched_off_is_not_looked_at(stage: Stage, shell: Terminal) -> None:
    shell("mailbox", "add", ADA)
    shell("mailbox", "off", ADA)

    seen = shell("sync", ADA, "--wait")

    assert (seen.status, seen.out) == (1, "")
    assert "switched off" in seen.err


# -- why


def test_a_message_is_explained_address_by_address(stage: Stage, terminal: Terminal) -> None:
    stage.add()
    message = stage.mail(author="nobody@else.example", subject="Offer")
    stage.settle()

    seen = terminal("explain", ADA, message)

    assert seen.status == 0
    assert seen.out.splitlines()[:2] == [
        "No address outside the firm is a contact's.",
        "The CRM does not have it.",
    ]
    assert lines(seen.out)[-2:] == ["from nobody@else.example nobody known", f"to {ADA} an address of this mailbox"]


def test_a_message_that_the_crm_has_is_named_there(stage: Stage, shell: Terminal) -> None:
    stage.add()
    message = stage.mail()
    stage.settle()

    seen = shell("explain", ADA, message)

    assert seen.out.splitlines()[0] == "It is kept: an address outside the firm is a contact's."
    assert seen.out.splitlines()[1].startswith("The CRM has it, as m")


def test_a_refusal_of_microsoft_is_told_with_its_remedy(stage: Stage, shell: Terminal) -> None:
    stage.add()
    stage.tenant.faults.add(Fault(match="GET .*messages/.*", kind="forbidden", times=None))

    seen = shell("explain", ADA, "AAMk")

    assert (seen.status, seen.out) == (1, "")
    assert len(seen.err.splitlines()) == 2


def test_the_name_of_a_mailbox_never_becomes_a_path(stage: Stage, shell: Terminal) -> None:
    stage.add()
    assert isinstance(shell.adapter, AppAdapter)

    shell("mailbox", "remove", "../policy", "--yes")

    assert shell.adapter.asked == ["GET /api/admin/mailboxes"]


# -- whose mail is left out


def test_exclusions_are_added_listed_and_taken_back(stage: Stage, shell: Terminal) -> None:
    stage.add()

    added = shell("exclusions", "add", "*@News.example")
    own = shell("exclusions", "add", "x@y.example", "--mailbox", ADA)
    back = shell("exclusions", "take-back", "*@news.example")
    again = shell("exclusions", "take-back", "*@news.example")

    assert added.out == "*@News.example is left out. Within a minute every worker knows.\n"
    assert own.status == 0
    assert "comes in again from 2026-" in back.out
    assert (again.status, "no such exclusion" in again.err) == (1, True)
    assert lines(shell("exclusions", "list").out)[1].startswith("*@News.example 2026-")
    assert lines(shell("exclusions", "list", "--mailbox", ADA).out)[1:] == ["x@y.example"]


def test_a_pattern_that_cannot_be_one_is_refused(shell: Terminal) -> None:
    assert shell("exclusions", "add", "*").status == 1
    assert shell("exclusions", "list").out == "Nothing is left out.\n"
