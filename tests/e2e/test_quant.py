"""The README's quant: both 8B configurations by the exact lines of README.md, on a cluster with everything enforced.

NetworkPolicies, Pod Security, a Role and GPUs that nodes offer are real; a hub on this machine serves weights of two
layers with the real vocabulary under the real names, and invented rows. Two layers say nothing about forecasting.
"""

from __future__ import annotations

import json
import os
import shlex
import time
from collections.abc import Iterator

import pytest

from fingpt.runs.raw import hub_key, parse_hub
from fingpt.runs.run import base_manifest_key
from fingpt.storage import open_store
from fingpt.storage.deleting import open_deleter
from tests import llama3_bpe
from tests.e2e.chart_lab import kubectl
from tests.e2e.invented_hub import GATED, OPEN, ROWS
from tests.e2e.quant_lab import GPU, PERSON, QuantLab, lines, named_command, opened, target
from tests.hub_server import TOKEN

pytestmark = [pytest.mark.e2e, pytest.mark.part4]

FEW = ("LIMIT=6", "SET=train.epochs=1 eval.max_new_tokens=12")
PLACEHOLDER = "llama31-0a1b2c3d"
REFUSED_SECONDS = 20.0
"""From the command to its message, on two busy cores; most of it is Python's start."""


@pytest.fixture(scope="module")
def quant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QuantLab]:
    """The person, and all that the platform engineer has made for him."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG names no cluster; these tests need a real one.")
    if llama3_bpe.merge_file() is None:
        pytest.skip("The official Llama-3 merges are missing: make merges")
    with opened(tmp_path_factory.mktemp("quant")) as lab:
        yield lab


def refused(quant: QuantLab, words: list[str]) -> str:
    """What a line says that lacks something: in seconds, with 66, before any Job."""
    before, start = quant.jobs().keys(), time.monotonic()
    done = quant.follow(words)
    took = time.monotonic() - start
    print(f"refused after {took:.1f} s")
    assert done.returncode != 0
    assert '"code": 66' in done.stderr
    assert took < REFUSED_SECONDS
    assert quant.jobs().keys() == before
    return done.stderr


@pytest.mark.timeout(600)
def test_the_readme_s_quant_compares_both_8b_configurations(quant):
    session = [words for words in lines(PERSON) if words[0] == "make"]
    did = [target(words) for words in session]
    assert did == ["doctor", "mirror", "mirror", "run", "run", "compare", "collect", "verify"]
    label = ("get", "namespace", quant.lab.name, "-o", "jsonpath={.metadata.labels}")
    assert '"pod-security.kubernetes.io/enforce":"restricted"' in kubectl(*label)

    asked = 0
    for words in session:
        if target(words) == "doctor":
            lacks = quant.follow(words)
            failed = [line for line in lacks.stdout.splitlines() if line.startswith("fail")]
            assert [line.split(":")[0] for line in failed] == [
                f"fail  base weights of {GATED.key}",
                "fail  rows",
            ]
            continue
        if target(words) == "run" and not asked:
            asked = len(quant.hub.requests)
        newest = quant.newest(GATED.key) if f"RUN={PLACEHOLDER}" in words else PLACEHOLDER
        command = [word.replace(PLACEHOLDER, newest) for word in words]
        done = quant.follow(command, *(FEW if target(words) == "run" else ()))
        assert done.returncode == 0, words
        assert TOKEN not in done.stdout + done.stderr

    assert quant.hub.asked("GET", f"^/api/models/{GATED.base}/")[-1]["authorization"]
    assert len(quant.hub.requests) == asked, "somebody asked the hub after the mirrors"
    runs = [quant.newest(model.key) for model in (GATED, OPEN)]
    jobs = quant.jobs()
    for run in runs:
        wanted = {stage: limits(jobs[f"{run}-{stage}"]) for stage in ("prep", "train", "eval")}
        assert GPU not in wanted["prep"]
        assert (wanted["train"][GPU], wanted["eval"][GPU]) == ("1", "1")
    (report,) = (quant.checkout / "reports").iterdir()
    assert {"report.html", "report.md", "report.json"} <= {path.name for path in report.iterdir()}
    compared = (report / "report.json").read_text(encoding="utf-8")
    assert all(run in compared for run in runs)
    adapter = quant.checkout / "collected" / runs[0] / "train" / "adapter"
    settings = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    assert settings["base_model_name_or_path"] == GATED.base
    assert quant.follow(["make", "verify", f"RUN={runs[1]}"]).returncode == 0
    doctor = next(words for words in session if target(words) == "doctor")
    assert quant.follow(doctor).returncode == 0


@pytest.mark.timeout(300)
def test_the_hub_answers_the_mirror_and_no_other_pod_of_ours(quant):
    components = ("prep", "train", "eval", "drive", "mirror")
    name = "app.kubernetes.io/name"
    quant.lab.start(
        {
            f"probe-{each}": {name: "fingpt-jobs", "app.kubernetes.io/component": each}
            for each in components
        }
    )
    where = f"{quant.hub.address}:{quant.hub.port}"
    bucket = quant.lab.endpoint.removeprefix("http://")
    quant.lab.settle("probe-mirror", where)
    reached = {each: quant.lab.connects(f"probe-{each}", where, bucket) for each in components}
    kubectl(
        "delete", "pod", "-n", quant.lab.name, "--wait=false", *(f"probe-{c}" for c in components)
    )
    assert all(each[bucket] for each in reached.values())
    assert [each for each in components if reached[each][where]] == ["mirror"]


@pytest.mark.timeout(400)
def test_what_a_run_lacks_comes_by_the_command_that_its_message_names(quant):
    """Rows and weights of one model, weights of the other, a stage before another: each followed to the letter."""
    forget(quant)
    run = ["make", "run", f"MODEL={GATED.key}", "LIMIT=5", "SET=seed=1"]
    command = named_command(refused(quant, run), "make mirror ")
    assert f"MODEL={GATED.key}" in command
    assert f"DATA={shlex.quote(ROWS)}" in command
    assert quant.shell(command).returncode == 0

    run[2] = f"MODEL={OPEN.key}"
    command = named_command(refused(quant, run), "make mirror ")
    assert f"MODEL={OPEN.key}" in command
    assert quant.shell(command).returncode == 0

    command = named_command(refused(quant, ["make", "train", *run[2:]]), "make prep ")
    done = quant.shell(f"{command} WAIT=1")
    assert done.returncode == 0
    assert quant.follow(["make", "train", *run[2:], "DRY_RUN=1"]).returncode == 0
    frozen = done.stdout.split()[-1]
    assert quant.follow(["make", "train", *run[2:]]).stdout.split()[-1] == frozen
    assert quant.follow(["make", "cancel", f"RUN={frozen}"]).returncode == 0


def forget(quant: QuantLab) -> None:
    """Take what mirrors brought out of the bucket again."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in quant.environment.items():
            patch.setenv(name, value)
        store = open_store(quant.environment["FINGPT_STORE"])
        deleter = open_deleter(store)
        keys = [base_manifest_key(model.base_prefix) for model in (GATED, OPEN)]
        keys.append(hub_key(*parse_hub(ROWS)))
        for key in keys:
            if store.exists(key):
                deleter.delete(key)


def limits(job: dict) -> dict[str, str]:
    """What the Job's container may take."""
    found: dict[str, str] = job["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    return found
