"""The client and the tests' fake answer every question of the protocol, in its own words."""

from __future__ import annotations

import inspect

import pytest

from fingpt.cluster.api.cluster import Cluster
from fingpt.cluster.api.protocol import ClusterApi
from tests.cluster.fake_cluster import FakeCluster

QUESTIONS = [
    name for name, each in vars(ClusterApi).items() if inspect.isfunction(each) and name[0] != "_"
]


@pytest.mark.parametrize("kind", [Cluster, FakeCluster])
@pytest.mark.parametrize("name", QUESTIONS)
def test_every_question_is_answered_with_the_protocol_s_own_signature(kind, name):
    asked = inspect.signature(getattr(ClusterApi, name)).parameters
    assert list(inspect.signature(vars(kind)[name]).parameters.values()) == list(asked.values())
