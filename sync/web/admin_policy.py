"""The policy: read, try, save over exactly what was read, and its history."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Header, HTTPException, Path, Response

from sync.errors import BadPolicy, Stale
from sync.policies import Stored
from sync.policy import Policy, diff
from sync.presets import PRESETS, Preset, applied
from sync.web import admin_policy_shapes as shapes
from sync.web import problems
from sync.web.admin import BY, Admin, router, with_body
from sync.web.asked import After, Limit, only

_IF_MATCH = "The ETag of the policy that was read, or *."


def routes(admin: Admin) -> APIRouter:
    """Everything below /policy."""
    answers = router("policy")
    _current(answers, admin)
    _past(answers, admin)
    return answers


def _current(answers: APIRouter, admin: Admin) -> None:
    tagged: dict[str, Any] = {"headers": {"ETag": {"schema": {"type": "string"}, "description": "For If-Match."}}}

    @answers.get("/policy", dependencies=[only()], responses={200: tagged})
    def policy(response: Response) -> shapes.PolicyShape:
        """What counts now, with its ETag."""
        return _tagged(admin.policies.current(), response)

    @answers.put("/policy", dependencies=[only()], responses={200: tagged, **with_body(412, 428)})
    def policy_saved(
        given: shapes.PolicySaved,
        response: Response,
        if_match: Annotated[str | None, Header(max_length=200, description=_IF_MATCH)] = None,
    ) -> shapes.PolicyShape:
        """Make this the policy, over exactly the one that If-Match names: 412 where it changed since, 428 without
        If-Match. It counts everywhere a minute later. Saving what counts already changes nothing."""
        if if_match is None:
            raise HTTPException(428, "Send the ETag of the policy you changed in the header If-Match.")
        wanted = Policy.of(given.policy)
        before = admin.policies.current()
        named = {tag.strip() for tag in if_match.split(",")}
        etag = before.etag if named & {f'"{before.etag}"', "*"} else ""
        try:
            after = admin.policies.save(wanted, etag, BY, given.note)
        except Stale as stale:
            raise HTTPException(412, f"{stale.sentence} Look at it as it is now, then decide.") from None
        if after.version != before.version:
            admin.noted("policy saved", str(after.version))
        return _tagged(after, response)

    @answers.post("/policy/check", dependencies=[only()], responses=with_body())
    def policy_checked(given: shapes.PolicyTried) -> shapes.PolicyChecked:
        """What is wrong with a policy, all at once; where nothing is, what it would change. Saves nothing."""
        try:
            wanted = Policy.of(given.policy)
        except BadPolicy as bad:
            return shapes.PolicyChecked(problems=list(bad.problems), changes=[])
        changes = diff(admin.policies.current().policy, wanted)
        return shapes.PolicyChecked.model_validate({"problems": [], "changes": changes})


def _past(answers: APIRouter, admin: Admin) -> None:
    @answers.get("/policy/history", dependencies=[only("limit", "after")])
    def policy_history(limit: Limit = 50, after: After = "") -> shapes.VersionPage:
        """All versions that were saved, newest first."""
        items, following = admin.policies.history(limit, after)
        return shapes.VersionPage.model_validate({"items": items, "next": following})

    @answers.get("/policy/presets", dependencies=[only()])
    def policy_presets() -> shapes.PresetList:
        """Ready-made policies for this firm: each as it would be saved, what is the firm's own kept, with the reason of
        each choice. Nothing is applied: save one as the policy."""
        today = admin.policies.current().policy
        return shapes.PresetList(items=[_preset(one, today) for one in PRESETS.values()])

    @answers.get("/policy/versions/{number}", dependencies=[only()], responses=problems.told(404))
    def policy_version(number: Annotated[int, Path(ge=1)]) -> shapes.PolicyShape:
        """One version and what it says."""
        stored = admin.policies.version(number)
        if stored is None:
            raise HTTPException(404, "There is no version with this number.")
        return _shape(stored)


def _tagged(stored: Stored, response: Response) -> shapes.PolicyShape:
    response.headers["ETag"] = f'"{stored.etag}"'
    return _shape(stored)


def _shape(stored: Stored) -> shapes.PolicyShape:
    return shapes.PolicyShape.model_validate({**asdict(stored), "policy": stored.policy.document()})


def _preset(preset: Preset, today: Policy) -> shapes.PresetShape:
    return shapes.PresetShape(
        name=preset.name,
        title=preset.title,
        sentence=preset.sentence,
        policy=shapes.PolicyDocument.model_validate(applied(preset, today).document()),
        reasons={choice.path: choice.reason for choice in preset.choices},
    )
