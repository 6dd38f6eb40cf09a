"""Requests against an API server in this process: what is tried again, and what is an error at once."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time

import pytest
from urllib3.exceptions import SSLError

from fingpt.cluster.api import faults, stream
from fingpt.cluster.api.cluster import Cluster
from fingpt.cluster.api.transport import Kind
from fingpt.errors import PermissionDeniedError, SetupError, TransientError
from tests.cluster.api_server import (
    JOB,
    answer,
    hang_up,
    job_json,
    listed,
    refusal,
    write_kubeconfig,
)


@pytest.mark.parametrize(
    ("kind", "place", "path"),
    [
        (Kind("v1", "nodes"), (), "/api/v1/nodes"),
        (Kind("v1", "pods"), ("ann",), "/api/v1/namespaces/ann/pods"),
        (Kind("v1", "pods/log"), ("ann", "p-0"), "/api/v1/namespaces/ann/pods/p-0/log"),
        (Kind("v1", "namespaces"), ("", "ann"), "/api/v1/namespaces/ann"),
        (Kind("batch/v1", "jobs"), ("ann", "j"), "/apis/batch/v1/namespaces/ann/jobs/j"),
        (Kind("a.b/v1", "cs"), ("x/../y", "z?w"), "/apis/a.b/v1/namespaces/x%2F..%2Fy/cs/z%3Fw"),
    ],
)
def test_objects_have_the_paths_of_the_api(kind, place, path):
    assert kind.path(*place) == path


def test_what_commands_ask_is_asked_without_the_library_s_models():
    """They take .4 s to import: more than the whole of most commands."""
    code = (
        "import sys, fingpt.cluster.api.cluster as api; from fingpt.cluster.api.transport import Transport;"
        "from fingpt.cluster.api.kubeconfig import Connection; from kubernetes import client;"
        "api.Cluster(Transport(Connection(client.Configuration(), 'ann', 'there', False), 'ann'));"
        "print(*[name for name in sys.modules if name.startswith('kubernetes.client.') and name.count('.') > 2])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    "trouble", [hang_up, refusal(500, "etcd leader changed"), refusal(503, "restarting")]
)
def test_what_passes_is_tried_again(cluster, api, trouble):
    api.say("list jobs", trouble, trouble, listed(job_json()))
    assert cluster.job(JOB) is not None
    assert api.asked("list jobs") == 3


def test_what_does_not_pass_ends_with_the_server_s_message(cluster, api):
    api.say("list jobs", refusal(503, "storage is (re)initializing"))
    with pytest.raises(TransientError, match=r"HTTP 503: storage is .*same command resumes"):
        cluster.job(JOB)
    assert 3 <= api.asked("list jobs") <= 8


def test_what_is_refused_is_not_tried_again(cluster, api):
    api.say("list jobs", refusal(403, "no"))
    with pytest.raises(PermissionDeniedError):
        cluster.job(JOB)
    assert api.asked("list jobs") == 1


def test_a_right_that_was_there_before_is_waited_for(cluster, api):
    """A server that has just started forbids everything until it has read its rules."""
    forbidden = refusal(403, 'User "ann" cannot list resource "jobs"')
    api.say("list jobs", listed(job_json()), forbidden, forbidden, listed(job_json()))
    assert [cluster.job(JOB), cluster.job(JOB)] != [None, None]
    assert api.asked("list jobs") == 4


def test_a_right_that_stays_away_is_an_error(cluster, api, monkeypatch):
    monkeypatch.setattr(stream, "RESTART_SECONDS", 0.05)
    forbidden = refusal(403, 'User "ann" cannot list resource "jobs"')
    api.say("list jobs", listed(job_json()), forbidden)
    assert cluster.job(JOB) is not None
    with pytest.raises(PermissionDeniedError, match="You may not list jobs"):
        cluster.job(JOB)
    assert api.asked("list jobs") > 2


def test_a_handshake_that_is_cut_off_is_tried_again(tmp_path, monkeypatch):
    """What stands in front of a server that restarts takes connections and ends them."""
    monkeypatch.setattr(stream, "BACKOFF_SECONDS", 0.001)
    monkeypatch.setattr(stream, "RESTART_SECONDS", 0.5)
    taken = []

    def cut() -> None:
        while True:
            try:
                connection = listener.accept()[0]
            except OSError:
                return
            with connection:  # closed before the client's hello is read it would end by a reset
                taken.append(connection.recv(1 << 16))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=cut, daemon=True).start()
        path = write_kubeconfig(
            tmp_path / "config", f"https://127.0.0.1:{listener.getsockname()[1]}"
        )
        with pytest.raises(SetupError, match="ends connections during the TLS handshake"):
            Cluster.connect(kubeconfig=path)
        listener.shutdown(socket.SHUT_RDWR)
    assert len(taken) >= 2


@pytest.mark.parametrize(
    "said",
    [
        "EOF occurred in violation of protocol (_ssl.c:992)",
        "[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred in violation of protocol (_ssl.c:1000)",
        "TLS/SSL connection has been closed (EOF) (_ssl.c:992)",
        "[Errno 104] Connection reset by peer",
        "[Errno 32] Broken pipe",
    ],
)
def test_all_that_ssl_says_of_a_cut_handshake_is_a_restart(said):
    error = SSLError(said)
    assert faults.is_restart(error, granted=False)
    found = faults.of_transport(faults.Call("list", "jobs", "", "there"), error)
    assert isinstance(found, TransientError)
    assert "ends connections during the TLS handshake" in str(found)


def test_a_busy_server_is_asked_again_when_it_says(cluster, api):
    api.say("list jobs", refusal(429, "too many requests", Retry_After="1"), listed())
    started = time.monotonic()
    assert cluster.job(JOB) is None
    assert time.monotonic() - started >= 0.9


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (200, SetupError, "HTML page.*HTTPS_PROXY"),
        (401, PermissionDeniedError, "HTML page.*HTTPS_PROXY"),
        (403, PermissionDeniedError, "HTML page.*HTTPS_PROXY"),
        (404, SetupError, "HTML page.*HTTPS_PROXY"),
        (407, PermissionDeniedError, "asks for a login"),
    ],
)
def test_a_proxy_that_answers_in_the_server_s_place_is_named(cluster, api, status, kind, words):
    api.say("list jobs", answer("<html>login</html>", status, Content_Type="text/html"))
    with pytest.raises(kind, match=words) as caught:
        cluster.job(JOB)
    assert type(caught.value) is kind


@pytest.mark.parametrize("said", [{}, [], None, "text", 7])
def test_json_that_no_api_server_gives_is_no_answer(cluster, api, kubeconfig, said):
    api.say("list jobs", answer(json.dumps(said)))
    api.say("list pods", answer(json.dumps(said)))
    api.say("list version", answer(json.dumps(said)))
    for ask in (lambda: cluster.job(JOB), cluster.pods, cluster.jobs, cluster.version):
        with pytest.raises(SetupError, match="is not an API server's"):
            ask()


def test_an_empty_list_may_be_null(cluster, api):
    nothing = answer({"kind": "PodList", "metadata": {}, "items": None})
    api.say("list pods", nothing)
    api.say("list jobs", nothing)
    api.say("list jobsets", nothing)
    assert (cluster.pods(), cluster.jobs(), cluster.job(JOB)) == ((), (), None)


def test_a_page_elsewhere_is_a_login(cluster, api):
    api.say("list jobs", answer("", 302, Location="https://login.example/"))
    with pytest.raises(SetupError, match="by naming another address"):
        cluster.job(JOB)


def test_an_answer_in_no_known_encoding_is_a_proxy_s(cluster, api):
    api.say("list jobs", _bytes(b'{"kind": "\xff\xfe\xe9"}'))
    with pytest.raises(SetupError, match="no encoding that can be read"):
        cluster.job(JOB)


def _bytes(data: bytes):
    def send(handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return send


def test_an_answer_that_is_cut_is_tried_again_by_a_person(cluster, api):
    api.say("list jobs", answer('{"kind": '))
    with pytest.raises(TransientError, match="not JSON"):
        cluster.job(JOB)
