"""A sweep from its freezing to COMPLETE.json: trainings are invented, and the controller is killed anywhere."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable

import pytest

from fingpt.errors import (
    DataError,
    DivergedError,
    FingptError,
    Interrupted,
    MissingInputError,
    PermissionDeniedError,
    RunConflictError,
    SetupError,
    StorageError,
)
from fingpt.runs import run as run_module
from fingpt.runs.attempt import Claim, claim
from fingpt.runs.links import LinkStatus
from fingpt.runs.manifest import encode
from fingpt.runs.run import Run, Stage, run_key, trial_key
from fingpt.runs.run import complete_key as stage_complete_key
from fingpt.runs.stage import load_run
from fingpt.storage import ObjectStore, open_store
from fingpt.sweeps.controller import carry_out
from fingpt.sweeps.finals import final_runs, leader
from fingpt.sweeps.plan import plan
from fingpt.sweeps.records import (
    Choice,
    SweepManifest,
    Tell,
    ask_key,
    choice_key,
    complete_key,
    read,
    sweep_key,
    tell_key,
)
from fingpt.sweeps.sweep import Sweep, create_sweep, load_sweep, trial_run
from fingpt.sweeps.trials import TrialState, begin, read_trial
from fingpt.sweeps.verify import verify_sweep
from tests.sweeps.studies import (
    MODEL,
    InstantPlace,
    InstantWorkers,
    Killed,
    MortalStore,
    complete_prep,
    complete_train,
    defined,
    frozen,
    loss_of,
)


@pytest.fixture
def sweep(store, tmp_path) -> Sweep:
    made = frozen(store, tmp_path)
    create_sweep(store, made)
    return made


def carried_out(
    store: ObjectStore, sweep: Sweep, fault: Callable[[Run], Exception | None] = lambda _: None
) -> tuple[SweepManifest, InstantWorkers]:
    workers = InstantWorkers(store, sweep, fault)
    return carry_out(sweep, store, InstantPlace(store, workers)), workers


def results(manifest: SweepManifest) -> dict[str, object]:
    """All of a manifest but times, and hashes of records that hold some: no two sweeps share those."""
    plain = json.loads(manifest.model_dump_json(exclude={"finished_at"}))
    for tells in plain["tells"].values():
        for tell in tells:
            del tell["seconds"], tell["gpu_seconds"]
    timed = [key for key in plain["inputs"] if key.startswith("runs/") or key.endswith("/tells/")]
    return {**plain, "inputs": {**plain["inputs"], **dict.fromkeys(timed)}}


def test_the_best_trial_is_chosen_and_trained_anew_beside_the_default(store, sweep):
    manifest, workers = carried_out(store, sweep)
    tells = manifest.tells[MODEL]
    assert [each.number for each in tells] == [0, 1, 2, 3]
    settings = plan(sweep.definition)
    assert [each.value for each in tells] == [
        loss_of(trial_run(sweep, MODEL, one)) for one in settings
    ]
    choice = manifest.choices[MODEL]
    assert (choice.trial, choice.settings) == (3, {"train.lr": 2e-3, "train.epochs": 2})
    finals = manifest.finals[MODEL]
    assert len({*finals.chosen, *finals.default}) == 6
    assert workers.most_at_once == 2
    trials = {trial_run(sweep, MODEL, one).id for one in settings}
    assert not trials & {*finals.chosen, *finals.default}
    for run_id in (*finals.chosen, *finals.default):
        assert store.exists(stage_complete_key(run_id, Stage.EVAL))
        assert not store.exists(trial_key(run_id))
        assert stage_complete_key(run_id, Stage.EVAL) in manifest.inputs
    for run_id in trials:
        assert store.exists(trial_key(run_id))
        assert not store.exists(stage_complete_key(run_id, Stage.EVAL))


def test_the_choice_is_in_the_bucket_before_any_final_run_starts(store, sweep):
    seen: list[bool] = []
    finals = {run.id for run in final_runs(sweep, MODEL, {})}

    def look(run: Run) -> None:
        if run.id in finals:
            seen.append(store.exists(choice_key(sweep.id, MODEL)))

    carried_out(store, sweep, look)
    assert seen == [True] * 3


def test_of_equal_trials_the_one_with_the_lowest_number_is_chosen(store, sweep):
    for number, settings in enumerate(plan(sweep.definition)):
        run = begin(store, sweep, MODEL, number, settings)
        complete_train(store, run, loss=1.5)
    assert carried_out(store, sweep)[0].choices[MODEL].trial == 0


def test_a_sweep_that_is_complete_is_left_alone(store, sweep, monkeypatch):
    first, _ = carried_out(store, sweep)
    monkeypatch.setattr(InstantPlace, "prepare", lambda *_: pytest.fail("it was begun again"))
    again, workers = carried_out(store, sweep)
    assert again == first
    assert workers.started == []


@pytest.mark.parametrize("places", [5, pytest.param(10, marks=pytest.mark.slow)])
@pytest.mark.parametrize("after", [False, True])
def test_wherever_the_controller_is_killed_the_same_command_ends_with_the_same_results(
    store, sweep, tmp_path, monkeypatch, after, places
):
    """At every so many requests to the store, before or after one is served, and again in what follows."""
    monkeypatch.setattr(Claim, "is_gone", lambda _: True)  # as it is where the process was killed
    counting = MortalStore(store, 1 << 30, after=after)
    reference, _ = carried_out(counting, sweep)
    transient = "/(claims|attempts|heartbeats)/|^index/frozen/"  # some of these names are times
    keys = {key for key in store.keys("") if not re.search(transient, key)}
    points = range(1, counting.requests, counting.requests // places)
    for at in points:
        place = open_store((tmp_path / f"killed-{at}").as_uri())
        create_sweep(place, frozen(place, tmp_path))
        with pytest.raises(Killed):
            carried_out(MortalStore(place, at, after=after), sweep)
        with contextlib.suppress(Killed):
            carried_out(MortalStore(place, 90, after=after), sweep)
        manifest, _ = carried_out(place, sweep)
        assert results(manifest) == results(reference), at
        assert keys - set(place.keys("")) == set(), at


def test_a_sweep_whose_runs_meet_in_their_ids_ends_as_any_other(store, sweep, monkeypatch):
    reference, _ = carried_out(store, sweep)
    monkeypatch.setattr(run_module, "_SHORT", 0)
    create_sweep(place := open_store(f"{store.uri}-crowded"), sweep)
    manifest, workers = carried_out(place, sweep)
    assert results(manifest)["tells"] == results(reference)["tells"]
    finals = manifest.finals[MODEL]
    assert len({*finals.chosen, *finals.default, *workers.started}) == 10
    read_back = [load_run(place, run_id) for run_id in (*finals.chosen, *finals.default)]
    assert [run.sha256 for run in read_back] == [
        run.sha256
        for settings in (manifest.choices[MODEL].settings, {})
        for run in final_runs(sweep, MODEL, settings)
    ]
    assert {link.status for link in verify_sweep(place, sweep.id)} == {LinkStatus.OK}
    assert carried_out(place, sweep)[1].started == []


def test_a_trial_that_diverges_has_failed_with_its_reason_and_the_search_goes_on(store, sweep):
    best = trial_run(sweep, MODEL, plan(sweep.definition)[3]).id

    def diverges(run: Run) -> Exception | None:
        return DivergedError("The loss is NaN at step 4.") if run.id == best else None

    manifest, workers = carried_out(store, sweep, diverges)
    tell = manifest.tells[MODEL][3]
    assert (tell.state, tell.value, tell.reason) == ("failed", None, "The loss is NaN at step 4.")
    assert manifest.choices[MODEL].trial == 2
    assert workers.started.count(best) == 1


def test_a_trial_that_is_evicted_again_and_again_is_trained_once_more_each_time(store, sweep):
    left = {trial_run(sweep, MODEL, plan(sweep.definition)[1]).id: 7}

    def evicted(run: Run) -> Exception | None:
        left[run.id] = left.get(run.id, 0) - 1
        return Interrupted("SIGTERM received") if left[run.id] >= 0 else None

    manifest, _ = carried_out(store, sweep, evicted)
    assert [each.state for each in manifest.tells[MODEL]] == ["complete"] * 4


def test_a_trial_that_breaks_off_three_times_for_no_known_reason_has_failed(store, sweep):
    first = trial_run(sweep, MODEL, plan(sweep.definition)[0]).id
    manifest, workers = carried_out(
        store, sweep, lambda run: ValueError("a bug") if run.id == first else None
    )
    assert manifest.tells[MODEL][0].state == "failed"
    assert "broke off 3 times: a bug" in manifest.tells[MODEL][0].reason
    assert workers.started.count(first) == 3


@pytest.mark.parametrize("kind", [MissingInputError, PermissionDeniedError, SetupError])
def test_what_would_meet_every_trial_stops_the_sweep_and_is_told_of_none(store, sweep, kind):
    with pytest.raises(FingptError, match="as every other one would: The key is refused") as fault:
        carried_out(store, sweep, lambda _: kind("The key is refused."))
    assert fault.value.exit_code == kind.exit_code
    assert not [key for key in store.keys("sweeps/") if "/tells/" in key]
    manifest, _ = carried_out(store, sweep)
    assert [each.state for each in manifest.tells[MODEL]] == ["complete"] * 4


def test_where_every_trial_fails_one_error_says_why(store, sweep):
    with pytest.raises(DivergedError, match=r"None of the 4 trials .* most of them say: too hot"):
        carried_out(store, sweep, lambda _: DivergedError("too hot"))
    assert not store.exists(complete_key(sweep.id))


def test_a_final_run_that_diverges_is_recorded_and_the_sweep_is_complete(store, sweep):
    bad = final_runs(sweep, MODEL, {})[1].id

    def diverges(run: Run) -> Exception | None:
        return DivergedError("NaN") if run.id == bad else None

    manifest, _ = carried_out(store, sweep, diverges)
    assert manifest.finals[MODEL].failed == {bad: "NaN"}
    assert stage_complete_key(bad, Stage.EVAL) not in manifest.inputs


def test_trials_of_a_source_without_validation_rows_end_in_one_sentence(store, sweep):
    run = begin(store, sweep, MODEL, 0, plan(sweep.definition)[0])
    complete_train(store, run, split="none")
    with pytest.raises(DataError, match="without validation rows"):
        read_trial(store, sweep, run)


def test_no_trial_asks_for_a_stage_that_reads_the_test_split(store, sweep):
    asked: dict[str, object] = {}

    class Watching(InstantWorkers):
        def start(self, run, stages):
            asked[run.id] = tuple(stages)
            super().start(run, stages)

    carry_out(sweep, store, InstantPlace(store, Watching(store, sweep)))
    trials = [trial_run(sweep, MODEL, each).id for each in plan(sweep.definition)]
    assert {asked[each] for each in trials} == {(Stage.PREP, Stage.TRAIN)}


@pytest.mark.parametrize("damage", [b"", b"{", b'{"number":0}', b"[]"])
def test_a_torn_record_is_named(store, sweep, damage):
    carried_out(store, sweep)
    for key, act in (
        (sweep_key(sweep.id), lambda s: load_sweep(s, sweep.id)),
        (tell_key(sweep.id, MODEL, 2), lambda s: carried_out(s, sweep)),
        (ask_key(sweep.id, MODEL, 1), lambda s: carried_out(s, sweep)),
        (choice_key(sweep.id, MODEL), lambda s: carried_out(s, sweep)),
        (complete_key(sweep.id), lambda s: carried_out(s, sweep)),
    ):
        with pytest.raises(StorageError, match=key) as fault:
            act(Torn(store, key, damage, hide=complete_key(sweep.id)))
        assert fault.value.exit_code == 74


class Torn:
    """A store in which one object has other bytes, and one is not there unless it is that one."""

    def __init__(self, store: ObjectStore, key: str, data: bytes, hide: str) -> None:
        self._store, self._key, self._data, self._hide = store, key, data, hide
        self.uri = store.uri

    def exists(self, key: str) -> bool:
        hidden = {self._hide, self._key.replace("asks", "tells")} - {self._key}
        return key not in hidden and self._store.exists(key)

    def create(self, key: str, data: bytes) -> bool:
        return self._store.create(key, data)

    def read(self, key: str, limit: int = 1 << 25) -> bytes:
        return self._data if key == self._key else self._store.read(key, limit)

    def keys(self, prefix: str = ""):
        return self._store.keys(prefix)


def test_a_sweep_of_the_same_id_and_other_content_is_a_conflict(store, sweep):
    other = sweep.model_copy(update={"notes": ("another",)})
    with pytest.raises(RunConflictError, match="holds another sweep") as fault:
        create_sweep(store, other)
    assert fault.value.exit_code == 73
    create_sweep(store, sweep)


def test_a_trial_s_ask_of_other_settings_is_a_conflict(store, sweep):
    begin(store, sweep, MODEL, 0, {"train.lr": 1e-3})
    with pytest.raises(RunConflictError, match="another ask"):
        begin(store, sweep, MODEL, 0, {"train.lr": 2e-3})


def test_a_sweep_that_was_changed_or_moved_is_not_carried_out(store, sweep):
    moved = sweep.model_copy(update={"id": "grid-00000000"})
    store.create(sweep_key(moved.id), encode(moved))
    with pytest.raises(StorageError, match="moved or changed"):
        load_sweep(store, moved.id)
    with pytest.raises(MissingInputError, match="no sweep 'grid-11111111'"):
        load_sweep(store, "grid-11111111")


def test_another_definition_or_model_or_code_is_another_sweep(store, sweep, tmp_path):
    ids = {sweep.id, frozen(store, tmp_path, defined(seed=43)).id}
    other = Sweep.of(sweep.name, sweep.definition, sweep.bases, {"prep": "x"})
    assert len({*ids, other.id}) == 3
    assert frozen(store, tmp_path).id == sweep.id
    assert load_sweep(store, sweep.id) == sweep


def test_states_of_a_trial_follow_its_run(store, sweep):
    settings = plan(sweep.definition)
    run = begin(store, sweep, MODEL, 0, settings[0])
    assert read_trial(store, sweep, run).state is TrialState.WAITING
    create = leader(sweep, MODEL)
    store.create(run_key(create.id), create.encode())
    complete_prep(store, create)
    with claim(store, run.id, Stage.TRAIN) as attempt:
        assert read_trial(store, sweep, run).state is TrialState.RUNNING
        fault = Interrupted("stopped")
        attempt.__exit__(type(fault), fault, None)
    stopped = read_trial(store, sweep, run)
    assert (stopped.state, stopped.reason, stopped.told(0)) == (TrialState.WAITING, "stopped", None)
    with claim(store, run.id, Stage.TRAIN) as attempt:
        fault = DivergedError("NaN")
        attempt.__exit__(type(fault), fault, None)
    failed = read_trial(store, sweep, run)
    assert failed.state is TrialState.FAILED
    assert failed.told(0).reason == "NaN"
    complete_train(store, run, loss=1.25)
    complete = read_trial(store, sweep, run)
    assert (complete.state, complete.value) == (TrialState.COMPLETE, 1.25)
    assert complete.told(0).state == "complete"


def test_records_are_read_as_they_were_written(store, sweep):
    manifest, _ = carried_out(store, sweep)
    assert read(store, SweepManifest, complete_key(sweep.id)) == manifest
    assert read(store, Choice, choice_key(sweep.id, MODEL)) == manifest.choices[MODEL]
    assert read(store, Tell, tell_key(sweep.id, MODEL, 0)) == manifest.tells[MODEL][0]
    assert read(store, Tell, tell_key(sweep.id, MODEL, 4)) is None
