"""Who may talk to whom, by the rendered NetworkPolicies; tests/e2e proves the same with real connections."""

from __future__ import annotations

import json
from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from fingpt.cluster.drive import plan
from fingpt.cluster.job import build_job, load_template
from fingpt.cluster.jobset import job_spec
from fingpt.cluster.site import Site
from tests.cluster.sites import run_of, site_data
from tests.cluster.sweeps import sweep_jobs_of
from tests.helm.charts import CI, of_kind, refusal, render

BASE = {"fingpt-dns", "fingpt-store"}
METADATA = "169.254.169.254"


def selects(policy: dict[str, Any], labels: dict[str, str]) -> bool:
    if policy["spec"]["podSelector"] == {}:
        return True
    expressions = policy["spec"]["podSelector"]["matchExpressions"]
    assert {each["operator"] for each in expressions} <= {"In", "Exists"}
    return all(
        labels.get(each["key"]) in each["values"]
        if each["operator"] == "In"
        else each["key"] in labels
        for each in expressions
    )


def allowed(policies: dict[str, dict[str, Any]], labels: dict[str, str]) -> set[str]:
    return {
        name
        for name, each in policies.items()
        if selects(each, labels) and each["spec"].get("egress")
    }


def pod_labels(stage: str) -> dict[str, str]:
    """Those of a real Job's pod."""
    if stage in ("sweep", "trial"):
        return sweep_jobs_of("llama31", Site.of(site_data()))[stage]["metadata"]["labels"]
    job = build_job(
        run_of("llama31"), stage, load_template(stage), Site.of(site_data()), "s3://b/r"
    )
    labels: dict[str, str] = job["spec"]["template"]["metadata"]["labels"]
    return labels


def egress(helm: str, name: str, *arguments: str) -> dict[str, Any]:
    policy = of_kind(render(helm, "minimal", *arguments), "NetworkPolicy")[name]
    (rule,) = policy["spec"]["egress"]
    return rule


@pytest.mark.parametrize(
    ("stage", "more"),
    [
        ("prep", set()),
        ("train", set()),
        ("eval", set()),
        ("trial", set()),
        ("drive", {"fingpt-api"}),
        ("sweep", {"fingpt-api"}),
    ],
)
def test_a_stages_pod_talks_to_what_it_needs_and_to_nothing_else(helm, stage, more):
    policies = of_kind(render(helm, "minimal"), "NetworkPolicy")
    labels = pod_labels(stage)
    assert allowed(policies, labels) == BASE | more
    denial = policies["fingpt-default-deny"]
    assert selects(denial, labels)
    assert denial["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert set(denial["spec"]) == {"podSelector", "policyTypes"}


def test_ranks_on_several_nodes_reach_one_another_and_nobody_reaches_them(helm):
    assert "fingpt-nodes" not in of_kind(render(helm, "minimal"), "NetworkPolicy")
    policies = of_kind(render(helm, "minimal", "--set", "nodes.enabled=true"), "NetworkPolicy")
    run = run_of("llama31", "train.nodes=2")
    (jobset,) = plan(run, ["train"], Site.of(site_data()), "s3://b")
    ranks = job_spec(jobset)["template"]["metadata"]["labels"]
    assert allowed(policies, ranks) == BASE | {"fingpt-nodes"}
    spec = policies["fingpt-nodes"]["spec"]
    assert spec["egress"] == [{"to": [{"podSelector": spec["podSelector"]}]}]
    assert spec["ingress"] == [{"from": [{"podSelector": spec["podSelector"]}]}]
    for stage in ("prep", "train", "eval", "drive"):
        assert "fingpt-nodes" not in allowed(policies, pod_labels(stage))
    assert [name for name, each in policies.items() if each["spec"].get("ingress")] == [
        "fingpt-nodes"
    ]


def test_the_hub_is_for_mirror_and_the_api_server_for_drive_and_doctor(helm):
    policies = of_kind(render(helm, "minimal"), "NetworkPolicy")
    mirror = {**pod_labels("prep"), "app.kubernetes.io/component": "mirror"}
    assert allowed(policies, mirror) == BASE | {"fingpt-hub"}
    job = of_kind(render(helm, "minimal"), "Job")["fingpt-doctor"]
    doctor = job["spec"]["template"]["metadata"]["labels"]
    assert allowed(policies, doctor) == BASE | {"fingpt-api"}
    assert selects(policies["fingpt-default-deny"], doctor)


def test_pods_of_others_are_left_alone(helm):
    policies = of_kind(
        render(helm, "full", "--set", "networkPolicy.denyNamespace=false"), "NetworkPolicy"
    )
    others = {"app.kubernetes.io/name": "s3", "app.kubernetes.io/part-of": "fingpt-jobs"}
    assert not [name for name, each in policies.items() if selects(each, others)]


@pytest.mark.parametrize("values", CI)
def test_no_rule_is_open_to_the_world_by_an_empty_list(helm, values):
    """The ranks alone, who choose their ports when they start, meet at any; and there they meet nobody but ranks."""
    for name, each in of_kind(render(helm, values), "NetworkPolicy").items():
        spec = each["spec"]
        if name == "fingpt-nodes":
            ranks = spec["podSelector"]
            assert ranks["matchExpressions"]
            assert spec["egress"] == [{"to": [{"podSelector": ranks}]}]
            assert spec["ingress"] == [{"from": [{"podSelector": ranks}]}]
            continue
        assert "ingress" not in spec, name
        for rule in spec.get("egress", []):
            assert rule["to"], name
            assert rule["ports"], name
            assert all("port" in port for port in rule["ports"]), name


@pytest.mark.parametrize("part", ["dns", "api", "hub"])
def test_an_empty_list_of_peers_allows_nothing(helm, part):
    policies = of_kind(
        render(helm, "minimal", "--set-json", f"networkPolicy.{part}.to=[]"), "NetworkPolicy"
    )
    assert f"fingpt-{part}" not in policies
    assert "fingpt-default-deny" in policies


@pytest.mark.parametrize(
    ("endpoint", "peer", "port"),
    [
        ("http://s3:7070", {"podSelector": {}}, 7070),
        (
            "http://s3.storage.svc",
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "storage"}}},
            80,
        ),
        (
            "https://s3.storage.svc.cluster.local:9000/",
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "storage"}}},
            9000,
        ),
        ("https://10.1.2.3", {"ipBlock": {"cidr": "10.1.2.3/32"}}, 443),
    ],
)
def test_the_bucket_is_found_by_its_endpoint(helm, endpoint, peer, port):
    rule = egress(helm, "fingpt-store", "--set", f"store.endpoint={endpoint}")
    assert rule == {"to": [peer], "ports": [{"protocol": "TCP", "port": port}]}


@pytest.mark.parametrize(
    ("endpoint", "peer", "port"),
    [
        ("http://hub:8080", {"podSelector": {}}, 8080),
        (
            "http://hub.models.svc/api",
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "models"}}},
            80,
        ),
        ("https://10.1.2.3/hub", {"ipBlock": {"cidr": "10.1.2.3/32"}}, 443),
    ],
)
def test_a_hub_of_the_site_s_own_is_found_by_its_endpoint(helm, endpoint, peer, port):
    rule = egress(helm, "fingpt-hub", "--set", f"hub.endpoint={endpoint}")
    assert rule == {"to": [peer], "ports": [{"protocol": "TCP", "port": port}]}


def test_a_hub_at_another_name_needs_addresses_which_go_before_what_follows(helm):
    named = ("--set", "hub.endpoint=https://models.example/hub")
    said = refusal(helm, "minimal", *named)
    assert "networkPolicy.hub.to must say at which addresses the hub answers" in said
    assert "models.example is a name" in said
    given = ("--set", "networkPolicy.hub.to[0].ipBlock.cidr=10.1.2.3/32")
    rule = egress(helm, "fingpt-hub", *named, *given)
    assert rule["to"] == [{"ipBlock": {"cidr": "10.1.2.3/32"}}]
    assert rule["ports"] == [{"protocol": "TCP", "port": 443}]
    (port,) = egress(helm, "fingpt-hub", *named, *given, "--set", "networkPolicy.hub.ports[0]=1")[
        "ports"
    ]
    assert port["port"] == 1


@pytest.mark.parametrize("endpoint", ["", "https://s3.example.com", "http://s3.storage:7070"])
def test_a_bucket_at_a_name_outside_the_cluster_needs_addresses(helm, endpoint):
    said = refusal(helm, "minimal", "--set", f"store.endpoint={endpoint}")
    assert "networkPolicy.store.to must say at which addresses the bucket answers" in said
    assert "networkPolicy.store.to[0].ipBlock.cidr=" in said


def test_what_is_said_of_the_bucket_goes_before_what_follows(helm):
    said = "networkPolicy.store.to[0].podSelector.matchLabels.app=s3,networkPolicy.store.ports[0]=1"
    rule = egress(helm, "fingpt-store", "--set", said)
    assert rule["to"] == [{"podSelector": {"matchLabels": {"app": "s3"}}}]
    assert rule["ports"] == [{"protocol": "TCP", "port": 1}]


SPECIAL = (
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
    *("172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/3"),
    *("::1/128", "64:ff9b::/96", "fc00::/7", "fe80::/10", "ff00::/8"),
)
LINK_LOCAL = ("169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128", "64:ff9b::a9fe:0/112")


def within(ranges: Iterable[str], cidr: str) -> list[str]:
    """Those ranges that are real parts of a block, by Python's own arithmetic."""
    block = ip_network(cidr, strict=False)
    same = [ip_network(each) for each in ranges if ip_network(each).version == block.version]
    return [str(each) for each in same if each != block and each.subnet_of(block)]


def block_of(helm: str, block: dict[str, Any]) -> dict[str, Any]:
    """What becomes of a block of the values."""
    peers = json.dumps([{"ipBlock": block}])
    (peer,) = egress(helm, "fingpt-store", "--set-json", f"networkPolicy.store.to={peers}")["to"]
    rendered: dict[str, Any] = peer["ipBlock"]
    return rendered


WIDE = (
    *("0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1", "128.0.0.0/2", "192.0.0.0/2", "160.0.0.0/3"),
    *("172.0.0.0/8", "169.0.0.0/8", "192.168.0.0/15", "100.0.0.0/6", "1.2.3.4/0"),
    *(
        "::/0",
        "::/1",
        "8000::/1",
        "2000::/3",
        "e000::/3",
        "fe00::/7",
        "FC00::/6",
        "64:ff9b::/32",
        "0064:FF9B::/32",
    ),
)


@pytest.mark.parametrize("cidr", WIDE)
def test_a_block_gets_exceptions_for_the_special_ranges_within_it(helm, cidr):
    assert block_of(helm, {"cidr": cidr}).get("except", []) == within(SPECIAL, cidr)


@pytest.mark.parametrize(
    "cidr",
    [
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.7.0/24", "169.254.20.10/32", "52.216.0.0/15"),
        *("2600:1f00::/24", "fe80::/10", "fd12:3456::/32", "::1/128"),
    ],
)
def test_a_special_range_and_a_public_one_stay_as_they_are_written(helm, cidr):
    assert block_of(helm, {"cidr": cidr}) == {"cidr": cidr}


@pytest.mark.parametrize(
    ("cidr", "given", "added"),
    [
        ("0.0.0.0/0", [], ["169.254.0.0/16"]),
        ("0.0.0.0/0", ["10.0.0.0/8"], ["169.254.0.0/16"]),
        ("0.0.0.0/0", ["169.254.0.0/15"], []),
        ("0.0.0.0/1", ["10.0.0.0/8"], []),
        ("::/0", ["2001:db8::/32"], ["fe80::/10", "fd00:ec2::254/128", "64:ff9b::a9fe:0/112"]),
        ("::/0", ["fc00::/7"], ["fe80::/10", "64:ff9b::a9fe:0/112"]),
    ],
)
def test_exceptions_that_are_given_stay_and_link_local_ranges_are_added(helm, cidr, given, added):
    assert block_of(helm, {"cidr": cidr, "except": given})["except"] == given + added


def test_a_range_that_holds_a_metadata_service_is_open_but_for_it(helm):
    assert block_of(helm, {"cidr": "fc00::/7"})["except"] == ["fd00:ec2::254/128"]
    assert block_of(helm, {"cidr": "64:ff9b::/96"})["except"] == ["64:ff9b::a9fe:0/112"]


@pytest.mark.parametrize("cidr", WIDE)
@pytest.mark.parametrize("given", [{}, {"except": []}])
def test_every_exception_is_a_real_part_and_no_link_local_range_is_left_open(helm, cidr, given):
    excepted = block_of(helm, {"cidr": cidr, **given}).get("except", [])
    assert within(excepted, cidr) == excepted  # the API server refuses any other
    for local in map(ip_network, within(LINK_LOCAL, cidr)):
        assert any(local.subnet_of(ip_network(each)) for each in excepted), local


def test_the_hub_is_at_public_addresses(helm):
    (peer,) = egress(helm, "fingpt-hub")["to"]
    excepted = [ip_network(each) for each in peer["ipBlock"]["except"]]
    for address in (METADATA, "10.96.0.1", "172.18.0.2", "192.168.1.1", "100.64.0.1"):
        assert any(ip_address(address) in network for network in excepted), address
    assert not any(ip_address("52.216.0.1") in network for network in excepted)


@pytest.mark.parametrize("part", ["dns", "store", "api", "hub"])
def test_every_list_of_peers_has_these_exceptions(helm, part):
    wide = f"networkPolicy.{part}.to[0].ipBlock.cidr=128.0.0.0/1"
    (peer,) = egress(
        helm, f"fingpt-{part}", "--set-json", f"networkPolicy.{part}.to=[]", "--set", wide
    )["to"]
    assert "169.254.0.0/16" in peer["ipBlock"]["except"]


def test_the_metadata_service_is_out_of_reach_of_every_pod(helm):
    for name, each in of_kind(render(helm, "minimal"), "NetworkPolicy").items():
        for peer in (peer for rule in each["spec"].get("egress", []) for peer in rule["to"]):
            block = peer.get("ipBlock")
            if block and ip_address(METADATA) in ip_network(block["cidr"]):
                assert any(ip_address(METADATA) in ip_network(out) for out in block["except"]), name


def test_the_whole_namespace_is_denied_on_request_only(helm):
    assert "fingpt-deny-namespace" not in of_kind(render(helm, "minimal"), "NetworkPolicy")
    policies = of_kind(render(helm, "full"), "NetworkPolicy")
    assert policies["fingpt-deny-namespace"]["spec"] == {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
    }
    assert not of_kind(
        render(helm, "full", "--set", "networkPolicy.enabled=false"), "NetworkPolicy"
    )


def test_policies_can_be_left_to_the_cluster(helm):
    off = render(
        helm,
        "minimal",
        "--set",
        "networkPolicy.enabled=false,store.endpoint=https://s3.example.com",
    )
    assert not of_kind(off, "NetworkPolicy")
