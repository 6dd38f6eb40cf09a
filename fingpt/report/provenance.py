"""Where the numbers come from: hashes, versions, hardware, split, decoding: one line per fact, one text per run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from fingpt.report.clusters import MIN_CLUSTERS
from fingpt.report.document import Asked, ParserLine, ProvenanceLine
from fingpt.report.sides import Side
from fingpt.report.stats import DRAWS, wilson
from fingpt.report.verdict import Verdict

_FACTS: tuple[tuple[str, Callable[[Side], str]], ...] = (
    ("runs", lambda s: ", ".join(s.runs)),
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
    (
        "8-bit products in training",
        lambda s: "none asked for" if s.adapter.gate is None else s.adapter.gate.sentence,
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

_METHOD = """
Verdicts say how one model stands against another. “{better}” and “{worse}” mean that the interval of the paired
difference leaves out 0; “{equivalent}” that its 90 % interval lies within the margin of {margin:g} (two one-sided
tests), which only the primary question has; everything else is “{none}”, which is not proof of equality.

One question is primary, and was frozen before the training: {primary}. It is tested at {primary_alpha:.0f} %. The
{secondary} other comparisons, those with the untuned bases among them, are corrected together and tested at
{secondary_alpha:.0f} %: a report of pure noise names a winner in at most 5 of 100 cases, and in 95 of 100 reports
every interval of a difference holds.

Differences: the signs of whole weeks are flipped, of all lines together, because rows of one week share the market
and lines of one report share the rows; the largest studentised difference of each flip gives the critical value
(max-T, Westfall and Young 1993). {blocks} Fewer than {least} of them give no interval and no verdict.

{seeds}

Values of one model have 95 % intervals from {draws:,} draws of whole weeks, seeded; expanded percentile intervals
(Hesterberg 2015). Squared errors have Diebold and Mariano's test beside the interval, with the correction of Harvey,
Leybourne and Newbold. McNemar's test takes rows as independent and stands there for comparison with other reports
alone.

An answer that cannot be read counts as a wrong direction and a forecast of 0 in lines over all answers. Those are
compared only where at least 95 % of both models' answers can be read and the two shares differ by at most 2 points;
ROUGE, and lines over answers that both gave, leave out rows that either model did not answer. An answer is read when
it states a direction; where it states no size, its size counts as 0.

MSE is between bin midpoints in squared percentage points (pp²). Loss is the mean negative log-likelihood per token of
the reference answer. ROUGE is the F-measure with stemming. Direction against the week's mean takes out what all
stocks did.

Trivial forecasts need no model and use the same rows; random ones are exact expectations. A model has skill when it
beats every one of them (the interval of its smallest lead, all models and questions together at 5 %); Hansen's test
asks the reverse, whether any of them is better. The oracle knows each week's majority and is a ceiling.

A leak that the linter calls an error, a random split, and a finding that alone is right more often than the commoner
direction forbid verdicts on all that they touch.

Speeds and run times were taken once per model, in batches: they carry no interval and name no winner.

For research and education; not investment advice. Past weeks say little about coming ones.
"""


def method(asked: Asked) -> tuple[str, ...]:
    """How the report was made, from what it tested."""
    text = _METHOD.format(
        better=Verdict.BETTER.label,
        worse=Verdict.WORSE.label,
        equivalent=Verdict.EQUIVALENT.label,
        none=Verdict.NO_DIFFERENCE.label,
        margin=asked.margin,
        primary=asked.title,
        primary_alpha=100 * (1 - asked.primary_level),
        secondary=asked.secondary,
        secondary_alpha=100 * (1 - asked.secondary_level),
        blocks="Weeks do not overlap."
        if asked.block == 1
        else f"{asked.block} neighbouring weeks count as one, since windows overlap or weeks correlate (Künsch 1989).",
        least=MIN_CLUSTERS,
        seeds="Each model was trained with one seed, so every verdict is about these adapters and not about the models."
        if min(asked.seeds) == 1
        else "Intervals are over training seeds and weeks (two-way clustering), so verdicts are about the models.",
        draws=DRAWS,
    )
    return tuple(" ".join(part.split()) for part in text.split("\n\n"))


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
