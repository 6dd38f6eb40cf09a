"""Which API server, as which user: a kubeconfig's context, or the account of the pod that this process runs in.

Reads files only; nothing is sent.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import kubernetes.config as kube
import urllib3
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
    """The client library's settings for one API server; `where` is how messages call the cluster.

    `headers` go with every request: whom the user acts as.
    """

    settings: client.Configuration
    namespace: str
    where: str
    in_pod: bool
    headers: tuple[tuple[str, str], ...] = ()


def load_connection(context: str | None = None, path: str | None = None) -> Connection:
    """The current (or named) context of the kubeconfig, or this pod's account where there is no kubeconfig.

    Relative paths in it are relative to the file that they stand in, as kubectl reads them. Raises SetupError when
    neither can be used, PermissionDeniedError when what should give the credentials gives none.
    """
    settings = client.Configuration()
    try:
        paths = path or _config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION
        merged = _merged(paths)
        if merged is None:
            return _of_pod(settings)
        if not context and not merged.value.get("current-context"):
            raise faults.no_context()
        loader = _config.kube_config.KubeConfigLoader(
            config_dict=merged, active_context=context, config_base_path=None
        )
        user, chosen = loader._user, loader.current_context
        settings_of_user: dict[str, Any] = user.value if user else {}
        if settings_of_user.get("tokenFile"):
            settings_of_user.pop("token", None)  # the file is renewed, the text is not
        with _complaints() as said:
            loader.load_and_set(settings)
        if said and not (settings.api_key or settings.cert_file):
            raise faults.no_credentials(str(chosen["context"].get("user")), said)
        if not settings.host.startswith(("http://", "https://")):
            raise faults.no_scheme(masked(settings.host))
        # As the kubeconfig asks for; said once a request it would hide all else.
        if not settings.verify_ssl:
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        where = f"context '{chosen['name']}' ({masked(settings.host)})"
        if not all(_VISIBLE.fullmatch(str(each)) for each in settings.api_key.values()):
            raise faults.bad_token()
        headers = tuple(_acting_as(settings_of_user))
        if not all(_VISIBLE.fullmatch(value) for _, value in headers):
            raise faults.bad_name()
        namespace = chosen["context"].get("namespace") or "default"
        return Connection(settings, namespace, where, in_pod=False, headers=headers)
    except _BROKEN as error:
        raise faults.bad_kubeconfig(error) from None


def _merged(paths: str) -> Any:
    """The files of KUBECONFIG as one, None where none is there.

    As kubectl merges them: of entries of one name, and of current contexts, the first counts, and files may be empty.
    The library takes the last current context, which may be another cluster.
    """
    there = [Path(each).expanduser() for each in paths.split(os.pathsep) if each]
    there = [each for each in there if each.exists()]
    # What is no file, such as the pipe of `<(command)`, can be read but once.
    full = [str(each) for each in there if not each.is_file() or each.read_bytes().strip()]
    if there and not full:
        raise faults.no_context()
    merger = _config.kube_config.KubeConfigMerger(os.pathsep.join(full))
    if merger.config is not None:
        contexts = (each.get("current-context") for each in merger.config_files.values())
        merger.config.value["current-context"] = next(filter(None, contexts), "")
    return merger.config


def _acting_as(user: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The headers by which a user acts as another; the library would act as the user himself, who may more."""
    for key, header in (("as", "Impersonate-User"), ("as-uid", "Impersonate-Uid")):
        if user.get(key):
            yield header, str(user[key])
    for group in user.get("as-groups") or ():
        yield "Impersonate-Group", str(group)
    for key, values in (user.get("as-user-extra") or {}).items():
        for value in values:
            yield f"Impersonate-Extra-{quote(str(key), safe='')}", str(value)


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """What the library logs meanwhile: where credentials cannot be had it goes on without any, as anonymous."""
    said: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    root = logging.getLogger()
    others, root.handlers = root.handlers, [handler]
    try:
        yield said
    finally:
        root.handlers = others


def _of_pod(settings: client.Configuration) -> Connection:
    try:
        _config.load_incluster_config(client_configuration=settings)
        namespace = _NAMESPACE_FILE.read_text(encoding="utf-8").strip()
    except (kube.ConfigException, OSError):
        raise faults.no_kubeconfig() from None
    return Connection(settings, namespace, f"this pod's cluster ({settings.host})", in_pod=True)
