"""What comes in from files and goes out to them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
import requests

from sync.admin.contacts import Upload
from tests.admin.terminal import AppAdapter, Far, Terminal
from tests.stage import ADA, Stage

CSV = b"Name,Email\nRosa Client,rosa@client.example\nEve,eve@client.example\nBen,\n"
VCARD = "BEGIN:VCARD\r\nVERSION:4.0\r\nFN:Jörg\r\nEMAIL:j@kunde.example\r\nEND:VCARD\r\n"


# -- contacts


def test_contacts_come_in_and_rows_that_cannot_are_told_by_line(stage: Stage, shell: Terminal, tmp_path: Path) -> None:
    (tmp_path / "contacts.csv").write_bytes(CSV)

    first, second = shell("import", "contacts.csv"), shell("import", "contacts.csv")

    assert first.status == 4
    assert first.out.splitlines() == [
        "1 contact new or changed, 1 as they were, 1 error.",
        "",
        "line  what is wrong",
        "   4  The row has no mail address that can be used.",
    ]
    assert second.out.startswith("0 contacts new or changed, 2 as they were, 1 error.")
    assert "eve@client.example" in stage.crm.people(["eve@client.example"])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("contacts.vcf", VCARD.encode()),
        ("CONTACTS.VCF", VCARD.encode("latin-1")),
        ("contacts", b"\xef\xbb\xbf\r\n" + VCARD.encode()),
    ],
)
def test_vcards_are_known_by_their_name_or_beginning(
    stage: Stage, shell: Terminal, tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)

    seen = shell("import", name)

    assert (seen.status, seen.out) == (0, "1 contact new or changed, 0 as they were, 0 errors.\n")
    assert {one.name for one in stage.crm.contacts(5)[0]} == {"Rosa Client", "Jörg"}


def test_a_file_that_holds_no_contacts_is_refused(shell: Terminal, tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_bytes(b"")

    seen = shell("import", "empty.csv")

    assert (seen.status, seen.out) == (1, "")
    assert "no column of mail addresses" in seen.err


def test_a_file_that_cannot_be_read_is_not_sent(shell: Terminal) -> None:
    seen = shell("import", "nowhere.csv")

    assert seen.status == 2
    assert isinstance(shell.adapter, AppAdapter)
    assert shell.adapter.asked == []


def test_more_errors_than_are_told_are_counted(shell: Terminal, tmp_path: Path) -> None:
    (tmp_path / "contacts.csv").write_bytes(b"Name,Email\n" + b"Ben,\n" * 1_001)

    seen = shell("import", "contacts.csv")

    assert seen.out.splitlines()[0].endswith("1001 errors.")
    assert seen.out.splitlines()[-1] == "and 1 error more"


def test_a_file_on_its_way_says_how_far_it_is() -> None:
    told: list[tuple[float | None, str]] = []
    upload = Upload(b"x" * 100, lambda share, words: told.append((share, words)))

    pieces = [upload.read(50), *upload]

    assert (len(upload), b"".join(pieces)) == (100, b"x" * 100)
    assert told[0] == (0.5, "Sending")
    assert told[-1] == (None, "The service takes the contacts in")


def test_an_import_that_is_cut_off_may_be_sent_again(tmp_path: Path) -> None:
    (tmp_path / "contacts.csv").write_bytes(CSV)

    seen = Terminal(Far(504, {"Content-Type": "text/html"}), tmp_path)("import", "contacts.csv")

    assert (seen.status, seen.out) == (3, "")
    assert "the same file may be sent again" in seen.err


# -- files


def test_mailboxes_go_out_as_a_sheet_in_which_nothing_is_a_formula(
    stage: Stage, shell: Terminal, tmp_path: Path
) -> None:
    stage.add("=cmd@firm.example")
    stage.add(ADA)

    piped, written = shell("export", "mailboxes"), shell("export", "mailboxes", "-o", "boxes.csv")

    assert (written.status, written.out, written.err) == (0, "", "boxes.csv is written.\n")
    assert (tmp_path / "boxes.csv").read_bytes() == piped.raw
    rows = list(csv.reader(io.StringIO(piped.out.removeprefix("\ufeff"), newline="")))
    assert rows[0][:3] == ["Address", "Id", "Status"]
    assert sorted(row[0] for row in rows[1:]) == ["'=cmd@firm.example", ADA]
    assert piped.raw.count(b"\r\n") == 3


def test_the_policy_goes_out_as_it_comes_in(shell: Terminal, tmp_path: Path) -> None:
    shell("export", "policy", "-o", "policy.json")

    assert json.loads((tmp_path / "policy.json").read_text("utf-8"))["version"] == 1
    assert shell("policy", "diff", "policy.json").out == "It changes nothing.\n"


def test_a_file_is_there_whole_or_as_it_was(shell: Terminal, tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_text("before", "utf-8")
    shell.environment["ACCORD_API_KEY"] = "another key for the tests"

    seen = shell("export", "mailboxes", "-o", "boxes.csv")

    assert seen.status == 3
    assert (tmp_path / "boxes.csv").read_text("utf-8") == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["boxes.csv"]


@pytest.mark.parametrize("name", ["nowhere/boxes.csv", "folder"])
def test_a_place_that_cannot_be_written_to_is_told_so(shell: Terminal, tmp_path: Path, name: str) -> None:
    (tmp_path / "folder" / "deep").mkdir(parents=True)

    seen = shell("export", "mailboxes", "-o", name)

    assert (seen.status, seen.out) == (2, "")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["deep", "folder"]


class Breaks(io.BytesIO):
    """A body that breaks off behind its first piece."""

    def read(self, size: int | None = -1) -> bytes:
        piece = super().read(size)
        if not piece:
            raise requests.ConnectionError("secret")
        return piece


class BreaksOff(Far):
    """A service that dies while it sends a file."""

    def send(self, request: requests.PreparedRequest, *given: Any, **more: Any) -> requests.Response:
        made = super().send(request, *given, **more)
        made.raw = Breaks(b"Run,Mailbox\r\n")
        return made


def test_runs_that_break_off_or_are_refused_leave_no_file(shell: Terminal, tmp_path: Path) -> None:
    broken = Terminal(BreaksOff(200, {"Content-Type": "text/csv"}), tmp_path)("export", "runs", "-o", "runs.csv")
    shell.environment["ACCORD_API_KEY"] = "another key for the tests"
    refused = shell("export", "runs", "-o", "runs.csv")

    assert (broken.status, broken.err.splitlines()[0]) == (3, "The answer broke off.")
    assert (refused.status, refused.err.splitlines()[0]) == (3, "The service does not take this key.")
    assert list(tmp_path.iterdir()) == []
