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
    **dict.fromkeys(("ledger", "demo-ledger"), "jobs.ledger"),
    **{name: f"jobs.{name}" for name in ("verify", "doctor", "prune", "wait", "sweep")},
    "sweep-report": "jobs.sweep_report",
    "bench-check": "tests.bench.check",
    "cves": "images.cves",
}
FLAGS = ("LOCAL", "DRY_RUN", "WAIT", "DEEP", "CONFIRM")
TEXTS = [name for name in NAMES if name not in FLAGS]
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
    *("-n", "--help", "--mode=local", "-", "=", "a=b", ",", "a,b", "0", "no", "x" * 2500),
]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The Makefile, and stand-ins for everything that its recipes call."""
    (tmp_path / "Makefile").write_bytes(MAKEFILE.read_bytes())
    (tmp_path / "requirements").mkdir()
    for name in ("dev", "cuda", "torch-cpu", "pip"):
        (tmp_path / "requirements" / f"{name}.txt").touch()
    dump = '(($#)) && printf "%s\\0" "$@"; printf "\\036"; env -0'
    # Numbered by what is there: process ids begin again at some number, and then sort wrongly.
    script = (
        f"#!/bin/bash\nshopt -s nullglob\nbefore=(seen/*)\n{{ {dump}; }} >seen/${{#before[@]}}\n"
    )
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
    assert len(NAMES) == 42


@pytest.mark.parametrize("value", HOSTILE, ids=ascii)
def test_a_value_is_never_executed_and_arrives_as_it_was_given(checkout, value):
    done = make(checkout, "run", "images", *(f"{name}={value}" for name in TEXTS))
    assert (done.returncode, done.stderr, done.stdout) == (0, b"", b"")
    seen = calls(checkout)
    assert [words[:2] for words, _ in seen] == [["-m", "jobs.submit"], []]
    (_, environment), (_, of_images) = seen
    assert {environment[f"FINGPT_ARG_{name}"] for name in TEXTS} == {value}
    assert environment["FINGPT_STORE"] == environment["FINGPT_NAMESPACE"] == value
    assert {of_images[name] for name in ("REGISTRY", "TAG", "PUSH")} == {value}
    assert sorted(path.name for path in checkout.iterdir()) == sorted(
        ["Makefile", "requirements", ".venv", "images", "k8s", "seen", "tests"]
    )


@pytest.mark.parametrize(
    "target", [*COMMANDS, "images", "sbom", "pin-base", "kind-env", "kind-e2e"]
)
def test_no_target_reads_a_value_as_code(checkout, target):
    nasty = f"'\"`{RUN}`$({RUN})$(shell {RUN})\n{RUN} # \\"
    texts = [name for name in TEXTS if (target, name) != ("collect", "ADAPTER")]
    done = make(checkout, target, *(f"{name}={nasty}" for name in texts))
    assert (done.returncode, done.stderr, done.stdout) == (0, b"", b"")
    assert not (checkout / "executed").exists()
    words, environment = calls(checkout)[-1]
    assert not [word for word in words if RUN in word]
    if target in COMMANDS:
        assert words[:2] == ["-m", COMMANDS[target]]
        assert environment["FINGPT_ARG_DATA"] == environment["FINGPT_ARG_RUN"] == nasty


def test_a_value_from_the_environment_is_as_safe_as_one_on_the_command_line(checkout):
    nasty = f"$(shell {RUN})`{RUN}`'"
    done = make(checkout, "run", **dict.fromkeys(TEXTS, nasty))
    assert (done.returncode, done.stderr) == (0, b"")
    assert not (checkout / "executed").exists()
    ((_, environment),) = calls(checkout)
    assert {environment[f"FINGPT_ARG_{name}"] for name in TEXTS} == {nasty}


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
        ("run", "LOCAL=1", "DRY_RUN=1", "WAIT=1"): ["--mode", "dry-run"],  # it creates nothing
        ("prune", "CONFIRM=yes"): ["--confirm"],
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


@pytest.mark.parametrize("value", ["No", "off", "maybe", "1 no", *HOSTILE[::40]], ids=ascii)
@pytest.mark.parametrize(
    ("target", "name"),
    [
        *(("run", name) for name in ("LOCAL", "DRY_RUN", "WAIT")),
        ("collect", "ADAPTER"),
        ("verify", "DEEP"),
        ("prune", "CONFIRM"),
    ],
)
def test_a_flag_that_is_neither_yes_nor_no_starts_nothing(checkout, target, name, value):
    done = make(checkout, target, f"{name}={value}")
    assert done.returncode == 2
    assert done.stderr.decode().endswith(f"*** {name} is 1 or 0 here.  Stop.\n")
    assert (calls(checkout), (checkout / "executed").exists()) == ([], False)


@pytest.mark.parametrize("target", ["cancel", "mirror"])
def test_only_a_model_that_is_named_is_taken_off_the_cluster_or_mirrored(checkout, target):
    for given, wanted in (((), ""), (("MODEL=llama31",), "llama31")):
        make(checkout, target, "RUN=x", "DATA=hub:a/b", *given)
        ((_, environment),) = calls(checkout)
        assert environment["FINGPT_ARG_MODEL"] == wanted
        assert environment["FINGPT_ARG_DATA"] == "hub:a/b"


def test_the_part_of_the_end_to_end_suite_is_words_for_it_and_no_code(checkout):
    assert make(checkout, "e2e", f"PART=1 $({RUN})`{RUN}`;{RUN} * \"'").returncode == 0
    assert not (checkout / "executed").exists()
    assert "*" in calls(checkout)[0][0]
    for given, wanted in ((["PART=core 2"], ["core", "2"]), ([], [])):
        make(checkout, "e2e", *given)
        assert calls(checkout)[0][0] == wanted


@pytest.mark.parametrize(
    "part", ["6", "0", "core", "1 2", "x", "*", "1\n2", f"$({RUN})", f"1`{RUN}`;{RUN}"]
)
def test_a_part_that_no_suite_has_is_refused_before_any_test(checkout, part):
    done = make(checkout, "test-slow", f"PART={part}")
    assert (done.returncode, calls(checkout)) == (2, [])
    assert done.stderr.decode().startswith(
        "PART is a number from 1 to 5 here; without it all slow tests run.\n"
    )
    suite = ROOT / "tests" / "e2e" / "run"
    alone = {"PATH": os.environ["PATH"], "KUBECONFIG": "/nonexistent"}
    done = subprocess.run([suite, "core", f"{part} 6"], env=alone, capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (64, b"")
    assert done.stderr.startswith(b"PART is core or a number from 1 to 5")
    assert not (checkout / "executed").exists()


def test_a_part_of_the_slow_tests_is_a_fifth_of_those_that_take_turns(checkout):
    for given, wanted in (
        (
            ["PART=2"],
            "slow and not e2e and (part2 or not (part1 or part2 or part3 or part4 or part5))",
        ),
        ([], "slow and not e2e"),
    ):
        assert make(checkout, "test-slow", *given).returncode == 0
        assert calls(checkout)[0][0][-1] == wanted


def test_a_command_that_the_list_prints_can_be_copied(checkout):
    said = make(checkout, "help").stdout.decode()
    assert 'eval "$(make -s kind-env)"' in said
    assert "$$" not in said


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


def test_models_of_a_sweep_are_joined_only_by_a_model_that_is_named(checkout):
    for given, wanted in (
        ((), "tiny-llama31"),
        (("MODELS=a b",), ""),
        (("MODELS=a", "MODEL=b"), "b"),
    ):
        make(checkout, "sweep", *given)
        ((_, environment),) = calls(checkout)
        assert environment["FINGPT_ARG_MODEL"] == wanted
