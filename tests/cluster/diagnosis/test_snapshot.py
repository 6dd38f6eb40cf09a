"""States are spelled in one place, and the published table lists them all."""

from __future__ import annotations

import re
from pathlib import Path

from fingpt.cluster.diagnosis.snapshot import State

ROOT = Path(__file__).parents[3]


def test_the_published_table_lists_every_state_in_order():
    text = (ROOT / "docs" / "operations.md").read_text("utf-8")
    section = text.partition("## What status says")[2].partition("\n#")[0]
    assert re.findall(r"^\| `([a-z-]+)` \|", section, flags=re.M) == [str(state) for state in State]


def test_no_module_spells_a_state_anew():
    spelled = {
        path.relative_to(ROOT).as_posix()
        for folder in ("fingpt", "jobs")
        for path in ROOT.glob(f"{folder}/**/*.py")
        for state in State
        if "-" in state and f'"{state}"' in path.read_text("utf-8")
    }
    assert spelled == {"fingpt/cluster/diagnosis/snapshot.py"}
