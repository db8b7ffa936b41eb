"""A mailbox by the command line alone: added, captured, broken, explained, repaired, retried, as a person reads it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.tenant.faults import Fault
from tests.admin.terminal import Terminal, a_terminal
from tests.stage import ADA, ROSA, Stage


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.close()


@pytest.fixture
def shell(stage: Stage, tmp_path: Path) -> Terminal:
    """A terminal of 120 columns that asks for no bold letters."""
    shell = a_terminal(stage, tmp_path, terminal=True)
    shell.environment["NO_COLOR"] = "1"
    return shell


def told(text: str) -> list[str]:
    """Lines as they are read: without the spaces that align them."""
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def test_a_mailbox_goes_from_added_to_captured_broken_explained_repaired_and_retried(
    stage: Stage, shell: Terminal
) -> None:
    stage.mail(subject="Draft lease")

    # Added, and captured.
    added = shell("mailbox", "add", ADA)
    captured = shell("sync", ADA, "--wait")

    assert told(added.out) == [f"{ADA}: Not looked at yet. It is looked at within a minute or two."]
    assert told(captured.out) == [f"{ADA}: In agreement. 1 mail seen, 1 kept so far."]
    assert stage.timeline() == ["Draft lease"]

    # Broken: one mail of two cannot be read.
    lost = stage.mail(subject="Signed!")
    stage.mail(subject="Second shop")
    stage.tenant.faults.add(Fault(match=f"GET .*{lost.rstrip('=')}", kind="forbidden", times=None))
    stage.tenant.faults.add(Fault(match=f"part:GET .*{lost.rstrip('=')}", kind="forbidden", times=None))
    shell("sync", ADA, "--wait")
    stage.settle(ticks=4)
    errors = shell("runs", "--mailbox", ADA, "--errors")
    (bad,) = shell("--json", "runs", "--mailbox", ADA, "--errors").json["items"]
    run = shell("run", bad["id"], "--errors")

    assert stage.timeline() == ["Second shop", "Draft lease"]
    assert told(errors.out)[0] == "run started (UTC) mailbox seen kept errors trouble"
    assert told(errors.out)[1].startswith(f"{bad['id']} 2026-11-20 ")
    assert "errors 1" in told(run.out)
    assert "Microsoft Graph" in run.out

    # Explained: Microsoft refuses it, and what to do about it.
    why = shell("explain", ADA, lost)

    assert (why.status, why.out) == (1, "")
    assert "Accord may not read" in why.err
    assert len(told(why.err)) == 2

    # Repaired at Microsoft, explained once more, and retried.
    stage.tenant.faults.clear()
    explained = shell("explain", ADA, lost)
    retried = shell("retry", "--run", bad["id"])
    shell("sync", ADA, "--wait")
    after = shell("run", bad["id"], "--errors")

    assert told(explained.out) == [
        "It is kept: an address outside the firm is a contact's.",
        "The CRM does not have it.",
        "role address is",
        f"from {ROSA} a contact",
        f"to {ADA} an address of this mailbox",
    ]
    assert told(retried.out) == ["1 error will be tried again."]
    assert sorted(stage.timeline()) == ["Draft lease", "Second shop", "Signed!"]
    assert "mended" in after.out
    assert told(shell("explain", ADA, lost).out)[1].startswith("The CRM has it, as m")


def test_a_mailbox_that_microsoft_closes_and_opens_again_is_told_and_catches_up(stage: Stage, shell: Terminal) -> None:
    shell("mailbox", "add", ADA)
    shell("sync", ADA, "--wait")

    # Broken: the app loses its access, and mail comes all the same.
    stage.mail(subject="Second shop")
    stage.tenant.faults.add(Fault(match="GET .*mailFolders/delta", kind="forbidden", times=None))
    broken = shell("sync", ADA, "--wait")
    shown = shell("mailbox", "show", ADA)
    listed = shell("status")

    assert broken.status == 1
    assert told(broken.out) == [f"{ADA}: Access denied. 0 mails seen, 0 kept so far."]
    sentence, remedy = broken.err.splitlines()[-2:]
    assert "status Access denied" in told(shown.out)
    assert "1 Access denied" in told(listed.out)
    assert remedy.split()[:3] == shown.out.partition("what to do")[2].split()[:3]
    assert sentence

    # Repaired at Microsoft: nothing else is to be done, and nobody has to wait for the next hourly try.
    stage.tenant.faults.clear()
    mended = shell("sync", ADA, "--wait")

    assert told(mended.out) == [f"{ADA}: In agreement. 1 mail seen, 1 kept so far."]
    assert stage.timeline() == ["Second shop"]


def test_mail_of_somebody_unknown_is_explained_and_comes_once_he_is_imported(
    stage: Stage, shell: Terminal, tmp_path: Path
) -> None:
    shell("mailbox", "add", ADA)
    shell("sync", ADA, "--wait")
    message = stage.mail(author="ben@client.example", subject="Offer")
    shell("sync", ADA, "--wait")

    before = shell("explain", ADA, message)
    (tmp_path / "contacts.csv").write_text("Name,Email\nBen Client,ben@client.example\n", "utf-8")
    imported = shell("import", "contacts.csv")
    after = shell("explain", ADA, message)
    stage.settle(ticks=8)
    found = shell("explain", ADA, message)

    assert told(before.out)[:2] == ["No address outside the firm is a contact's.", "The CRM does not have it."]
    assert told(imported.out) == ["1 contact new or changed, 0 as they were, 0 errors."]
    assert told(after.out)[:2] == [
        "It is kept: an address outside the firm is a contact's.",
        "The CRM does not have it.",
    ]
    assert told(found.out)[1].startswith("The CRM has it, as m")
    assert stage.timeline("Ben Client") == ["Offer"]
