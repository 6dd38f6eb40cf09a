"""Runs that would make the same data set make it once, and never wait for one that is dead."""

from datetime import UTC, datetime, timedelta

import pytest

from fingpt.config import Environment, RunConfig
from fingpt.prep import stage as prep_stage
from fingpt.prep.shared import taken_over
from fingpt.prep.stage import body
from fingpt.record import canonical_json
from fingpt.runs.attempt import Attempt
from fingpt.runs.freeze import create_run, freeze_source
from fingpt.runs.manifest import encode
from fingpt.runs.run import (
    Run,
    Stage,
    attempt_key,
    claim_key,
    complete_key,
    dataset_manifest_key,
    run_key,
)
from fingpt.runs.stage import Context

CODE = {"prep": "local:1"}


@pytest.fixture
def context(store, tmp_path, row, write_parquet):
    """Maker of a frozen run's context; runs differ in what is given."""
    path = write_parquet([row("AAA", n) for n in range(24)])

    def make(code=CODE, **settings) -> Context:
        prep = {"source": str(path), **settings.pop("prep", {})}
        config = RunConfig.model_validate({"model": "tiny-llama31", "prep": prep, **settings})
        run = Run.of(freeze_source(store, config), code)
        create_run(store, run)
        scratch = tmp_path / f"scratch-{run.id}"
        scratch.mkdir(exist_ok=True)
        site = Environment.model_construct(store=store.uri, cache=tmp_path / "cache")
        attempt = Attempt(store, run.id, Stage.PREP, 1)
        return Context(store, run, Stage.PREP, site, scratch, attempt)

    return make


def complete(ctx: Context):
    """Carry prep out and commit it, as the frame does."""
    manifest = body(ctx)
    ctx.store.create(complete_key(ctx.run.id, Stage.PREP), encode(manifest))
    return manifest


def claim(ctx: Context, at: datetime | None = None) -> None:
    started = (at or datetime.now(UTC)).isoformat(timespec="seconds")
    key = claim_key(ctx.run.id, Stage.PREP, 1)
    ctx.store.create(key, canonical_json({"started_at": started}))


def no_waiting(_: float) -> None:
    pytest.fail("waited")


def test_another_seed_takes_the_data_set_over_and_reads_no_rows(context, monkeypatch):
    made = complete(context(seed=1))
    monkeypatch.setattr(prep_stage, "read_rows", lambda *_: pytest.fail("read the rows again"))
    second = context(seed=2)
    taken = complete(second)
    assert (taken.dataset, taken.dataset_sha256) == (made.dataset, made.dataset_sha256)
    assert (taken.run, taken.config_sha256) == (second.run.id, second.run.config.sha256)
    assert taken.warnings == made.warnings
    assert set(taken.seconds) == {"taken_over"}


@pytest.mark.parametrize(
    "other",
    [
        {"model": "tiny-deepseek-r1"},
        {"prep": {"validation_weeks": 3}},
        {"train": {"max_tokens": 512}},
        {"code": {"prep": "local:2"}},
    ],
)
def test_other_rules_code_or_model_are_prepared_anew(context, other):
    complete(context(seed=1))
    assert taken_over(context(seed=2, **other), no_waiting) is None


def test_a_random_split_is_drawn_for_each_seed(context):
    allowed = {"split": "random", "allow_leaky_split": True}
    one, two = (complete(context(seed=seed, prep=allowed)) for seed in (1, 2))
    assert one.dataset != two.dataset


def test_a_run_that_is_at_work_is_waited_for(context):
    first, second = context(seed=1), context(seed=2)
    assert taken_over(first, no_waiting) is None
    claim(first)
    waited = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            complete(first)

    taken = taken_over(second, sleep)
    assert taken is not None
    assert len(waited) == 3


def test_a_run_that_failed_fell_silent_or_never_began_is_not_waited_for(context):
    first, second = context(seed=1), context(seed=2)
    assert taken_over(first, no_waiting) is None
    assert taken_over(second, no_waiting) is None
    claim(first, datetime.now(UTC) - timedelta(minutes=10))
    assert taken_over(second, no_waiting) is None
    ending = {"attempt": 1, "code": 75, "ended_at": datetime.now(UTC).isoformat()}
    first.store.create(attempt_key(first.run.id, Stage.PREP, 1), canonical_json(ending))
    assert taken_over(second, no_waiting) is None


def test_a_data_set_that_was_removed_is_made_again(context, store, tmp_path):
    made = complete(context(seed=1))
    path = tmp_path / "store" / dataset_manifest_key(made.dataset)
    path.unlink()
    assert complete(context(seed=2)).dataset == made.dataset
    assert path.exists()


@pytest.mark.parametrize("damaged", ["run.json", "COMPLETE.json"])
def test_a_damaged_forerunner_is_no_obstacle(context, store, tmp_path, damaged):
    first = context(seed=1)
    made = complete(first)
    keys = {
        "run.json": run_key(first.run.id),
        "COMPLETE.json": complete_key(first.run.id, Stage.PREP),
    }
    path = tmp_path / "store" / keys[damaged]
    path.chmod(0o644)
    path.write_bytes(b"{}")
    assert complete(context(seed=2)).dataset == made.dataset
