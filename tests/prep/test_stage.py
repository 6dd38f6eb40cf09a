"""The stage as the frame calls it: files, manifest last, and one sentence for every bad input."""

import json
import random
from pathlib import Path

import pytest

from fingpt.config import Environment, PrepConfig, RunConfig, load_config, split_words
from fingpt.errors import ConfigError, DataError, MissingInputError, StorageError
from fingpt.prep.facts import label_of
from fingpt.prep.stage import body
from fingpt.prompts.examples import decode_jsonl
from fingpt.record import FileRef, sha256_bytes
from fingpt.runs.attempt import Attempt
from fingpt.runs.freeze import freeze_source
from fingpt.runs.manifest import DatasetManifest, decode
from fingpt.runs.remedy import CONFIGS
from fingpt.runs.run import Run, Stage
from fingpt.runs.stage import Context
from fingpt.storage import ObjectStore
from tests.prep.conftest import week

NAMES = {"train.jsonl", "validation.jsonl", "test.jsonl", "rejects.jsonl", "data.html"}


@pytest.fixture
def prepare(store, tmp_path):
    """Freeze the source, run the body, and give back the stage's manifest and the data set's."""

    def run(source, **settings):
        config = RunConfig(model="tiny-llama31", prep=PrepConfig(source=str(source), **settings))
        frozen = freeze_source(store, config)
        scratch = tmp_path / "scratch"
        scratch.mkdir(exist_ok=True)
        site = Environment.model_construct(store=store.uri, cache=tmp_path / "cache")
        run = Run.of(frozen, {})
        attempt = Attempt(store, run.id, Stage.PREP, 1)
        stage = body(Context(store, run, Stage.PREP, site, scratch, attempt))
        key = f"datasets/{stage.dataset}/manifest.json"
        data = store.read(key)
        assert sha256_bytes(data) == stage.dataset_sha256
        return stage, decode(DatasetManifest, data, key)

    return run


def no_data_set(store: ObjectStore) -> bool:
    return not list(store.keys("datasets"))


def file_of(store: ObjectStore, manifest: DatasetManifest, name: str) -> bytes:
    return store.read(f"datasets/{manifest.id}/{name}")


@pytest.fixture
def source(row, write_parquet, tmp_path) -> Path:
    write_parquet([row(s, n) for n in range(24) for s in ("AAA", "BBB")], "src/train.parquet")
    write_parquet([row(s, n) for n in range(25, 28) for s in ("AAA", "BBB")], "src/test.parquet")
    return tmp_path / "src"


def test_the_manifest_names_every_file_by_its_hash(prepare, source, store):
    stage, manifest = prepare(source)
    assert {file.name for file in manifest.files} == NAMES
    for file in manifest.files:
        data = file_of(store, manifest, file.name)
        assert file == FileRef(name=file.name, size=len(data), sha256=sha256_bytes(data))
    assert manifest.counts == {"train": 26, "validation": 8, "test": 6}
    assert manifest.weeks == {"train": 13, "validation": 4, "test": 3}
    assert manifest.dropped == {"embargo": 14}
    assert (manifest.embargo_weeks, manifest.origin, manifest.origins) == (4, None, None)
    assert manifest.dates == {
        "train": (week(0)[0], week(12)[1]),
        "validation": (week(17)[0], week(20)[1]),
        "test": (week(25)[0], week(27)[1]),
    }
    assert len(decode_jsonl(file_of(store, manifest, "train.jsonl"))) == 26
    assert stage.stage == "prep"


def test_the_same_rows_are_the_same_data_set_and_are_stored_once(prepare, source, store):
    first = prepare(source)
    before = sorted(store.keys())
    second = prepare(source)
    assert first[1] == second[1]
    assert sorted(store.keys()) == before


def test_other_rules_are_another_data_set(prepare, source):
    ids = {
        prepare(source)[1].id,
        prepare(source, limit=4)[1].id,
        prepare(source, split="calendar", test_weeks=4)[1].id,
        prepare(source, validation_weeks=3)[1].id,
        prepare(source, origins=4, origin=1, test_weeks=2)[1].id,
        prepare(source, origins=4, origin=2, test_weeks=2)[1].id,
        prepare(source, split="random", allow_leaky_split=True)[1].id,
    }
    assert len(ids) == 7


def test_a_walk_forward_block_says_which_it_is(prepare, source, store):
    _, manifest = prepare(source, origins=4, origin=3, test_weeks=2)
    assert (manifest.origin, manifest.origins, manifest.split_rule) == (3, 4, "calendar")
    assert manifest.dropped == {"embargo": 16, "later": 4}
    page = file_of(store, manifest, "data.html").decode()
    assert "origin 3 of 4, at least 4 weeks between two blocks" in page


def test_a_leaky_split_is_flagged_for_every_later_report(prepare, source):
    stage, manifest = prepare(source, split="random", allow_leaky_split=True)
    assert manifest.leaky
    assert stage.warnings[0].startswith("Random split")


def test_a_few_bad_rows_go_to_rejects_with_line_and_reason(prepare, row, store, tmp_path):
    rows = [row("AAA", n) for n in range(30)]
    rows[6]["label"] = "sideways"
    rows[9] = rows[8]
    path = tmp_path / "train.jsonl"
    path.write_text("\n".join(json.dumps(r) for r in rows))
    _, manifest = prepare(path, test_weeks=4, max_reject_rate=0.1)
    assert manifest.rejects == {"label-outside-grammar": 1, "duplicate-row": 1}
    lines = [json.loads(line) for line in file_of(store, manifest, "rejects.jsonl").splitlines()]
    assert [(r["file"], r["line"], r["reason"]) for r in lines] == [
        ("train.jsonl", 7, "label-outside-grammar"),
        ("train.jsonl", 10, "duplicate-row"),
    ]
    assert "sideways" in lines[0]["detail"]


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("answer", "", "40 × empty-answer"),
        ("label", "sideways", "40 × label-outside-grammar"),
        ("prompt", "no marks", "40 × prompt-without-marks"),
        ("period", "soon", "40 × malformed-period"),
        ("answer", "x" * 2_000_000, "40 × row-too-large"),
    ],
)
def test_too_many_bad_rows_stop_the_stage_with_counts(
    prepare, row, write_parquet, store, column, value, said
):
    rows = [{**row("AAA", n), column: value} for n in range(40)]
    with pytest.raises(DataError, match=said) as told:
        prepare(write_parquet(rows))
    assert "40 of 40 rows cannot be read" in str(told.value)
    assert "train.parquet line 1" in str(told.value)
    assert "\n" not in str(told.value)
    assert no_data_set(store)


def test_the_tolerated_share_of_bad_rows_is_exact(prepare, row, write_parquet):
    rows = [row("AAA", n) for n in range(100)]
    rows[5]["answer"] = None
    path = write_parquet(rows)
    assert prepare(path)[1].rejects == {"empty-answer": 1}
    with pytest.raises(DataError, match="1 × empty-answer"):
        prepare(path, max_reject_rate=0.0)


def test_files_that_cannot_be_read_leave_nothing(
    prepare, row, drop, write_parquet, store, tmp_path
):
    with pytest.raises(MissingInputError):
        prepare(tmp_path / "nowhere")
    junk = tmp_path / "junk.parquet"
    junk.write_bytes(b"PAR1 but no more")
    with pytest.raises(DataError, match="not a readable parquet"):
        prepare(junk)
    with pytest.raises(DataError, match="no column 'answer'"):
        prepare(write_parquet([drop(row(), "answer")]))
    with pytest.raises(DataError, match="no rows"):
        prepare(write_parquet([]))
    latin = tmp_path / "train.jsonl"
    latin.write_bytes("\n".join(json.dumps(row()) for _ in range(3)).encode("utf-16"))
    with pytest.raises(DataError, match="is UTF-16"):
        prepare(latin)
    assert no_data_set(store)


def test_an_empty_split_leaves_nothing(prepare, row, write_parquet, store, tmp_path):
    write_parquet([row("AAA", n) for n in range(5)], "src/train.parquet")
    write_parquet([], "src/test.parquet")
    with pytest.raises(DataError, match="test split is empty"):
        prepare(tmp_path / "src", split="published")
    write_parquet([row("AAA", 9)], "src/test.parquet")
    with pytest.raises(DataError, match=r"SET=prep\.validation_weeks=0"):
        prepare(tmp_path / "src")
    write_parquet([row("AAA", 2)], "src/test.parquet")
    with pytest.raises(ConfigError, match="allow_leaky_split"):
        prepare(tmp_path / "src")
    assert no_data_set(store)


def test_a_flipped_byte_in_a_stored_file_is_refused(prepare, source, store):
    _, manifest = prepare(source)
    path = Path(store.uri.removeprefix("file://")) / "datasets" / manifest.id / "test.jsonl"
    data = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    with pytest.raises(StorageError, match=r"test\.jsonl"):
        prepare(source)


def test_an_interrupted_write_is_finished_by_the_next_one(prepare, source, store):
    _, manifest = prepare(source)
    folder = Path(store.uri.removeprefix("file://")) / "datasets" / manifest.id
    (folder / "manifest.json").unlink()
    (folder / "rejects.jsonl").unlink()
    assert prepare(source)[1] == manifest


KNOWN = load_config(CONFIGS / "llama31.yaml").prep.allow_leaks


def test_an_error_stops_the_stage_and_names_the_setting_that_lets_it_pass(
    prepare, row, write_parquet, store
):
    rows = [row("AAA", n, cap=5000.0) for n in range(20)]
    source = write_parquet(rows)
    with pytest.raises(DataError, match="market-cap-constant") as told:
        prepare(source, test_weeks=4)
    assert no_data_set(store)
    words = split_words(str(told.value).split('SET="')[1].split('"')[0], "SET")
    config = load_config(CONFIGS / "tiny-llama31.yaml", [*words, f"prep.source={source}"])
    stage, manifest = prepare(source, test_weeks=4, allow_leaks=config.prep.allow_leaks)
    errors = [found for found in manifest.findings if found.severity == "error"]
    assert errors
    assert {found.allowed for found in errors} == {"known"}
    assert all("Allowed: known" in warning for warning in stage.warnings)
    assert "Allowed by the configuration: known" in file_of(store, manifest, "data.html").decode()


def test_only_the_named_rule_may_pass(prepare, row, write_parquet):
    path = write_parquet([row("AAA", n, cap=5000.0) for n in range(20)])
    with pytest.raises(DataError, match="market-cap-constant"):
        prepare(path, test_weeks=4, allow_leaks={"market-cap-canary": "known"})


def test_what_a_random_split_brings_passes_with_it_and_nothing_else_does(
    prepare, row, write_parquet
):
    draw = random.Random(1)
    moves = [draw.gauss(0, 3) for _ in range(41)]
    prices = [round(200 + sum(moves[:n]), 2) for n in range(41)]
    rows = [
        row(
            "AAA",
            n,
            label_of(*prices[n : n + 2]),
            prices=prices[n - 1 : n + 1],
            cap=draw.uniform(4000, 6000),
        )
        for n in range(1, 40)
    ]
    leaky = {"split": "random", "allow_leaky_split": True}
    _, manifest = prepare(write_parquet(rows), **leaky)
    allowed = {
        found.rule: found.allowed for found in manifest.findings if found.severity == "error"
    }
    assert "test-label-in-train-prompt" in allowed
    assert set(allowed.values()) == {"prep.allow_leaky_split=true"}
    rows[5]["prompt"] = rows[5]["prompt"].replace("eps: 2.1", "Prediction: Up by 2-3%")
    with pytest.raises(DataError, match="prediction-in-prompt"):
        prepare(write_parquet(rows, "other.parquet"), **leaky)


def test_the_same_rows_in_another_order_are_judged_by_their_own(prepare, row, write_parquet):
    def made(number):
        ups = [f"S{place:02}" for place in range(12) if (place * 7 + number * 5) % 12 < 6]
        label = {
            f"S{p:02}": "up by 1-2%" if f"S{p:02}" in ups else "down by 1-2%" for p in range(12)
        }
        return [row(symbol, number, label[symbol], prices=(100.0,)) for symbol in sorted(label)]

    weeks = [made(number) for number in range(12)]
    cut = {"test_weeks": 4, "validation_weeks": 0, "embargo_weeks": 1}
    prepare(write_parquet([each for week in weeks for each in week]), **cut)
    sorted_rows = [each for week in weeks for each in sorted(week, key=lambda r: r["label"])]
    with pytest.raises(DataError, match="order-tells-label"):
        prepare(write_parquet(sorted_rows, "sorted.parquet"), **cut)


@pytest.mark.slow  # the linter and the page of 505 long rows
def test_published_rows_make_a_data_set(prepare, real_data, store):
    stage, manifest = prepare(real_data, allow_leaks=KNOWN)
    assert {found.rule for found in manifest.findings if found.severity == "error"} == set(KNOWN)
    assert manifest.counts == {"train": 187, "validation": 18, "test": 300}
    assert manifest.rejects == {}
    assert manifest.notes == {"prediction-line-restored": 4}
    assert manifest.split_rule == "published, validation cut from its train"
    page = file_of(store, manifest, "data.html").decode()
    assert "market cap canary" in page
    assert len(page) < 1_000_000
    assert set(stage.seconds) == {"read", "split_and_lint", "write"}


@pytest.mark.parametrize("source", ["sample", "noise"])
def test_the_shipped_rows_make_a_data_set_without_an_error(prepare, source):
    _, manifest = prepare(source)
    assert manifest.counts == {"train": 240, "validation": 48, "test": 120}
    assert manifest.weeks == {"train": 20, "validation": 4, "test": 10}
    assert manifest.rejects == {}
    assert {found.rule for found in manifest.findings if found.severity == "error"} == set()
