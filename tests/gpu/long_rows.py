"""A run on invented rows that are as long as real ones, ready to be trained, to measure a GPU machine.

Lengths are spread as those of published forecaster rows are (1,900 tokens on average, 384 of them the answer); the
words mean nothing. Base weights come from random_base, in the same store.

    python -m tests.gpu.long_rows --model llama31 --tokenizer folder/with/tokenizer.json [--rows 256] [train.epochs=1 …]
"""

from __future__ import annotations

import argparse
import random
import re
import tempfile
from pathlib import Path

from tokenizers import Tokenizer

from fingpt.config import RunConfig, load_config, read_environment
from fingpt.prompts.examples import Example, encode_jsonl
from fingpt.record import sha256_bytes
from fingpt.runs.manifest import DatasetManifest, PrepManifest, encode
from fingpt.runs.run import (
    Run,
    Stage,
    complete_key,
    dataset_manifest_key,
    dataset_prefix,
    run_key,
)
from fingpt.storage import ObjectStore, open_store, upload_tree
from jobs import CONFIGS
from tests.bench.paths import a_folder

TOKENS, ANSWER = (1892, 360, 700, 3128), (384, 40, 250, 520)
"""Mean, standard deviation, least and most."""


def long_rows(tokenizer: Path, count: int, seed: int) -> list[Example]:
    """Examples whose prompts and answers are that long for the tokenizer in the folder `tokenizer`."""
    vocabulary = Tokenizer.from_file(str(tokenizer / "tokenizer.json")).get_vocab()
    words = sorted(token[1:] for token in vocabulary if re.fullmatch("Ġ[a-z]{4,}", token))
    draw = random.Random(seed)

    def length(mean: int, spread: int, least: int, most: int) -> int:
        return min(max(round(draw.gauss(mean, spread)), least), most)

    rows = []
    for number in range(count):
        tokens, answer = length(*TOKENS), length(*ANSWER)
        text = " ".join(draw.choices(words, k=answer))
        rows.append(
            Example(
                system="invented",
                user=" ".join(draw.choices(words, k=tokens - answer)),
                answer=text,
                symbol=f"S{number}",
                period="2024-01-01 to 2024-01-08",
                label="up by 1-2%",
                prompt="",
                raw_answer=text,
            )
        )
    return rows


def write_splits(folder: Path, tokenizer: Path, count: int, evaluated: int = 16) -> None:
    """`count` rows to train on and `evaluated` rows to evaluate on, as a data set has them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, number, seed in (("train", count, 0), ("validation", evaluated, 1)):
        (folder / f"{name}.jsonl").write_bytes(encode_jsonl(long_rows(tokenizer, number, seed)))


def publish_run(store: ObjectStore, config: RunConfig, data: Path, count: int) -> Run:
    """The run of `config` on the splits in `data`, its prep complete."""
    manifest = DatasetManifest(
        id="invented",
        source="tests",
        split_rule="published",
        counts={"train": count, "validation": 16, "test": 0},
        weeks={},
        files=upload_tree(store, data, dataset_prefix("invented")),
    )
    store.create(dataset_manifest_key("invented"), encode(manifest))
    run = Run.of(config, {})
    store.create(run_key(run.id), run.encode())
    prep = PrepManifest(
        run=run.id,
        stage="prep",
        config_sha256=config.sha256,
        image="",
        inputs={},
        finished_at="",
        dataset="invented",
        dataset_sha256=sha256_bytes(encode(manifest)),
    )
    store.create(complete_key(run.id, Stage.PREP), encode(prep))
    return run


def main() -> None:
    """Print the address of the run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--tokenizer", type=a_folder, required=True)
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("settings", nargs="*")
    arguments = parser.parse_args()
    config = load_config(CONFIGS / f"{arguments.model}.yaml", arguments.settings)
    store = open_store(read_environment().store)
    with tempfile.TemporaryDirectory() as scratch:
        write_splits(Path(scratch), arguments.tokenizer, arguments.rows)
        run = publish_run(store, config, Path(scratch), arguments.rows)
    print(f"{store.uri}/{run_key(run.id)}")


if __name__ == "__main__":
    main()
