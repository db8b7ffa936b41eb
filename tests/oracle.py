"""Microsoft's closed schema of Graph v1.0 as a judge of recorded exchanges, where it is at hand.

GRAPH_CHECK names the file; without it, it is looked for beside the repository.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ABSENT = "graph_check.py is not at hand: set GRAPH_CHECK to hold requests and answers against Microsoft's schema."


@functools.cache
def oracle() -> Any | None:
    """The judge, or None where the file is absent."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "tools" / "graph_check.py"
    path = Path(os.environ.get("GRAPH_CHECK") or beside)
    if not path.is_file():
        return None
    spec = importlib.util.spec_from_file_location("graph_check", path)
    if spec is None or spec.loader is None:
        return None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with warnings.catch_warnings():
        # It leaves its schema file to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        return module.Oracle()


def check(exchanges: Iterable[dict[str, Any]]) -> list[str]:
    """What is wrong with these exchanges, requests and answers both; what is marked exempt is passed over."""
    judge = oracle()
    if judge is None:
        return []
    return [line for one in exchanges if not one.get("exempt") for line in judge.exchange(one)]
