"""doctor at the command line: one line a check, the exit code of the worst."""

from __future__ import annotations

import json
import subprocess
import sys

from fingpt.config import Environment, RunConfig
from fingpt.doctor.checks import Check, Grade, worst
from fingpt.doctor.local import local_checks, main
from fingpt.errors import PermissionDeniedError
from fingpt.storage import LocalStore
from tests.jobs.commands import ROOT, command
from tests.made_run import MadeRun


def checks(done) -> dict[str, dict]:
    return {line["name"]: line for line in map(json.loads, done.stdout.splitlines())}


def test_on_a_plain_machine_only_the_tiny_base_is_a_warning(tmp_path):
    done = command(tmp_path, "doctor", "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    grades = {name: check["grade"] for name, check in checks(done).items()}
    assert grades["store"] == grades["rows"] == "ok"
    assert grades["base weights of tiny-llama31"] == "warn"


def test_a_base_that_is_there_is_counted_and_one_with_a_hole_fails(store, tmp_path):
    made = MadeRun(store, tmp_path / "scratch")
    made.base()
    said = checks(command(tmp_path, "doctor", "--json"))["base weights of tiny-llama31"]
    assert (said["grade"], said["message"][:7]) == ("ok", "3 files")
    (key,) = [key for key in store.keys("models/") if key.endswith("config.json")]
    (tmp_path / "store" / key).unlink()
    done = command(tmp_path, "doctor", "--json")
    assert done.returncode == 66
    assert "config.json" in checks(done)["base weights of tiny-llama31"]["message"]


def test_rows_that_are_not_there_fail_with_66(tmp_path):
    done = command(tmp_path, "doctor", "--data", str(tmp_path / "nowhere"))
    assert done.returncode == 66
    assert "does not exist" in done.stdout


def test_credentials_that_are_refused_fail_with_77_and_end_what_needs_the_store(tmp_path):
    class Refusing(LocalStore):
        def create(self, key, data):
            raise PermissionDeniedError("these credentials lack the permission")

    config, site = RunConfig(model="tiny-llama31"), Environment(store="", cache=tmp_path)
    found = list(local_checks(Refusing(tmp_path), config, site))
    assert worst(found) == 77
    assert [check.name for check in found if "disk" not in check.name] == ["store"]


def test_a_store_that_overwrites_fails_with_78(tmp_path):
    class Lying(LocalStore):
        def create(self, key, data):
            (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / key).write_bytes(data)
            return True

    config, site = RunConfig(model="tiny-llama31"), Environment(store="", cache=tmp_path)
    assert worst(local_checks(Lying(tmp_path), config, site)) == 78


def test_a_setting_is_checked_as_a_run_would_have_it(tmp_path):
    done = command(tmp_path, "doctor", "--set", "train.lrr=1")
    assert done.returncode == 64
    assert "did you mean 'lr'" in done.stderr


def test_a_pod_s_probe_tries_the_store_and_ends_with_its_code(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FINGPT_STORE", (tmp_path / "store").as_uri())
    assert main() == 0
    assert list((tmp_path / "store" / "probe").rglob("twice"))
    monkeypatch.setenv("FINGPT_STORE", "ftp://nowhere")
    assert main() == 64
    assert "ftp://nowhere" in capsys.readouterr().err


def test_an_unknown_model_is_a_usage_error(tmp_path):
    done = command(tmp_path, "doctor", "--model", "lama31")
    assert done.returncode == 64
    assert "did you mean" in done.stderr


def test_the_worst_failure_gives_the_exit_code():
    def check(code: int) -> Check:
        return Check("x", Grade.FAIL if code else Grade.WARN, "", code=code)

    assert worst([check(0)]) == 0
    assert worst([check(66), check(77), check(0)]) == 77
    assert worst([check(77), check(78)]) == 78
    assert worst([check(143)]) == 143


def test_sigterm_lets_doctor_take_its_jobs_away_as_ctrl_c_does(tmp_path):
    code = (
        "import os, signal, time\n"
        "from jobs import doctor\n"
        "def examine(config, environment):\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        time.sleep(5)\n"
        "        yield\n"
        "    finally:\n"
        "        print('Jobs deleted', flush=True)\n"
        "doctor.examine = examine\n"
        "doctor.main(model='tiny-llama31')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "Jobs deleted\n"
    assert done.returncode == 143, done.stderr
