"""doctor at the command line: one line a check, the exit code of the worst."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from safetensors.numpy import save_file

from fingpt.config import Environment, RunConfig
from fingpt.doctor.checks import Check, Grade, worst
from fingpt.doctor.local import adapter_check, local_checks, main, rows_check
from fingpt.errors import FingptError, PermissionDeniedError
from fingpt.eval.foreign import CONFIG, WEIGHTS, freeze_adapter
from fingpt.runs.manifest import encode
from fingpt.runs.raw import HubRows, hub_key, store_raw
from fingpt.storage import LocalStore
from tests.eval.test_foreign import SETTINGS, tensors
from tests.jobs.commands import ROOT, command, inside
from tests.made_run import MadeRun


def checks(done) -> dict[str, dict]:
    return {line["name"]: line for line in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("way", [inside, pytest.param(command, marks=pytest.mark.slow)])
def test_on_a_plain_machine_only_the_tiny_base_is_a_warning(tmp_path, way):
    done = way(tmp_path, "doctor", "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    grades = {name: check["grade"] for name, check in checks(done).items()}
    assert grades["store"] == grades["rows"] == "ok"
    assert grades["base weights of tiny-llama31"] == "warn"


def test_a_base_that_is_there_is_counted_and_one_with_a_hole_fails(store, tmp_path):
    made = MadeRun(store, tmp_path / "scratch")
    made.base()
    said = checks(inside(tmp_path, "doctor", "--json"))["base weights of tiny-llama31"]
    assert (said["grade"], said["message"][:7]) == ("ok", "3 files")
    (key,) = [key for key in store.keys("models/") if key.endswith("config.json")]
    (tmp_path / "store" / key).unlink()
    done = inside(tmp_path, "doctor", "--json")
    assert done.returncode == 66
    assert "config.json" in checks(done)["base weights of tiny-llama31"]["message"]


def test_rows_that_are_not_there_fail_with_66(tmp_path):
    done = inside(tmp_path, "doctor", "--data", str(tmp_path / "nowhere"))
    assert done.returncode == 66
    assert "does not exist" in done.stdout


def rows_of(store, source):
    config = RunConfig.model_validate({"model": "llama31", "prep": {"source": source}})
    return rows_check(store, config)


def test_hub_rows_named_by_a_branch_are_a_warning_with_the_name_that_stays(store, tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text("{}\n")
    raw = store_raw(store, [("train.jsonl", path)])
    for source, revision in (("hub:a/b@main", "main"), (f"hub:a/b@{'c' * 40}", "c" * 40)):
        rows = HubRows(source=source, commit="c" * 40, raw=raw, files=())
        store.create(hub_key("a/b", revision), encode(rows))
    for source in ("hub:a/b", "hub:a/b@main"):
        found = rows_of(store, source)
        assert (found.grade, found.code) == (Grade.WARN, 0)
        assert f"'main' moves, here it means commit {'c' * 40}" in found.message
        assert found.action.endswith(f"DATA=hub:a/b@{'c' * 40}")
        assert rows_of(store, found.action.partition("DATA=")[2]).grade is Grade.OK
    lacking = rows_of(store, "hub:a/b@v1")
    assert (lacking.grade, lacking.code) == (Grade.FAIL, 66)
    assert "make mirror MODEL=llama31 DATA=hub:a/b@v1" in lacking.message
    assert "'v1' moves" in lacking.action
    assert rows_of(store, f"hub:a/b@{'d' * 40}").action == ""


@pytest.fixture
def adapter(tmp_path):
    folder = tmp_path / "an adapter"
    folder.mkdir()
    (folder / CONFIG).write_text(json.dumps(SETTINGS))
    save_file(tensors(), folder / WEIGHTS)
    return folder


def adapter_of(store, tmp_path, source, model="llama31"):
    settings = {"model": model, "eval": {"adapter": str(source)}}
    site = Environment(store="", cache=tmp_path)
    return adapter_check(store, RunConfig.model_validate(settings), site)


def test_an_adapter_is_looked_at_as_submit_does_and_nothing_is_stored(store, adapter, tmp_path):
    found = adapter_of(store, tmp_path, adapter)
    assert found.grade is Grade.OK
    assert "MB, rank 4 on q_proj, v_proj of meta-llama" in found.message
    assert list(store.keys("")) == []
    run = RunConfig.model_validate({"model": "llama31", "eval": {"adapter": str(adapter)}})
    frozen = freeze_adapter(store, run, lambda *_: None).eval.adapter
    assert adapter_of(store, tmp_path, frozen).grade is Grade.OK
    assert adapter_of(store, tmp_path, frozen, "deepseek-r1").code == 65


@pytest.mark.parametrize(
    ("source", "model", "code", "words"),
    [
        ("nowhere", "llama31", 66, "no folder nowhere"),
        ("adapters/" + "0" * 32, "llama31", 66, "has no adapter"),
        ("hub:owner/name@main", "llama31", 64, "with its commit"),
        ("", "deepseek-r1", 65, "was trained on meta-llama"),
    ],
)
def test_an_adapter_that_submit_would_refuse_fails_with_the_same_code(
    store, adapter, tmp_path, source, model, code, words
):
    source = source or str(adapter)
    found = adapter_of(store, tmp_path, source, model)
    assert (found.grade, found.code) == (Grade.FAIL, code)
    run = RunConfig.model_validate({"model": model, "eval": {"adapter": source}})
    with pytest.raises(FingptError) as caught:
        freeze_adapter(store, run, lambda *_: None)
    assert (str(caught.value), caught.value.exit_code) == (found.message, code)
    assert words in found.message


def test_an_adapter_whose_numbers_are_none_fails_as_at_submit(store, adapter, tmp_path):
    broken = tensors()
    next(iter(broken.values()))[0, 0] = float("nan")
    save_file(broken, adapter / WEIGHTS)
    found = adapter_of(store, tmp_path, adapter)
    assert (found.grade, found.code) == (Grade.FAIL, 65)
    assert "holds NaN or Inf; train it again" in found.message


def test_doctor_takes_an_adapter_and_a_limit_as_submit_does(tmp_path):
    adapter = {"FINGPT_ARG_ADAPTER": str(tmp_path / "none")}
    done = inside(tmp_path, "doctor", "--json", **adapter)
    assert done.returncode == 66
    assert "no folder" in checks(done)["adapter"]["message"]
    done = command(tmp_path, "doctor", "--limit", "many")
    assert done.returncode == 64
    assert "prep.limit" in done.stderr


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
