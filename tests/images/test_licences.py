"""Statements of licences as SPDX, and the policy on them."""

from __future__ import annotations

from pathlib import Path

import pytest

from images.contents import Package
from images.licences import is_expression, judge, spdx
from images.policy import read_policy

ROOT = Path(__file__).parents[2]
ALLOWED = ("MIT", "Apache-2.0", "BSD-3-Clause", "Apache-2.0 WITH LLVM-exception", "BSD License")


@pytest.mark.parametrize(
    ("statement", "meant"),
    [
        ("MIT License", "MIT"),
        ("The MIT License", "MIT"),
        ("Expat", "MIT"),
        ("Apache License, Version 2.0", "Apache-2.0"),
        ("Apache 2.0 License", "Apache-2.0"),
        ("Apache Software License", "Apache-2.0"),
        ("apache-2.0", "Apache-2.0"),
        ("2-clause BSD", "BSD-2-Clause"),
        ("Mozilla Public License 2.0 (MPL 2.0)", "MPL-2.0"),
        ("GNU Lesser General Public License v3 (LGPLv3)", "LGPL-3.0-only"),
        ("GPL-2+", "GPL-2.0-or-later"),
        ("GPL", "GPL-1.0-or-later"),  # without a version it is any, says the licence itself
        ("GPL-3", "GPL-3.0-only"),
        ("LGPL-2.1+", "LGPL-2.1-or-later"),
        ("mit  or\n apache-2.0", "MIT OR Apache-2.0"),
    ],
)
def test_a_name_that_means_one_licence_becomes_its_identifier(statement, meant):
    assert (spdx(statement), is_expression(meant)) == (meant, True)


@pytest.mark.parametrize(
    "statement", ["BSD License", "see LICENSE", "public-domain", "MIT/X11", "Dual", ""]
)
def test_a_name_that_leaves_it_open_stays_a_name(statement):
    assert (spdx(statement), is_expression(statement)) == (statement, False)


@pytest.mark.parametrize(
    ("licences", "is_allowed"),
    [
        (("MIT",), True),
        (("MIT OR GPL-3.0-only",), True),
        (("MIT AND GPL-3.0-only",), False),
        (("(MIT OR GPL-3.0-only) AND Apache-2.0",), True),
        (("(MIT AND GPL-3.0-only) OR GPL-2.0-only",), False),
        (("Apache-2.0 WITH LLVM-exception",), True),
        (("MIT WITH LLVM-exception",), False),
        (("BSD License",), True),
        (("MIT License", "Apache Software License"), True),
        (("MIT License", "GNU General Public License v3 (GPLv3)"), False),
        (("LicenseRef-NVIDIA-Proprietary",), False),
        (("something of our own",), False),
        ((), False),
        (("",), False),
    ],
)
def test_one_side_of_an_or_is_enough_and_all_of_an_and_is_needed(licences, is_allowed):
    package = Package("pypi", "a", "1", licences)
    assert (judge([package], ALLOWED, ()) == []) is is_allowed


def test_an_exception_is_for_one_distribution_or_a_pattern_and_nothing_else():
    packages = [
        Package("pypi", name, "1", ("Proprietary",))
        for name in ("nvidia-cublas", "nvidiaish", "cuda")
    ]
    refused = judge(packages, ALLOWED, ("nvidia-*", "cuda"))
    assert [str(finding) for finding in refused] == ["nvidiaish 1 (Proprietary)"]


@pytest.mark.parametrize(
    ("section", "is_allowed"),
    [
        ("libs", True),
        ("main/libs", True),
        ("non-free/libs", False),
        ("contrib/utils", False),
        ("non-free-firmware/x", False),
    ],
)
def test_debian_s_main_archive_is_allowed_whole_and_the_others_are_not(section, is_allowed):
    package = Package("deb", "a", "1", ("GPL-3+",), section=section)
    assert (judge([package], ALLOWED, ()) == []) is is_allowed


def test_the_project_s_own_policy_refuses_strong_copyleft_and_unknown_licences():
    policy = read_policy(ROOT / "images" / "policy.toml")
    for licence in (
        "GPL-3.0-only",
        "AGPL-3.0-or-later",
        "LicenseRef-Proprietary",
        "Commercial",
        "CC-BY-NC-4.0",
    ):
        assert judge([Package("pypi", "a", "1", (licence,))], policy.allowed, policy.exceptions)
    assert all(is_expression(each) or " " in each for each in policy.allowed)
    assert policy.reason("nvidia-cublas").startswith("NVIDIA")
    assert policy.reason("numpy") == ""
