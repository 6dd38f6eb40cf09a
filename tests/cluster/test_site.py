"""The ConfigMap's strings become a Site, or one error that names every fault."""

from __future__ import annotations

import json

import pytest

from fingpt.cluster.site import Site
from fingpt.errors import ConfigError
from tests.cluster.sites import full_site_data, site_data


def test_store_and_images_are_enough():
    site = Site.of(site_data())
    assert site.store == "s3://bucket"
    assert site.images.train.startswith("registry.example/fingpt-train@sha256:")
    assert (site.gpu_resource, site.queue, site.tiny_gpu) == ("nvidia.com/gpu", "", False)


def test_every_key_is_read():
    site = Site.of(full_site_data())
    assert site.resources.train is not None
    assert site.resources.train.memory == "96Gi"
    assert site.resources.prep is None
    assert site.tolerations[0].effect == "NoSchedule"
    assert (site.pull_secrets, site.deadline_seconds) == (("registry-login",), 86400)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stroe": "s3://bucket"}, "'stroe' is no setting; did you mean 'store'?"),
        ({"store": "bucket"}, "'store' is 'bucket', but expected s3://bucket"),
        ({"store": "s3://bucket/"}, "without a final slash"),
        ({"images": "{"}, "'images' must be JSON"),
        ({"images": '{"prep": "a", "train": "b"}'}, "'images.eval' is missing"),
        ({"images": '{"prep": "", "train": "b", "eval": "c"}'}, "'images.prep' is ''"),
        ({"cacheSize": "lots"}, "'cacheSize' is 'lots', but expected a Kubernetes quantity"),
        ({"resources": '{"train": {"cpu": "1"}}'}, "'resources.train.memory' is missing"),
        ({"resources": '{"trian": {}}'}, "'resources.trian' is no setting"),
        ({"tolerations": '[{"efect": "NoSchedule"}]'}, "'tolerations.0.efect' is no setting"),
        ({"nodeSelector": "pool=gpu"}, "'nodeSelector' must be JSON"),
        ({"queue": "My Queue"}, "'queue' is 'My Queue'"),
        ({"deadlineSeconds": "soon"}, "'deadlineSeconds' is 'soon'"),
        ({"tinyGpu": "perhaps"}, "'tinyGpu' is 'perhaps'"),
        ({"pullPolicy": "Sometimes"}, "'pullPolicy' is 'Sometimes'"),
    ],
)
def test_a_wrong_setting_is_named_with_what_was_expected(changes, words):
    with pytest.raises(ConfigError) as caught:
        Site.of(site_data(**changes))
    assert words in str(caught.value)
    assert str(caught.value).startswith("ConfigMap fingpt-jobs: ")
    assert "helm upgrade" in str(caught.value)


def test_a_missing_key_is_named():
    with pytest.raises(ConfigError, match="'store' is missing"):
        Site.of({"images": site_data()["images"]})


def test_all_faults_are_named_at_once():
    with pytest.raises(ConfigError) as caught:
        Site.of(site_data(store="x", cacheSize="y", images=json.dumps({"prep": "a"})))
    assert all(name in str(caught.value) for name in ("store", "cacheSize", "images.eval"))


@pytest.mark.parametrize("name", ["endpoint", "hubEndpoint"])
def test_a_password_in_an_endpoint_is_refused_and_not_repeated(name):
    with pytest.raises(ConfigError, match=f"'{name}' must look like") as caught:
        Site.of(site_data(**{name: "https://key:hunter2@s3.example"}))
    assert "no user name or password" in str(caught.value)
    assert "hunter2" not in str(caught.value)
