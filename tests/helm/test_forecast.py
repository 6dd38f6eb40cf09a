"""The weekly forecasts: off by default, in New York's time, each Job with rights of its own, restricted as stages."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from fingpt.cluster.job import build_forecast_job, load_template
from fingpt.cluster.site import Site
from tests.cluster.sites import run_of, site_data
from tests.helm.charts import of_kind, refusal, render
from tests.helm.test_policies import BASE, allowed, selects

NAMES = ("request", "answer", "write", "score")
LEAST = (
    "--set-json",
    'forecast={"enabled": true, "runs": ["llama31-0a1b2c3d"], "watchlist": ["AAPL"], "sources": "sources: {}"}',
)


def jobs(helm: str, values: str = "full", *arguments: str) -> dict[str, dict[str, Any]]:
    found = of_kind(render(helm, values, *arguments), "CronJob")
    return {name.removeprefix("fingpt-forecast-"): each for name, each in found.items()}


def pod_of(job: dict[str, Any]) -> dict[str, Any]:
    pod: dict[str, Any] = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return pod


def labels_of(job: dict[str, Any]) -> dict[str, str]:
    labels: dict[str, str] = job["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"]
    return labels


def variables_of(job: dict[str, Any]) -> dict[str, Any]:
    (container,) = pod_of(job)["containers"]
    return {each["name"]: each.get("value") for each in container["env"]}


def test_nothing_is_forecast_unless_asked(helm):
    assert jobs(helm, "minimal") == {}
    assert "fingpt-forecast" not in of_kind(render(helm, "minimal"), "ConfigMap")
    assert set(jobs(helm)) == set(NAMES)


def test_they_run_after_friday_s_close_in_new_york_and_never_twice_at_once(helm):
    for name, job in jobs(helm, "minimal", *LEAST).items():
        spec = job["spec"]
        assert spec["timeZone"] == "America/New_York"
        assert spec["concurrencyPolicy"] == "Forbid"
        assert spec["schedule"] == ("0 12 * * 6,0" if name == "write" else "30 18 * * 5,6")
        # From Friday evening to Monday's opening.
        assert spec["startingDeadlineSeconds"] == 60 * 3600
        assert "suspend" not in spec


@pytest.mark.parametrize("name", NAMES)
def test_each_pod_is_as_restricted_as_a_stage_s(helm, name):
    pod, stage = pod_of(jobs(helm)[name]), load_template("drive")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert "initContainers" not in pod
    assert pod["securityContext"] == stage["securityContext"]
    assert container["securityContext"] == stage["containers"][0]["securityContext"]
    for key in ("restartPolicy", "automountServiceAccountToken", "enableServiceLinks"):
        assert pod[key] == stage[key]
    assert container["resources"]["requests"] == container["resources"]["limits"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {
        each["name"] for each in pod["volumes"]
    }
    assert all("sizeLimit" in each["emptyDir"] for each in pod["volumes"] if "emptyDir" in each)
    spec = jobs(helm)[name]["spec"]["jobTemplate"]["spec"]
    wanted = load_template("mirror")["spec"]["podFailurePolicy"]["rules"]
    assert [rule["action"] for rule in spec["podFailurePolicy"]["rules"]] == ["FailJob", "Ignore"]
    assert (
        spec["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"]
        == (wanted[0]["onExitCodes"]["values"])
    )


def test_only_the_one_that_starts_jobs_has_a_token(helm):
    for name, job in jobs(helm).items():
        pod = pod_of(job)
        tokens = [each for each in pod["volumes"] if "projected" in each]
        assert bool(tokens) == (name == "answer")
        account = "fingpt-drive" if name == "answer" else "fingpt-stage"
        assert pod["serviceAccountName"] == account


def test_only_those_that_fetch_have_the_sources_keys_as_files(helm):
    for name, job in jobs(helm).items():
        fetches = name in ("request", "score")
        keys = [each for each in pod_of(job)["volumes"] if each["name"] == "keys"]
        assert bool(keys) == fetches
        files = {n: path for n, path in variables_of(job).items() if n.endswith("_KEY_FILE")}
        assert files == (
            {
                "FINGPT_FINNHUB_KEY_FILE": "/var/run/secrets/sources/finnhub",
                "FINGPT_TIINGO_KEY_FILE": "/var/run/secrets/sources/tiingo",
            }
            if fetches
            else {}
        )
        assert "secretKeyRef" not in str(job)
    assert "keys" not in str(pod_of(jobs(helm, "minimal", *LEAST)["request"])["volumes"])


def test_only_those_that_fetch_trust_the_site_s_own_authorities(helm):
    for name, job in jobs(helm).items():
        there = [each for each in pod_of(job)["volumes"] if each["name"] == "certificates"]
        (container,) = pod_of(job)["containers"]
        mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
        if name not in ("request", "score"):
            assert (there, "certificates" in mounts) == ([], False)
            assert "SSL_CERT_FILE" not in variables_of(job)
            continue
        (volume,) = there
        assert volume["configMap"]["name"] == "proxy-authority"
        (item,) = volume["configMap"]["items"]
        assert variables_of(job)["SSL_CERT_FILE"] == f"{mounts['certificates']}/{item['path']}"
    for job in jobs(helm, "minimal", *LEAST).values():
        assert "SSL_CERT_FILE" not in variables_of(job)
        assert "certificates" not in str(pod_of(job)["volumes"])


def test_each_talks_to_what_it_needs_and_to_nothing_else(helm):
    policies = of_kind(render(helm, "full"), "NetworkPolicy")
    more = {
        "request": {"fingpt-sources"},
        "answer": {"fingpt-api"},
        "write": set(),
        "score": {"fingpt-sources"},
    }
    for name, job in jobs(helm).items():
        assert allowed(policies, labels_of(job)) == BASE | more[name]
        assert selects(policies["fingpt-default-deny"], labels_of(job))
    (rule,) = policies["fingpt-sources"]["spec"]["egress"]
    assert rule["to"] == [{"ipBlock": {"cidr": "203.0.113.0/24"}}]
    assert [port["port"] for port in rule["ports"]] == [443, 8443]


def test_a_forecast_s_own_pod_talks_to_the_store_alone(helm):
    policies = of_kind(render(helm, "full"), "NetworkPolicy")
    site, key = Site.of(site_data()), "requests/2026-11-20/0a1b2c3d4e5f.json"
    job = build_forecast_job(run_of("llama31"), key, load_template("forecast"), site, "s3://b/r")
    assert allowed(policies, job["spec"]["template"]["metadata"]["labels"]) == BASE


def test_without_addresses_of_sources_nobody_is_reached(helm):
    policies = of_kind(render(helm, "minimal", *LEAST), "NetworkPolicy")
    assert "fingpt-sources" not in policies
    off = render(helm, "full", "--set", "networkPolicy.enabled=false")
    assert not of_kind(off, "NetworkPolicy")


def test_their_pods_do_not_pass_for_a_run_s(helm):
    for job in jobs(helm).values():
        assert labels_of(job)["app.kubernetes.io/name"] == "fingpt-forecast"


def test_what_is_forecast_is_what_the_values_say(helm):
    data = of_kind(render(helm, "full"), "ConfigMap")["fingpt-forecast"]["data"]
    assert data["watchlist.txt"].split() == ["AAPL", "MSFT", "BRK.B"]
    assert set(yaml.safe_load(data["sources.yaml"])["sources"]) == {"tiingo", "finnhub"}
    for name, job in jobs(helm).items():
        (container,) = pod_of(job)["containers"]
        assert (
            container["command"][4:]
            == {
                "request": ["jobs.forecast", "week-request"],
                "answer": ["jobs.forecast", "week-answer"],
                "write": ["jobs.ledger", "write"],
                "score": ["jobs.ledger", "score", "--if-begun"],
            }[name]
        )
        variables = variables_of(job)
        assert variables["FINGPT_ARG_RUNS"] == "llama31-0a1b2c3d deepseek-r1-4e5f6a7b"
        assert variables["FINGPT_ARG_LEDGER"] == "desk-7"
        assert variables["FINGPT_ARG_WATCHLIST"] == "/etc/fingpt/watchlist.txt"
        assert variables["FINGPT_ARG_SOURCES"] == "/etc/fingpt/sources.yaml"


@pytest.mark.parametrize(
    "lacking", ["forecast.runs=[]", "forecast.watchlist=[]", 'forecast.sources=""']
)
def test_forecasts_of_nothing_are_refused(helm, lacking):
    assert "forecast.enabled needs" in refusal(helm, "full", "--set-json", lacking)


def test_keys_without_their_secret_are_refused(helm):
    said = refusal(helm, "full", "--set", "forecast.secret=")
    assert "name that as forecast.secret" in said


def test_hostile_text_stays_text(helm):
    hostile = "a: 1\n---\nkind: Secret\n# {{ .Release.Name }} \"' \\ é"
    objects = render(helm, "full", "--set-json", f"forecast.sources={json.dumps(hostile)}")
    assert of_kind(objects, "ConfigMap")["fingpt-forecast"]["data"]["sources.yaml"] == hostile
    assert not of_kind(objects, "Secret")
