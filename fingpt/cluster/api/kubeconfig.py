"""Which API server, as which user: a kubeconfig's context, or the account of the pod that this process runs in.

Reads files only; nothing is sent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubernetes.config as kube
from kubernetes import client

from fingpt.cluster.api import faults
from fingpt.storage.proxies import masked

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

# What an HTTP header can hold; the library would show one that it cannot send.
_VISIBLE = re.compile(r"[\x20-\x7e]+")

_config: Any = kube  # has no types
_BROKEN = (kube.ConfigException, *faults.BROKEN_KUBECONFIG)


@dataclass(frozen=True, slots=True)
class Connection:
    """The client library's settings for one API server; `where` is how messages call the cluster."""

    settings: client.Configuration
    namespace: str
    where: str
    in_pod: bool


def load_connection(context: str | None = None, path: str | None = None) -> Connection:
    """The current (or named) context of the kubeconfig, or this pod's account where there is no kubeconfig.

    Raises SetupError when neither can be used.
    """
    settings = client.Configuration()
    try:
        paths = path or _config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION
        merged = _config.kube_config.KubeConfigMerger(paths).config
        if merged is None:
            return _of_pod(settings)
        if not context and not merged.value.get("current-context"):
            raise faults.no_context()
        loader = _config.kube_config.KubeConfigLoader(config_dict=merged, active_context=context)
        loader.load_and_set(settings)
        chosen = loader.current_context
        where = f"context '{chosen['name']}' ({masked(settings.host)})"
        if not all(_VISIBLE.fullmatch(str(each)) for each in settings.api_key.values()):
            raise faults.bad_token()
        namespace = chosen["context"].get("namespace") or "default"
        return Connection(settings, namespace, where, in_pod=False)
    except _BROKEN as error:
        raise faults.bad_kubeconfig(error) from None


def _of_pod(settings: client.Configuration) -> Connection:
    try:
        _config.load_incluster_config(client_configuration=settings)
        namespace = _NAMESPACE_FILE.read_text(encoding="utf-8").strip()
    except (kube.ConfigException, OSError):
        raise faults.no_kubeconfig() from None
    return Connection(settings, namespace, f"this pod's cluster ({settings.host})", in_pod=True)
