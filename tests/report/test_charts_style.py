"""Charts where the reader's font is wider than the one that they were laid out with, as a Linux desktop's is."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from fingpt.report.charts_run import loss_curves

# Advance widths of DejaVu Sans, in em, as its own tables have them; the widest of the usual system fonts.
EM = {".": 0.318, "-": 0.361, "+": 0.838, "↑": 0.838, "↓": 0.838, "−": 0.838, ",": 0.318}
DIGIT = 0.636
DESCENT = 3.0  # pixels of a 12 pixel font below its baseline

TEXT = re.compile(
    r'<text text-anchor="(\w+)" transform="translate\(([-\d.]+),([-\d.]+)\)([^"]*)"'
    r'[^>]*?font-size="([\d.]+)px"[^>]*opacity="1">([^<]*)<'
)
GROUP = re.compile(r'<g class="mark-text role-axis-(label|title)".*?</g>', re.DOTALL)


@pytest.fixture(scope="module")
def charts(rendered) -> list[str]:
    page = rendered["report.html"].decode()
    return re.findall(r"<svg aria-hidden.*?</svg>", page, re.DOTALL)


def width(text: str, size: str) -> float:
    return float(size) * sum(EM.get(letter, DIGIT) for letter in text)


def axes(svg: str) -> list[tuple[list[tuple[str, ...]], tuple[str, ...]]]:
    """Labels and title of each axis that has both."""
    groups = [(found[1], TEXT.findall(found[0])) for found in GROUP.finditer(svg)]
    return [
        (labels, title[0])
        for (kind, labels), (after, title) in pairwise(groups)
        if (kind, after) == ("label", "title")
    ]


def test_the_title_of_a_vertical_axis_stands_clear_of_its_labels(charts):
    seen = 0
    for svg in charts:
        for labels, (_, x, _, turned, _, title) in axes(svg):
            if "rotate(-90)" not in turned:
                continue
            seen += 1
            widest = max(width(text, size) - float(at) for _, at, _, _, size, text in labels)
            assert float(x) + DESCENT < -widest, title
    assert seen == 3  # the loss, and one table of bins per model


def test_no_label_of_a_horizontal_axis_runs_into_the_next(charts, report):
    seen = 0
    curves = [
        tuple(point.model_copy(update={"step": point.step * factor}) for point in report.curves)
        for factor in (2, 7, 100, 5000)
    ]
    longer = [
        str(loss_curves(report.model_copy(update={"curves": points})).svg) for points in curves
    ]
    for svg in [*charts, *longer]:
        for labels, (_, _, _, turned, _, title) in axes(svg):
            if "rotate" in turned:
                continue
            seen += 1
            ends = []
            for anchor, x, _, _, size, text in labels:
                wide = width(text, size)
                left = float(x) - {"start": 0, "middle": wide / 2, "end": wide}[anchor]
                ends.append((left, left + wide))
            for (_, end), (begin, _) in pairwise(sorted(ends)):
                assert begin - end >= 2, title
    assert seen >= 12
