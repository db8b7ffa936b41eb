"""What the command line makes of answers, before anything is put out."""

from __future__ import annotations

import json

import pytest

from sync.admin.render import Column, amount, as_json, clean, clean_lines, duration, facts, moment, shown, table

HOSTILE = "Re\x1b[2J\x07\r\nfwd\u202e\u200b\x9b31m \ud800"


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("Review", "Review"),
        ("two\r\n\tlines", "two lines"),
        ("\x1b]0;title\x07Review", "]0;titleReview"),
        ("\x9b31mred", "31mred"),
        ("a\u202eb\u2066c\u200bd\ufeff", "abcd"),
        ("half \ud800 a letter", "half a letter"),
        ("日本語 Müller", "日本語 Müller"),
        (12, "12"),
    ],
)
def test_a_name_of_others_is_one_line_that_cannot_steer_a_terminal(text: object, seen: str) -> None:
    assert clean(text) == seen


def test_a_text_of_lines_keeps_them_and_nothing_else_that_moves_a_cursor() -> None:
    assert clean_lines("a  b\r\n\tc\x1b[2J\rd\n") == "a  b\n    c[2Jd\n"


def test_a_table_is_aligned_whatever_the_script_and_uncut_where_it_is_piped() -> None:
    text = table([Column("name"), Column("seen", right=True), Column("why", wraps=True)], ROWS)

    assert text.splitlines() == [
        "name         seen  why",
        "山田            7  " + "long " * 59 + "long",
        "Ada [bold]x  1200",
    ]
    assert "\t" not in text
    assert "\x1b" not in text


ROWS = [("山田", 7, "long " * 60), ("Ada [bold]x", 1200, None)]


def test_a_table_is_cut_to_the_terminal_and_sentences_take_more_lines() -> None:
    lines = table(RUNS, [("r" * 32, "ada.lovelace@firm.example", "The mailbox is gone for good.")], 60).splitlines()

    assert all(len(line) <= 60 for line in lines)
    assert lines[1].startswith("r" * 32 + "  ada")
    assert "…" in lines[1]
    assert " ".join(line[lines[0].index("why") :].strip() for line in lines[1:]) == "The mailbox is gone for good."


def test_what_wraps_gives_way_before_anything_is_cut() -> None:
    rows = [("r" * 32, "ada@firm.example", "The mailbox is gone for good.")]

    text = table(RUNS, rows, 70)

    assert "ada@firm.example" in text
    assert len(text.splitlines()) == 3


def test_on_a_terminal_that_is_too_narrow_every_row_is_a_block() -> None:
    rows = [("r" * 32, "ada@firm.example", "It is gone."), ("s" * 32, "ben@firm.example", "")]

    assert table(RUNS, rows, 45).splitlines() == [
        "run      " + "r" * 32,
        "mailbox  ada@firm.example",
        "why      It is gone.",
        "",
        "run      " + "s" * 32,
        "mailbox  ben@firm.example",
    ]


RUNS = [Column("run", least=32), Column("mailbox", least=4), Column("why", wraps=True, least=10)]


def test_a_header_stands_out_where_the_terminal_may_be_asked_for_it() -> None:
    plain, bold = (table([Column("name")], [("Ada",)], 40, bold=one) for one in (False, True))

    assert plain == "name\nAda"
    assert bold.splitlines()[0].startswith("\x1b[1mname")


def test_what_is_sent_never_becomes_markup_or_an_escape_in_a_table() -> None:
    text = table([Column("subject", least=30)], [(HOSTILE,), ("[red]:smile:[/red]",)], 60, bold=False)

    assert text.splitlines()[1:] == ["Re[2J fwd31m", "[red]:smile:[/red]"]


def test_facts_that_are_not_known_take_no_line() -> None:
    assert facts([("mailbox", "ada@firm.example"), ("owner", ""), ("until", None), ("seen", 0)]) == (
        "mailbox  ada@firm.example\nseen     0"
    )


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        (None, ""),
        (True, "yes"),
        (False, "no"),
        (2.50, "2.5"),
        (7, "7"),
        ({"folder": 2, "no contact": 1}, "folder 2, no contact 1"),
        (["a.example", "b.example"], "a.example, b.example"),
        ((), "none"),
        (HOSTILE, "Re[2J fwd31m"),
        ({"\x1bx": "\x1by"}, "x y"),
    ],
)
def test_a_value_is_put_as_a_person_reads_it(value: object, seen: str) -> None:
    assert shown(value) == seen


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("2026-03-02T09:00:00Z", "2026-03-02 09:00:00"),
        ("2026-03-02T09:00:00.987654+02:00", "2026-03-02 07:00:00"),
        ("2026-03-02T09:00:00", "2026-03-02 09:00:00"),
        ("soon\x1b", "soon"),
        ("", ""),
        (None, ""),
    ],
)
def test_a_time_is_shown_in_utc(text: object, seen: str) -> None:
    assert moment(text) == seen


@pytest.mark.parametrize(
    ("seconds", "seen"),
    [(10, "less than a minute"), (60, "1 minute"), (3600, "60 minutes"), (7200, "2 hours"), (None, "")],
)
def test_a_time_to_wait_is_told_roughly(seconds: object, seen: str) -> None:
    assert duration(seconds) == seen


def test_one_thing_is_one_and_more_are_more() -> None:
    assert (amount(1, "row"), amount(0, "row"), amount(2, "row")) == ("1 row", "0 rows", "2 rows")
    assert (amount(1, "entry", "entries"), amount(2, "entry", "entries")) == ("1 entry", "2 entries")


def test_json_says_exactly_what_was_answered_and_cannot_steer_a_terminal() -> None:
    answer = {"subject": HOSTILE + "Jörg \u2028 \U000e0001 日本", "next": "", "items": [1, None, True]}

    text = as_json(answer)

    assert json.loads(text) == answer
    assert "Jörg" in text
    assert "日本" in text
    assert text.isprintable() is False  # its line breaks
    assert text.replace("\n", "").isprintable()
