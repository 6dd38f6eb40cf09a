"""Mutated inputs for every reader of what others may have written: each ends as a value or as one of our errors.

Seeded: a failure names reader, number and input. FINGPT_FUZZ says how many inputs in all (`make fuzz`: 10,000).
"""

from __future__ import annotations

import gzip
import io
import json
import os
import random
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fingpt import log
from fingpt.cluster.diagnosis.explain import last_message
from fingpt.cluster.site import Site
from fingpt.config import RunConfig, load_config
from fingpt.errors import FingptError
from fingpt.eval.chunks import StoredLosses, decode_chunk, encode_chunk
from fingpt.eval.external import read_pairs
from fingpt.eval.generate import Answer
from fingpt.eval.labels import LabelScores
from fingpt.forecast.record import ForecastRecord, ForecastRequest, Parsed, Question
from fingpt.forecast.render import render
from fingpt.forecast.request import named_symbols
from fingpt.forecast.weeks import WeekMark
from fingpt.models import spec
from fingpt.prompts.chat import load_tokenizer
from fingpt.prompts.examples import Example, decode_jsonl, encode_jsonl
from fingpt.record import FileRef, canonical_json, sha256_bytes
from fingpt.report.inputs import read_curve
from fingpt.report.score_arrays import read_scores
from fingpt.rows.encoding import may_hold_rows
from fingpt.rows.layout import kind_of
from fingpt.rows.readers import read_file
from fingpt.runs import state
from fingpt.runs.attempt import claim
from fingpt.runs.manifest import (
    BaseManifest,
    Commit,
    DatasetManifest,
    PrepManifest,
    ReportManifest,
    decode,
    encode,
)
from fingpt.runs.raw import (
    HubRows,
    RawManifest,
    fetch_raw,
    hub_key,
    mirrored_raw,
    read_raw_manifest,
    stored_hub_rows,
)
from fingpt.runs.run import Run, Stage, attempt_key, claim_key, heartbeat_key, run_key
from fingpt.runs.stage import load_run
from fingpt.runs.verify import verify
from fingpt.sources.files import open_files
from fingpt.sources.opening import FrozenPart, FrozenSnapshot, Opener
from fingpt.sources.raw_store import FolderManifest, Part, RawStore, Retrieval
from fingpt.sources.records import Kind
from fingpt.sources.selection import load_selection
from fingpt.storage import LocalStore
from fingpt.train.handoff import read_records
from fingpt.weights.adapter import CONFIG as ADAPTER_CONFIG
from fingpt.weights.adapter import check_base, read_lora
from fingpt.weights.contents import check_folder
from tests.cluster.sites import full_site_data
from tests.sources.live.bodies import BODIES

INPUTS = int(os.environ.get("FINGPT_FUZZ", "2000"))

TINY = spec("tiny-llama31")
REF = FileRef(name="train.jsonl", size=3, sha256="0" * 64)
RUN = Run.of(RunConfig(model="tiny-llama31"), {"train": "registry.example/train@sha256:1"})
DATASET = DatasetManifest(
    id="0" * 16, source="s", split_rule="published", counts={"train": 3}, weeks={}, files=(REF,)
)
BASE = BaseManifest(base="b", revision="r", files=(REF,))
PREP = PrepManifest(
    run=RUN.id,
    stage="prep",
    config_sha256="0",
    image="i",
    inputs={"a": "b"},
    finished_at="2030-01-01",
    dataset="d",
    dataset_sha256="0",
)
CLOSE = datetime(2030, 1, 4, 21, tzinfo=UTC)
REQUEST = ForecastRequest(
    as_of=CLOSE,
    horizon_end=CLOSE,
    due=CLOSE,
    questions=(Question(symbol="AAPL", text="t", facts={"a": [1.5]}, available_at_max=CLOSE),),
    refused={"MSFT": "why"},
)
FORECAST = ForecastRecord(
    symbol="AAPL",
    as_of=CLOSE,
    horizon_end=CLOSE,
    created_at=CLOSE,
    run=RUN.id,
    model="tiny-llama31",
    adapter_sha256="a",
    base_sha256="b",
    prompt_sha256="p",
    facts_sha256="f",
    facts={"a": [1.5]},
    answer="a",
    parsed=Parsed(direction=1, margin=1.5, bin=2, sections={"pros": "p"}),
    probabilities=(1 / 12,) * 12,
    probabilities_calibrated=(1 / 12,) * 12,
    temperature=2.0,
    verdict="v",
    code_version="c",
)
WEEK = WeekMark(as_of=CLOSE, request=REQUEST.key)
RAW = RawManifest(files=(FileRef(name="train.jsonl", size=3, sha256=sha256_bytes(b"{}\n")),))
HUB_ROWS = HubRows(source="hub:a/b@main", commit="c" * 40, raw=f"raw/{RAW.id}", files=(REF,))
REPORT = ReportManifest(id="r", runs=("a",), inputs={"a": "b"}, files=(REF,))
COMMIT = Commit(n=1, previous="0", nonce="n", step=4, prefix="p", context={"a": "b"}, files=(REF,))
LOSSES = StoredLosses(context="c", seconds=1.5, test={"a": 1.0}, train={})
STEP = {
    "step": 1,
    "epoch": 0.5,
    "loss": 1.5,
    "lr": 0.1,
    "grad_norm": 1.0,
    "rows": 2,
    "tokens": 3,
    "answer_tokens": 2,
    "tokens_per_second": 1.0,
    "samples_per_second": 1.0,
    "peak_memory_bytes": 1,
    "seconds": 0.5,
    "eval_loss": 1.0,
}
CLAIM = {
    "nonce": "n",
    "pod": "p",
    "node": "n",
    "platform": "x",
    "started_at": "2030-01-01T00:00:00Z",
    "place": {"host": "h", "boot": "b", "pid": 1, "born": "1"},
}
CONFIG = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 8,
    "vocab_size": 8,
    "num_hidden_layers": 1,
    "intermediate_size": 8,
    "rope_scaling": {"a": 1},
}
INDEX = {"metadata": {}, "weight_map": {"a": "model-1.safetensors"}}
ADAPTER = {
    "base_model_name_or_path": TINY.base,
    "revision": TINY.revision,
    "r": 4,
    "lora_alpha": 8,
    "lora_dropout": 0.1,
    "target_modules": ["q_proj"],
    "task_type": "CAUSAL_LM",
}
ROW = {
    "prompt": "p",
    "answer": "a",
    "period": "2030-01-01 to 2030-01-08",
    "label": "up by 1-2%",
    "symbol": "AAPL",
}
CSV = f"{','.join(ROW)}\n{','.join(ROW.values())}\n".encode()
EXAMPLE = Example("s", "u", "a", "AAPL", "2030-01-01 to 2030-01-08", "up by 1-2%", "p", "r")
ANSWER = Answer(example="e", prediction="up", new_tokens=1, prompt_tokens=1, truncated=False)
YAML = b"model: tiny-llama31\nseed: 1\ntrain: {lr: 1.0e-4, epochs: 2}\nprep:\n  source: sample\n"
TOKENIZER = {
    "version": "1.0",
    "added_tokens": [
        {
            "id": 2,
            "content": "<s>",
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
    ],
    "normalizer": None,
    "pre_tokenizer": {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": True,
    },
    "post_processor": None,
    "decoder": {
        "type": "ByteLevel",
        "add_prefix_space": True,
        "trim_offsets": True,
        "use_regex": True,
    },
    "model": {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        "vocab": {"a": 0, "b": 1, "ab": 3},
        "merges": ["a b"],
    },
}

HOSTILE: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        2**31,
        2**63,
        2**64,
        -(2**64),
        10**30,
        10**400,
        0.1,
        1e308,
        -0.0,
    ),
    *(
        "",
        "x",
        "../../etc/passwd",
        "/etc/passwd",
        "\x00",
        "\x1b[31m",
        "\u202e",
        "a" * 5000,
        "1" * 5000,
    ),
    *([], {}, [[]], {"": ""}, [None], ["x"] * 50, {"a": {"b": {}}}, {"type": "x"}),
    *("(a+)+$", "2024-02-30", "*a", "&a", "!!python/object:os.system", "NaN", "Infinity", "\ud800"),
)
SPLICES = (
    *(
        b"[" * 3000,
        b'{"a":' * 3000,
        b"9" * 5000,
        b"1e999",
        b"NaN",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\x00",
    ),
    *(
        b'"\\ud800"',
        b"*a",
        b"&a [*a]",
        b"!!bool maybe",
        b"2024-02-30",
        b"-",
        b"\n",
        b",",
        b"}",
        b"]",
    ),
    *(
        b'{"a":1,"a":2}',
        b"!!timestamp x",
        b"? [a]\n: b\n",
        b"<<: *b",
        b"0x" + b"f" * 5000,
        b"1:" * 2000,
    ),
)

Reader = Callable[[bytes, Path], object]


def plain(value: object) -> bytes:
    return json.dumps(value).encode()


def sealed(fields: Any) -> bytes:
    """What a mutated manifest looks like whose author knows how to seal."""
    if not isinstance(fields, dict):
        return plain(fields)
    body = {key: value for key, value in fields.items() if key != "seal"}
    return plain({**body, "seal": sha256_bytes(canonical_json(body))})


def manifest_reader(kind: Any) -> Reader:
    return lambda data, _: decode(kind, data, "key")


def note_reader(data: bytes, folder: Path) -> None:
    store = LocalStore(folder)
    for key in (claim_key("r", Stage.TRAIN, 1), heartbeat_key("r", Stage.TRAIN, 1, 1)):
        store.create(key, data)
    state.attempts(store, "r", Stage.TRAIN)
    assert claim(store, "r", Stage.TRAIN, sleep=lambda _: None).number == 2
    store.create(attempt_key("r", Stage.TRAIN, 1), data)
    state.attempts(store, "r", Stage.TRAIN)


def run_reader(data: bytes, folder: Path) -> None:
    store = LocalStore(folder)
    store.create(run_key(RUN.id), data)
    verify(store, RUN.id)
    load_run(store, RUN.id, RUN.sha256)


def dataset_reader(data: bytes, folder: Path) -> None:
    """A run whose records may be anything: verify names what is wrong and goes on."""
    store = LocalStore(folder)
    store.create(run_key(RUN.id), RUN.encode())
    for key in ("prep/COMPLETE", "train/COMPLETE", "eval/COMPLETE", "train/commits/000001"):
        store.create(f"runs/{RUN.id}/{key}.json", data)
    store.create("reports/a/manifest.json", data + RUN.id.encode())
    verify(store, RUN.id)
    state.read_run(store, RUN.id)


def file_reader(name: str, read: Callable[[Path], object]) -> Reader:
    def act(data: bytes, folder: Path) -> object:
        (folder / name).write_bytes(data)
        return read(folder / name)

    return act


def base_reader(name: str) -> Reader:
    def act(data: bytes, folder: Path) -> None:
        files = {"config.json": plain(CONFIG), "model-1.safetensors": b"0" * 4096}
        files |= {"model.safetensors.index.json": plain(INDEX), name: data}
        for each, content in files.items():
            (folder / each).write_bytes(content)
        check_folder(folder, list(files), "a base")

    return act


def adapter_reader(data: bytes, folder: Path) -> None:
    (folder / ADAPTER_CONFIG).write_bytes(data)
    read_lora(folder)
    check_base(folder, TINY)


def site_reader(data: bytes, _: Path) -> None:
    Site.of({**full_site_data(), "images": data.decode("utf-8", "replace")})


def message_reader(data: bytes, _: Path) -> None:
    text = data.decode("utf-8", "replace")
    last_message(text)
    assert log._as_person(text).replace("\t", "").isprintable()


def parquet(columns: dict[str, list[object]]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def scores_table() -> bytes:
    from fingpt.eval.scores_parquet import SCHEMA

    row = {"example": "e", "week": "2030-01-01", "variant": "tuned", "valid": True, "parsed": True}
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([row, {**row, "example": "f"}], schema=SCHEMA), sink)
    return sink.getvalue()


def answers_reader(data: bytes, folder: Path) -> None:
    (folder / "answers.parquet").write_bytes(data)
    test = {name: [ROW[name]] for name in ("symbol", "period", "answer", "label")}
    (folder / "test.parquet").write_bytes(parquet(test))
    (folder / "scratch").mkdir()
    store = LocalStore(folder / "store")
    read_pairs(folder / "answers.parquet", str(folder / "test.parquet"), store, folder / "scratch")


def rows_reader(name: str) -> Reader:
    def read(path: Path) -> object:
        may_hold_rows(path, kind_of(name))
        return list(read_file(path, "train"))

    return file_reader(name, read)


def arrow_rows() -> bytes:
    table = pa.table({key: [value] for key, value in ROW.items()})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def raw_reader(data: bytes, folder: Path) -> None:
    store = LocalStore(folder)
    store.create(f"raw/{RAW.id}/manifest.json", data)
    store.create(f"raw/{RAW.id}/train.jsonl", b"{}\n")
    read_raw_manifest(store, f"raw/{RAW.id}")
    fetch_raw(store, f"raw/{RAW.id}", folder / "rows")


def hub_rows_reader(data: bytes, folder: Path) -> None:
    store = LocalStore(folder)
    store.create(hub_key("a/b", "main"), data)
    list(mirrored_raw(store))
    stored_hub_rows(store, "hub:a/b")


def override_reader(data: bytes, folder: Path) -> None:
    (folder / "a.yaml").write_bytes(b"model: tiny-llama31\n")
    text = data.decode("utf-8", "replace")
    for key in ("train.lr", "seed", "prep.source", "train.lora.targets", "prep.limit"):
        with suppress(FingptError):
            load_config(folder / "a.yaml", [f"{key}={text}"])


def table_reader(name: str) -> Reader:
    def read(data: bytes, folder: Path) -> None:
        (folder / "prices.csv").write_bytes(PRICES)
        (folder / name).write_bytes(data)
        found = open_files(str(folder))
        for kind in Kind:
            found.records(kind, "AAPL", before=datetime(2030, 1, 1, tzinfo=UTC))

    return read


def retrieval_reader(data: bytes, folder: Path) -> None:
    store = LocalStore(folder)
    part = Part(source="edgar", kind=Kind.NEWS, symbol="AAPL", month="2025-01")
    store.create(part.key(1), data)
    _, kept = RawStore(store).newest(part)
    assert kept is not None
    list(RawStore(store).answers(kept))


def source_folder_reader(data: bytes, folder: Path) -> None:
    store = LocalStore(folder / "store")
    store.create(f"sources/answers/{SOURCE_FILE.sha256[:2]}/{SOURCE_FILE.sha256}", PRICES)
    store.create(f"sources/folders/{SOURCE_FILES.digest}.json", data)
    RawStore(store).fetch_folder(SOURCE_FILES.digest, folder / "back")


def frozen_reader(data: bytes, folder: Path) -> None:
    store = LocalStore(folder / "store")
    source_folder_reader(canonical_json(SOURCE_FILES), folder)
    store.create(f"sources/snapshots/{SOURCE_FILES.digest}.json", data)
    Opener(store, {}).open_frozen(SOURCE_FILES.digest, folder / "opened")


PRICES = b"symbol,date,open,high,low,close\nAAPL,2025-01-02,1,2,1,2\nAAPL,2025-01-03,2,2,1,1\n"
NEWS = {"symbol": "AAPL", "published_at": "2025-01-02T15:00:00Z", "headline": "a", "url": None}
RETRIEVAL = Retrieval(
    source="edgar",
    kind=Kind.NEWS,
    symbol="AAPL",
    month="2025-01",
    retrieved_at=datetime(2025, 2, 1, tzinfo=UTC),
    answers=(),
)
SOURCE_FILE = FileRef(name="prices.csv", size=len(PRICES), sha256=sha256_bytes(PRICES))
SOURCE_FILES = FolderManifest(files=(SOURCE_FILE,))
FROZEN = FrozenSnapshot(
    digest=SOURCE_FILES.digest,
    parts=(FrozenPart(source="files", kinds=tuple(Kind), folder=SOURCE_FILES.digest),),
)

ANSWERS = parquet({"symbol": ["AAPL"], "period": [ROW["period"]], "prediction": ["up"]})


def forecast_reader(data: bytes, _: Path) -> None:
    render(decode(ForecastRecord, data, "key"))


def watchlist_reader(data: bytes, folder: Path) -> None:
    (folder / "watchlist").write_bytes(data)
    named_symbols("", "", str(folder / "watchlist"))


# Name → a sound input, how its JSON is written back after a change (None: it is no JSON), and what reads it.
READERS: dict[str, tuple[bytes, Callable[[Any], bytes] | None, Reader]] = {
    **BODIES,
    "data set": (encode(DATASET), plain, manifest_reader(DatasetManifest)),
    "data set, sealed": (encode(DATASET), sealed, manifest_reader(DatasetManifest)),
    "base, sealed": (encode(BASE), sealed, manifest_reader(BaseManifest)),
    "prep, sealed": (encode(PREP), sealed, manifest_reader(PrepManifest)),
    "report, sealed": (encode(REPORT), sealed, manifest_reader(ReportManifest)),
    "commit, sealed": (encode(COMMIT), sealed, manifest_reader(Commit)),
    "losses, sealed": (encode(LOSSES), sealed, manifest_reader(StoredLosses)),
    "request, sealed": (encode(REQUEST), sealed, manifest_reader(ForecastRequest)),
    "forecast, sealed": (encode(FORECAST), sealed, forecast_reader),
    "week, sealed": (encode(WEEK), sealed, manifest_reader(WeekMark)),
    "watchlist": (b"AAPL\nMSFT # two\n", None, watchlist_reader),
    "verify, prep": (encode(PREP), sealed, dataset_reader),
    "verify, commit": (encode(COMMIT), sealed, dataset_reader),
    "run": (RUN.encode(), plain, run_reader),
    "notes": (plain(CLAIM), plain, note_reader),
    "curve": (plain(STEP), plain, lambda data, _: read_curve(data, "key")),
    "records": (plain(STEP), plain, file_reader("metrics.jsonl", read_records)),
    "chunk": (
        encode_chunk([ANSWER], "c"),
        None,
        lambda data, _: decode_chunk(Answer, data, "c", "key"),
    ),
    "labels": (
        encode_chunk([LabelScores(example="e", logp=(-1.5,) * 12)], "c"),
        None,
        lambda data, _: decode_chunk(LabelScores, data, "c", "key"),
    ),
    "examples": (
        encode_jsonl([EXAMPLE]),
        plain,
        lambda data, _: [e.id for e in decode_jsonl(data)],
    ),
    "base config": (plain(CONFIG), plain, base_reader("config.json")),
    "base index": (plain(INDEX), plain, base_reader("model.safetensors.index.json")),
    "base tokenizer settings": (plain({"a": 1}), plain, base_reader("tokenizer_config.json")),
    "adapter": (plain(ADAPTER), plain, adapter_reader),
    "tokenizer": (
        plain(TOKENIZER),
        plain,
        file_reader("tokenizer.json", lambda p: load_tokenizer(p.parent)),
    ),
    "configuration": (YAML, None, file_reader("a.yaml", load_config)),
    "override": (b"1e-4", None, override_reader),
    "site": (plain({"prep": "p", "train": "t", "eval": "e"}), plain, site_reader),
    "log line": (plain({"event": "x", "n": 1}), plain, message_reader),
    "scores": (scores_table(), None, lambda data, _: read_scores(data, "key")),
    "answers": (ANSWERS, None, answers_reader),
    "rows, parquet": (
        parquet({key: [value] for key, value in ROW.items()}),
        None,
        rows_reader("a.parquet"),
    ),
    "rows, jsonl": (plain(ROW), plain, rows_reader("a.jsonl")),
    "rows, jsonl.gz": (gzip.compress(plain(ROW), mtime=0), None, rows_reader("a.jsonl.gz")),
    "rows, csv": (CSV, None, rows_reader("a.csv")),
    "rows, arrow": (arrow_rows(), None, rows_reader("a.arrow")),
    "source, csv": (PRICES, None, table_reader("prices.csv")),
    "source, jsonl": (plain(NEWS), plain, table_reader("news.jsonl")),
    "source, parquet": (
        parquet({name: [value] for name, value in NEWS.items() if value}),
        None,
        table_reader("news.parquet"),
    ),
    "source, settings": (b"calendar: XNYS\ncurrency: USD\n", None, table_reader("folder.yaml")),
    "sources": (
        b"sources:\n  edgar: {kinds: [news]}\nallow_missing: [news]\n",
        None,
        file_reader("a.yaml", lambda path: load_selection(str(path), "")),
    ),
    "retrieval": (canonical_json(RETRIEVAL), plain, retrieval_reader),
    "source folder": (canonical_json(SOURCE_FILES), plain, source_folder_reader),
    "frozen snapshot": (canonical_json(FROZEN), plain, frozen_reader),
    "frozen rows": (encode(RAW), plain, raw_reader),
    "frozen rows, sealed": (encode(RAW), sealed, raw_reader),
    "hub rows, sealed": (encode(HUB_ROWS), sealed, hub_rows_reader),
}


def mutated_value(chance: random.Random, value: Any) -> Any:
    """`value` with one node replaced, removed, renamed or wrapped."""
    if chance.random() < 0.15 or not isinstance(value, dict | list) or not value:
        return chance.choice(HOSTILE)
    if isinstance(value, dict):
        key = chance.choice(sorted(value))
        kind = chance.random()
        if kind < 0.1:
            return {name: each for name, each in value.items() if name != key}
        if kind < 0.2:
            return {
                **value,
                chance.choice(("auto_map", "x", "", "\x1b", "a" * 300)): chance.choice(HOSTILE),
            }
        return {**value, key: mutated_value(chance, value[key])}
    index = chance.randrange(len(value))
    return [*value[:index], mutated_value(chance, value[index]), *value[index + 1 :]]


def mutated_bytes(chance: random.Random, data: bytes) -> bytes:
    """`data` with bytes flipped, cut, doubled, or something hostile put in."""
    at, until = sorted(chance.randrange(len(data) + 1) for _ in range(2))
    kind = chance.randrange(5)
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + chance.choice(SPLICES) + data[until:]
    if kind == 2:
        return data[:at] + data[at:until] * 2 + data[until:]
    flipped = bytearray(data)
    for _ in range(chance.choice((1, 1, 3, 20))):
        flipped[chance.randrange(len(flipped))] = chance.randrange(256)
    return bytes(flipped)


def mutated(chance: random.Random, data: bytes, write: Callable[[Any], bytes] | None) -> bytes:
    if write is not None and chance.random() < 0.6:
        try:
            return write(mutated_value(chance, json.loads(data)))
        except (ValueError, TypeError):  # a value that cannot be sealed or written
            pass
    return mutated_bytes(chance, data)


def fault_of(read: Reader, data: bytes, folder: Path) -> str:
    """What is wrong with how `read` ends; empty for a value and for a sentence of ours."""
    try:
        read(data, folder)
    except KeyboardInterrupt:
        raise
    except FingptError as error:
        sound = error.exit_code > 1 and len(str(error)) < 2000
        return "" if sound else f"{type(error).__name__} of {len(str(error))} characters"
    except BaseException as error:  # noqa: BLE001 - a panic of a library is no Exception
        return f"{type(error).__name__}: {error!s:.200}"
    return ""


@pytest.mark.parametrize("name", READERS)
def test_a_mutated_input_is_a_value_or_one_of_our_errors(name, tmp_path_factory):
    data, write, read = READERS[name]
    faults = []
    for number in range(max(1, INPUTS // len(READERS))):
        hostile = mutated(random.Random(f"{name} {number}"), data, write)
        fault = fault_of(read, hostile, tmp_path_factory.mktemp("fuzz"))
        if fault:
            faults.append(f"{number}: {fault}: {hostile!r:.300}")
    assert faults == []


@pytest.mark.parametrize("name", READERS)
def test_an_input_as_it_should_be_is_read(name, tmp_path):
    data, _, read = READERS[name]
    read(data, tmp_path)
