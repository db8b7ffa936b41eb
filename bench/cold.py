"""cold: what a fresh process pays before its first job, against the packages that no such product can do without."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from statistics import median

from bench.figures import Figure
from bench.product import DIGEST_KEY
from bench.stage import ROOT

REPETITIONS = 7
SECONDS = 120
ID = "00000000-0000-4000-8000-000000000000"

_TIMED = "import time; start = time.perf_counter()\n{}\nprint(time.perf_counter() - start)"
PRODUCT = "import function_app"
PACKAGES = (
    "import azure.functions, azure.data.tables, azure.storage.queue, azure.storage.blob, azure.identity\n"
    "import msal, requests, pydantic"
)
WORLD = "import function_app\nfrom sync import wiring\nwiring.world()"


def measure() -> list[Figure]:
    """Seconds of all three, in turns, medians of seven after one that writes the byte code."""
    environment = _environment()
    taken: dict[str, list[float]] = {PACKAGES: [], PRODUCT: [], WORLD: []}
    for code in taken:
        _seconds(code, environment)
    for _ in range(REPETITIONS):
        for code, seconds in taken.items():
            seconds.append(_seconds(code, environment))
    packages, product, world = (median(seconds) for seconds in taken.values())
    ratio = product / packages
    return [
        Figure("cold", "import function_app / packages", ratio, f"{ratio:.2f} ({product:.3f} / {packages:.3f} s)", 1.3),
        Figure("cold", "import and first world, seconds", world, f"{world:.3f} ({world / packages:.2f} / packages)"),
    ]


def _seconds(code: str, environment: Mapping[str, str]) -> float:
    done = subprocess.run(
        [sys.executable, "-c", _TIMED.format(code)],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=True,
        timeout=SECONDS,
        encoding="utf-8",
    )
    return float(done.stdout)


def _environment() -> dict[str, str]:
    """Byte code is written, so that the second start finds it; settings are complete, and lead nowhere."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    address = "http://127.0.0.1:1/bench"
    endpoints = ";".join(f"{kind}Endpoint={address}" for kind in ("Blob", "Queue", "Table"))
    return {
        **environment,
        "AzureWebJobsStorage": f"DefaultEndpointsProtocol=http;AccountName=bench;AccountKey={DIGEST_KEY};{endpoints}",
        "SYNC_TICK": "0 * * * * *",
        "ACCORD_TENANT_ID": ID,
        "ACCORD_CLIENT_ID": ID,
        "ACCORD_CLIENT_SECRET": "never-sent",
        "ACCORD_API_KEY": "the-key-of-the-benchmark",
        "ACCORD_DIGEST_KEY": DIGEST_KEY,
    }
