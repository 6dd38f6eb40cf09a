"""What the chart installs: settings, accounts, rights, the test's Job, and weekly forecasts where asked."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import yaml

from fingpt.cluster.api import cluster
from fingpt.cluster.site import Images, Site
from tests.helm.charts import (
    CHART,
    CI,
    NAMESPACE,
    documented_rights,
    of_kind,
    render,
    rules,
    run_helm,
)

GOLDEN = Path(__file__).parent / "golden"
RENEW = "RENEW_GOLDEN"
KEYS = {field.alias or name for name, field in Site.model_fields.items()}


def settings(objects: list[dict]) -> dict[str, str]:
    return of_kind(objects, "ConfigMap")["fingpt-jobs"]["data"]


@pytest.mark.parametrize("values", CI)
def test_helm_finds_nothing_to_complain_about(helm, values):
    done = run_helm(helm, "lint", "--strict", str(CHART), "--values", str(CI[values]))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout


@pytest.mark.parametrize("values", CI)
def test_what_is_rendered_is_exactly_the_golden_file(helm, values):
    objects = sorted(
        render(helm, values), key=lambda each: (each["kind"], each["metadata"]["name"])
    )
    text = "---\n".join(yaml.safe_dump(each, sort_keys=True, width=120) for each in objects)
    path = GOLDEN / f"{values}.yaml"
    if os.environ.get(RENEW):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), (
        f"The chart no longer renders {path.name}. If that is wanted, write the golden files anew and look at their "
        f"diff: {RENEW}=1 .venv/bin/pytest tests/helm"
    )


@pytest.mark.parametrize("values", CI)
def test_the_settings_are_those_that_jobs_are_built_from(helm, values):
    data = settings(render(helm, values))
    assert set(data) == KEYS
    assert all(isinstance(text, str) for text in data.values())
    assert Site.of(data).store == data["store"]


def test_every_setting_reaches_the_jobs(helm):
    site = Site.of(settings(render(helm, "full")))
    left = {name for name in Site.model_fields if getattr(site, name) in ("", (), {}, None)}
    assert left == set()
    assert site.resources.mirror.cpu == "2"
    assert site.tolerations[1].toleration_seconds == 3600
    assert site.node_selector == {"pool": "gpu"}
    assert (site.deadline_seconds, site.tiny_gpu) == (2592000, True)


def test_images_are_named_by_registry_and_tag_unless_one_is_named_whole(helm):
    arguments = ("--set", "images.registry=registry.example/team/,images.tag=abc,images.eval=e:1")
    site = Site.of(settings(render(helm, "minimal", *arguments)))
    assert site.images == Images(
        prep="registry.example/team/fingpt-prep:abc",
        train="registry.example/team/fingpt-train:abc",
        eval="e:1",
    )
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    plain = Site.of(settings(render(helm, "minimal"))).images
    assert plain.train == f"fingpt-train:{version}"


CLUSTER_SCOPED = {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}


@pytest.mark.parametrize("values", CI)
def test_nothing_is_installed_beyond_the_namespace_unless_asked_and_nothing_that_runs(helm, values):
    objects = render(helm, values)
    beyond = {each["kind"] for each in objects if "namespace" not in each["metadata"]}
    assert beyond == (CLUSTER_SCOPED if values == "full" else set())
    objects = [each for each in objects if each["kind"] not in beyond]
    kept = [
        each for each in objects if "helm.sh/hook" not in each["metadata"].get("annotations", {})
    ]
    assert {each["kind"] for each in kept} <= {
        "ConfigMap",
        *(["CronJob"] if values == "full" else []),
        "LocalQueue",
        "NetworkPolicy",
        "PersistentVolumeClaim",
        "Role",
        "RoleBinding",
        "ServiceAccount",
    }
    assert {each["metadata"]["namespace"] for each in objects} == {NAMESPACE}
    hooks = [each for each in objects if each not in kept]
    assert [(each["kind"], each["metadata"]["name"]) for each in hooks] == [
        ("Job", "fingpt-doctor")
    ]
    # A run's Jobs are found by this label; the doctor's must not be among them.
    assert hooks[0]["metadata"]["labels"]["app.kubernetes.io/name"] != "fingpt-jobs"


@pytest.mark.parametrize("values", CI)
def test_each_object_says_what_it_belongs_to(helm, values):
    for each in render(helm, values):
        labels = each["metadata"]["labels"]
        assert labels["app.kubernetes.io/part-of"] == "fingpt-jobs"
        assert labels["app.kubernetes.io/instance"] == "fingpt"
        assert labels["app.kubernetes.io/managed-by"] == "Helm"


@pytest.mark.parametrize("values", CI)
def test_roles_are_what_the_document_says(helm, values):
    roles = {name: rules(role) for name, role in of_kind(render(helm, values), "Role").items()}
    documented = documented_rights()
    assert documented.pop("fingpt-stage") == set()
    if (
        values == "minimal"
    ):  # without a queue and several nodes nobody needs objects of Kueue and JobSet
        optional = {"kueue.x-k8s.io", "visibility.kueue.x-k8s.io", "jobset.x-k8s.io"}
        documented = {
            account: {rule for rule in rights if rule[0] not in optional}
            for account, rights in documented.items()
        }
    assert roles == documented


def test_no_role_reaches_secrets_shells_or_changes(helm):
    for name, role in of_kind(render(helm, "full"), "Role").items():
        for group, resource, _, verbs in rules(role):
            assert "*" not in {group, resource, *verbs}, name
            assert resource not in {"secrets", "pods/exec", "pods/attach", "pods/portforward"}
            assert resource not in {"roles", "rolebindings", "serviceaccounts/token"}
            assert not verbs & {"update", "patch", "deletecollection", "bind", "escalate"}


def test_drive_may_do_all_that_the_client_asks_of_its_own_namespace(helm):
    client = Path(cluster.__file__).read_text(encoding="utf-8")
    asked = set(re.findall(r'_api\.(?:request|lines)\(\s*"(\w+)", (_[A-Z_]+)', client))
    lists = r"_(?:items|cached)\(\s*[\w.]+,\s*(_[A-Z_]+)|_api\.pages\((_[A-Z_]+)"
    asked |= {("list", one or other) for one, other in re.findall(lists, client)}
    watched = re.findall(r"_api\.watch\((\w+)", client)
    asked |= {("watch", name) for name in watched if name != "kind"}
    assert "kind" in watched  # of a Job or a JobSet
    asked |= {("watch", "_JOBS")}
    asked = {(verb, getattr(cluster, name).plural) for verb, name in asked}
    assert {("create", "jobs"), ("delete", "jobs"), ("watch", "jobs")} <= asked
    assert {("get", "pods/log"), ("list", "pods"), ("list", "jobs"), ("list", "events")} <= asked
    # JobSets are granted where there are several nodes; doctor looks at a Secret only where it may.
    every = {"jobsets", "secrets"}
    roles = of_kind(render(helm, "minimal"), "Role")
    for name, not_for in (("fingpt-drive", {"resourcequotas"}), ("fingpt-user", set())):
        granted = {(verb, rule[1]) for rule in rules(roles[name]) for verb in rule[3]}
        wanted = {(verb, kind) for verb, kind in asked if kind not in {*every, *not_for}}
        assert wanted - granted == set()
        assert ("get", "namespaces") in granted  # doctor reads the own namespace's label


@pytest.mark.parametrize("values", CI)
def test_accounts_hold_no_token_and_the_stages_account_is_bound_to_nothing(helm, values):
    objects = render(helm, values)
    accounts = of_kind(objects, "ServiceAccount")
    assert set(accounts) == {"fingpt-stage", "fingpt-drive"}
    assert {each["automountServiceAccountToken"] for each in accounts.values()} == {False}
    bindings = of_kind(objects, "RoleBinding")
    bound = [subject["name"] for each in bindings.values() for subject in each["subjects"]]
    assert "fingpt-stage" not in bound
    assert bound[0] == "fingpt-drive"


def test_users_are_bound_as_the_values_say_and_nobody_by_default(helm):
    assert "fingpt-user" not in of_kind(render(helm, "minimal"), "RoleBinding")
    subjects = of_kind(render(helm, "full"), "RoleBinding")["fingpt-user"]["subjects"]
    assert [(each["kind"], each["name"], each.get("namespace")) for each in subjects] == [
        ("Group", "quants", None),
        ("User", "jane@example.com", None),
        ("ServiceAccount", "ci", "build"),
    ]


def test_doctor_runs_as_drive_does_with_a_short_lived_token(helm):
    job = of_kind(render(helm, "full"), "Job")["fingpt-doctor"]
    pod = job["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "fingpt-drive"
    assert pod["automountServiceAccountToken"] is False
    (token,) = [each["projected"] for each in pod["volumes"] if each["name"] == "token"]
    assert token["sources"][0]["serviceAccountToken"]["expirationSeconds"] == 3600
    assert pod["containers"][0]["command"][-2:] == ["-m", "jobs.doctor"]
    assert pod["containers"][0]["resources"]["requests"] == {
        "cpu": "500m",
        "memory": "1Gi",
        "ephemeral-storage": "2Gi",
    }


def test_without_a_secret_doctor_mounts_none(helm):
    job = of_kind(render(helm, "minimal", "--set", "store.secret="), "Job")["fingpt-doctor"]
    pod = job["spec"]["template"]["spec"]
    assert "s3" not in {each["name"] for each in pod["volumes"]}
    names = {each["name"] for each in pod["containers"][0]["env"]}
    assert "AWS_SHARED_CREDENTIALS_FILE" not in names


def test_a_cache_and_a_queue_are_made_on_request_only(helm):
    minimal, full = render(helm, "minimal"), render(helm, "full")
    assert not of_kind(minimal, "PersistentVolumeClaim")
    assert not of_kind(minimal, "LocalQueue")
    (claim,) = of_kind(full, "PersistentVolumeClaim").values()
    assert settings(full)["cacheClaim"] == claim["metadata"]["name"]
    assert settings(full)["queue"] == "forecasters"
    assert of_kind(full, "LocalQueue")["forecasters"]["spec"] == {"clusterQueue": "gpus"}
    existing = render(helm, "minimal", "--set", "cache.claim=weights")
    assert settings(existing)["cacheClaim"] == "weights"
    assert not of_kind(existing, "PersistentVolumeClaim")


def test_a_newer_kueue_is_served_in_its_own_version(helm):
    newer = ("--api-versions", "kueue.x-k8s.io/v1beta2/LocalQueue")
    queue = of_kind(render(helm, "full", *newer), "LocalQueue")["forecasters"]
    assert queue["apiVersion"] == "kueue.x-k8s.io/v1beta2"
