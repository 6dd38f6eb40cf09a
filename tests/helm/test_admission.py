"""What the admission policies are bound to and which images they let in; tests/e2e asks a real API server the rest."""

from __future__ import annotations

import json
import re

import pytest

from tests.helm.charts import NAMESPACE, of_kind, render

POLICY, BINDING = "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"
NAMES = {f"fingpt-{kind}.{NAMESPACE}" for kind in ("jobs", "pods")}
DIGEST = f"@sha256:{7:064x}"
ON = ("--set", "admission.enabled=true")


def pattern(helm: str, *arguments: str) -> re.Pattern[str]:
    """The regular expression of images, as both policies have it."""
    found = set()
    for policy in of_kind(render(helm, "minimal", *ON, *arguments), POLICY).values():
        (images,) = [each for each in policy["spec"]["variables"] if each["name"] == "images"]
        found.add(json.loads(re.search(r'matches\((".*")\)', images["expression"])[1]))
    (text,) = found
    return re.compile(text)


def test_policies_are_written_on_request_only(helm):
    assert not of_kind(render(helm, "minimal"), POLICY)
    assert not of_kind(render(helm, "minimal"), BINDING)


def test_the_policies_deny_and_hold_in_the_release_s_namespace_alone(helm):
    objects = render(helm, "full")
    bindings = of_kind(objects, BINDING)
    assert set(bindings) == NAMES
    for name, binding in bindings.items():
        assert binding["spec"] == {"policyName": name, "validationActions": ["Deny"]}
        spec = of_kind(objects, POLICY)[name]["spec"]
        selector = {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}}
        assert spec["matchConstraints"]["namespaceSelector"] == selector
        assert spec["failurePolicy"] == "Fail"


def test_pods_jobs_and_debug_containers_are_looked_at_when_made_and_when_changed(helm):
    rules = [
        rule
        for policy in of_kind(render(helm, "full"), POLICY).values()
        for rule in policy["spec"]["matchConstraints"]["resourceRules"]
    ]
    assert {(*rule["apiGroups"], *rule["resources"]) for rule in rules} == {
        ("batch", "jobs"),
        ("", "pods", "pods/ephemeralcontainers"),
    }
    assert {tuple(rule["operations"]) for rule in rules} == {("CREATE", "UPDATE")}


def test_jobs_and_pods_are_asked_the_same(helm):
    policies = of_kind(render(helm, "full"), POLICY)
    jobs, pods = (policies[f"fingpt-{kind}.{NAMESPACE}"]["spec"] for kind in ("jobs", "pods"))
    assert jobs["validations"] == pods["validations"]
    assert jobs["variables"][2:] == pods["variables"][2:]  # the first two say where a pod is


def test_every_refusal_says_something(helm):
    for policy in of_kind(render(helm, "full"), POLICY).values():
        for each in policy["spec"]["validations"]:
            assert "message" in each or "messageExpression" in each
            assert ";" in each.get("message", each.get("messageExpression")), "and what to do"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--set", "images.registry=registry.example:5000/team,images.tag=v2"),
        ("--set", f"images.prep=registry.example:5000/team/fingpt-prep:2{DIGEST}"),
        ("--set", f"images.prep=registry.example:5000/team/fingpt-prep{DIGEST}"),
        ("--set", "images.prep=registry.example:5000/team/fingpt-prep"),
        ("--set", "admission.images[0]=registry.example:5000/team/"),
        ("--set", "admission.images[0]=registry.example:5000/team/fingpt-prep"),
    ],
)
def test_any_version_of_a_site_s_image_may_run_so_that_old_runs_resume(helm, arguments):
    ours = pattern(helm, *arguments)
    for version in (":1", ":2", DIGEST, f":old{DIGEST}", ""):
        assert ours.fullmatch(f"registry.example:5000/team/fingpt-prep{version}"), version


@pytest.mark.parametrize(
    "image",
    [
        "fingpt-prep:5000/evil/image",  # a registry called fingpt-prep
        "fingpt-prep:5000/evil/image:1",
        "fingpt-prep/evil:1",
        "fingpt-preparation:1",
        "evil.example/fingpt-prep:1",
        "old.example.evil.example/x:1",
        "oldxexample/x:1",
        "old.example/x:1:2",
        f"fingpt-prep:1{DIGEST}0",
        "fingpt-prep:1\n",
        "busybox",
        "",
    ],
)
def test_what_only_looks_like_a_site_s_image_may_not_run(helm, image):
    ours = pattern(helm, "--set", "admission.images[0]=old.example/")
    assert ours.fullmatch("fingpt-prep:1")
    assert ours.fullmatch("old.example/a/b:1")
    assert not ours.fullmatch(image)
