"""How many cores this process may use: a container's quota and a process's affinity count, not what the node has."""

from __future__ import annotations

import math
import os
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")


def usable_cores() -> int:
    """At least 1; a quota of 2.5 cores is three."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, math.ceil(min(found or 1, _quota(_CGROUPS, _OWN))))


def _quota(root: Path, own: Path) -> float:
    """Cores that the control groups of this process grant, infinity where none limits it."""
    group = ""
    try:
        for line in own.read_text().splitlines():
            number, _, path = line.split(":", 2)
            group = path.strip("/") if number == "0" else group
    except (OSError, ValueError):
        pass  # no Linux, or one without control groups
    within = root / group
    places = [within, *within.parents] if group else [root]
    granted = [_granted(place / "cpu.max") for place in places if place.is_relative_to(root)]
    return min([*granted, _granted_v1(root / "cpu")])


def _granted(path: Path) -> float:
    """What `quota period` allows; `max` is no limit."""
    try:
        quota, period = path.read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf


def _granted_v1(folder: Path) -> float:
    """The same in the older layout; a quota of -1 is no limit."""
    try:
        quota, period = (
            int((folder / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period")
        )
    except (OSError, ValueError):
        return math.inf
    return quota / period if quota > 0 and period > 0 else math.inf
