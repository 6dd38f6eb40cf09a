"""What make is given stays text: neither make nor a shell reads it, and commands get every byte of it.

A copy of the Makefile runs with a stand-in for Python that writes down its arguments and environment.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
MAKEFILE = ROOT / "Makefile"
NAMES = re.findall(r"^([A-Z_]+) +\?=", MAKEFILE.read_text(encoding="utf-8"), flags=re.M)
COMMANDS = {
    **dict.fromkeys(("tiny", "mirror", "prep", "train", "eval", "run"), "jobs.submit"),
    **dict.fromkeys(("compare", "demo"), "jobs.compare"),
    **{name: f"jobs.{name}" for name in ("collect", "score", "status", "logs", "cancel", "list")},
    **{name: f"jobs.{name}" for name in ("verify", "doctor", "prune")},
}
RUN = "touch executed"
HOSTILE = [
    *(f"{before}{RUN}{after}" for before, after in (("$(", ")"), ("`", "`"), ("$$(", ")"))),
    *(
        f"{before}$(shell {RUN}){after}"
        for before in ("", "$", "x", "'", '"')
        for after in ("", "#")
    ),
    *(f"{before}${{shell {RUN}}}{after}" for before in ("", "a ") for after in ("", " b")),
    *(f"$(eval x := $(shell {RUN})){after}" for after in ("", "$(x)", ",")),
    *(f"$(call shell,{RUN})", f"$(foreach a,b,$(shell {RUN}))", f"$(if a,$(shell {RUN}))"),
    *(f"$(info $(shell {RUN}))", f"$(error $(shell {RUN}))", "$(file >executed)", "$(value PY)"),
    *(f"a{end}{RUN}" for end in (";", "; ", "&", "&&", "||", "|", "\n", "\n\t", "\r\n", " \n@")),
    *(
        f"{quote}; {RUN}; {quote}"
        for quote in ("'", '"', "`", "'\"'", '"\'"', "\\'", '\\"', "'\\''")
    ),
    *(f"x{quote}) ; {RUN} #" for quote in ("", "'", '"', "')", '")', "'\"")),
    *(f"{text}$({RUN})" for text in ("-", "--", "=", ":", ":=", "!", "%", "@", "+", "~", "*", "?")),
    *(
        f"{text}\n{RUN}"
        for text in ("#", "\\", "endef", "endif", "include /dev/null", "a:", "%: ;")
    ),
    *(f"override PY = {RUN}", f"x\noverride PY = {RUN}\n", f"PY:={RUN}", f"SHELL={RUN}"),
    *(f"<({RUN})", f">(${RUN})", "$(<executed)", ">executed", "2>executed", "| tee executed"),
    *("$", "$$", "$(", "${", "$)", "$@", "$<", "$*", "$^", "$(@D)", "$(MAKE)", "$$$$", "$(", "${x"),
    *(
        "'",
        '"',
        "`",
        "\\",
        "\\\\",
        "a\\",
        "#",
        "a # b",
        "a#b",
        "%",
        "a%b",
        "100 %",
        "%s%n",
        "~",
        "~/x",
    ),
    *("a b", "a  b", "a b ", "a\tb", "*", "?", "[a]", "{a,b}", "!", "!!", "(", ")", "()", "<", ">"),
    *(
        "Bob's",
        'a "b" c',
        "week%20one",
        "week#1",
        "Zürich",
        "東京",
        "🙂",
        "é",
        "\u202e",
        "\x1b[31m",
    ),
    *("-n", "--help", "--mode=local", "-", "=", "a=b", ",", "a,b", "0", "no", "x" * 4000),
]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The Makefile, and stand-ins for everything that its recipes call."""
    (tmp_path / "Makefile").write_bytes(MAKEFILE.read_bytes())
    (tmp_path / "requirements").mkdir()
    for name in ("dev", "cuda", "torch-cpu", "pip"):
        (tmp_path / "requirements" / f"{name}.txt").touch()
    dump = '(($#)) && printf "%s\\0" "$@"; printf "\\036"; env -0'
    script = f"#!/bin/bash\n{{ {dump}; }} >seen/$$\n"
    for name in (
        ".venv/bin/python",
        "images/build",
        "k8s/kind/up",
        "tests/e2e/run",
        "tests/e2e/prepare",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(script)
        path.chmod(0o755)
    (tmp_path / ".venv" / "ready").touch()
    (tmp_path / "seen").mkdir()
    return tmp_path


def make(checkout: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    clean = {"PATH": os.environ["PATH"], "HOME": str(checkout), "LC_ALL": "C.UTF-8", **environment}
    return subprocess.run(
        ["make", "-s", *words], cwd=checkout, env=clean, capture_output=True, timeout=60
    )


def calls(checkout: Path) -> list[tuple[list[str], dict[str, str]]]:
    """Arguments and environment of each call, in order; they are forgotten afterwards."""
    found = []
    for path in sorted((checkout / "seen").iterdir(), key=lambda path: int(path.name)):
        words, _, rest = path.read_bytes().decode().partition("\x1e")
        pairs = (pair.partition("=") for pair in rest.split("\0") if pair)
        found.append((words.split("\0")[:-1], {name: value for name, _, value in pairs}))
        path.unlink()
    return found


def test_the_list_of_hostile_values_is_long_and_covers_every_variable():
    assert len(set(HOSTILE)) >= 100
    assert len(NAMES) == 23


@pytest.mark.parametrize("value", HOSTILE, ids=ascii)
def test_a_value_is_never_executed_and_arrives_as_it_was_given(checkout, value):
    done = make(checkout, "run", "images", *(f"{name}={value}" for name in NAMES))
    assert (done.returncode, done.stderr, done.stdout) == (0, b"", b"")
    seen = calls(checkout)
    assert [words[:2] for words, _ in seen] == [["-m", "jobs.submit"], []]
    (_, environment), (_, of_images) = seen
    assert {environment[f"FINGPT_ARG_{name}"] for name in NAMES} == {value}
    assert environment["FINGPT_STORE"] == environment["FINGPT_NAMESPACE"] == value
    assert {of_images[name] for name in ("REGISTRY", "TAG", "PUSH")} == {value}
    assert sorted(path.name for path in checkout.iterdir()) == sorted(
        ["Makefile", "requirements", ".venv", "images", "k8s", "seen", "tests"]
    )


@pytest.mark.parametrize("target", [*COMMANDS, "images", "kind-env", "kind-e2e"])
def test_no_target_reads_a_value_as_code(checkout, target):
    nasty = f"'\"`{RUN}`$({RUN})$(shell {RUN})\n{RUN} # \\"
    done = make(checkout, target, *(f"{name}={nasty}" for name in NAMES))
    assert (done.returncode, done.stderr, done.stdout) == (0, b"", b"")
    assert not (checkout / "executed").exists()
    words, environment = calls(checkout)[-1]
    assert not [word for word in words if RUN in word]
    if target in COMMANDS:
        assert words[:2] == ["-m", COMMANDS[target]]
        assert environment["FINGPT_ARG_DATA"] == environment["FINGPT_ARG_RUN"] == nasty


def test_a_value_from_the_environment_is_as_safe_as_one_on_the_command_line(checkout):
    nasty = f"$(shell {RUN})`{RUN}`'"
    done = make(checkout, "run", **dict.fromkeys(NAMES, nasty))
    assert (done.returncode, done.stderr) == (0, b"")
    assert not (checkout / "executed").exists()
    ((_, environment),) = calls(checkout)
    assert {environment[f"FINGPT_ARG_{name}"] for name in NAMES} == {nasty}


def test_a_variable_that_make_does_not_know_is_named_and_its_value_not_read(checkout):
    done = make(checkout, "run", f"DATTA=$(shell {RUN})")
    assert done.returncode == 2
    assert b"There is no variable DATTA; the variables are PYTHON MODEL DATA" in done.stderr
    assert (calls(checkout), (checkout / "executed").exists()) == ([], False)


def test_flags_are_words_of_our_own_and_zero_is_no(checkout):
    flags = {
        ("run", "LOCAL=1"): ["--mode", "local"],
        ("run", "DRY_RUN=1"): ["--mode", "dry-run"],
        ("run", "WAIT=1"): ["--mode", "wait"],
        ("run", "LOCAL=0", "WAIT=no"): [],
        ("collect", "ADAPTER=1"): ["--adapter"],
        ("verify", "DEEP=1"): ["--deep"],
        ("prune", "CONFIRM=1"): ["--confirm"],
        ("prune", "CONFIRM=0"): [],
        ("prune",): [],
    }
    for given, wanted in flags.items():
        assert make(checkout, *given).returncode == 0
        ((words, _),) = calls(checkout)
        assert words[2 + (given[0] == "run") :] == wanted, given


@pytest.mark.parametrize("target", ["cancel", "mirror"])
def test_only_a_model_that_is_named_is_taken_off_the_cluster_or_mirrored(checkout, target):
    for given, wanted in (((), ""), (("MODEL=llama31",), "llama31")):
        make(checkout, target, "RUN=x", "DATA=hub:a/b", *given)
        ((_, environment),) = calls(checkout)
        assert environment["FINGPT_ARG_MODEL"] == wanted
        assert environment["FINGPT_ARG_DATA"] == "hub:a/b"


@pytest.mark.parametrize("target", ["e2e", "test-slow"])
def test_the_part_of_a_suite_is_words_for_it_and_no_code(checkout, target):
    assert make(checkout, target, f"PART=1 $({RUN})`{RUN}`;{RUN} * \"'").returncode == 0
    assert not (checkout / "executed").exists()
    ((words, _),) = calls(checkout)
    assert "*" in (words if target == "e2e" else words[-1])
    if target == "e2e":
        make(checkout, target, "PART=core 2")
        assert calls(checkout)[0][0] == ["core", "2"]
        make(checkout, target)
        assert calls(checkout)[0][0] == []


def test_the_tests_of_a_checkout_do_not_get_the_arguments_of_commands(checkout):
    assert make(checkout, "test", "MODEL=llama31").returncode == 0
    ((_, environment),) = calls(checkout)
    assert not [name for name in environment if name.startswith("FINGPT_ARG_")]


@pytest.mark.parametrize("name", ["REGISTRY", "TAG"])
@pytest.mark.parametrize(
    "value", ["-x", "a b", "$(touch executed)", "'", "a\nb", "--push", "a,b", "ü"]
)
def test_an_image_is_not_built_under_a_name_that_no_image_can_have(tmp_path, name, value):
    done = subprocess.run(
        ["bash", ROOT / "images" / "build", "names"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", name: value},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (64, "")
    assert done.stderr.startswith(f"{name} is no ")


def test_python_is_the_program_of_that_name_though_it_has_a_blank(checkout):
    (checkout / ".venv" / "ready").unlink()
    (checkout / ".venv" / "bin" / "python").unlink()
    (checkout / "requirements" / "install").write_text("#!/bin/bash\nexit 0\n")
    (checkout / "requirements" / "install").chmod(0o755)
    mine = checkout / "my python"
    mine.symlink_to(sys.executable)
    done = make(checkout, "setup", f"PYTHON={checkout / 'no python'}; {RUN}")
    assert done.returncode != 0
    assert b"no python" in done.stderr
    assert not (checkout / "executed").exists()
