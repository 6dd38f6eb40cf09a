from __future__ import annotations

from fingpt.sources.policy import Permission, UsagePolicy, Use, restrict


def test_nothing_is_allowed_unless_it_is_named() -> None:
    assert UsagePolicy().denied() == tuple(Use)
    assert not UsagePolicy.allowing(Use.RESEARCH).allows(Use.COMMERCIAL)
    assert restrict([]).denied() == tuple(Use)


def test_of_several_policies_the_most_restrictive_counts_for_each_use() -> None:
    one = UsagePolicy.allowing(Use.RESEARCH, Use.COMMERCIAL, terms="one")
    two = UsagePolicy.allowing(Use.RESEARCH, prohibited=[Use.COMMERCIAL], terms="two")
    three = UsagePolicy.allowing(Use.COMMERCIAL)
    both = restrict([one, two])
    assert both.allows(Use.RESEARCH)
    assert both.permission(Use.COMMERCIAL) is Permission.PROHIBITED
    assert both.terms == ("one", "two")
    assert restrict([one, three]).permission(Use.RESEARCH) is Permission.UNVERIFIED
    assert restrict([two, one]) == both.model_copy(update={"terms": ("two", "one")})
