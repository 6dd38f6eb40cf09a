"""Where the numbers come from: hashes, versions, hardware, split, decoding: one line per fact, one text per run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from fingpt.report.document import ParserLine, ProvenanceLine
from fingpt.report.sides import Side
from fingpt.report.stats import DRAWS, MIN_WEEKS, wilson
from fingpt.report.verdict import Verdict

_FACTS: tuple[tuple[str, Callable[[Side], str]], ...] = (
    ("run", lambda s: s.run),
    ("base model", lambda s: f"{s.model.base}@{s.model.revision}"),
    ("base weights, sha256", lambda s: s.adapter.base_sha256),
    ("adapter manifest, sha256", lambda s: s.evaluation.adapter_sha256),
    ("tokenizer, sha256", lambda s: s.adapter.tokenizer_sha256),
    ("chat template, sha256", lambda s: s.adapter.template_sha256),
    ("configuration, sha256", lambda s: s.evaluation.config_sha256),
    ("seed", lambda s: str(s.seed)),
    ("data set", lambda s: f"{s.dataset.id} from {s.dataset.source}"),
    ("split", lambda s: s.dataset.split_rule + (" (LEAKY)" if s.dataset.leaky else "")),
    ("rows", lambda s: _pairs(s.dataset.counts)),
    ("weeks", lambda s: _pairs(s.dataset.weeks)),
    (
        "rows refused or left out",
        lambda s: _pairs({**s.dataset.rejects, **s.dataset.dropped}) or "none",
    ),
    (
        "training",
        lambda s: (
            f"{s.adapter.steps} steps, {s.adapter.rows} rows, {s.adapter.answer_tokens:,} answer tokens, "
            f"{s.adapter.trainable_parameters:,} trainable parameters, exactness {s.adapter.exactness}, "
            + (f"resumed at step {s.adapter.resumed}" if s.adapter.resumed else "not interrupted")
        ),
    ),
    (
        "loss at the end of training",
        lambda s: (
            f"training {s.adapter.train_loss:.4f}, {s.adapter.eval_split} "
            + ("not measured" if s.adapter.eval_loss is None else f"{s.adapter.eval_loss:.4f}")
        ),
    ),
    ("prompts that lost old news", lambda s: str(s.adapter.dropped_news)),
    ("peak memory in training", lambda s: f"{s.adapter.peak_memory_bytes / 2**30:.2f} GiB"),
    ("decoding", lambda s: _pairs(s.evaluation.decoding)),
    ("answers cut at the token limit", lambda s: f"{s.scores.truncated} of {s.scores.n}"),
    ("hardware, training", lambda s: _pairs(s.adapter.hardware)),
    ("hardware, evaluation", lambda s: _pairs(s.evaluation.hardware)),
    ("versions, training", lambda s: _pairs(s.adapter.versions)),
    ("versions, evaluation", lambda s: _pairs(s.evaluation.versions)),
    (
        "images, train and eval",
        lambda s: f"{s.adapter.image or 'none'}, {s.evaluation.image or 'none'}",
    ),
    ("finished", lambda s: s.evaluation.finished_at),
)

_METHOD = f"""
Verdicts say how a later model stands against the first one. “{Verdict.BETTER.label}” and “{Verdict.WORSE.label}” mean
that the 95 % interval of the paired difference leaves out 0; everything else is “{Verdict.NO_DIFFERENCE.label}”, which
is not proof of equality.

Intervals: whole weeks are resampled ({DRAWS:,} draws, seeded), because rows of one week share the market; expanded
percentile intervals (Hesterberg 2015). Fewer than {MIN_WEEKS} test weeks give no interval.

No correction for several comparisons: of twenty true ties about one shows a difference by chance. Binary accuracy
over all rows is the primary question; the other lines are secondary.

An answer that cannot be read counts as a wrong direction, a forecast of 0 and a ROUGE of 0; lines “answers that were
read” leave such rows out, each model its own. An answer is read when it states a direction; where it states no size,
its size counts as 0.

MSE is between bin midpoints in squared percentage points (pp²). MSE skill is 1 − MSE/MSE of no change. Loss is the
mean negative log-likelihood per token of the reference answer. ROUGE is the F-measure with stemming.

Baselines need no model and use the same rows; random ones are exact expectations. The best trivial one is chosen on
these very rows, which makes it a strict rival. The oracle knows each week's majority and is a ceiling.

Speeds and run times were taken once per model, in batches: they carry no interval and name no winner.

For research and education; not investment advice. Past weeks say little about coming ones.
"""
METHOD: tuple[str, ...] = tuple(" ".join(part.split()) for part in _METHOD.split("\n\n"))


def provenance(sides: Sequence[Side]) -> tuple[ProvenanceLine, ...]:
    """All facts of origin, one text per side."""
    return tuple(
        ProvenanceLine(what=what, values=tuple(tell(side) for side in sides))
        for what, tell in _FACTS
    )


def parser_lines(sides: Sequence[Side]) -> tuple[ParserLine, ...]:
    """Both parsers' counts and scores for every variant, as eval wrote them."""
    found = []
    for side in sides:
        for variant, scores in sorted(side.evaluation.scores.items()):
            for name, its in (("robust", scores.robust), ("strict", scores.strict)):
                found.append(
                    ParserLine(
                        model=side.title,
                        variant=variant,
                        parser=name,
                        n=its.n,
                        parsed=its.parsed,
                        read_interval=wilson(its.parsed, its.n),
                        valid=its.valid,
                        accuracy=its.binary_accuracy,
                        accuracy_all=its.accuracy_all,
                        mse=its.mse,
                        mse_all=its.mse_all,
                        failures=its.failures,
                    )
                )
    return tuple(found)


def _pairs(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(values.items()))
