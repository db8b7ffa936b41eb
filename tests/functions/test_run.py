"""`make run` as real processes on a small folder of mail, and what it prints."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dev.run import read_environment
from dev.run_folder import folder_for

ROOT = Path(__file__).parent.parent.parent


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
        (offered,) = re.findall(r"^  (ACCORD_URL=.+)$", shown, re.M)
        admin = subprocess.run(["/bin/sh", "-c", offered], cwd=ROOT, capture_output=True, text=True, timeout=30)
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
    assert (admin.returncode, admin.stderr) == (0, "")
    assert "In agreement" in admin.stdout
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
    assert list(tmp_path.iterdir()) == []


def test_a_path_without_any_mail_is_refused_with_the_files_that_are_none(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "beach.jpg").write_bytes(b"\xff\xd8\x00")
    (folder / "empty.eml").write_bytes(b"")

    refused = run(tmp_path / "base", ONCE="1", DATA=str(folder))

    assert refused.returncode == 1
    assert refused.stderr.splitlines() == [
        f"DATA: no mail was found in {folder}.",
        "  broken: beach.jpg: The file is no mail but binary data.",
        "  broken: empty.eml: The file is empty.",
    ]


def test_mail_that_comes_into_the_folder_later_is_told_and_not_passed_over_in_silence(tmp_path: Path) -> None:
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "1.eml").write_bytes(a_mail(1, "client1@c.example", "ada@firm.example"))
    first = run(tmp_path, ONCE="1", DATA=str(folder))
    (folder / "2.eml").write_bytes(a_mail(2, "client2@c.example", "ada@firm.example"))

    second = run(tmp_path, ONCE="1", DATA=str(folder))

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert "1 contact\n" in first.stdout
    assert "not those that were loaded" not in first.stdout
    assert "The timeline of client1@c.example: 1 line\n" in first.stdout
    assert (
        f"The files at {folder} are not those that were loaded, and what changed is not captured: "
        f"remove {folder_for(folder, '', tmp_path)} to load it again." in second.stdout
    )


def test_a_named_python_is_taken_or_refused_and_no_other_tried(tmp_path: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "PYTHON"))}
    (tmp_path / "Makefile").write_bytes((ROOT / "Makefile").read_bytes())
    none = str(shutil.which("false"))
    make = [str(shutil.which("make")), ".venv/bin/python"]

    told = [
        subprocess.run(arguments, cwd=tmp_path, env=clean | more, capture_output=True, encoding="utf-8", timeout=60)
        for arguments, more in (([*make, f"PYTHON={none}"], {}), (make, {"PYTHON": none}))
    ]

    for one in told:
        assert one.returncode == 2
        assert f"Accord needs Python 3.11, 3.12 or 3.13. {none} is no Python that starts" in one.stderr
    assert not (tmp_path / ".venv").exists()


# What the caller asks for


def test_once_data_and_owner_come_from_the_environment(capsys: pytest.CaptureFixture[str]) -> None:
    usual = read_environment({})
    own = read_environment({"DATA": "~/mail", "OWNER": " a@b.example ", "ONCE": "1"})
    owner_without_data = read_environment({"OWNER": "a@b.example", "ONCE": "0"})

    assert (usual.source.path, usual.source.owner, usual.once) == (None, "", False)
    assert (own.source.path, own.source.owner, own.once) == (Path("~/mail").expanduser(), "a@b.example", True)
    assert (owner_without_data.source.owner, owner_without_data.once) == ("", False)
    assert capsys.readouterr().out == "OWNER is not used: it says whose mail DATA is, and DATA is not set.\n"


def test_each_path_and_owner_has_a_data_folder_of_its_own(tmp_path: Path) -> None:
    folders = [
        folder_for(None, "", tmp_path),
        folder_for(tmp_path / "a", "", tmp_path),
        folder_for(tmp_path / "b", "", tmp_path),
        folder_for(tmp_path / "a", "ada@firm.example", tmp_path),
    ]

    assert len(set(folders)) == 4
    assert folder_for(tmp_path / "x" / ".." / "a", "", tmp_path) == folders[1]
