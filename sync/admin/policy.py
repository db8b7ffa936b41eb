"""`policy ...`: every choice of the admin, read, compared, checked and saved as one file."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sync.admin.arguments import DONE, Commands, Desk
from sync.admin.overview import ADMIN, limit
from sync.admin.render import Column, amount, as_json, clean, moment, shown
from sync.errors import BadCommand, Refused

POLICY = f"{ADMIN}/policy"
MOVED = (("adds", "added"), ("removes", "removed"))
_FILE = "FILE a policy as `policy get` puts it out; - for standard input"


def add(commands: Commands) -> None:
    """Have these commands understood."""
    group = commands.group("policy", "every choice of the admin, as one file")
    got = group.leaf("get", _get, "the policy in force, as a file to edit and set")
    got.add_argument("--version", type=int, metavar="N", help="one that was in force before")
    for leaf in (
        group.leaf("set", _set, "have a policy in force; shows what changes and asks", _FILE),
        group.leaf(
            "preset", _preset, "have a preset in force; shows what changes and asks", "NAME as `presets` shows it"
        ),
    ):
        leaf.add_argument("--note", default="", help="why, for the history")
    group.leaf("diff", _diff, "what a policy would change", _FILE)
    limit(group.leaf("history", _history, "the versions there were, newest first"))
    group.leaf("presets", _presets, "the presets there are; `preset` gives the reasons")


def _get(asked: Namespace, desk: Desk) -> int:
    path = POLICY if asked.version is None else f"{POLICY}/versions/{asked.version}"
    answer = desk.client.get(path).json
    desk.screen.show(answer, as_json(answer["policy"]))
    return DONE


def _set(asked: Namespace, desk: Desk) -> int:
    return _saved(desk, _read(asked.file, desk), asked.note)


def _preset(asked: Namespace, desk: Desk) -> int:
    presets = desk.client.get(f"{POLICY}/presets").json["items"]
    chosen = next((one for one in presets if one["name"] == asked.name), None)
    if chosen is None:
        known = ", ".join(clean(one["name"]) for one in presets)
        raise Refused("There is no preset of this name.", f"There are: {known}.")
    return _saved(desk, chosen["policy"], asked.note or f"preset {asked.name}", chosen["reasons"])


def _saved(desk: Desk, policy: Mapping[str, Any], note: str, reasons: Mapping[str, str] | None = None) -> int:
    """Check a policy, show what it changes, ask, and save it over exactly what it was compared with."""
    now = desk.client.get(POLICY)
    changes = _checked(desk, policy)
    if not changes:
        desk.screen.show(now.json, "It changes nothing.")
        return DONE
    desk.screen.tell(_table(desk, changes, reasons))
    which = f"Version {now.json['version']} of the policy" if now.json["version"] else "The default policy"
    if not desk.screen.ask(f"{which} is in force; this replaces it.", desk.yes):
        return DONE
    saved = desk.client.ask("PUT", POLICY, body={"policy": policy, "note": note}, etag=now.etag).json
    desk.screen.show(saved, f"Version {saved['version']} is in force; within a minute every worker goes by it.")
    return DONE


def _diff(asked: Namespace, desk: Desk) -> int:
    changes = _checked(desk, _read(asked.file, desk))
    desk.screen.show({"problems": [], "changes": changes}, _table(desk, changes))
    return DONE


def _history(asked: Namespace, desk: Desk) -> int:
    items = list(desk.client.pages(f"{POLICY}/history", most=asked.limit))
    columns = [
        Column("version", right=True),
        Column("at (UTC)", least=19),
        Column("by"),
        Column("note", wraps=True, least=16),
    ]
    rows = [(one["version"], moment(one["at"]), one["by"], one["note"]) for one in items]
    desk.screen.show({"items": items, "next": ""}, desk.screen.table(columns, rows, "The default was never changed."))
    return DONE


def _presets(asked: Namespace, desk: Desk) -> int:  # noqa: ARG001 - every command is called with both
    answer = desk.client.get(f"{POLICY}/presets").json
    columns = [Column("preset", least=10), Column("is", least=12), Column("for whom", wraps=True, least=20)]
    rows = [(one["name"], one["title"], one["sentence"]) for one in answer["items"]]
    desk.screen.show(answer, desk.screen.table(columns, rows, "There are no presets."))
    return DONE


def _checked(desk: Desk, policy: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a policy would change. Raises Refused with all that is wrong with it."""
    answer = desk.client.post(f"{POLICY}/check", {"policy": policy}).json
    if answer["problems"]:
        told = "\n".join(clean(one) for one in answer["problems"])
        raise Refused(f"The policy cannot be set.\n{told}", "Mend what is named, and repeat the command.")
    changes: list[dict[str, Any]] = answer["changes"]
    return changes


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError
    return dict(pairs)


def _table(desk: Desk, changes: Sequence[Mapping[str, Any]], reasons: Mapping[str, str] | None = None) -> str:
    columns = [Column("choice", least=20), Column("now", wraps=True, least=12), Column("then", wraps=True, least=12)]
    if reasons:
        columns.append(Column("because", wraps=True, least=16))
    rows = [(one["path"], *_both(one), *([reasons.get(str(one["path"]), "")] if reasons else [])) for one in changes]
    return desk.screen.table(columns, rows, "It changes nothing.")


def _both(change: Mapping[str, Any]) -> tuple[str, str]:
    """What a choice says before and after; of a long list, what came and what went."""
    before, after = change["before"], change["after"]
    moved = [f"{word} {shown(change.get(name))}" for word, name in MOVED if change.get(name)]
    if not moved or not isinstance(before, list):
        return _chosen(before), _chosen(after)
    return amount(len(before), "entry", "entries"), "; ".join(moved)


def _chosen(value: object) -> str:
    return "none" if value is None else shown(value)


def _read(name: str, desk: Desk) -> Mapping[str, Any]:
    """The policy of a file: alone, or as the answer of the service that holds it."""
    try:
        text = desk.shell.stdin.read() if name == "-" else (desk.shell.folder / Path(name)).read_text("utf-8-sig")
        found = json.loads(text, object_pairs_hook=_once)
    except (OSError, UnicodeDecodeError):
        raise BadCommand("The file cannot be read.", "Name one that `policy get` made.") from None
    except (ValueError, RecursionError):
        raise BadCommand(
            "The file is not JSON, or a name stands twice in it.", "Name one that `policy get` made."
        ) from None
    policy = found.get("policy", found) if isinstance(found, dict) else None
    if not isinstance(policy, dict):
        raise BadCommand("The file holds no policy.", "Name one that `policy get` made.")
    return policy
