"""Connecting: which context, which namespace, and one error for whatever is wrong."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from fingpt.cluster.api import stream
from fingpt.cluster.api.cluster import Cluster
from fingpt.cluster.api.kubeconfig import load_connection
from fingpt.errors import ConfigError, PermissionDeniedError, SetupError
from tests.cluster.api_server import (
    NAMESPACE,
    answer,
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


def test_paths_in_a_kubeconfig_are_relative_to_it(tmp_path, monkeypatch):
    for name, text in (("ca.pem", "CA"), ("c.pem", "C"), ("k.pem", "K"), ("token", "t0ken")):
        (tmp_path / name).write_text(text)
    path = write_kubeconfig(
        tmp_path / "config",
        "https://127.0.0.1:9",
        clusters=[
            {
                "name": "cluster",
                "cluster": {"server": "https://127.0.0.1:9", "certificate-authority": "ca.pem"},
            }
        ],
        users=[
            {
                "name": "user",
                "user": {
                    "client-certificate": "c.pem",
                    "client-key": "k.pem",
                    "tokenFile": "token",
                    "token": "the file counts, which is renewed",
                },
            }
        ],
    )
    monkeypatch.chdir("/")
    settings = load_connection(path=path).settings
    assert settings.ssl_ca_cert == str(tmp_path / "ca.pem")
    assert (settings.cert_file, settings.key_file) == (
        str(tmp_path / "c.pem"),
        str(tmp_path / "k.pem"),
    )
    assert settings.api_key == {"BearerToken": "Bearer t0ken"}


def plugin(folder, script: str) -> str:
    """A kubeconfig whose user logs in by a program beside it."""
    program = folder / "login.sh"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    run = {"apiVersion": "client.authentication.k8s.io/v1", "command": "./login.sh"}
    return write_kubeconfig(
        folder / "config", "http://127.0.0.1:9", users=[{"name": "user", "user": {"exec": run}}]
    )


CREDENTIAL = (
    'echo \'{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", '
    '"status": {"token": "fresh"}}\''
)


def test_a_program_that_logs_in_is_found_beside_its_kubeconfig(tmp_path, monkeypatch):
    path = plugin(tmp_path, CREDENTIAL)
    monkeypatch.chdir("/")
    assert load_connection(path=path).settings.api_key == {"BearerToken": "Bearer fresh"}


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo ExpiredToken: log in >&2; exit 255", "process returned 255. ExpiredToken: log in"),
        ("echo '<html>'", "failed to decode process output"),
        ("echo '{}'", "missing key 'apiVersion'"),
        (
            'echo \'{"apiVersion": "client.authentication.k8s.io/v1", "kind": "x", "status": {}}\'',
            "missing token",
        ),
    ],
)
def test_a_login_that_fails_is_told_and_nobody_goes_on_as_anonymous(tmp_path, capfd, script, words):
    with pytest.raises(PermissionDeniedError) as caught:
        load_connection(path=plugin(tmp_path, script))
    assert words in str(caught.value)
    assert "user 'user' gets no credentials" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_a_login_program_that_is_not_there_is_named(tmp_path):
    path = plugin(tmp_path, "")
    (tmp_path / "login.sh").unlink()
    with pytest.raises(PermissionDeniedError, match=r"gets no credentials.*login\.sh"):
        load_connection(path=path)


def test_who_acts_as_another_says_so_with_every_request(tmp_path, api):
    acting = {
        "token": "t0ken",
        "as": "system:serviceaccount:ann:poor",
        "as-uid": "u1",
        "as-groups": ["one", "two"],
        "as-user-extra": {"example.com/reason": ["audit"]},
    }
    path = write_kubeconfig(tmp_path / "config", api.url, users=[{"name": "user", "user": acting}])
    Cluster.connect(kubeconfig=path)
    sent = api.headers[-1]
    assert sent.get_all("Impersonate-Group") == ["one", "two"]
    assert sent["Impersonate-User"] == "system:serviceaccount:ann:poor"
    assert sent["Impersonate-Uid"] == "u1"
    assert sent["Impersonate-Extra-example.com%2Freason"] == "audit"


def test_nobody_acts_as_a_name_that_no_header_can_hold(tmp_path):
    acting = [{"name": "user", "user": {"token": "t", "as": "a\r\nX: y"}}]
    path = write_kubeconfig(tmp_path / "config", "http://127.0.0.1:9", users=acting)
    with pytest.raises(SetupError, match="no header can hold"):
        load_connection(path=path)


def test_a_user_without_credentials_is_told_to_log_in(kubeconfig, api):
    api.say("list version", refusal(403, 'User "system:anonymous" cannot get path "/version"'))
    with pytest.raises(PermissionDeniedError, match=r"takes you for nobody.*log in again"):
        Cluster.connect(kubeconfig=kubeconfig)


def test_of_several_kubeconfigs_the_first_current_context_counts_and_empty_ones_do_not(
    tmp_path, api
):
    """As kubectl: the last one, which the library takes, may be another cluster."""
    (tmp_path / "empty").write_text("\n")
    first = write_kubeconfig(tmp_path / "first", api.url)
    none = write_kubeconfig(tmp_path / "none", api.url, **{"current-context": ""})
    other = write_kubeconfig(
        tmp_path / "other",
        "http://127.0.0.1:9",
        contexts=[{"name": "else", "context": {"cluster": "cluster", "user": "user"}}],
        **{"current-context": "else"},
    )
    given = ":".join([str(tmp_path / "empty"), str(tmp_path / "absent"), none, first, other])
    assert load_connection(path=given).where == f"context 'there' ({api.url})"


def test_a_kubeconfig_may_come_out_of_a_pipe(tmp_path, api):
    """As `KUBECONFIG=<(vault read …)` gives it."""
    text = Path(write_kubeconfig(tmp_path / "config", api.url)).read_bytes()
    ours, theirs = os.pipe()
    os.write(theirs, text)
    os.close(theirs)
    try:
        assert load_connection(path=f"/dev/fd/{ours}").where == f"context 'there' ({api.url})"
    finally:
        os.close(ours)


def test_a_server_without_a_scheme_is_named(tmp_path):
    path = write_kubeconfig(tmp_path / "config", "127.0.0.1:6443")
    with pytest.raises(SetupError, match=r"127\.0\.0\.1:6443 is not addressed by https://"):
        Cluster.connect(kubeconfig=path)


def test_plain_http_to_a_server_that_speaks_tls_is_named(kubeconfig, api):
    api.say("list version", answer("Client sent an HTTP request to an HTTPS server.\n", status=400))
    with pytest.raises(SetupError, match="not addressed by https://"):
        Cluster.connect(kubeconfig=kubeconfig)


def test_a_kubeconfig_that_trusts_any_certificate_is_warned_of_by_no_request(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "BACKOFF_SECONDS", 0.001)
    with serving_tls(tmp_path) as url:
        any_one = {"server": url, "insecure-skip-tls-verify": True}
        path = write_kubeconfig(
            tmp_path / "config", url, clusters=[{"name": "cluster", "cluster": any_one}]
        )
        with pytest.raises(SetupError, match="HTTP 501"):  # the server knows no requests
            Cluster.connect(kubeconfig=path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- list\n", "no lists of entries"),
        ("a: b\nclusters: [\n", "config, line 3: "),
    ],
)
def test_what_is_broken_in_a_kubeconfig_is_said(tmp_path, text, words):
    (tmp_path / "config").write_text(text)
    with pytest.raises(SetupError) as caught:
        load_connection(path=str(tmp_path / "config"))
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["a/../b", "Bad_Name", "a?x=y", "-a", "a" * 64])
def test_a_name_that_no_namespace_has_is_asked_for_nowhere(kubeconfig, api, name):
    with pytest.raises(ConfigError, match="is no name of a namespace"):
        Cluster.connect(name, kubeconfig=kubeconfig)
    assert api.requests == []
