"""Tiny base models: real Llama architecture, tokenizer and templates at a size that a CPU trains in seconds.

`make_base` writes one base folder (configuration, safetensors, tokenizer.json); `publish` puts it into the store under
the model's own prefix, like mirrored weights. A tiny base has read prompts and prose about invented companies that are
not in the sample; it knows the words of an answer but not its layout, and nothing that helps to forecast. Same seed,
same machine and same library versions give the same bytes. Not here: LoRA, which is the train stage's work.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from fingpt import hardware, log
from fingpt.models import Family, ModelSpec
from fingpt.prompts import chat
from fingpt.prompts.examples import Example
from fingpt.prompts.words import LLAMA_PATTERN
from fingpt.runs.manifest import BaseManifest
from fingpt.runs.run import base_manifest_key
from fingpt.storage import ObjectStore, upload_tree
from fingpt.synthetic.rows import SYSTEM, Row, rows_by_company, sample_rows
from fingpt.synthetic.text import PRACTICE_COMPANIES
from fingpt.weights.base import publish_base, read_base_manifest, require_origin

VOCABULARY = 4096
SPECIAL_TOKENS: dict[Family, tuple[str, ...]] = {
    "llama31": (
        *("<|begin_of_text|>", "<|end_of_text|>", "<|finetune_right_pad_id|>"),
        *("<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>"),
    ),
    "deepseek-r1": (
        *("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>"),
        *("<｜User｜>", "<｜Assistant｜>", "<think>", "</think>"),
    ),
}
_MAX_TOKENS = 8192

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Recipe:
    """Shape and training of a tiny base.

    Of each practice company it first reads `digests` weeks of news alone, then `prompts` whole prompts, both with
    prose behind them; `batch` rows a step (twice as many of the short digests), each row once.
    """

    hidden: int = 128
    layers: int = 2
    heads: int = 2
    inner: int = 384
    digests: int = 24
    prompts: int = 10
    batch: int = 2
    lr: float = 3e-3
    seed: int = 7
    threads: int = 1  # the order of summation, and so the bytes, depends on it


RECIPE = Recipe()
"""What the revision of the model table stands for; whoever changes it raises that revision."""


def practice_rows(recipe: Recipe) -> list[Row]:
    """Rows of companies that the sample does not have, in other years, whose news tell nothing."""
    table = rows_by_company(
        PRACTICE_COMPANIES,
        recipe.seed,
        date(2027, 1, 3),
        recipe.digests + recipe.prompts,
        telling=False,
    )
    return [row for rows in table for row in rows]


def prose(row: Row) -> str:
    """A row's answer in a layout that no parser of forecasts accepts: plain sentences, one outlook."""
    return (
        f"Good news for {row.symbol}: {' '.join(row.positives)}\nBad news: {' '.join(row.concerns)}\n"
        f"My view is {row.label.capitalize()}. {row.analysis}"
    )


def build_tokenizer(spec: ModelSpec, texts: Sequence[str], path: Path) -> None:
    """Train a byte-level BPE on `texts`, add the family's special tokens, write tokenizer.json to `path`."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokens = SPECIAL_TOKENS[spec.family]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(tokens),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in tokens])
    tokenizer.save(str(path))


def _example(row: Row, *, digest: bool = False) -> Example:
    """The row with its prose; a digest has the news of the past weeks and nothing around them."""
    columns = row.columns()
    user = row.user
    if digest:
        user = user[user.index("From ") : user.index("Some recent basic financials")]
    return Example(
        system="" if digest else SYSTEM,
        user=user,
        answer=prose(row),
        symbol=row.symbol,
        period=row.period,
        label=row.label,
        prompt=columns["prompt"],
        raw_answer=columns["answer"],
    )


def _new_model(spec: ModelSpec, tokenizer: Any, recipe: Recipe) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    stops = chat.stop_ids(spec, tokenizer)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=recipe.hidden,
            intermediate_size=recipe.inner,
            num_hidden_layers=recipe.layers,
            num_attention_heads=recipe.heads,
            num_key_value_heads=1,
            max_position_embeddings=16_384,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.convert_tokens_to_ids(SPECIAL_TOKENS[spec.family][0]),
            eos_token_id=list(stops),
            pad_token_id=chat.pad_id(spec, tokenizer),
        )
    )


def _batches(sequences: Sequence[Ids], size: int, rng: random.Random) -> list[Sequence[Ids]]:
    """Batches of similar length in random order."""
    ordered = sorted(sequences, key=len)
    batches: list[Sequence[Ids]] = [
        ordered[start : start + size] for start in range(0, len(ordered), size)
    ]
    rng.shuffle(batches)
    return batches


def _reading(spec: ModelSpec, tokenizer: Any, recipe: Recipe) -> list[Sequence[Ids]]:
    """All batches of the base training, in order: digests of news first, then whole prompts."""
    rng = random.Random(recipe.seed)
    hardware.quiet_libraries()
    rows = practice_rows(recipe)
    rng.shuffle(rows)
    cut = len(PRACTICE_COMPANIES) * recipe.digests
    digests, prompts = (
        [
            chat.render(spec, tokenizer, _example(row, digest=digest), _MAX_TOKENS).input_ids
            for row in part
        ]
        for part, digest in ((rows[:cut], True), (rows[cut:], False))
    )
    return _batches(digests, 2 * recipe.batch, rng) + _batches(prompts, recipe.batch, rng)


def _train(model: Any, batches: Sequence[Sequence[Ids]], recipe: Recipe) -> float:
    """Next-token training over all tokens; returns the mean loss of the last ten steps, in nats."""
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.lr, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=recipe.lr, total_steps=len(batches), pct_start=0.1
    )
    losses: list[float] = []
    with log.progress("train the tiny base", len(batches)) as meter:
        for batch in batches:
            width = max(map(len, batch))
            # Padding stands on the right of a causal model: no real token sees it, and it bears no loss.
            ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in batch])
            target = torch.tensor([[*row, *[chat.IGNORED] * (width - len(row))] for row in batch])
            loss = model(input_ids=ids, labels=target).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
            losses.append(float(loss.detach()))
            meter.advance(loss=round(losses[-1], 3))
    tail = losses[-10:]
    return sum(tail) / len(tail)


def make_base(spec: ModelSpec, folder: Path, recipe: Recipe) -> float:
    """Write `spec`'s base into `folder`; returns the final training loss in nats per token."""
    import torch

    rows = practice_rows(recipe)
    words = [row.columns()["prompt"] + prose(row) for row in rows]
    words += [row.columns()["prompt"] + row.answer for row in sample_rows()["train"]]
    folder.mkdir(parents=True, exist_ok=True)
    build_tokenizer(spec, words, folder / "tokenizer.json")
    tokenizer = chat.load_tokenizer(folder)
    batches = _reading(spec, tokenizer, recipe)
    threads = torch.get_num_threads()
    torch.set_num_threads(recipe.threads)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            model = _new_model(spec, tokenizer, recipe)
            loss = _train(model.train(), batches, recipe)
    finally:
        torch.set_num_threads(threads)
    model.save_pretrained(folder)
    return loss


def publish(store: ObjectStore, spec: ModelSpec) -> BaseManifest:
    """Make `spec`'s base and put it into `store`, its manifest last, unless that is there.

    ConfigError for a full-size model.
    """
    require_origin(spec, store.uri, tiny=True)
    if store.exists(base_manifest_key(spec.base_prefix)):
        log.event("tiny base already in the store", model=spec.key, store=store.uri)
        return read_base_manifest(store, spec)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "base"
        loss = make_base(spec, folder, RECIPE)
        files = upload_tree(store, folder, spec.base_prefix)
    manifest = publish_base(store, spec, files)
    log.event("tiny base stored", model=spec.key, loss=round(loss, 3), sha256=manifest.sha256)
    return manifest
