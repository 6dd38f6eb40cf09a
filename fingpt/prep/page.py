"""data.html: the data set for a person to read. One self-contained file: no script, no network, light, dark, print.

Everything that comes from rows is escaped by the template. What a model sees is computed in `views`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jinja2
from markupsafe import Markup

from fingpt.leaks import FAULTS
from fingpt.prep.facts import facts
from fingpt.prep.lint import VERSION
from fingpt.prep.split import evenly_spaced
from fingpt.prep.views import ModelView
from fingpt.prompts.examples import Example
from fingpt.rows.raw_rows import Reject
from fingpt.runs.manifest import DatasetManifest, Finding

SHOWN = 5
_SHOWN_REJECTS = 20
_LINE = re.compile(
    r"^(?:\[(Headline|Summary|[^\]\n]{1,40})\]:?[ \t]*(.*)|(From \d{4}-.*)|(\w{1,40}: -?[\d.]+(?:e-?\d+)?))$"
)


@dataclass(frozen=True)
class Page:
    """What the page shows: the manifest's figures, some rows in full, models' views of them, charts as SVG by name."""

    manifest: DatasetManifest
    shown: Sequence[Example]
    views: Sequence[ModelView]
    charts: Mapping[str, str]
    rejects: Sequence[Reject]
    read: int


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a prompt or an answer with its part in it: head, headline, summary, section, figure or text."""

    kind: str
    text: str


def shown_rows(parts: Mapping[str, Sequence[Example]]) -> tuple[Example, ...]:
    """Five rows to look at: one that the importer repaired, if any, the others evenly spread over train and test."""
    pool = [example for part in parts.values() for example in part]
    noted = [example for example in pool if example.notes][:1]
    apart = {example.id for example in noted}
    rest = [example for example in pool if example.id not in apart]
    return (*evenly_spaced(rest, SHOWN - len(noted)), *noted)


def render_page(page: Page) -> str:
    """The whole page as HTML text."""
    rows = [
        {
            "example": example,
            "facts": facts(example),
            "prompt": _folded(_lines(example.user)),
            "answer": _lines(example.answer),
            "views": [(view, view.rows[place]) for view in page.views],
        }
        for place, example in enumerate(page.shown)
    ]
    return _template().render(
        manifest=page.manifest,
        read=page.read,
        rules=_by_rule(page.manifest.findings),
        rows=rows,
        views=page.views,
        rejects=page.rejects[:_SHOWN_REJECTS],
        refused=len(page.rejects),
        charts={name: Markup(svg) for name, svg in page.charts.items()},  # noqa: S704 - drawn from counts alone
        lint_version=VERSION,
        rule_count=len(FAULTS),
        advice=FAULTS,
    )


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.jinja")


def _by_rule(findings: Sequence[Finding]) -> list[list[Finding]]:
    """Findings of one rule together, in the order of their first."""
    groups: dict[str, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.rule, []).append(finding)
    return list(groups.values())


def _lines(text: str) -> list[Line]:
    found = []
    for line in text.splitlines():
        if not line.strip():
            continue
        match = _LINE.match(line)
        if match is None:
            found.append(Line("text", line))
        elif match[3]:
            found.append(Line("head", line))
        elif match[4]:
            found.append(Line("figure", line))
        elif match[1] in ("Headline", "Summary"):
            found.append(Line(match[1].lower(), match[2]))
        else:
            found.append(Line("section", line))
    return found


def _folded(lines: Sequence[Line]) -> list[list[Line]]:
    """Lines in blocks, figures apart: a prompt's thirty financial figures are set in columns."""
    blocks: list[list[Line]] = []
    for line in lines:
        if blocks and (blocks[-1][-1].kind == "figure") == (line.kind == "figure"):
            blocks[-1].append(line)
        else:
            blocks.append([line])
    return blocks
