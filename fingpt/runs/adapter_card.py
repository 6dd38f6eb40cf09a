"""What an adapter needs outside this project: its chat template, a reference to its tokenizer, a model card.

Made from records when an adapter is collected, so the stored adapter keeps its bytes, and a card has the scores that
exist by then. Reads nothing and writes nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from fingpt.models import ModelSpec, spec
from fingpt.prompts.families import chat_template, template_sha256
from fingpt.record import FileRef
from fingpt.rows.layout import SPLITS
from fingpt.runs.manifest import (
    DatasetManifest,
    EvalManifest,
    TrainManifest,
    ValidationScores,
    VariantScores,
)
from fingpt.runs.run import Run

_TINY = " The base is on no hub: `make tiny` makes it, and its folder under `models/` in the store is to be named."

TEMPLATE, TOKENIZER, CARD = "chat_template.jinja", "tokenizer_reference.json", "README.md"


@dataclass(frozen=True, slots=True)
class Origin:
    """The records of the run that trained the adapter; `dataset` and `evaluation` where they are there."""

    run: Run
    train: TrainManifest
    dataset: DatasetManifest | None = None
    evaluation: EvalManifest | None = None

    @property
    def model(self) -> ModelSpec:
        """The row of the model table."""
        return spec(self.run.config.model)

    @property
    def has_template(self) -> bool:
        """Whether this version's template is the one that the adapter was trained with."""
        return self.train.template_sha256 == template_sha256(self.model)


def companions(origin: Origin) -> dict[str, bytes]:
    """The files to lie beside the adapter, by name; no template where this version has another than the training's."""
    files = {TOKENIZER: _tokenizer(origin), CARD: _card(origin)}
    if origin.has_template:
        files[TEMPLATE] = chat_template(origin.model)
    return {name: text.encode() for name, text in files.items()}


def _tokenizer(origin: Origin) -> str:
    """Which tokenizer the adapter was trained with; the base's, whose licence it is under, so no copy."""
    fields = {
        "base_model": origin.model.base,
        "revision": origin.model.revision,
        "file": "tokenizer.json",
        "sha256": origin.train.tokenizer_sha256,
    }
    return json.dumps(fields, indent=2) + "\n"


def _card(origin: Origin) -> str:
    model, config = origin.model, origin.run.config
    lora = config.train.lora
    head = (
        f"---\nbase_model: {model.base}\nbase_model_revision: {model.revision}\nlibrary_name: peft\n"
        f"pipeline_tag: text-generation\nlicense: {model.licence}\ntags:\n- lora\n---"
    )
    parts = [
        head,
        f"# LoRA adapter of run {origin.run.id}",
        "Made by fingpt-jobs: forecasts the direction and size of a stock's next week from news. No advice to trade.",
        _table(
            ("what", "value"),
            [
                ("base model", f"`{model.base}`"),
                ("revision", f"`{model.revision}`"),
                ("sha256 of the base's files", f"`{origin.train.base_sha256}`"),
                ("data set", f"`{origin.train.dataset}`{_rows(origin.dataset)}"),
                ("rank, alpha, dropout", f"{lora.r}, {lora.alpha}, {lora.dropout}"),
                ("layers", ", ".join(lora.targets)),
                ("optimizer steps", str(origin.train.steps)),
                ("seed", str(config.seed)),
                ("sha256 of the configuration", f"`{config.sha256}`"),
                *((f"sha256 of `{file.name}`", f"`{file.sha256}`") for file in _own(origin.train)),
            ],
        ),
        "## Metrics",
        _metrics(origin),
        "## Licence",
        f"{model.terms} The adapter is whatever its base and its rows allow; `license` above is the base's.",
        "## How to load",
        _loading(origin),
    ]
    return "\n\n".join(parts) + "\n"


def _own(train: TrainManifest) -> list[FileRef]:
    return [file for file in train.files if file.name.startswith("adapter/")]


def _rows(dataset: DatasetManifest | None) -> str:
    if dataset is None:
        return ""
    counts = ", ".join(
        f"{dataset.counts[split]} {split}" for split in SPLITS if dataset.counts.get(split)
    )
    leaky = "; test labels can be read off training prompts" if dataset.leaky else ""
    return f" (`{dataset.source}`; rows: {counts}{leaky})"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _metrics(origin: Origin) -> str:
    if origin.evaluation is None:
        return "Not evaluated yet."
    if origin.evaluation.validation is not None:
        return _on_validation(origin.evaluation.validation)
    scores = origin.evaluation.scores
    rows = [
        (title, *(_figure(one, name) for one in scores.values()))
        for title, name in (
            ("loss, nats per answer token", "loss"),
            ("answers that state a direction, of all", "valid"),
            ("accuracy, all rows", "accuracy_all"),
            ("accuracy, valid rows", "binary_accuracy"),
            ("MSE, all rows, squared points", "mse_all"),
        )
    ]
    decoding = ", ".join(f"{name} {value}" for name, value in origin.evaluation.decoding.items())
    return (
        f"On the test split, read by the parser `robust`. Decoding: {decoding}.\n\n"
        f"{_table(('metric', *scores), rows)}"
    )


def _on_validation(found: ValidationScores) -> str:
    rows = [
        ("loss, nats per answer token", f"{found.loss:.4f}"),
        ("log-loss of the twelve labels, nats", f"{found.label_log_loss:.4f}"),
    ]
    return (
        f"On {found.n} validation rows of {found.weeks} weeks, by which settings were compared; the test split was not "
        f"opened.\n\n{_table(('metric', 'tuned'), [*rows])}"
    )


def _figure(scores: VariantScores, name: str) -> str:
    if name == "valid":
        return f"{scores.robust.valid}/{scores.robust.n}"
    value = scores.loss if name == "loss" else getattr(scores.robust, name)
    return "–" if value is None else f"{value:.4f}"


def _loading(origin: Origin) -> str:
    model = origin.model
    if not origin.has_template:
        return (
            "The chat template that this adapter was trained with is that of another version of fingpt-jobs; with any "
            "other its answers are worse. Collect it with that version."
        )
    return (
        f"With `{TEMPLATE}` and no other: with the vendor's template the adapter does worse than it was measured. "
        "Prompts are the published schema's, as a system and a user message, without special tokens in their text. "
        f"The tokenizer is the base's, as {TOKENIZER} says.{_TINY if model.tiny else ''}\n\n"
        "```python\n"
        "from pathlib import Path\n\n"
        "from peft import PeftModel\n"
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        f'base, revision = "{model.base}", "{model.revision}"\n'
        "tokenizer = AutoTokenizer.from_pretrained(base, revision=revision)\n"
        f'tokenizer.chat_template = Path("{TEMPLATE}").read_text(encoding="utf-8")\n'
        "model = AutoModelForCausalLM.from_pretrained(base, revision=revision)\n"
        'model = PeftModel.from_pretrained(model, ".")\n'
        "```\n\n"
        "```\n"
        f"vllm serve {model.base} --revision {model.revision} --enable-lora --max-lora-rank "
        f"{max(8, origin.run.config.train.lora.r)} \\\n"
        f"  --lora-modules {origin.run.id}=. --chat-template {TEMPLATE}\n"
        "```"
    )
