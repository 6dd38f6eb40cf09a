"""images/build with a stand-in for docker: which base is taken, when another one may be, and what a tag stands for."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TAG = "python:3.11-slim-bookworm"
NEW = "sha256:" + "e" * 64

# It knows the images whose names are lines of `images` (name and id), and pulls those that are lines of `registry`.
DOCKER = """\
#!/bin/bash
echo "$*" >>"$STATE/calls"
known() { grep -qsxF "$1" <(cut -d' ' -f1 "$STATE/images"); }
for last in "$@"; do :; done
case $1 in
    version) ;;
    pull)
        grep -qsxF "$last" "$STATE/registry" || { echo "no such host" >&2; exit 1; }
        echo "$last pulled" >>"$STATE/images" ;;
    build)
        while [ $# -gt 0 ]; do [ "$1" != --tag ] || echo "$2 built" >>"$STATE/images"; shift; done ;;
    push) ;;
    image)
        known "$last" || exit 1
        case "$*" in
            *RepoDigests*) cat "$STATE/digests" ;;
            *.Size*) echo 1000000 ;;
            *.Id*) sed -n "s|^$last ||p" "$STATE/images" | tail -1 ;;
        esac ;;
esac
"""


@pytest.fixture
def build(tmp_path):
    """A copy of what images/build reads, its stand-in for docker, and the command itself."""
    checkout, state = tmp_path / "checkout", tmp_path / "state"
    for folder in ("images", "requirements", "fingpt", "jobs", "k8s"):
        (checkout / folder).mkdir(parents=True)
    for name in (
        "images/build",
        *(f"images/{stage}/Dockerfile" for stage in ("prep", "train", "eval")),
        "images/eval/gpu.Dockerfile",
    ):
        (checkout / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, checkout / name)
    for stage in ("prep", "train", "eval", "eval-gpu"):
        (checkout / "requirements" / f"{stage}.txt").touch()
    (checkout / "k8s" / "prep.yaml").touch()
    for name in (".dockerignore", "pyproject.toml"):
        shutil.copy(ROOT / name, checkout / name)
    state.mkdir()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "docker").write_text(DOCKER)
    (tmp_path / "bin" / "docker").chmod(0o755)

    def run(*words, images=(), registry=(), digests="", **environment):
        (state / "images").write_text("".join(f"{line}\n" for line in images))
        (state / "registry").write_text("".join(f"{line}\n" for line in registry))
        (state / "digests").write_text(digests)
        (state / "calls").write_text("")
        path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
        done = subprocess.run(
            [checkout / "images" / "build", *words],
            env={"PATH": path, "STATE": str(state), "LC_ALL": "C.UTF-8", **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done, (state / "calls").read_text().splitlines()

    run.checkout = checkout
    return run


@pytest.fixture
def pinned() -> str:
    text = (ROOT / "images" / "prep" / "Dockerfile").read_text("utf-8")
    (line,) = [line for line in text.splitlines() if line.startswith("ARG PIN=")]
    return TAG + line.removeprefix("ARG PIN=")


def pins(calls: list[str]) -> set[str]:
    built = [call.split() for call in calls if call.startswith("build ")]
    return {word for words in built for word in words if word.startswith("PIN=")}


def tags(output: str) -> set[str]:
    return {
        line.split()[0].rpartition(":")[2]
        for line in output.splitlines()
        if line.startswith("fingpt-")
    }


def test_the_pinned_base_is_taken_where_it_is_and_pulled_where_it_is_not(build, pinned):
    local = f"{TAG} sha256:local"
    done, calls = build(images=[f"{pinned} id", local])
    assert (done.returncode, pins(calls)) == (0, {f"PIN={pinned.removeprefix(TAG)}"})
    assert not [call for call in calls if call.startswith("pull")]
    done, calls = build(images=[local], registry=[pinned])
    assert (done.returncode, pins(calls)) == (0, {f"PIN={pinned.removeprefix(TAG)}"})
    assert "cannot be had" not in done.stderr


def test_without_a_registry_the_base_of_this_machine_will_do_and_is_named(build, pinned):
    done, calls = build(images=[f"{TAG} sha256:local"])
    assert (done.returncode, pins(calls)) == (0, {"PIN="})
    assert (
        f"The base image {pinned} cannot be had (no such host); building on the {TAG} of this machine"
        in done.stderr
    )


def test_another_base_makes_another_tag(build, pinned):
    wanted = tags(build(images=[f"{pinned} id"])[0].stdout)
    found = [tags(build(images=[f"{TAG} sha256:{name}"])[0].stdout) for name in ("a", "b", "a")]
    assert len(wanted) == 1
    assert found[0] == found[2]
    assert len({*map(frozenset, found), frozenset(wanted)}) == 3


def test_eval_is_built_for_gpus_where_that_is_asked_for(build, pinned):
    def files(calls):
        return [re.search(r"--file (\S+)", call)[1] for call in calls if call.startswith("build ")]

    plain, calls = build(images=[f"{pinned} id"])
    assert files(calls) == [f"images/{stage}/Dockerfile" for stage in ("prep", "train", "eval")]
    done, calls = build(images=[f"{pinned} id"], GPU="1")
    assert files(calls)[-1] == "images/eval/gpu.Dockerfile"
    assert tags(done.stdout).isdisjoint(tags(plain.stdout))  # one tag means one content
    assert build("names", images=[f"{pinned} id"], GPU="1")[0].stdout.split()[-1] in done.stdout
    refused, _ = build(GPU="two")
    assert (refused.returncode, refused.stderr) == (64, "GPU is 1 or 0.\n")


def test_names_are_those_that_are_built_afterwards(build, pinned):
    for images in (
        [f"{pinned} id"],
        [f"{TAG} sha256:local"],
        [f"{pinned} id", f"{TAG} sha256:local"],
    ):
        named = build("names", images=images)[0].stdout
        assert tags(named) == tags(build(images=images)[0].stdout)
        assert len(named.splitlines()) == 3


def test_an_image_on_another_base_is_never_pushed(build, pinned):
    done, calls = build(images=[f"{TAG} sha256:local"], PUSH="1")
    assert done.returncode == 78
    assert "PUSH=1 wants the base of that digest" in done.stderr
    assert not [call for call in calls if call.startswith(("push", "build"))]


def test_without_any_base_the_pinned_one_is_asked_for(build, pinned):
    _, calls = build()
    assert pins(calls) == {f"PIN={pinned.removeprefix(TAG)}"}


def test_pin_writes_what_the_registry_s_tag_means_into_all_three(build, pinned):
    done, _ = build("pin", registry=[TAG], digests=f"other@sha256:{'0' * 64}\npython@{NEW}\n")
    assert done.returncode == 0
    assert f"is @{NEW}" in done.stderr
    for stage in ("prep", "train", "eval"):
        text = (build.checkout / "images" / stage / "Dockerfile").read_text("utf-8")
        assert f"ARG PIN=@{NEW}\nFROM {TAG}${{PIN}} AS base\n" in text
        assert pinned.removeprefix(TAG) not in text


def test_pin_changes_nothing_where_no_registry_answers_or_the_image_has_no_digest(build, pinned):
    for words in ({"images": [f"{TAG} sha256:local"]}, {"registry": [TAG], "digests": "\n"}):
        done, _ = build("pin", **words)
        assert done.returncode != 0
        assert done.stderr.strip()
        assert f"ARG PIN={pinned.removeprefix(TAG)}\n" in (
            build.checkout / "images" / "eval" / "Dockerfile"
        ).read_text("utf-8")
