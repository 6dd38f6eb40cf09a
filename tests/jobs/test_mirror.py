"""The command line of mirror, as its own process against a hub on loopback: exit codes, no token, a clean end."""

from __future__ import annotations

import json
import os
import re
import resource
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from fingpt.config import load_config
from fingpt.models import spec
from fingpt.runs.freeze import freeze_source
from fingpt.runs.raw import read_hub_rows
from fingpt.storage import open_store
from fingpt.weights.base import fetch_base, read_base_manifest
from tests import warm
from tests.hub_server import TOKEN, HubServer, repository, serving

ROOT = Path(__file__).parent.parent.parent
MODEL = spec("llama31")
SOURCE = load_config(ROOT / "jobs/configs/llama31.yaml").prep.source
ROWS, COMMIT = re.fullmatch("hub:(.+)@([0-9a-f]{40})/data", SOURCE).groups()


@pytest.fixture
def server():
    files = {f"data/{split}-00000-of-00001.jsonl": b"{}\n" for split in ("train", "test")}
    rows = HubServer(ROWS, COMMIT, files, kind="datasets", branch="main")
    model = HubServer(MODEL.base, MODEL.revision, repository(), gated=True, beside=[rows])
    with serving(model) as hub:
        yield hub


@pytest.fixture
def environment(server, tmp_path):
    (tmp_path / "scratch").mkdir()
    return {
        "FINGPT_STORE": (tmp_path / "store").as_uri(),
        "HF_ENDPOINT": server.url,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_TOKEN": f"{TOKEN}\n",  # as a file in a Secret often ends
        "NO_PROXY": "127.0.0.1,localhost",
        "PATH": os.environ["PATH"],
        "TMPDIR": str(tmp_path / "scratch"),
    }


WORDS = ("--model", "llama31")


def command(*arguments):
    return [sys.executable, "-m", "jobs.mirror", *(arguments or WORDS)]


def run(environment, *arguments):
    return warm.run("jobs.mirror", *(arguments or WORDS), env=environment)


def events(stderr):
    return [json.loads(line) for line in stderr.splitlines()]


def files_below(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_weights_are_mirrored_and_the_token_is_found_nowhere(environment, tmp_path):
    done = run(environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    said = events(done.stderr)
    assert next(line["file"] for line in said if line["event"] == "file stored") == "config.json"
    assert said[-1]["event"] == "base weights stored"
    assert any(line["event"] == "progress" for line in said)

    store = open_store(environment["FINGPT_STORE"])
    manifest = read_base_manifest(store, MODEL)
    assert said[-1]["sha256"] == manifest.sha256
    folder = fetch_base(store, MODEL, tmp_path / "cache")
    assert {path.name for path in folder.iterdir()} == {file.name for file in manifest.files}

    assert TOKEN not in done.stderr
    for path in files_below(tmp_path):
        assert TOKEN.encode() not in path.read_bytes(), path
    assert files_below(tmp_path / "scratch") == []

    del environment["HF_TOKEN"]
    again = run(environment)
    assert again.returncode == 0, again.stderr
    assert [line["event"] for line in events(again.stderr)] == ["base weights already in the store"]


@pytest.mark.parametrize(
    ("changes", "arguments", "code", "words"),
    [
        ({"HF_TOKEN": ""}, [], 77, f"/{MODEL.base} and give a token"),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, [], 75, "cannot be reached"),
        ({"HF_ENDPOINT": "nonsense"}, [], 78, "is no http"),
        ({"HF_HUB_OFFLINE": "1"}, [], 78, "HF_HUB_OFFLINE"),
        ({}, ["--model", "tiny-llama31"], 64, "make tiny MODEL=tiny-llama31"),
        ({}, ["--model", "lama31"], 64, "did you mean 'llama31'"),
        ({}, ["--model", ""], 64, "make mirror MODEL=llama31, or DATA=hub:"),
        ({}, ["--data", "hub:owner/none"], 66, "has no data set owner/none"),
        ({}, ["--data", "hub:none"], 64, "hub:owner/name@revision"),
    ],
)
def test_what_cannot_be_mirrored_is_one_sentence_with_its_exit_code(
    environment, changes, arguments, code, words
):
    done = run({**environment, **changes}, *arguments)
    assert done.returncode == code, done.stderr
    (line,) = events(done.stderr)
    assert words in line["event"]
    assert line["code"] == code
    assert not Path(environment["FINGPT_STORE"].removeprefix("file://")).exists()


def test_a_full_disk_ends_with_74_and_the_next_call_goes_on(environment, server, tmp_path):
    def no_large_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))

    done = subprocess.run(
        command(),
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=no_large_files,
    )
    assert done.returncode == 74, done.stderr
    assert "No space left" in events(done.stderr)[-1]["event"]
    assert files_below(tmp_path / "scratch") == []
    server.requests.clear()
    assert run(environment).returncode == 0
    assert not server.asked("GET", "/resolve/.*json$")


def test_sigterm_ends_with_143_leaves_no_scratch_and_the_next_call_goes_on(
    environment, server, tmp_path
):
    server.stall = threading.Event()
    process = subprocess.Popen(
        command(), cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 60
        while len(server.asked("GET", "^/store/model")) < 1 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 143, stderr
    assert "the same command resumes" in events(stderr)[-1]["event"]
    assert files_below(tmp_path / "scratch") == []
    server.stall.set()
    server.requests.clear()
    assert run(environment).returncode == 0
    assert not server.asked("GET", "/resolve/.*json$")


def make(environment, *words):
    return subprocess.run(
        ["make", "--no-print-directory", "-o", "setup", *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.slow  # make three times
def test_the_command_that_a_run_without_its_rows_names_brings_rows_and_weights(
    environment, server, tmp_path
):
    store = f"STORE={tmp_path / 'other'}"
    lacking = make(environment, "run", "MODEL=llama31", store)
    assert lacking.returncode == 2, lacking.stderr  # what make itself ends with
    assert server.requests == []
    assert not (tmp_path / "other" / "runs").exists()
    command = events(lacking.stderr.partition("\nmake")[0])[-1]["event"].partition("once: ")[2]
    done = make(environment, *shlex.split(command)[1:])
    assert done.returncode == 0, done.stderr
    there = open_store((tmp_path / "other").as_uri())
    assert read_base_manifest(there, MODEL).files
    rows = read_hub_rows(there, SOURCE)
    assert rows.commit == COMMIT
    server.requests.clear()
    frozen = freeze_source(there, load_config(ROOT / "jobs/configs/llama31.yaml"))
    assert frozen.prep.source == rows.raw
    again = make(
        environment, "mirror", "MODEL=deepseek-r1", store, f"DATA=hub:{ROWS}@{COMMIT}/data"
    )
    assert "rows already in the store" in again.stderr
    assert not server.asked("GET", ROWS)


@pytest.mark.slow  # make three times
def test_rows_alone_are_mirrored_without_any_model(environment, server):
    done = make(environment, "mirror", f"DATA=hub:{ROWS}")
    assert done.returncode == 0, done.stderr
    assert not server.asked("GET", "llama")
    there = open_store(environment["FINGPT_STORE"])
    assert read_hub_rows(there, f"hub:{ROWS}@main").raw.startswith("raw/")
    for words in (["mirror"], ["mirror", "DATA=folder"]):
        done = make(environment, *words)
        assert '"code": 64' in done.stderr, done.stderr


def test_a_token_in_a_file_opens_what_is_gated(environment, tmp_path):
    path = tmp_path / "secret" / "token"
    path.parent.mkdir()
    path.write_text(f"{environment.pop('HF_TOKEN').strip()}\n")
    done = run({**environment, "HF_TOKEN_PATH": str(path)})
    assert done.returncode == 0, done.stderr
