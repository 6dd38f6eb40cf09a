"""Exit codes agree wherever they are written: error classes, meanings, the Jobs' retry rules, the published table."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from fingpt import errors
from fingpt.cluster.diagnosis.exits import EXITS, KILLED
from fingpt.cluster.jobset import is_jobset, job_spec
from fingpt.errors import (
    FencedError,
    FingptError,
    Interrupted,
    NoSpaceError,
    StageFailedError,
    StartTimeoutError,
    StorageError,
)
from fingpt.sweeps.trials import FAILURES

ROOT = Path(__file__).parents[3]
JOBS = sorted([*ROOT.glob("k8s/*.yaml"), *ROOT.glob("tests/cluster/golden/*.yaml")])
CODES = {
    name: kind.exit_code
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, FingptError) and kind is not StageFailedError
}


def published() -> dict[int, str]:
    """Code → what docs/operations.md says in the column `The Job retries`."""
    text = (ROOT / "docs" / "operations.md").read_text("utf-8")
    section = text.partition("## Exit codes")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\d+) \|[^|]*\|([^|]*)\|", section, flags=re.M)
    return {int(code): retries.strip() for code, retries in rows}


def test_every_error_has_a_code_of_its_own_and_every_code_an_error():
    """A full disk has that of damage: Jobs retry both, and programs that know the code know it as both."""
    own = {name: code for name, code in CODES.items() if name != NoSpaceError.__name__}
    assert len(set(own.values())) == len(own)
    assert NoSpaceError.exit_code == StorageError.exit_code
    assert set(EXITS) == {*CODES.values(), 0, KILLED}


def test_the_docstring_of_the_error_tree_is_its_table():
    lines = (errors.__doc__ or "").splitlines()
    written = dict(m.groups() for line in lines if (m := re.search(r"(\w+) +(\d+) ", line)))
    assert {name: int(code) for name, code in written.items()} == CODES


def test_the_published_table_lists_every_code_and_its_retry():
    words = {True: "yes", False: "no"}
    expected = {code: words[meaning.retried] for code, meaning in EXITS.items()}
    assert published() == {**expected, 0: "", FencedError.exit_code: "as a disruption"}


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.stem)
def test_a_job_fails_at_once_for_exactly_the_codes_that_are_not_retried(path):
    job = yaml.safe_load(path.read_text("utf-8"))
    rules = job_spec(job)["podFailurePolicy"]["rules"]
    on_codes = [rule for rule in rules if "onExitCodes" in rule]
    found = {rule["action"]: set(rule["onExitCodes"]["values"]) for rule in on_codes}
    final = {code for code, meaning in EXITS.items() if code and not meaning.retried}
    if not path.stem.endswith(("drive", "sweep")):
        final -= {StartTimeoutError.exit_code}  # only these wait for other Jobs
    if path.stem.endswith("trial"):
        # Of many trials one fails alone where its setting is at fault; stopped ones cost no retry.
        assert found == {
            "FailIndex": FAILURES,
            "FailJob": final - FAILURES,
            "Ignore": {FencedError.exit_code, Interrupted.exit_code},
        }
        return
    # Nobody claims base weights or forecasts, so none of these is fenced.
    fenced = (
        {} if path.stem.endswith(("mirror", "forecast")) else {"Ignore": {FencedError.exit_code}}
    )
    if is_jobset(
        job
    ):  # what its other rules fail, the JobSet restarts: tests/cluster/test_jobset.py
        fenced, found = {}, {"FailJob": set(on_codes[0]["onExitCodes"]["values"])}
    assert found == {"FailJob": final, **fenced}
