"""Timer triggers of the local host."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dev.host import Host
from dev.host_invoke import Failed
from tests.functions.host_world import seen, until


def test_a_timer_fires_by_its_schedule_and_at_the_start(tree: Callable[..., Path], account: str) -> None:
    root = tree("""
        @app.timer_trigger("timer", "%TICK%", run_on_startup=True)
        def tick(timer: func.TimerRequest) -> None:
            seen.append(("tick", timer.past_due))

        @app.timer_trigger("timer", "0 0 0 1 1 *")
        def yearly(timer: func.TimerRequest) -> None:
            seen.append(("yearly", timer.past_due))
    """)

    with Host(root, {"TICK": "* * * * * *"}, account) as host:
        until(lambda: len(seen()) >= 3, "three ticks", 5)
        host.invoke_timer("yearly")

        assert ("yearly", False) in seen()
        assert ("tick", False) in seen()
        assert host.failures == []


def test_a_timer_never_overlaps_itself(tree: Callable[..., Path], account: str) -> None:
    root = tree("""
        running = []

        @app.timer_trigger("timer", "* * * * * *", run_on_startup=True)
        def tick(timer: func.TimerRequest) -> None:
            running.append(1)
            seen.append(len(running))
            time.sleep(0.4)
            running.pop()
    """)

    with Host(root, {}, account) as host:
        host.invoke_timer("tick")
        host.invoke_timer("tick")

        assert set(seen()) == {1}


def test_a_failing_timer_says_so_and_goes_on(tree: Callable[..., Path], account: str) -> None:
    root = tree("""
        @app.timer_trigger("timer", "* * * * * *")
        def tick(timer: func.TimerRequest) -> None:
            raise SystemExit(3)
    """)

    with Host(root, {}, account) as host:
        with pytest.raises(Failed, match=r"sys\.exit"):
            host.invoke_timer("tick")
        until(lambda: len(host.failures) >= 2, "the next time failed too", 5)
