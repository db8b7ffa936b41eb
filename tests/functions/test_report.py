"""What `make run` prints."""

from __future__ import annotations

import io

import pytest

from dev.firm import BrokenFile
from dev.report import (
    Counted,
    Effort,
    Line,
    Progress,
    addresses,
    command_line,
    fitted,
    left_unknown,
    one_line,
    table,
    timeline,
)

EFFORT = Effort(12.34, graph_calls=10, graph_units=21, tables=30, queues=4, blobs=5, host_queues=6)


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


def test_copies_of_a_kept_mail_are_called_that() -> None:
    now = Counted(1, seen=3, kept=1, bodies=1, skipped={"already kept": 2})

    text = table(Counted(), now, EFFORT, [], [], [])

    assert "\n  copies of a mail that is kept          2\n" in text


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
        "The newest 2 of 7 lines on the timeline of Ada Lovelace",
        "  2026-01-02 09:30  山田                      Hallo",
        "                    Bob                       Re: Hallo",
    ]


def test_a_whole_timeline_is_not_called_its_newest_lines() -> None:
    line = Line("2026-01-02 09:30", "Bob", "Hallo")

    assert timeline("Ada", [line], 1).startswith("The timeline of Ada: 1 line\n")
    assert timeline("Ada", [line, line], 2).startswith("The timeline of Ada: 2 lines, newest first\n")


def test_the_addresses_to_look_at_are_lines_for_a_shell() -> None:
    lines = addresses(7071, "k'ey", "c1").splitlines()

    assert lines[1] == """  curl -H 'X-Api-Key: k'"'"'ey' http://localhost:7071/api/crm/contacts"""
    assert lines[2].endswith("/api/crm/contacts/c1/timeline")
    assert lines[3:] == ["  curl http://localhost:7071/api/openapi.json", "  curl http://localhost:7071/health"]
    assert len(addresses(7071, "key", "").splitlines()) == 4


def test_the_command_line_is_offered_as_a_line_for_a_shell() -> None:
    title, line = command_line(7072, "k'ey", "my folder/python").splitlines()

    assert title.startswith("Look after it")
    assert line == (
        """  ACCORD_URL=http://localhost:7072 ACCORD_API_KEY='k'"'"'ey' 'my folder/python' -m sync.admin status"""
    )


def test_what_is_left_unknown_is_counted_and_named() -> None:
    assert left_unknown([f"{number}@x.example" for number in range(7)]).endswith(
        "(7): 0@x.example, 1@x.example, 2@x.example, 3@x.example, 4@x.example and 2 more; all of them stand in log.txt"
    )
    assert left_unknown(["a@x.example"]).endswith("(1): a@x.example")
    assert one_line("a\u0000b") == "ab"
