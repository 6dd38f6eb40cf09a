"""Secrets in every setting that takes one, and in some that do not: no command shows any of them."""

from __future__ import annotations

import json

import pytest

from tests.jobs.commands import command, inside

COMMANDS = [
    ("list",),
    ("status",),
    ("verify", "--run", "tiny-llama31-00000000"),
    ("prune",),
    ("compare",),
    ("doctor", "--model", "llama31"),
    ("logs", "--run", "tiny-llama31-00000000"),
    ("submit", "run", "--model", "tiny-llama31", "--mode", "local"),
    ("mirror", "--model", "llama31"),
]
SIGNED = "https://ann:PLANTED-9@host/rows.csv?X-Amz-Signature=PLANTED-9"

# Settings that show a secret once they are used, and settings that hold one as they should.
PLANTED = {
    "plain": {},
    "endpoint with a password": {"AWS_ENDPOINT_URL": "http://ann:PLANTED-1@127.0.0.1:9"},
    "endpoint that is none": {"AWS_ENDPOINT_URL": "http://ann:PLANTED-1@ho st"},
    "store with a password": {"FINGPT_STORE": "s3://ann:PLANTED-2@bucket/x"},
    "store of another kind": {"FINGPT_STORE": "https://ann:PLANTED-2@host/bucket"},
    "key with a line break": {"AWS_ACCESS_KEY_ID": "PLANTED-3\nx"},
    "secret with a blank": {"AWS_SECRET_ACCESS_KEY": "PLANTED-4 x"},
    "token with a line break": {"AWS_SESSION_TOKEN": "PLANTED-5\nx"},
    "hub with a password": {"HF_ENDPOINT": "http://ann:PLANTED-6@127.0.0.1:9"},
    "hub token with a line break": {"HF_TOKEN": "PLANTED-7\nx"},
    "proxy that is down": {
        "HTTP_PROXY": "http://ann:PLANTED-8@127.0.0.1:9",
        "HTTPS_PROXY": "http://ann:PLANTED-8@127.0.0.1:9",
    },
}
USUAL = {
    "FINGPT_STORE": "s3://bucket/prefix",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_ACCESS_KEY_ID": "PLANTED-id",
    "AWS_SECRET_ACCESS_KEY": "PLANTED-secret",
    "AWS_SESSION_TOKEN": "PLANTED-session",
    "AWS_EC2_METADATA_DISABLED": "true",
    "HF_ENDPOINT": "http://127.0.0.1:9",
    "HF_TOKEN": "PLANTED-hub",
}


@pytest.mark.slow  # nine commands for each of eleven plants
@pytest.mark.part4
@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
@pytest.mark.parametrize("plant", PLANTED)
def test_no_command_shows_a_secret(tmp_path, plant, words):
    show_nothing(tmp_path, plant, words)


@pytest.mark.parametrize("plant", ["endpoint with a password", "key with a line break"])
def test_list_shows_no_secret(tmp_path, plant):
    show_nothing(tmp_path, plant, ("list",))


def show_nothing(tmp_path, plant, words) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        json.dumps(
            {
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
                "clusters": [
                    {"name": "k", "cluster": {"server": "http://ann:PLANTED-9@127.0.0.1:9"}}
                ],
                "users": [{"name": "u", "user": {"token": "PLANTED-10\nx"}}],
            }
        )
    )
    settings = {**USUAL, "KUBECONFIG": str(kubeconfig), **PLANTED[plant]}
    done = command(tmp_path, *words, **settings)
    assert done.returncode not in (0, 1), done.stderr
    assert "PLANTED" not in done.stdout + done.stderr
    assert "bug" not in done.stderr


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        (("submit", "prep", "--model", "tiny-llama31", "--data", SIGNED), {}),
        (("submit", "prep", "--model", "tiny-llama31", "--set", f"prep.source={SIGNED}"), {}),
        (("submit", "eval", "--model", "tiny-llama31"), {"FINGPT_ARG_ADAPTER": SIGNED}),
        (("doctor", "--model", "tiny-llama31", "--data", SIGNED), {}),
        (("score", "--answers", SIGNED, "--data", "sample", "--out", "out"), {}),
        (("score", "--answers", "a.csv", "--data", SIGNED, "--out", "out"), {}),
        (("collect", "--run", "tiny-llama31-00000000", "--out", SIGNED), {}),
        (("compare", "--out", SIGNED), {}),
    ],
)
def test_a_web_address_in_a_path_s_place_is_refused_and_never_shown(tmp_path, words, arguments):
    run = inside if words[0] == "doctor" else command
    done = run(tmp_path, *words, **arguments)
    said = done.stdout + done.stderr
    assert done.returncode == 64, said
    assert "PLANTED" not in said
    assert "address that begins with https://" in said
