"""What the admin API takes and answers about the policy, and the entries of the audit."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, WrapValidator

from sync.audit import Action
from sync.policy import VERSION, Policy
from sync.presets import PresetName
from sync.web.asked import Body
from sync.web.shapes import Shape

NOTE = 500


class PolicyDocument(Policy):
    """A policy as JSON: the version of its form, and every choice. What is left out has its default."""

    version: Literal[1] = Field(description=f"Of the form, not of the policy: {VERSION}.")


def _as_sent(value: Any, _: object) -> Any:
    return value


# Described as a policy and handed on as it came: `Policy.of` names all its problems at once, each with its path.
_Sent = Annotated[PolicyDocument, WrapValidator(_as_sent)]


class VersionLine(Shape):
    """One version of the policy: who saved it when, and why."""

    version: int = Field(description="Counts up; 0 is the default, before anybody saved one.")
    at: datetime | None = Field(description="Null for the default.")
    by: str
    note: str
    problem: str = Field(description="Why this release cannot read it and what is gone by instead; empty if it can.")


class VersionPage(Shape):
    """Versions of the policy, newest first."""

    items: list[VersionLine]
    next: str = Field(description="Pass it as `after` to go on; empty at the end.")


class PolicyShape(VersionLine):
    """A version of the policy and what it says."""

    policy: PolicyDocument


class PolicySaved(Body):
    """A policy to be saved."""

    policy: _Sent
    note: str = Field("", max_length=NOTE, description="Why, for whoever reads the history.")


class PolicyTried(Body):
    """A policy to be looked at."""

    policy: _Sent


class ChangeShape(Shape):
    """A choice that differs; of a list also what came and what went."""

    path: str
    before: Any
    after: Any
    added: list[str]
    removed: list[str]


class PolicyChecked(Shape):
    """What is wrong with a policy; where nothing is, what it would change."""

    problems: list[str]
    changes: list[ChangeShape]


class PresetShape(Shape):
    """A ready-made policy, with what is this firm's own in it."""

    name: PresetName
    title: str
    sentence: str = Field(description="For whom it is.")
    policy: PolicyDocument
    reasons: dict[str, str] = Field(description="Why each choice is as it is, by its path.")


class PresetList(Shape):
    """All that is ready-made."""

    items: list[PresetShape]


class EntryShape(Shape):
    """One thing somebody did."""

    at: datetime
    by: str
    action: Action
    subject: str = Field(description="The id of a mailbox or run, or the version of a policy; empty for the firm.")
    note: str


class EntryPage(Shape):
    """What was done, newest first."""

    items: list[EntryShape]
    next: str = Field(description="Pass it as `after` to go on; empty at the end.")
