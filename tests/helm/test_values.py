"""What the chart takes: every value documented and checked, no key ever, and text that stays text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.helm.charts import CHART, CI, of_kind, refusal, render

VALUES = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
FULL = yaml.safe_load(CI["full"].read_text(encoding="utf-8"))

# Objects whose keys are a site's own.
FREE = {"serviceAccounts.annotations", "nodeSelector", "resources"}


def leaves(values: dict[str, Any], path: str = "") -> Iterator[str]:
    for key, value in values.items():
        here = f"{path}{key}"
        if isinstance(value, dict) and here not in FREE:
            yield from leaves(value, f"{here}.")
        else:
            yield here


def schemas(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if node.get("type") == "object":
            yield node
        for each in node.values():
            yield from schemas(each)
    elif isinstance(node, list):
        for each in node:
            yield from schemas(each)


def known_to_the_schema(node: dict[str, Any], path: str = "") -> Iterator[str]:
    for key, value in node["properties"].items():
        here = f"{path}{key}"
        name = value.get("$ref", "").rsplit("/", 1)[-1]
        whole = SCHEMA["definitions"].get(name, value)
        if "properties" in whole and here not in FREE:
            yield from known_to_the_schema(whole, f"{here}.")
        else:
            yield here


def test_every_value_is_explained_in_at_most_160_lines():
    lines = (CHART / "values.yaml").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 160
    for path in leaves(VALUES):
        key = path.rsplit(".", 1)[-1]
        places = [n for n, line in enumerate(lines) if re.match(rf" *{key}:", line)]
        assert any(explained(lines, place) for place in places), path


def explained(lines: list[str], place: int) -> bool:
    """Whether the comment right above has a `# --`."""
    for line in reversed(lines[:place]):
        text = line.strip()
        if not text.startswith("#"):
            return False
        if text.startswith("# -- "):
            return True
    return False


def test_schema_and_values_know_the_same_keys_and_full_values_set_all_but_two():
    assert set(known_to_the_schema(SCHEMA)) == set(leaves(VALUES))
    unset = set(leaves(VALUES)) - set(leaves(FULL))
    assert unset == {"cache.claim", "networkPolicy.enabled"}  # both would leave something else out


def test_every_value_is_used():
    templates = "".join(
        path.read_text(encoding="utf-8") for path in (CHART / "templates").rglob("*.*")
    )
    assert [path for path in leaves(VALUES) if path.rsplit(".", 1)[-1] not in templates] == []


def test_no_part_of_the_schema_takes_an_unknown_key():
    for node in schemas(SCHEMA):
        assert node.get("additionalProperties") in (False, {"type": "string"}), node
        free = isinstance(node["additionalProperties"], dict)
        assert free == ("properties" not in node)


@pytest.mark.parametrize(
    "given",
    [
        "storage.uri=s3://b",
        "store.bucket=b",
        "networkPolicy.store.cidr=10.0.0.0/8",
        "resources.trian.cpu=4",
        "resources.train.cpu=4",  # memory and disk are missing
        "store.uri=http://bucket",
        "store.uri=s3://bucket/",
        "store.endpoint=s3.example.com",
        "images.pullPolicy=Sometimes",
        "deadlineSeconds=0",
        "cache.size=big",
        "networkPolicy.store.to[0]=10.0.0.0/8",
        "networkPolicy.store.to[0].ipBlock.cidr=10.0.0.0",
        "networkPolicy.store.to[0].ipBlock.cidr=::ffff:10.0.0.0/104",
        "admission.images[0]=registry.example/team/fingpt-prep:1",  # repositories have no tags
        "admission.images[0]=registry.example/team/*",
        "networkPolicy.store.ports[0]=https",
        "users[0].kind=Person,users[0].name=x",
        "forecast.watchlist[0]=../x",
        "forecast.runs[0]=Llama 31",
        "forecast.schedule=weekly",
        "forecast.keys[0]=FINNHUB_KEY",
        "forecast.token=abc",
    ],
)
def test_a_faulty_value_is_refused(helm, given):
    said = refusal(helm, "minimal", "--set", given)
    assert "values don't meet the specifications of the schema" in said


def test_the_bucket_is_the_one_thing_that_must_be_said(helm):
    assert "store" in refusal(helm, "minimal", "--set", "store.uri=null")
    skipped = refusal(helm, "minimal", "--set", "store.uri=null", "--skip-schema-validation")
    assert "store.uri must name the bucket" in skipped


SECRETS = [
    "store.accessKey=AKIAIOSFODNN7EXAMPLE",
    "store.secretKey=wJalrXUtnFEMI",
    "store.secret=AKIAIOSFODNN7EXAMPLE",
    "hub.token=hf_abcdefgh",
    "hub.secret=hf_abcdefgh",
    "forecast.secret=AKIAIOSFODNN7EXAMPLE",
    "forecast.finnhubKey=abcdefgh",
    "store.endpoint=http://key:word@s3.storage.svc",
    "hub.endpoint=http://key:word@hub.models.svc",
    "store.uri=s3://key:word@bucket",
]


@pytest.mark.parametrize("given", SECRETS)
@pytest.mark.parametrize("schema", ["checked", "skipped"])
def test_a_literal_key_is_refused_with_or_without_the_schema(helm, given, schema):
    more = ("--skip-schema-validation",) if schema == "skipped" else ()
    said = refusal(helm, "minimal", "--set", given, *more)
    if schema == "skipped":
        assert "Secret" in said


@pytest.mark.parametrize("values", CI)
def test_no_secret_is_made_and_none_is_in_a_setting(helm, values):
    objects = render(helm, values)
    assert not of_kind(objects, "Secret")
    data = of_kind(objects, "ConfigMap")["fingpt-jobs"]["data"]
    assert data["s3Secret"] == "fingpt-s3"


HOSTILE = "x\"}\n---\nkind: Secret\n# {{ .Release.Name }} ' \\ é"


@pytest.mark.parametrize(
    ("given", "kind", "name", "where"),
    [
        ({"nodeSelector": {"pool": HOSTILE}}, "ConfigMap", "fingpt-jobs", ("data", "nodeSelector")),
        (
            {"serviceAccounts": {"annotations": {"role": HOSTILE}}},
            "ServiceAccount",
            "fingpt-stage",
            ("metadata", "annotations", "role"),
        ),
        (
            {"users": [{"kind": "User", "name": HOSTILE}]},
            "RoleBinding",
            "fingpt-user",
            ("subjects", 0, "name"),
        ),
    ],
)
def test_text_stays_text(helm, given, kind, name, where):
    ((key, value),) = given.items()
    objects = render(helm, "minimal", "--set-json", f"{key}={json.dumps(value)}")
    found: Any = of_kind(objects, kind)[name]
    for part in where:
        found = found[part]
    assert (json.loads(found) if kind == "ConfigMap" else found) in (value, HOSTILE)
    usual = {each["kind"] for each in render(helm, "full")}
    assert {each["kind"] for each in objects} <= usual


def test_what_contradicts_itself_is_refused(helm):
    both = refusal(helm, "minimal", "--set", "cache.create=true,cache.claim=weights")
    assert "set one of the two" in both
    assert "queue.name must name" in refusal(helm, "minimal", "--set", "queue.clusterQueue=gpus")
