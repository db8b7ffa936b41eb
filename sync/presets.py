"""Ready-made policies, one for each way of working that the requirements describe. Pure.

A preset answers every choice but those that say whose firm it is; applying it keeps these. What a way of working leaves
open is answered by the safe default, and the reason says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from sync.policy import Policy, choices

PresetName = Literal["safe", "advisory", "crm-desk", "community", "scheduler"]
NAMES: tuple[PresetName, ...] = get_args(PresetName)

# What says whose firm it is and when it works: no preset can know it, and none of them runs by the day.
OWN = frozenset({"matching.internal_domains", "schedule.time", "schedule.weekday", "schedule.timezone"})


@dataclass(frozen=True, slots=True)
class Choice:
    """One choice of a preset: its path, its value as JSON, and why, with the row of the requirements."""

    path: str
    value: Any
    reason: str


@dataclass(frozen=True, slots=True)
class Preset:
    """A ready-made policy. `sentence` says for whom."""

    name: PresetName
    title: str
    sentence: str
    choices: tuple[Choice, ...]


def applied(preset: Preset, policy: Policy) -> Policy:
    """A policy with all that a preset chooses; what is the firm's own stays as it is."""
    document = policy.document()
    for choice in preset.choices:
        section, name = choice.path.split(".")
        document[section][name] = choice.value
    return Policy.of(document)


_SAFE: Mapping[str, str] = {
    "mail.backfill_months": "N4: mail of six months is what most need, and does not take for ever.",
    "mail.backfill_order": "G2: newest first, since what came last is asked for first.",
    "mail.skipped_folders": "G1: these folders hold no mail that anybody exchanged.",
    "mail.attachments": "G4: a mail without its files is half a mail.",
    "mail.attachment_mb": "G4: the 35 MB that Exchange Online lets a message have leave about 25 for files in base64.",
    "mail.bcc": "D14: kept like any other; who is known from a Bcc alone is shown to its user only.",
    "mail.unmatched_days": "D13: mail of nobody the firm knows is not kept.",
    "mail.skipped_classes": "E9: one contact on a mail is enough, whatever sort of mail it is.",
    "schedule.frequency": "D3: continually; an idle mailbox costs next to nothing.",
    "log.runs_days": "T4: three times as long as errors can be retried all together.",
}


def _preset(
    name: PresetName, title: str, sentence: str, other: Mapping[str, tuple[Any, str]] | None = None, why: str = ""
) -> Preset:
    """A preset of the safe choices, but for `other`; `why` stands before the reason of those that stay."""
    default, own = choices(Policy()), other or {}
    found = [
        Choice(path, *own[path]) if path in own else Choice(path, default[path], f"{why}{reason}")
        for path, reason in _SAFE.items()
    ]
    return Preset(name, title, sentence, tuple(found))


_OPEN = "Left open there. "
_NO_MAIL = "No mail there. "

PRESETS: Mapping[PresetName, Preset] = {
    "safe": _preset("safe", "Safe", "For whoever has no reason to choose otherwise: keeps what clients exchanged."),
    "advisory": _preset(
        "advisory",
        "Advisory firm",
        "For firms that had their clients' mail taken in by rounds, the oldest first.",
        {
            "mail.backfill_months": (6, "G2, N4: the previous six months."),
            "mail.backfill_order": ("oldest", "G2: in the order of time, beginning with the earliest."),
            "mail.skipped_classes": ([], "E9: what has one outside address that is not excluded is taken in."),
            "schedule.frequency": ("15 minutes", "D1: the most frequent of its list."),
        },
        _OPEN,
    ),
    "crm-desk": _preset(
        "crm-desk",
        "Desk with a CRM",
        "For desks whose meetings, tasks and contacts follow every ten minutes.",
        {"schedule.frequency": ("10 minutes", "D2: every ten minutes.")},
        _NO_MAIL,
    ),
    "community": _preset(
        "community",
        "Communities",
        "For houses whose communities share one CRM and whose calendars follow all the time.",
        {"schedule.frequency": ("live", "D3: continually.")},
        _NO_MAIL,
    ),
    "scheduler": _preset(
        "scheduler",
        "Scheduling",
        "For planners who see appointments beside their orders, by a job that runs at most every half hour.",
        {"schedule.frequency": ("30 minutes", "D5: never more often than every half hour.")},
        _NO_MAIL,
    ),
}
