"""What every manifest in k8s/ promises, whatever the stage; the API server's own judgement is in tests/e2e."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from fingpt import errors
from fingpt.sweeps.trials import FAILURES, OBSTACLES

K8S = Path(__file__).parents[2] / "k8s"
MANIFESTS = ("prep", "train", "eval", "drive", "mirror", "forecast", "sweep", "trial")
CONTROLLERS = ("drive", "sweep")
UNCLAIMED = ("mirror", "forecast")
VERDICTS = ("ConfigError DataError MissingInputError DivergedError RunConflictError").split()


def read(stage: str) -> dict:
    return yaml.safe_load((K8S / f"{stage}.yaml").read_text("utf-8"))


@pytest.fixture(params=MANIFESTS)
def stage(request) -> str:
    return request.param


@pytest.fixture
def job(stage) -> dict:
    return read(stage)


@pytest.fixture
def pod(job) -> dict:
    return job["spec"]["template"]["spec"]


@pytest.fixture
def container(pod) -> dict:
    assert len(pod["containers"]) == 1
    assert "initContainers" not in pod
    return pod["containers"][0]


def test_one_pod_at_a_time_and_none_before_the_last_is_gone(stage, job):
    spec = job["spec"]
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    limit = "backoffLimitPerIndex" if stage == "trial" else "backoffLimit"
    assert (spec["completions"], spec["parallelism"], spec[limit]) == (1, 1, 6)
    assert spec["podReplacementPolicy"] == "Failed"
    assert spec["ttlSecondsAfterFinished"] == 604800
    assert spec["activeDeadlineSeconds"] > 0
    assert "suspend" not in spec  # a queue's webhook sets it


def on_codes(stage: str, action: str, *codes: int) -> dict:
    return {
        "action": action,
        "onExitCodes": {"containerName": stage, "operator": "In", "values": list(codes)},
    }


def test_a_trial_s_own_fault_ends_it_alone_and_the_place_s_fault_all_of_them():
    spec = read("trial")["spec"]
    assert spec["completionMode"] == "Indexed"
    assert spec["podFailurePolicy"]["rules"] == [
        on_codes("trial", "FailIndex", *sorted(FAILURES)),
        on_codes("trial", "FailJob", *sorted(OBSTACLES)),
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]},
        on_codes("trial", "Ignore", 76, 143),
    ]
    verdicts = {getattr(errors, name).exit_code for name in VERDICTS}
    assert verdicts | {77, 78} == FAILURES | OBSTACLES


@pytest.mark.parametrize("stage", [each for each in MANIFESTS if each != "trial"])
def test_exit_codes_are_judged_by_the_same_rules(stage):
    job = read(stage)
    # Drive and sweep alone give up waiting; base weights and forecasts are claimed by nobody, so nobody is fenced.
    verdicts = [64, 65, 66, *([69] if stage in CONTROLLERS else []), 70, 73, 77, 78]
    rules = [
        on_codes(stage, "FailJob", *verdicts),
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]},
        on_codes(stage, "Ignore", 76),
    ]
    assert job["spec"]["podFailurePolicy"]["rules"] == (rules[:2] if stage in UNCLAIMED else rules)


@pytest.mark.parametrize("stage", [each for each in MANIFESTS if each != "trial"])
def test_the_rules_know_the_error_tree_s_codes(stage):
    job = read(stage)
    verdicts = {getattr(errors, name).exit_code for name in VERDICTS}
    verdicts |= {errors.PermissionDeniedError.exit_code, errors.SetupError.exit_code}
    if stage in CONTROLLERS:
        verdicts.add(errors.StartTimeoutError.exit_code)
    rules = job["spec"]["podFailurePolicy"]["rules"]
    assert set(rules[0]["onExitCodes"]["values"]) == verdicts
    if stage not in UNCLAIMED:
        assert rules[2]["onExitCodes"]["values"] == [errors.FencedError.exit_code]


def test_the_pod_is_as_restricted_as_can_be(stage, pod, container):
    identity = {"runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532}
    assert identity.items() <= pod["securityContext"].items()
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert pod["restartPolicy"] == "Never"
    assert pod["enableServiceLinks"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)


def test_only_drive_and_sweep_have_a_token(stage, pod):
    assert pod["automountServiceAccountToken"] is False
    tokens = [
        source["serviceAccountToken"]["expirationSeconds"]
        for volume in pod["volumes"]
        for source in volume.get("projected", {}).get("sources", [])
        if "serviceAccountToken" in source
    ]
    assert tokens == ([3600] if stage in CONTROLLERS else [])
    account = "fingpt-drive" if stage in CONTROLLERS else "fingpt-stage"
    assert pod["serviceAccountName"] == account


def test_training_gets_two_minutes_to_save_the_others_half_a_minute(stage, pod):
    assert pod["terminationGracePeriodSeconds"] == (120 if stage in ("train", "trial") else 30)


def test_requests_equal_limits(container):
    resources = container["resources"]
    assert resources["requests"] == resources["limits"]
    assert {"cpu", "memory", "ephemeral-storage"} <= set(resources["limits"])


def test_every_folder_that_is_written_to_has_a_size(stage, pod, container):
    volumes = {each["name"]: each for each in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
    assert {"scratch", "tmp", "s3"} <= set(volumes)
    assert ("hub" in volumes) is (stage == "mirror")
    kinds = {kind for each in pod["volumes"] for kind in each if kind != "name"}
    assert kinds == {"emptyDir", "secret", *(["projected"] if stage in CONTROLLERS else [])}
    assert all("sizeLimit" in each["emptyDir"] for each in pod["volumes"] if "emptyDir" in each)


def test_volumes_fit_into_what_is_asked_for(pod, container):
    def mebibytes(quantity: str) -> int:
        number, unit = re.fullmatch(r"(\d+)(Mi|Gi)", quantity).groups()
        return int(number) * {"Mi": 1, "Gi": 1024}[unit]

    disk, memory = 0, 0
    for each in (volume["emptyDir"] for volume in pod["volumes"] if "emptyDir" in volume):
        size = mebibytes(each["sizeLimit"])
        disk, memory = (
            (disk, memory + size) if each.get("medium") == "Memory" else (disk + size, memory)
        )
    limits = container["resources"]["limits"]
    assert disk <= mebibytes(limits["ephemeral-storage"])
    assert memory <= mebibytes(limits["memory"]) / 2


def test_keys_are_one_file_of_one_secret_and_never_a_variable(stage, pod, container):
    variables = {each["name"]: each for each in container["env"]}
    kinds = [("s3", "credentials", "AWS_SHARED_CREDENTIALS_FILE")]
    kinds += [("hub", "token", "HF_TOKEN_PATH")] if stage == "mirror" else []
    for volume, key, variable in kinds:
        secret = next(each["secret"] for each in pod["volumes"] if each["name"] == volume)
        assert secret["defaultMode"] == 0o440
        assert secret["items"] == [{"key": key, "path": key}]
        mount = next(each for each in container["volumeMounts"] if each["name"] == volume)
        assert mount["readOnly"] is True
        assert variables[variable]["value"] == f"{mount['mountPath']}/{key}"
    assert not [n for n in variables if "SECRET" in n or "ACCESS_KEY" in n or n == "HF_TOKEN"]
    assert not [each for each in variables.values() if "secretKeyRef" in str(each)]
    assert "envFrom" not in container


def test_home_and_temporary_files_lie_on_the_scratch_volume(container):
    variables = {each["name"]: each.get("value") for each in container["env"]}
    assert variables["HOME"] == variables["TMPDIR"] == "/scratch"


def test_a_killed_pod_still_says_its_last_words(container):
    assert container["terminationMessagePath"] == "/dev/termination-log"
    assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_labels_are_the_recommended_ones_on_job_and_pod(stage, job):
    labels = job["metadata"]["labels"]
    assert labels == job["spec"]["template"]["metadata"]["labels"]
    names = ("name", "instance", "component", "managed-by", "part-of")
    assert set(labels) == {f"app.kubernetes.io/{name}" for name in names}
    assert labels["app.kubernetes.io/component"] == stage


def test_only_training_evaluation_and_forecasts_ask_for_gpus(stage, container):
    gpus = [name for name in container["resources"]["limits"] if "/" in name]
    assert gpus == (["nvidia.com/gpu"] if stage in ("train", "eval", "forecast", "trial") else [])


@pytest.mark.parametrize("name", ["drive", "mirror"])
def test_what_is_no_stage_runs_from_the_image_of_prep(name):
    one = read(name)["spec"]["template"]["spec"]["containers"][0]
    prep = read("prep")["spec"]["template"]["spec"]["containers"][0]
    assert one["image"] == prep["image"]
    assert one["command"] == ["tini", "--", "python", "-m", f"jobs.{name}"]


def test_a_sweep_is_controlled_from_the_image_of_prep_and_tried_from_that_of_training():
    sweep, prep, trial, train = (
        read(name)["spec"]["template"]["spec"] for name in ("sweep", "prep", "trial", "train")
    )
    ours, theirs = sweep["containers"][0], prep["containers"][0]
    assert ours["image"] == theirs["image"]
    assert ours["command"] == ["tini", "--", "python", "-m", "jobs.sweep", "controller"]
    ours, theirs = trial["containers"][0], train["containers"][0]
    assert ours["command"] == ["tini", "--", "python", "-m", "jobs.sweep", "trial"]
    for name in ("image", "resources", "volumeMounts"):
        assert ours[name] == theirs[name], name
    assert {each["name"] for each in ours["env"]} == {each["name"] for each in theirs["env"]}
    assert trial["volumes"] == train["volumes"]


def test_a_forecast_runs_from_the_image_of_eval_with_its_resources():
    one, other = (
        read(name)["spec"]["template"]["spec"]["containers"][0] for name in ("forecast", "eval")
    )
    assert (one["image"], one["resources"]) == (other["image"], other["resources"])
    assert one["command"] == ["tini", "--", "python", "-m", "jobs.forecast"]
    assert {each["name"] for each in one["env"]} == {each["name"] for each in other["env"]}


def test_no_manifest_is_a_string_template(stage):
    assert not re.search(r"\{\{|\$\{|<[a-z]+>|__[A-Z]+__", (K8S / f"{stage}.yaml").read_text())
