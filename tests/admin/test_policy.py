"""The policy as a file: out, changed, compared, set; and the presets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.admin.terminal import Terminal
from tests.stage import Stage


def a_file(folder: Path, shell: Terminal, **mail: Any) -> str:
    """The policy in force with other choices, as a file."""
    document = json.loads(shell("policy", "get").out)
    document["mail"] |= mail
    (folder / "policy.json").write_text(json.dumps(document), "utf-8")
    return "policy.json"


def test_the_policy_goes_out_as_a_file_and_comes_in_as_it_was(shell: Terminal, tmp_path: Path) -> None:
    for words in (("policy", "get"), ("policy", "get", "--json")):
        (tmp_path / "policy.json").write_bytes(shell(*words).raw)

        seen = shell("policy", "set", "policy.json")

        assert (seen.status, seen.out) == (0, "It changes nothing.\n")


def test_what_a_file_would_change_is_shown_before_anything_is_asked(shell: Terminal, tmp_path: Path) -> None:
    name = a_file(tmp_path, shell, bcc=False, unmatched_days=30)

    seen = shell("policy", "diff", name)

    assert seen.status == 0
    assert [line.split() for line in seen.out.splitlines()] == [
        ["choice", "now", "then"],
        ["mail.bcc", "yes", "no"],
        ["mail.unmatched_days", "none", "30"],
    ]


def test_of_a_list_what_came_and_what_went_is_shown(shell: Terminal, tmp_path: Path) -> None:
    before = json.loads(shell("policy", "get").out)["mail"]["skipped_folders"]
    name = a_file(tmp_path, shell, skipped_folders=[*before[1:], "clutter"])

    seen = shell("policy", "diff", name)

    assert "11 entries" in seen.out
    assert "adds clutter; removes drafts" in seen.out


def test_a_policy_is_set_where_somebody_agrees_to_what_changes(terminal: Terminal, tmp_path: Path) -> None:
    name = a_file(tmp_path, terminal, bcc=False)
    terminal.typed = "no\n"
    refused = terminal("policy", "set", name)
    terminal.typed = "y\n"

    agreed = terminal("policy", "set", name, "--note", "as the works council asks")

    assert (refused.status, refused.out) == (0, "")
    assert "mail.bcc" in agreed.err
    assert "The default policy is in force; this replaces it. Go on?" in agreed.err
    assert agreed.out.startswith("Version 1 is in force")
    assert json.loads(terminal("policy", "get").out)["mail"]["bcc"] is False
    history = terminal("--json", "policy", "history").json["items"]
    assert [(one["version"], one["by"], one["note"]) for one in history] == [
        (1, "api key", "as the works council asks")
    ]


def test_nothing_is_set_where_nobody_can_be_asked(shell: Terminal, tmp_path: Path) -> None:
    name = a_file(tmp_path, shell, bcc=False)

    unasked, said = shell("policy", "set", name), shell("policy", "set", name, "--yes")

    assert (unasked.status, said.status) == (2, 0)
    assert "mail.bcc" in unasked.err


def test_a_policy_may_come_through_a_pipe(shell: Terminal, tmp_path: Path) -> None:
    name = a_file(tmp_path, shell, bcc=False)
    shell.piped = (tmp_path / name).read_text("utf-8")

    seen = shell("policy", "set", "-", "--yes")

    assert (seen.status, json.loads(shell("policy", "get").out)["mail"]["bcc"]) == (0, False)


def test_all_that_is_wrong_with_a_policy_is_told_at_once(shell: Terminal, tmp_path: Path) -> None:
    name = a_file(tmp_path, shell, bcc="perhaps", bbc=True, attachment_mb=0)

    for word in ("set", "diff"):
        seen = shell("policy", word, name)

        assert (seen.status, seen.out) == (1, "")
        assert all(path in seen.err for path in ("mail.bcc", "mail.bbc", "mail.attachment_mb"))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", '{"version": 1, "version": 1}', '{"policy": []}', "[" * 100_000, "\ud800"]
)
def test_a_file_that_is_none_is_not_sent(shell: Terminal, tmp_path: Path, text: str) -> None:
    (tmp_path / "policy.json").write_bytes(text.encode("utf-8", "surrogatepass"))

    seen = shell("policy", "set", "policy.json", "--yes")

    assert (seen.status, seen.out) == (2, "")
    assert "policy get" in seen.err


def test_a_file_that_is_not_there_is_told_so(shell: Terminal) -> None:
    assert shell("policy", "diff", "nowhere.json").status == 2


def test_whoever_was_quicker_is_not_overwritten(stage: Stage, terminal: Terminal, tmp_path: Path) -> None:
    name = a_file(tmp_path, terminal, bcc=False)
    other = Terminal(terminal.adapter, tmp_path)
    second = tmp_path / "second.json"
    second.write_text((tmp_path / name).read_text("utf-8").replace('"newest"', '"oldest"'), "utf-8")

    def meanwhile() -> None:
        assert other("policy", "set", "second.json", "--yes").status == 0

    terminal.typed, terminal.thinking = "y\n", meanwhile

    seen = terminal("policy", "set", name)

    assert (seen.status, seen.out) == (1, "")
    assert "changed" in seen.err
    assert json.loads(other("policy", "get").out)["mail"]["backfill_order"] == "oldest"


def test_a_preset_is_set_with_its_reasons_and_keeps_what_is_the_firms_own(terminal: Terminal) -> None:
    listed = terminal("policy", "presets")
    terminal.typed = "y\n"

    seen = terminal("policy", "preset", "advisory")

    assert all(name in listed.out for name in ("safe", "advisory", "crm-desk", "community", "scheduler"))
    assert seen.out.startswith("Version 1 is in force")
    assert "mail.backfill_order" in seen.err
    assert "beginning with the earliest" in " ".join(seen.err.split())
    now = json.loads(terminal("policy", "get").out)
    assert now["mail"]["backfill_order"] == "oldest"
    assert now["matching"]["internal_domains"] == ["firm.example"]
    assert terminal("--json", "policy", "history").json["items"][0]["note"] == "preset advisory"


def test_a_preset_that_does_not_exist_names_those_that_do(shell: Terminal) -> None:
    seen = shell("policy", "preset", "bold", "--yes")

    assert seen.status == 1
    assert "There are: safe, " in seen.err


def test_a_version_that_was_in_force_can_be_had_again(shell: Terminal, tmp_path: Path) -> None:
    shell("policy", "set", a_file(tmp_path, shell, bcc=False), "--yes")
    shell("policy", "set", a_file(tmp_path, shell, bcc=True), "--yes")

    first, none = shell("policy", "get", "--version", "1"), shell("policy", "get", "--version", "9")

    assert json.loads(first.out)["mail"]["bcc"] is False
    assert (none.status, shell("policy", "get", "--version", "x").status) == (1, 2)


def test_whatever_is_changed_by_the_command_line_stands_in_the_audit(shell: Terminal, tmp_path: Path) -> None:
    assert shell("audit").out == "Nobody changed anything yet.\n"
    shell("mailbox", "add", "ada@firm.example")
    shell("policy", "set", a_file(tmp_path, shell, bcc=False), "--yes")

    seen = shell("audit")

    assert {"mailbox added", "policy saved"} <= {one["action"] for one in shell("--json", "audit").json["items"]}
    assert "ada@firm.example" not in seen.out
    assert len(shell("--json", "audit", "--limit", "1").json["items"]) == 1
