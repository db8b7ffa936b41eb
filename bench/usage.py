"""What a measured process used: processor time, wall time, memory."""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

_STATUS = Path("/proc/self/status")


@dataclass(frozen=True, slots=True)
class Clocks:
    """Both clocks at one moment."""

    cpu: float
    wall: float


def clocks() -> Clocks:
    """Now: processor time of all threads of this process, and the wall."""
    return Clocks(time.process_time(), time.perf_counter())


def since(start: Clocks) -> dict[str, float]:
    """Seconds of both clocks since `start`."""
    now = clocks()
    return asdict(Clocks(now.cpu - start.cpu, now.wall - start.wall))


def peak_bytes() -> int:
    """The most memory that this process ever held.

    On Linux ru_maxrss begins with what the starting process held, because it survives fork and exec (getrusage(2));
    the high-water mark of /proc belongs to this program alone.
    """
    if _STATUS.exists():
        line = next(line for line in _STATUS.read_text("ascii").splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
