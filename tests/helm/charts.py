"""Renders the chart with a helm program, as a user would, and reads rights and quota out of docs/security.md."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "fingpt-jobs"
CI = {name: CHART / "ci" / f"{name}-values.yaml" for name in ("minimal", "full")}
HELMS = ("helm", "helm3")  # where both are on PATH, the second one is version 3
NAMESPACE = "somewhere"

Object = dict[str, Any]
Rule = tuple[str, str, str, frozenset[str]]  # API group, resource, name of the object, verbs


def run_helm(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One helm command; skips the test where the program is not installed."""
    if not shutil.which(program):
        pytest.skip(f"{program} is not on PATH.")
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=120)


@cache
def template(program: str, values: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`helm template` with the values of ci/ and more arguments."""
    where = ("--namespace", NAMESPACE, "--values", str(CI[values]), "--kube-version", "1.35.0")
    return run_helm(program, "template", "fingpt", str(CHART), *where, *arguments)


def render(program: str, values: str, *arguments: str) -> list[Object]:
    """Every object that comes out."""
    done = template(program, values, *arguments)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def refusal(program: str, values: str, *arguments: str) -> str:
    """What helm says when it refuses to render."""
    done = template(program, values, *arguments)
    assert done.returncode != 0, "helm rendered what it should refuse"
    return done.stderr


def of_kind(objects: list[Object], kind: str) -> dict[str, Object]:
    """The objects of a kind by name."""
    return {each["metadata"]["name"]: each for each in objects if each["kind"] == kind}


def rules(role: Object) -> set[Rule]:
    """A Role's rules, one for each group, resource and name."""
    return {
        (group, resource, name, frozenset(rule["verbs"]))
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
    }


def documented_rights(namespace: str = NAMESPACE) -> dict[str, set[Rule]]:
    """The rights of each account as docs/security.md lists them; a `-` stands for none, NAMESPACE for the release's."""
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    table = text.split("## Rights", 1)[1].split("\n## ", 1)[0]
    rights: dict[str, set[Rule]] = {}
    for row in re.findall(r"^\| `(fingpt-\w+)` \|(.*)\|$", table, flags=re.MULTILINE):
        account, (group, resource, name, verbs) = (
            row[0],
            [cell.strip().strip("`") for cell in row[1].split("|")[:4]],
        )
        mine = rights.setdefault(account, set())
        if resource != "-":
            group, name = group.replace("core", ""), name.replace("any", "")
            name = name.replace("NAMESPACE", namespace)
            mine.add((group, resource, name, frozenset(verbs.replace("`", "").split(", "))))
    return rights


def quota_example() -> Object:
    """The ResourceQuota that docs/security.md shows."""
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    quota: Object = yaml.safe_load(block)
    return quota
