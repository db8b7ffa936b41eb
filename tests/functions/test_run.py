"""`make run` as real processes on a small folder of mail, and what it prints."""

from __future__ import annotations

import base64
import io
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dev.firm import BrokenFile, Client
from dev.report import Counted, Effort, Line, Progress, addresses, fitted, left_unknown, one_line, table, timeline
from dev.run import read_environment
from dev.run_folder import DataFolder, InUse, folder_for
from dev.run_parts import contacts_csv

ROOT = Path(__file__).parent.parent.parent
EFFORT = Effort(12.34, graph_calls=10, graph_units=21, tables=30, queues=4, blobs=5, host_queues=6)


def environment(**given: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("DATA", "OWNER", "ONCE")}
    return {**kept, **given}


def command(base: Path) -> list[str]:
    return [sys.executable, "-W", "error::ResourceWarning", "-m", "dev.run", "--base", str(base)]


def run(base: Path, **given: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(base),
        env=environment(**given),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )


@contextmanager
def running(base: Path, **given: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A demo that goes on, with what it printed until it was up."""
    with subprocess.Popen(
        command(base),
        env=environment(**given),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    ) as process:
        try:
            assert process.stdout is not None
            shown = ""
            while "Ctrl-C stops everything" not in shown:
                line = process.stdout.readline()
                assert line, f"it ended early:\n{shown}"
                shown += line
            yield process, shown
        finally:
            if process.poll() is None:
                process.terminate()


def a_mail(number: int, sender: str, receiver: str) -> bytes:
    return (
        f"From: {sender}\r\nTo: {receiver}\r\nSubject: Question {number}\r\nMessage-ID: <{number}@mail.example>\r\n"
        f"Date: Mon, 0{number} Jun 2026 09:30:00 +0200\r\n\r\nText {number}\r\n"
    ).encode()


@pytest.fixture(scope="module")
def mail(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight mails of Ada's with eight people, and a file that is none."""
    folder = tmp_path_factory.mktemp("export") / "Ada's mail"
    (folder / "deep" / "er").mkdir(parents=True)
    for number in range(1, 9):
        pair = (f"Client {number} <client{number}@c.example>", "Ada <ada@firm.example>")
        sender, receiver = pair if number < 8 else pair[::-1]
        place = folder if number % 2 else folder / "deep" / "er"
        (place / f"{number}.eml").write_bytes(a_mail(number, sender, receiver))
    (folder / "broken.eml").write_bytes(b"")
    return folder


def number_of(name: str, shown: str) -> list[int]:
    found = re.search(rf"^\s*{name}\s+([\d ]+)$", shown, re.M)
    assert found, f"no line {name!r} in\n{shown}"
    return [int(one) for one in found[1].split()]


# The whole, as processes


def test_once_keeps_mail_and_a_later_start_shows_nothing_new(mail: Path, tmp_path: Path) -> None:
    first = run(tmp_path, ONCE="1", DATA=str(mail))
    assert (first.returncode, first.stderr) == (0, ""), first.stdout

    with running(tmp_path, DATA=str(mail)) as (process, shown):
        refused = run(tmp_path, ONCE="1", DATA=str(mail))
        lines = re.findall(r"curl (?:-H 'X-Api-Key: (\S+)' )?(\S+)", shown)
        answers = [fetched(url, key) for key, url in lines]
        assert process.stdin is not None
        process.stdin.close()
        status = process.wait(20)
        rest = process.stdout.read() if process.stdout else ""

    assert "ada@firm.example (the most frequent recipient" in first.stdout
    assert number_of("Messages seen", first.stdout) == [8]
    assert number_of("kept", first.stdout)[0] >= 6
    assert number_of("skipped: no contact", first.stdout)[0] >= 1
    assert number_of("Bodies read", first.stdout) == number_of("kept", first.stdout)
    assert number_of("Broken files", first.stdout) == [1]
    assert "broken.eml" in first.stdout
    assert number_of("Messages seen", shown) == [0, 8]
    assert number_of("kept", shown) == [0, *number_of("kept", first.stdout)]
    assert refused.returncode == 1
    assert f"Accord already runs on {folder_for(mail, '', tmp_path)} (process {process.pid})" in refused.stderr
    assert len(answers) == 4
    assert "client" in answers[0]
    assert "Question" in answers[1]
    assert (status, rest) == (0, "")
    assert not (folder_for(mail, "", tmp_path) / "storage.pid").exists()


def fetched(url: str, key: str) -> str:
    request = urllib.request.Request(url, headers={"X-Api-Key": key} if key else {})  # noqa: S310 - our own address
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        return str(answer.read(), "utf-8")


def test_a_signal_stops_everything_it_started(mail: Path, tmp_path: Path) -> None:
    with running(tmp_path, DATA=str(mail), OWNER="client1@c.example") as (process, shown):
        children = children_of(process.pid)
        process.terminate()
        status = process.wait(20)

    assert "client1@c.example (as OWNER says)" in shown
    assert len(children) == 2
    assert status == 0
    assert [child for child in children if alive(child)] == []


def read_or_nothing(file: Path) -> str:
    try:
        return file.read_text("utf-8", "replace")
    except OSError:
        return ""  # the process ended since it was listed


def children_of(pid: int) -> list[int]:
    if Path("/proc/self/stat").exists():
        stats = [stat for file in Path("/proc").glob("[0-9]*/stat") if (stat := read_or_nothing(file))]
        rows = [(stat.split(" ", 1)[0], stat.rpartition(")")[2].split()[1]) for stat in stats]
    else:
        listed = subprocess.run(["ps", "-ax", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)  # noqa: S607
        rows = [(line.split()[0], line.split()[1]) for line in listed.stdout.splitlines()]
    return [int(child) for child, parent in rows if int(parent) == pid]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_data_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    refused = run(tmp_path, ONCE="1", DATA=str(tmp_path / "nowhere"))

    assert refused.returncode == 1
    assert refused.stderr == f"DATA: there is no folder and no file {tmp_path / 'nowhere'}.\n"


def test_an_owner_that_is_no_address_is_named(mail: Path, tmp_path: Path) -> None:
    refused = run(tmp_path, ONCE="1", DATA=str(mail), OWNER="Ada")

    assert refused.returncode == 1
    assert refused.stderr == "OWNER: 'Ada' is not a mail address.\n"


# What the caller asks for


def test_once_data_and_owner_come_from_the_environment() -> None:
    usual = read_environment({})
    own = read_environment({"DATA": "~/mail", "OWNER": " a@b.example ", "ONCE": "1"})
    owner_without_data = read_environment({"OWNER": "a@b.example", "ONCE": "0"})

    assert (usual.source.path, usual.source.owner, usual.once) == (None, "", False)
    assert (own.source.path, own.source.owner, own.once) == (Path("~/mail").expanduser(), "a@b.example", True)
    assert (owner_without_data.source.owner, owner_without_data.once) == ("", False)


def test_each_path_and_owner_has_a_data_folder_of_its_own(tmp_path: Path) -> None:
    folders = [
        folder_for(None, "", tmp_path),
        folder_for(tmp_path / "a", "", tmp_path),
        folder_for(tmp_path / "b", "", tmp_path),
        folder_for(tmp_path / "a", "ada@firm.example", tmp_path),
    ]

    assert len(set(folders)) == 4
    assert folder_for(tmp_path / "x" / ".." / "a", "", tmp_path) == folders[1]


# The data folder


def test_what_the_first_start_settles_stays(tmp_path: Path) -> None:
    first = DataFolder(tmp_path / "sample")
    first.settle(owner="ada@firm.example", contacts="digest")
    first.close()

    later = DataFolder(tmp_path / "sample")
    later.close()

    assert later.settled == first.settled
    assert later.settled.owner == "ada@firm.example"
    assert len(base64.b64decode(later.settled.digest_key)) == 32
    assert (tmp_path / "sample" / "settled.json").stat().st_mode & 0o077 == 0


def test_an_open_data_folder_is_opened_by_nobody_else(tmp_path: Path) -> None:
    held = DataFolder(tmp_path)

    with pytest.raises(InUse, match=rf"already runs on .* \(process {os.getpid()}\): stop it first"):
        DataFolder(tmp_path)

    held.close()
    DataFolder(tmp_path).close()


def test_storage_of_a_killed_start_is_waited_for_only_while_it_lives(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    with subprocess.Popen([sys.executable, "-c", "pass"]) as gone:
        gone.wait()
    folder.note_storage(gone.pid)
    begun = time.monotonic()

    folder.wait_for_storage()

    assert time.monotonic() - begun < 2
    folder.close()


def test_contacts_become_a_file_as_address_books_export_it() -> None:
    text = contacts_csv([Client('Ö "Quote", Ltd\nx', ("a@b.example", "c@d.example"))])

    assert text == 'Name,Email\r\n"Ö ""Quote"", Ltd x",a@b.example;c@d.example\r\n'


# What is printed


def test_a_first_start_has_one_column_and_its_skips_by_number() -> None:
    now = Counted(2, seen=10, kept=4, bodies=4, skipped={"folder": 1, "no contact": 5})

    text = table(Counted(), now, EFFORT, [], [], [])

    assert text.splitlines() == [
        "Mailboxes                                2",
        "Messages seen                           10",
        "  kept                                   4",
        "  skipped: no contact                    5",
        "  skipped: folder                        1",
        "Bodies read                              4",
        "Graph calls                             10",
        "Graph units                             21",
        "Storage operations                      39",
        "  tables, queues, blobs           30, 4, 5",
        "  and by the host for its queues         6",
        "Seconds                               12.3",
        "Runs with errors                         0",
    ]


def test_a_later_start_shows_what_is_new_beside_all_there_is() -> None:
    before = Counted(2, seen=10, kept=4, bodies=4, skipped={"no contact": 6})
    now = Counted(2, seen=13, kept=5, bodies=5, skipped={"no contact": 8})

    lines = [line.split() for line in table(before, now, EFFORT, [], [], []).splitlines()]

    assert ["new", "in", "all"] in lines
    assert ["Mailboxes", "2"] in lines
    assert ["kept", "1", "5"] in lines
    assert ["skipped:", "no", "contact", "2", "8"] in lines


def test_errors_and_broken_files_are_named_below_the_table() -> None:
    broken = [BrokenFile(f"{number}.eml", "The file is empty.") for number in range(22)]

    text = table(Counted(), Counted(1), EFFORT, ["ada@firm.example: No.\x1b[2J"], ["the function x failed: y"], broken)

    assert (
        "\n  error: ada@firm.example: No.[2J\n  error: the function x failed: y\n  broken: 0.eml: The file is" in text
    )
    assert text.endswith("  broken: and 2 more, see log.txt")


def test_a_pipe_gets_a_line_only_when_something_changed() -> None:
    out = io.StringIO()
    progress = Progress(out)

    progress.show(Counted(1, seen=1), 0, 0.2)
    progress.show(Counted(1, seen=2), 0, 0.4)
    progress.end()

    assert out.getvalue() == "1 mailbox  1 seen  0 kept  0 new  0 s\n"


def test_a_terminal_gets_one_line_that_is_rewritten_and_at_last_taken_away() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    progress = Progress(out)

    progress.show(Counted(2, seen=5, kept=3, percent=40), 1, 7)
    progress.end()

    assert out.getvalue() == "\r\x1b[K2 mailboxes  5 seen  3 kept  1 new  backfill 40 %  7 s\r\x1b[K"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("short", "short"),
        ("exactly 10", "exactly 10"),
        ("more than ten", "more than…"),
        ("日本語のメール", "日本語の…"),
        ("two\r\nlines\x1b]0;x\x07", "two lines…"),
        ("a\u202eb", "ab"),
    ],
)
def test_texts_of_mail_are_cut_to_width_and_cannot_steer_the_terminal(text: str, shown: str) -> None:
    assert fitted(text, 10) == shown


def test_a_timeline_is_aligned_whatever_the_script() -> None:
    text = timeline("Ada\nLovelace", [Line("2026-01-02 09:30", "山田", "Hallo"), Line("", "Bob", "Re: Hallo")], 7)

    assert text.splitlines() == [
        "Newest of 7 lines on the timeline of Ada Lovelace",
        "  2026-01-02 09:30  山田                      Hallo",
        "                    Bob                       Re: Hallo",
    ]


def test_the_addresses_to_look_at_are_lines_for_a_shell() -> None:
    lines = addresses(7071, "k'ey", "c1").splitlines()

    assert lines[1] == """  curl -H 'X-Api-Key: k'"'"'ey' http://localhost:7071/api/crm/contacts"""
    assert lines[2].endswith("/api/crm/contacts/c1/timeline")
    assert lines[3:] == ["  curl http://localhost:7071/api/openapi.json", "  curl http://localhost:7071/health"]
    assert len(addresses(7071, "key", "").splitlines()) == 4


def test_what_is_left_unknown_is_counted_and_named() -> None:
    assert left_unknown([f"{number}@x.example" for number in range(7)]).endswith(
        "(7): 0@x.example, 1@x.example, 2@x.example, 3@x.example, 4@x.example and 2 more"
    )
    assert one_line("a\u0000b") == "ab"
