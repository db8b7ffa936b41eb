"""What reaches a terminal, a pipe and a program, and how a command ends."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from sync import fanout
from sync.admin.arguments import parser_of
from sync.admin.main import GROUPS
from tests.admin.terminal import Far, Terminal
from tests.stage import ADA, Stage
from tests.web.web_world import KEY

ROOT = Path(__file__).resolve().parents[2]
ESCAPE = "\x1b"


@cache
def leaves() -> list[str]:
    """Every command there is, by its words."""

    def below(parser: object, words: tuple[str, ...]) -> list[str]:
        groups = [action for action in parser._actions if getattr(action, "choices", None) and action.nargs == "A..."]  # type: ignore[attr-defined]
        found = [
            one for group in groups for name, inner in group.choices.items() for one in below(inner, (*words, name))
        ]
        return found or [" ".join(words)]

    return below(parser_of(GROUPS), ())


@pytest.mark.parametrize("words", leaves())
def test_every_command_stands_in_the_documentation_and_explains_itself(tmp_path: Path, words: str) -> None:
    seen = Terminal(Far(), tmp_path)(*words.split(), "--help")

    assert seen.status == 0
    assert "--json" in seen.out
    assert re.search(rf"[`, ]{re.escape(words)}\b", (ROOT / "docs/command-line.md").read_text("utf-8"))


def test_no_command_is_documented_that_does_not_exist() -> None:
    rows = re.findall(r"^\| (`.+`) \|", (ROOT / "docs/command-line.md").read_text("utf-8"), re.MULTILINE)
    named = [one for row in rows for one in re.findall(r"`([a-z][^`]*)`", row)]

    unknown = [one for one in named if not any(f"{one} ".startswith(f"{leaf} ") for leaf in leaves())]

    assert len(named) > 20
    assert unknown == []


def test_every_exit_status_is_explained_where_help_is_asked_for(tmp_path: Path) -> None:
    told = Terminal(Far(), tmp_path)("--help").out

    documented = re.findall(r"^\| (\d+) \|", (ROOT / "docs/command-line.md").read_text("utf-8"), re.MULTILINE)
    assert documented == ["0", "1", "2", "3", "4", "130"]
    assert all(re.search(rf"\b{status}\b", told) for status in documented)


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("unknown",),
        ("mailbox",),
        ("mailbox", "add"),
        ("status", "more"),
        ("status", "--js"),
        ("runs", "--limit", "0"),
        ("runs", "--limit", "many"),
        ("runs", "--since", "yesterday"),
        ("runs", "--since", "2026-03-01T09:00:00"),
        ("retry",),
        ("retry", "--run", "x", "--errors"),
        ("retry", "--errors", "--days", "31"),
        ("retry", "--errors", "--item", "1"),
        ("retry", "--run", "x", "--days", "1"),
        ("sync", ADA, "--minutes", "0"),
    ],
)
def test_words_that_make_no_command_are_refused_and_nothing_is_asked(tmp_path: Path, words: tuple[str, ...]) -> None:
    far = Far()

    seen = Terminal(far, tmp_path)(*words)

    assert (seen.status, seen.out, far.requests) == (2, "", [])
    assert seen.err


def test_options_may_stand_before_and_behind_the_command(stage: Stage, shell: Terminal) -> None:
    stage.add()

    assert shell("--json", "mailbox", "list").json == shell("mailbox", "list", "--json").json
    assert shell("--yes", "mailbox", "reset", ADA).status == shell("mailbox", "reset", ADA, "--yes").status == 0


def test_json_is_what_the_service_answered(stage: Stage, shell: Terminal) -> None:
    row = stage.add()
    stage.settle()

    box = shell("mailbox", "show", ADA, "--json").json

    assert (box["id"], box["address"], box["progress"]["seen"], box["busy"]) == (row.id, ADA, 0, False)


def test_status_shows_the_firm_at_a_glance(stage: Stage, shell: Terminal) -> None:
    stage.add()
    stage.settle()

    seen = shell("status")

    told = [" ".join(line.split()) for line in seen.out.splitlines()]
    assert told[0] == "mailboxes 1"
    assert "1 In agreement" in told
    assert "sync-mail 0 0" in told


def test_health_ends_with_a_status_that_a_script_can_read(stage: Stage, shell: Terminal) -> None:
    degraded = shell("health")
    fanout.tick(stage.world)
    ok = shell("health")

    assert (degraded.status, ok.status) == (1, 0)
    assert "The timer has not run yet" in degraded.out
    assert "Microsoft Graph" in ok.out


# -- a terminal, and none


def test_a_header_is_bold_on_a_terminal_only_and_not_against_its_will(stage: Stage, terminal: Terminal) -> None:
    stage.add()
    bold = terminal("mailbox", "list")
    terminal.environment["NO_COLOR"] = "1"
    asked_not = terminal("mailbox", "list")
    terminal.environment |= {"NO_COLOR": "", "TERM": "dumb"}
    dumb = terminal("mailbox", "list")

    assert ESCAPE in bold.out
    assert ESCAPE not in asked_not.out + dumb.out


def test_a_table_keeps_to_the_width_of_the_terminal(stage: Stage, terminal: Terminal, shell: Terminal) -> None:
    stage.add("somebody.with.quite.a.long.name.and.more@department.of.the.firm.example")
    terminal.environment |= {"COLUMNS": "60", "NO_COLOR": "1"}

    narrow, piped = terminal("mailbox", "list"), shell("mailbox", "list")

    assert max(len(line) for line in narrow.out.splitlines()) <= 60
    assert "department.of.the.firm.example" in piped.out


def test_a_bar_is_drawn_on_a_terminal_only_and_to_standard_error(
    stage: Stage, terminal: Terminal, shell: Terminal
) -> None:
    for one in (ADA, "ben@firm.example"):
        shell("mailbox", "add", one)

    drawn, piped = terminal("sync", ADA, "--wait"), shell("sync", "ben@firm.example", "--wait")

    assert "Looking at it" in drawn.err
    assert ESCAPE not in drawn.out
    assert piped.err == ""


def test_what_others_wrote_never_steers_the_terminal(stage: Stage, terminal: Terminal) -> None:
    stage.add()
    terminal.environment["NO_COLOR"] = "1"
    message = stage.mail(author="rosa\x9b31m\x1b[2J@client.example")
    stage.settle()

    seen = [terminal(*words, *json) for words in (("explain", ADA, message), ("audit",)) for json in ((), ("--json",))]

    assert all(one.status == 0 for one in seen)
    assert all(line.isprintable() for one in seen for line in one.out.splitlines())


def test_a_file_on_a_terminal_cannot_steer_it_and_is_untouched_in_a_pipe(
    stage: Stage, terminal: Terminal, shell: Terminal
) -> None:
    stage.add("a\u202eb@firm.example")

    shown, piped = terminal("export", "mailboxes"), shell("export", "mailboxes")

    assert "\u202e" not in shown.out
    assert "a\u202eb@firm.example" in piped.out


# -- how it ends


def test_ctrl_c_ends_with_its_status_and_what_was_asked_goes_on(stage: Stage, shell: Terminal) -> None:
    def stopped(_seconds: float) -> None:
        raise KeyboardInterrupt

    shell("mailbox", "add", ADA)
    shell.meanwhile = stopped

    seen = shell("sync", ADA, "--wait")

    assert (seen.status, seen.out) == (130, "")
    assert "goes on in the service" in seen.err
    assert stage.queue.messages("sync-mail")


def test_it_is_a_program_that_needs_nothing_but_its_own_requirements() -> None:
    others = "{'azure', 'fastapi', 'msal', 'orjson', 'pydantic'}"
    script = f"import sys, sync.admin.main; print(sorted({others} & {{*sys.modules}}))"

    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env={"PYTHONPATH": "."}, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_a_reader_that_went_away_is_no_trouble() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "sync.admin", "--help"],
            cwd=ROOT,
            env={"PYTHONPATH": ".", "ACCORD_API_KEY": KEY},
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writer)

    assert (done.returncode, done.stderr) == (0, "")
