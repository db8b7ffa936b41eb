"""The admin's view of the whole: what answers, how mailboxes stand, what waits."""

from __future__ import annotations

from fastapi import APIRouter

from sync import mailboxes
from sync.status import TITLES
from sync.storage import POISON, QUEUES
from sync.web import admin_shapes as shapes
from sync.web.admin import Admin, router
from sync.web.asked import only


def routes(admin: Admin) -> APIRouter:
    """GET /health and /status."""
    answers = router("health")

    @answers.get("/health", dependencies=[only()])
    def health() -> shapes.HealthShape:
        """Whether storage, sign-in and Microsoft Graph answer, and the timer runs. The answer is 200 whatever it says,
        and comes within about ten seconds."""
        seen = admin.checks.look()
        return shapes.HealthShape(
            status="ok" if seen.ok else "degraded",
            dependencies=[shapes.DependencyShape.model_validate(one) for one in seen.dependencies],
            last_tick=seen.last_tick,
            sentence=seen.sentence,
        )

    @answers.get("/status", dependencies=[only()])
    def status() -> shapes.StatusShape:
        """How many mailboxes stand how, and how many jobs wait. Reads every mailbox: not for every second."""
        counts = mailboxes.counted(admin.world)
        causes = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
        return shapes.StatusShape(
            mailboxes=sum(counts.values()),
            causes=[shapes.CauseCount(cause=cause, title=TITLES[cause], count=count) for cause, count in causes],
            last_tick=admin.world.state.last_tick(),
            policy_version=admin.policies.current().version,
            queues=[_length(admin, queue) for queue in QUEUES],
        )

    return answers


def _length(admin: Admin, queue: str) -> shapes.QueueLength:
    length = admin.world.queue.length
    return shapes.QueueLength(name=queue, messages=length(queue), poison=length(queue + POISON))
