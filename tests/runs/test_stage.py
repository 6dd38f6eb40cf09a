"""The frame: skip, commit last, exit codes, signals."""

import codecs
import errno
import os
import signal
from pathlib import Path

import pytest
import yaml

from fingpt import log
from fingpt.cluster.jobset import job_spec
from fingpt.config import RunConfig
from fingpt.errors import DataError, Interrupted
from fingpt.runs import stage as frame
from fingpt.runs.attempt import Attempt
from fingpt.runs.manifest import PrepManifest, decode, encode
from fingpt.runs.run import Run, Stage, claim_key, complete_key, run_key
from fingpt.runs.stage import guarded, run_stage

MANIFESTS = Path(__file__).parents[2] / "k8s"
RUN = Run.of(RunConfig(model="tiny-llama31"), {})


@pytest.fixture
def uri(store):
    store.create(run_key(RUN.id), RUN.encode())
    return f"{store.uri}/{run_key(RUN.id)}"


@pytest.fixture(autouse=True)
def logging_to_this_test_s_stderr(capsys):
    log.setup()


def manifest_of(ctx):
    return PrepManifest(**ctx.identity(), dataset="d", dataset_sha256="00")


def carry_out(uri, body):
    return run_stage(Stage.PREP, uri, lambda: body)


def test_a_body_s_manifest_is_committed_and_reads_back(store, uri):
    assert carry_out(uri, manifest_of) == 0
    key = complete_key(RUN.id, Stage.PREP)
    assert decode(PrepManifest, store.read(key), key).dataset == "d"


def test_a_complete_stage_is_skipped_without_loading_its_body(store, uri):
    assert carry_out(uri, manifest_of) == 0

    def load():
        raise AssertionError("the body must not be loaded")

    assert run_stage(Stage.PREP, uri, load) == 0


def test_a_stage_that_another_attempt_completes_meanwhile_is_not_done_again(store, uri):
    def body(ctx):
        raise AssertionError("the body must not run")

    def load():
        made = PrepManifest(**context(store).identity(), dataset="d", dataset_sha256="00")
        store.create(complete_key(RUN.id, Stage.PREP), encode(made))
        return body

    assert run_stage(Stage.PREP, uri, load) == 0


def test_a_failing_body_leaves_no_manifest_and_sets_its_exit_code(store, uri, capsys):
    def body(ctx):
        raise DataError("The rows are wrong.")

    assert carry_out(uri, body) == 65
    assert not store.exists(complete_key(RUN.id, Stage.PREP))
    assert "The rows are wrong." in capsys.readouterr().err


def test_a_flipped_byte_in_a_finished_stage_is_storage_corruption(store, uri, capsys):
    bad = encode(PrepManifest(**context(store).identity(), dataset="d", dataset_sha256="00"))
    store.create(complete_key(RUN.id, Stage.PREP), bad.replace(b'"dataset":"d"', b'"dataset":"e"'))
    assert carry_out(uri, manifest_of) == 74
    assert "seal" in capsys.readouterr().err


def context(store):
    attempt = Attempt(store, RUN.id, Stage.TRAIN, 1)
    return frame.Context(store, RUN, Stage.TRAIN, frame.read_environment(), None, attempt)


def test_a_missing_earlier_stage_says_which_and_how(store, uri, capsys):
    def body(ctx):
        ctx.previous(Stage.TRAIN, PrepManifest)

    assert carry_out(uri, body) == 66
    assert "make train MODEL=tiny-llama31" in capsys.readouterr().err


def test_a_manifest_that_was_read_becomes_an_input(store, uri):
    assert carry_out(uri, manifest_of) == 0
    ctx = context(store)
    ctx.previous(Stage.PREP, PrepManifest)
    assert list(ctx.identity()["inputs"]) == [complete_key(RUN.id, Stage.PREP)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_stage_with_143_and_without_a_manifest(store, uri, number):
    before = signal.getsignal(number)

    def body(ctx):
        os.kill(os.getpid(), number)
        return manifest_of(ctx)

    assert carry_out(uri, body) == Interrupted.exit_code
    assert not store.exists(complete_key(RUN.id, Stage.PREP))
    assert signal.getsignal(number) is before


def test_a_taken_over_stage_stops_before_its_commit(store, uri):
    def body(ctx):
        store.create(claim_key(RUN.id, Stage.PREP, 2), b"{}")
        return manifest_of(ctx)

    assert carry_out(uri, body) == 76
    assert not store.exists(complete_key(RUN.id, Stage.PREP))


def test_the_scratch_folder_is_gone_afterwards(uri):
    seen = []

    def body(ctx):
        seen.append(ctx.scratch)
        (ctx.scratch / "file").write_text("x")
        return manifest_of(ctx)

    assert carry_out(uri, body) == 0
    assert not seen[0].exists()


@pytest.mark.parametrize("uri", ["file:///x", "s3://b/runs/id", "runs"])
def test_a_uri_that_names_no_run_is_a_usage_error(uri):
    assert carry_out(uri, manifest_of) == 64


def test_a_run_that_was_never_submitted_is_a_missing_input(store):
    assert carry_out(f"{store.uri}/runs/no-such/run.json", manifest_of) == 66


@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.ENOSPC, 74), (errno.EACCES, 77), (errno.EROFS, 77), (errno.ENOENT, 66)],
)
def test_operating_system_errors_get_their_own_codes(number, code, capsys):
    def action():
        raise OSError(number, os.strerror(number), "/data/x")

    assert guarded(action) == code
    assert "Traceback" not in capsys.readouterr().err


def test_an_unforeseen_error_is_one_sentence_and_code_1(capsys):
    assert guarded(lambda: {}["gone"]) == 1
    said = capsys.readouterr().err
    assert "KeyError" in said
    assert "Traceback" not in said


def _decode_in(name):
    return lambda: b"x".decode(name)


@pytest.mark.parametrize(
    "act",
    [
        _decode_in("cp-of-nobody"),
        lambda: "x".encode("x-none"),
        lambda: Path(os.devnull).open(encoding="klingon-8").close(),
        lambda: codecs.getreader("no-such-page"),
    ],
)
def test_an_unknown_code_page_is_the_environment_s_fault_and_is_named(act, capsys):
    assert guarded(act) == 78
    said = capsys.readouterr().err
    assert "code page that is not known here: unknown encoding: " in said
    assert "bug" not in said


@pytest.mark.parametrize(
    "fault",
    [KeyError("unknown encoding: x"), IndexError("x"), LookupError("no such thing"), ValueError()],
)
def test_any_other_failed_look_up_is_a_bug(fault, capsys):
    def act():
        raise fault

    assert guarded(act) == 1
    assert "This is a bug" in capsys.readouterr().err


def test_the_command_line_wants_a_run(capsys):
    assert frame.main(Stage.PREP, lambda: manifest_of, ["--rnu", "x"]) == 64
    assert "usage" in capsys.readouterr().err


def test_in_a_pod_the_last_sentence_is_left_where_kubernetes_keeps_it(tmp_path, monkeypatch):
    def fail():
        raise DataError("The rows are wrong.")

    monkeypatch.setattr(frame, "TERMINATION_MESSAGE", tmp_path / "termination-log")
    monkeypatch.setenv("FINGPT_NODE", "gpu-1")
    assert guarded(fail) == 65
    assert (
        not frame.TERMINATION_MESSAGE.exists()
    )  # the kubelet makes it; where it is not, nothing is made
    frame.TERMINATION_MESSAGE.write_text("")
    monkeypatch.delenv("FINGPT_NODE")
    guarded(fail)
    assert frame.TERMINATION_MESSAGE.read_text() == ""
    monkeypatch.setenv("FINGPT_NODE", "gpu-1")
    guarded(fail)
    assert frame.TERMINATION_MESSAGE.read_text() == "The rows are wrong.\n"


def test_a_body_knows_the_number_of_its_attempt(store, uri):
    seen = []

    def body(ctx):
        seen.append(ctx.attempt.number)
        raise DataError("The rows are wrong.")

    assert [carry_out(uri, body), carry_out(uri, body)] == [65, 65]
    assert seen == [1, 2]


def test_the_last_message_goes_where_every_manifest_looks_for_it():
    for path in sorted(MANIFESTS.glob("*.yaml")):
        spec = job_spec(yaml.safe_load(path.read_text()))
        (container,) = spec["template"]["spec"]["containers"]
        assert container["terminationMessagePath"] == str(frame.TERMINATION_MESSAGE), path.name


def collision(run):
    """Another run whose run.json is sound and has the same short id, as 245 s of one core find it."""
    other = run.model_copy(update={"images": {"prep": "registry.example/evil@sha256:0"}})
    other = Run.of(other.config, other.images)
    return other.model_copy(update={"id": run.id})


def test_a_stage_starts_no_run_but_the_one_that_was_submitted(store, capsys, monkeypatch):
    other = collision(RUN)
    # What a collision is: its own id is right.
    monkeypatch.setattr("fingpt.runs.run._id", lambda *_: other.id)
    store.create(run_key(RUN.id), other.encode())
    uri = f"{store.uri}/{run_key(RUN.id)}"

    def load():
        raise AssertionError("the body must not be loaded")

    assert run_stage(Stage.PREP, uri, load, RUN.sha256) == 73
    said = capsys.readouterr().err
    assert "holds another run of the same short id" in said
    assert other.sha256[:16] in said
    assert RUN.sha256[:16] in said


def test_a_stage_s_command_line_takes_the_run_s_whole_hash(store, uri, capsys):
    assert frame.main(Stage.PREP, lambda: manifest_of, ["--run", uri, "--sha256", "0" * 64]) == 73
    assert frame.main(Stage.PREP, lambda: manifest_of, ["--run", uri, "--sha256", RUN.sha256]) == 0
    assert frame.main(Stage.PREP, lambda: manifest_of, ["--run", uri]) == 0
    for words in ([], ["--run"], ["--sha256", RUN.sha256], ["--run", uri, "--sha256"], [uri]):
        assert frame.main(Stage.PREP, lambda: manifest_of, words) == 64
