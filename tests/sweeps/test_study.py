"""Studies of invented trainings: what they ask, promote, prune and tell, and that no kill changes any of it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import count

import pytest

from fingpt.config import RunConfig
from fingpt.errors import ConfigError, DivergedError, StageFailedError, StorageError
from fingpt.runs import run as run_module
from fingpt.runs.freeze import create_run
from fingpt.runs.manifest import decode, encode
from fingpt.runs.run import Run, Stage, complete_key, trial_key
from fingpt.sweeps.pool import Ended
from fingpt.sweeps.records import Ask, Report, Tell, ask_key, report_key, tell_key
from fingpt.sweeps.search import propose
from fingpt.sweeps.study import run_study
from fingpt.sweeps.sweep import trial_run
from fingpt.train.limits import Limit
from tests.sweeps.invented_study import (
    EPOCH,
    MODEL,
    Calls,
    InventedWorkers,
    Killed,
    Machine,
    MemoryStore,
    a_sweep,
    loss_of,
    prep_manifest,
    train_manifest,
    values,
    with_epoch,
)

PRUNING = {"reduction": 2, "first": 0.2}


def study(sweep, seed=None, verdicts=lambda _: (), objects=None):
    """Tells and bucket of a study from its beginning to its end, and the machine that it ran on."""
    objects = with_epoch(sweep) if objects is None else objects
    machine = Machine(objects, seed, verdicts)
    return run_study(sweep, MODEL, MemoryStore(objects), InventedWorkers(machine)), objects, machine


def crowd(monkeypatch, sweep):
    """A bucket in which other runs have half of all ids, which are of one digit, or else of twelve."""
    monkeypatch.setattr(run_module, "_SHORT", 1)
    objects = with_epoch(sweep)
    for seed in range(5):
        create_run(MemoryStore(objects), Run.of(RunConfig(model=MODEL, seed=seed), {}))
    return objects


def lasting(objects):
    """All records but the index of runs, whose names hold the time."""
    return {key: data for key, data in objects.items() if not key.startswith("index/frozen/")}


@pytest.mark.parametrize(
    ("pruning", "crowded", "step"),
    [
        pytest.param(None, False, 1, id="whole"),
        pytest.param(PRUNING, False, 1, id="pruned"),
        pytest.param(PRUNING, True, 5, id="crowded-ids"),
        pytest.param(PRUNING, True, 1, id="crowded-ids-each", marks=pytest.mark.slow),
    ],
)
def test_a_kill_at_any_call_of_store_or_workers_changes_no_record(
    pruning, crowded, step, monkeypatch
):
    """At each call; where ids are crowded, at every fifth: after odd ones and even ones other work is left."""
    memory = {}

    def remembered(definition, past):  # Optuna would take most of the time
        known = repr([(sorted(each.settings.items()), replace(each, settings={})) for each in past])
        if known not in memory:
            memory[known] = propose(definition, past)
        return memory[known]

    monkeypatch.setattr("fingpt.sweeps.study.propose", remembered)
    sweep = a_sweep(trials=3 if pruning else 5, pruning=pruning)
    verdicts = (lambda _: ()) if pruning else diverges
    bucket = partial(crowd, monkeypatch) if crowded else with_epoch
    wanted, whole, _ = study(sweep, verdicts=verdicts, objects=bucket(sweep))
    asked = len(memory)
    assert pruning or "failed" in {tell.state for tell in wanted}
    for fatal in count(step=step):
        objects, calls = bucket(sweep), Calls(fatal)
        machine = Machine(objects, verdicts=verdicts)
        try:
            run_study(sweep, MODEL, MemoryStore(objects, calls), InventedWorkers(machine, calls))
        except Killed:
            if fatal % 2:  # processes die with their controller; Jobs do not
                machine.at_work.clear()
            told = run_study(sweep, MODEL, MemoryStore(objects), InventedWorkers(machine))
        else:
            break
        assert (told, lasting(objects)) == (wanted, lasting(whole)), f"killed at call {fatal}"
    assert fatal > 50
    assert len(memory) == asked == len(wanted), "what a proposal rests on depends on no kill"


@pytest.mark.parametrize("pruning", [None, PRUNING], ids=["whole", "pruned"])
def test_trials_that_end_in_any_order_give_the_same_records(pruning):
    sweep = a_sweep(trials=9, parallel=4, pruning=pruning)
    wanted, whole, machine = study(sweep)
    assert machine.most == 4
    for seed in range(8):
        told, objects, _ = study(sweep, seed)
        assert (told, lasting(objects)) == (wanted, lasting(whole))


def test_a_search_asks_and_finds_the_same_whatever_ids_other_runs_have(monkeypatch):
    sweep = a_sweep(trials=6, pruning=PRUNING)
    wanted, _, _ = study(sweep)
    objects = crowd(monkeypatch, sweep)
    told, _, machine = study(sweep, objects=objects)
    assert told == wanted
    store = MemoryStore(objects)
    ids = [decoded(store, ask_key(sweep.id, MODEL, n)).run_id for n in range(6)]
    assert len(set(ids)) == 6
    assert {len(each) - len(f"{MODEL}-") for each in ids} == {1, 12}
    assert {*machine.starts} == {*ids}
    assert study(sweep, objects=objects)[2].starts == []


def test_no_run_starts_without_its_ask(monkeypatch):
    sweep = a_sweep(trials=4, pruning=PRUNING)
    begun = []
    start = Machine.start

    def checked(machine, run, stages):
        asks = [key for key in machine._store.objects if "/asks/" in key]
        begun.append(run.id in {decoded(machine._store, key).run_id for key in asks})
        start(machine, run, stages)

    monkeypatch.setattr(Machine, "start", checked)
    study(sweep)
    assert begun
    assert all(begun)


def test_the_run_of_every_trial_says_that_it_is_one():
    told, objects, machine = study(a_sweep(trials=4, pruning=PRUNING))
    assert len(told) == 4
    assert {key for key in objects if key.endswith("/trial.json")} == {
        trial_key(run_id) for run_id in machine.starts
    }


def test_what_meets_every_trial_stops_the_study_untold_even_after_some_are_complete():
    sweep = a_sweep(trials=4)
    objects = with_epoch(sweep)
    last = decoded(MemoryStore(study(sweep)[1]), ask_key(sweep.id, MODEL, 3)).run_id
    gone = lambda run: 99 * [Ended(66, "The base is gone.")] if run.id == last else []  # noqa: E731
    with pytest.raises(StageFailedError, match="code 66, as every other one would: The base"):
        study(sweep, verdicts=gone, objects=objects)
    assert {"complete"} == {
        decode(Tell, data, key).state for key, data in objects.items() if "/tells/" in key
    }


def decoded(store, key):
    return decode(Ask, store.objects[key], key)


def test_every_trial_is_trained_to_its_end_without_pruning_and_has_no_limits():
    sweep = a_sweep(trials=6)
    told, objects, machine = study(sweep)
    assert [tell.number for tell in told] == list(range(6))
    assert {tell.state for tell in told} == {"complete"}
    assert not [key for key in objects if "/limits/" in key]
    assert len(machine.starts) == 1 + 6  # the first prepares the data set of all


def test_the_data_set_is_prepared_once_before_any_training():
    sweep, order = a_sweep(trials=3, parallel=3), []
    start = Machine.start
    machine_starts = lambda machine, run, stages: (  # noqa: E731
        order.append((len(order), stages)),
        start(machine, run, stages),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Machine, "start", machine_starts)
        study(sweep)
    assert [stages for _, stages in order] == [(Stage.PREP,)] + 3 * [(Stage.PREP, Stage.TRAIN)]


def test_most_trials_stop_at_their_rungs_and_the_best_train_to_their_ends():
    sweep = a_sweep(trials=12, parallel=3, pruning={"reduction": 3, "first": 0.2})
    told, objects, _ = study(sweep)
    states = [tell.state for tell in told]
    assert 1 <= states.count("complete") <= 4
    assert states.count("pruned") == 12 - states.count("complete")
    first = {}
    for tell in told:
        key = report_key(sweep.id, MODEL, tell.number, 0)
        first[tell.number] = decode(Report, objects[key], key)
    assert {report.tokens for report in first.values()} == {200}
    best = min(first.values(), key=lambda report: report.value).number
    assert told[best].state == "complete"


def test_a_pruned_run_may_be_trained_on_by_whoever_wants_it():
    sweep = a_sweep(trials=4, pruning=PRUNING)
    told, objects, machine = study(sweep)
    pruned = next(tell.number for tell in told if tell.state == "pruned")
    ask = decoded(MemoryStore(objects), ask_key(sweep.id, MODEL, pruned))
    run = trial_run(sweep, MODEL, ask.settings)
    assert complete_key(run.id, Stage.TRAIN) not in objects
    machine.start(run, (Stage.TRAIN,))
    assert machine.work()[1].message == "complete"
    assert complete_key(run.id, Stage.TRAIN) in objects


def test_a_promoted_trial_gets_a_later_limit_and_in_the_end_none():
    sweep = a_sweep(trials=1, pruning={"reduction": 2, "first": 0.4})
    told, objects, _ = study(sweep)
    assert [tell.state for tell in told] == ["complete"]
    run = trial_run(
        sweep, MODEL, decoded(MemoryStore(objects), ask_key(sweep.id, MODEL, 0)).settings
    )
    tokens = [400 * 2**k for k in range(9) if 400 * 2**k < EPOCH.of(run.config)]
    keys = sorted(key for key in objects if "/limits/" in key and "reached" not in key)
    assert [decode(Limit, objects[key], key).tokens for key in keys] == [*tokens, None]
    assert told[0].value == loss_of(run, EPOCH.of(run.config))


def test_a_trial_that_was_evicted_three_times_is_told_once():
    sweep = a_sweep(trials=4)
    wanted, whole, _ = study(sweep)
    told, objects, machine = study(sweep, verdicts=lambda _: [Ended(143), Ended(75), Ended(137)])
    assert (told, lasting(objects)) == (wanted, lasting(whole))
    assert len(machine.starts) == 1 + 4 * 4


def test_what_others_interrupt_is_repeated_as_often_as_they_do():
    sweep = a_sweep(trials=2)
    told, _, _ = study(sweep, verdicts=lambda _: 12 * [Ended(143), Ended(76)])
    assert told == study(sweep)[0]


def diverges(run):
    return 99 * [Ended(70, "loss became NaN")] if run.config.train.lr > 2e-3 else []


@pytest.mark.parametrize("pruning", [None, PRUNING], ids=["whole", "pruned"])
def test_a_diverged_trial_is_told_with_its_reason_and_the_search_goes_on(pruning):
    sweep = a_sweep(trials=12, pruning=pruning)
    told, objects, _ = study(sweep, verdicts=diverges)
    failed = [tell for tell in told if tell.state == "failed"]
    assert 0 < len(failed) < len(told) == 12
    assert {(tell.reason, tell.value) for tell in failed} == {("loss became NaN", None)}
    assert "complete" in {tell.state for tell in told}
    assert lasting(study(sweep, 5, diverges)[1]) == lasting(objects)


def test_what_never_ends_well_is_a_failed_trial_after_seven_tries():
    sweep = a_sweep(trials=6)
    killed = lambda run: 99 * [Ended(137, "OOMKilled")] if run.config.train.lr > 2e-3 else []  # noqa: E731
    told, _, machine = study(sweep, verdicts=killed)
    failed = [tell for tell in told if tell.state == "failed"]
    assert {tell.reason for tell in failed} == {"ended 7 times without a result: OOMKilled"}
    assert len(machine.starts) == 1 + 7 * len(failed) + (6 - len(failed))


def test_a_run_that_ends_well_and_leaves_nothing_is_no_result():
    told, _, machine = study(a_sweep(trials=2), verdicts=lambda _: [Ended(0, "")])
    assert values(told) == values(study(a_sweep(trials=2))[0])
    assert len(machine.starts) == 1 + 2 * 2


def test_a_study_whose_trials_all_fail_ends_with_one_sentence_and_again_with_the_same():
    sweep = a_sweep(trials=5, pruning=PRUNING)
    objects = with_epoch(sweep)
    for _ in range(2):
        with pytest.raises(
            DivergedError, match=r"All 5 trials of tiny-llama31 .* 5 of them with: loss became NaN"
        ):
            study(sweep, verdicts=lambda _: 9 * [Ended(70, "loss became NaN.")], objects=objects)
    assert len([key for key in objects if "/tells/" in key]) == 5


def test_missing_rights_end_the_study_before_a_trial_is_blamed_and_it_goes_on_with_them():
    sweep = a_sweep(trials=4)
    objects = with_epoch(sweep)
    with pytest.raises(
        StageFailedError,
        match=r"Run tiny-llama31-\w+ .* code 77, as every other one would: no rights",
    ):
        study(sweep, verdicts=lambda _: [Ended(77, "no rights")], objects=objects)
    assert not [key for key in objects if "/tells/" in key]
    (told, there, _), (wanted, whole, _) = study(sweep, objects=objects), study(sweep)
    assert (told, lasting(there)) == (wanted, lasting(whole))


def test_a_prep_that_fails_ends_the_study_with_its_code():
    sweep = a_sweep(trials=2)

    class Fails(InventedWorkers):
        def ended(self, run):
            return Ended(65, "rows leak")

    store = MemoryStore()
    with pytest.raises(StageFailedError, match=r"Stage prep .* code 65: rows leak") as end:
        run_study(sweep, MODEL, store, Fails(Machine(store.objects)))
    assert end.value.exit_code == 65


RECORDS = {"ask": ask_key, "tell": tell_key, "report": lambda *key: report_key(*key, 0)}


@pytest.mark.parametrize("kind", RECORDS)
@pytest.mark.parametrize("fault", ["torn", "of another trial", "of another kind"])
def test_a_torn_or_foreign_record_ends_the_study_and_is_named(kind, fault):
    sweep = a_sweep(trials=4, pruning=PRUNING)
    _, objects, _ = study(sweep)
    key = RECORDS[kind](sweep.id, MODEL, 1)
    other = objects[RECORDS[kind](sweep.id, MODEL, 0)]
    alien = encode(prep_manifest(trial_run(sweep, MODEL, {})))
    objects[key] = {"torn": objects[key][:-7], "of another trial": other}.get(fault, alien)
    with pytest.raises(StorageError, match=key):
        study(sweep, objects=objects)


def test_an_ask_outside_of_the_space_is_refused():
    sweep = a_sweep(trials=2)
    settings = {"train.lr": 0.5, "train.epochs": 1}
    run = trial_run(sweep, MODEL, settings)
    objects = {
        ask_key(sweep.id, MODEL, 0): encode(
            Ask(number=0, settings=settings, run_id=run.id, run_sha256=run.sha256)
        )
    }
    with pytest.raises(StorageError, match="none of this sweep's"):
        study(sweep, objects=objects)


def test_a_training_without_validation_rows_is_no_trial():
    sweep = a_sweep(trials=1)
    _, objects, _ = study(sweep)
    run = trial_run(
        sweep, MODEL, decoded(MemoryStore(objects), ask_key(sweep.id, MODEL, 0)).settings
    )
    del objects[tell_key(sweep.id, MODEL, 0)]
    objects[complete_key(run.id, Stage.TRAIN)] = encode(train_manifest(run, 1.0, split="none"))
    with pytest.raises(StorageError, match="without a loss on validation rows"):
        study(sweep, objects=objects)


def test_deepspeed_is_not_pruned_nor_are_several_data_sets():
    sweep = a_sweep(pruning=PRUNING)
    base = sweep.bases[MODEL]
    train = base.train.model_copy(update={"zero_stage": 0})
    stepped = sweep.model_copy(update={"bases": {MODEL: base.model_copy(update={"train": train})}})
    with pytest.raises(ConfigError, match="uses DeepSpeed"):
        study(stepped)
    with pytest.raises(ConfigError, match=r"prep.limit' cannot be searched"):
        study(a_sweep(pruning=PRUNING, space={"prep.limit": [10, 20]}))


def test_a_space_that_has_fewer_points_than_trials_is_asked_to_its_end():
    sweep = a_sweep(trials=9, space={"train.epochs": [1, 2, 3], "train.lora.r": [4, 8]})
    told, _, _ = study(sweep)
    assert len(told) == 6
    assert study(sweep, 3)[0] == told


def test_a_study_that_is_over_starts_nothing():
    sweep = a_sweep(trials=4, pruning=PRUNING)
    told, objects, _ = study(sweep)
    again, same, machine = study(sweep, objects=dict(objects))
    assert (again, same, machine.starts) == (told, objects, [])


def test_what_was_asked_counts_whatever_a_sampler_would_ask_now(monkeypatch):
    sweep = a_sweep(trials=4)
    told, objects, _ = study(sweep)
    monkeypatch.setattr("fingpt.sweeps.study.propose", lambda *_: pytest.fail("asked again"))
    assert study(sweep, objects=objects)[0] == told


def test_a_first_rung_within_the_first_step_is_warned_of(caplog):
    wide = {**PRUNING, "first": 1 / 2}
    study(a_sweep(trials=2, pruning=wide))
    assert "first rung" not in caplog.text
    study(a_sweep(trials=2, pruning={**PRUNING, "first": 1 / 200}))
    assert caplog.text.count("the first rung lies in the first step") == 1
