"""Connecting: which context, which namespace, and one error for whatever is wrong."""

from __future__ import annotations

import socket

import pytest

from fingpt.cluster.api import stream
from fingpt.cluster.api.cluster import Cluster
from fingpt.cluster.api.kubeconfig import load_connection
from fingpt.errors import PermissionDeniedError, SetupError
from tests.cluster.api_server import (
    NAMESPACE,
    refusal,
    serving_tls,
    write_kubeconfig,
)

NO_AUTHORITY = """
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
users: [{name: u, user: {}}]
clusters: [{name: c, cluster: {server: "https://127.0.0.1", certificate-authority: none.pem}}]
"""


def test_the_context_names_cluster_and_namespace(cluster, api):
    assert (cluster.namespace, cluster.version()) == (NAMESPACE, "v1.35.4")
    assert cluster.where == f"context 'there' ({api.url})"


def test_another_namespace_can_be_named(kubeconfig):
    assert Cluster.connect("elsewhere", kubeconfig=kubeconfig).namespace == "elsewhere"


def test_without_a_kubeconfig_and_outside_a_pod_the_error_says_so(tmp_path, monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    nowhere = str(tmp_path / "none")
    with pytest.raises(SetupError, match=r"There is no kubeconfig.*LOCAL=1"):
        Cluster.connect(kubeconfig=nowhere)


def test_a_kubeconfig_without_a_current_context_says_how_to_choose_one(tmp_path, api):
    path = write_kubeconfig(tmp_path / "config", api.url, **{"current-context": ""})
    with pytest.raises(SetupError, match="kubectl config use-context"):
        Cluster.connect(kubeconfig=path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a: [",
        "- list",
        "text",
        "kind: Config",
        "clusters: 7",
        "contexts: [{}]\ncurrent-context: x",
        "contexts: [{name: x}]\ncurrent-context: x",
        "contexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x",
        "contexts: [{name: x, context: {cluster: c}}]\nclusters: [{name: c}]\ncurrent-context: x",
        NO_AUTHORITY,
        "\x00\x01",
    ],
)
def test_a_broken_kubeconfig_is_one_error(tmp_path, text):
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(SetupError) as caught:
        Cluster.connect(kubeconfig=str(path))
    assert "\n" not in str(caught.value)
    assert "kubeconfig" in str(caught.value)


def test_an_unknown_context_is_named(kubeconfig):
    with pytest.raises(SetupError, match="nowhere"):
        Cluster.connect(context="nowhere", kubeconfig=kubeconfig)


def test_a_server_that_is_down_refuses_connections(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "BACKOFF_SECONDS", 0.001)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    path = write_kubeconfig(tmp_path / "config", f"http://127.0.0.1:{port}")
    with pytest.raises(SetupError, match=f"context 'there' .*{port}.* refuses connections"):
        Cluster.connect(kubeconfig=path)


def test_a_server_without_tls_is_no_server_to_trust(tmp_path, api, monkeypatch):
    monkeypatch.setattr(stream, "BACKOFF_SECONDS", 0.001)
    path = write_kubeconfig(tmp_path / "config", api.url.replace("http:", "https:"))
    with pytest.raises(SetupError, match=r"speaks no TLS|No TLS connection"):
        Cluster.connect(kubeconfig=path)


def test_a_certificate_of_another_authority_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "BACKOFF_SECONDS", 0.001)
    with serving_tls(tmp_path) as url:
        path = write_kubeconfig(tmp_path / "config", url)
        with pytest.raises(SetupError, match="not signed by the authority in your kubeconfig"):
            Cluster.connect(kubeconfig=path)


def test_unaccepted_credentials_are_a_matter_of_logging_in(kubeconfig, api):
    api.say("list version", refusal(401, "Unauthorized"))
    with pytest.raises(PermissionDeniedError, match="log in again"):
        Cluster.connect(kubeconfig=kubeconfig)


def test_a_password_in_the_server_s_address_is_masked(tmp_path):
    path = write_kubeconfig(tmp_path / "config", "http://ann:hunter2@127.0.0.1:9")
    assert "hunter2" not in load_connection(path=path).where


def test_a_token_that_no_header_can_hold_is_refused_and_not_shown(tmp_path):
    path = write_kubeconfig(
        tmp_path / "config",
        "http://127.0.0.1:9",
        users=[{"name": "user", "user": {"token": "PW\nx"}}],
    )
    with pytest.raises(PermissionDeniedError, match="token in the kubeconfig") as caught:
        load_connection(path=path)
    assert "PW" not in str(caught.value)
