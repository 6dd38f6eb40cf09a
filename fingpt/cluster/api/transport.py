"""How requests reach the API server: sent, repeated where that can help, read as JSON or line by line, errors named.

The only module that knows how the kubernetes library is called. Which questions there are is cluster.py's affair, how a
stream is followed over its interruptions is stream.py's.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from copy import copy
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from kubernetes.client.api_client import ApiClient
from kubernetes.client.exceptions import ApiException
from kubernetes.watch import watch
from urllib3 import HTTPHeaderDict
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from fingpt.cluster.api import faults, stream
from fingpt.cluster.api.faults import Call
from fingpt.cluster.api.kubeconfig import Connection
from fingpt.cluster.api.objects import Json

TIMEOUT = (5.0, 30.0)  # seconds to connect, and to wait for an answer
WATCH_SECONDS = 240  # the server ends a watch after this; a dead connection is noticed soon after

_AT_ONCE = (2.0, 5.0)
_HTTP = {"create": "POST", "delete": "DELETE"}  # all other verbs are GET
_lines: Callable[[Any], Iterator[str]] = watch.iter_resp_lines


@dataclass(frozen=True, slots=True)
class Kind:
    """Objects as URLs call them: API group and version (`batch/v1`; core is `v1`), plural, and part (`pods/log`)."""

    api: str
    plural: str

    def path(self, namespace: str = "", name: str = "") -> str:
        """Of one object, or of all; those of a namespace, or those that belong to none."""
        plural, _, part = self.plural.partition("/")
        root = "apis" if "/" in self.api else "api"
        place = ("namespaces", quote(namespace, safe="")) if namespace else ()
        words = (root, self.api, *place, plural, quote(name, safe=""), part)
        return "/" + "/".join(filter(None, words))


class Transport:
    """Sends requests in one namespace. `query` has the API's own names, `labelSelector`; what is None is left out.

    Paths are written here: the library's classes of the API's groups would do so too, for .4 s of imports, more than
    most commands take. Verbs are as RBAC spells them, for messages too. Every error is one of fingpt/errors.py.
    """

    def __init__(self, connection: Connection, namespace: str) -> None:
        self.namespace = namespace
        self.where = connection.where
        connection.settings.retries = stream.retry()
        # The error reports a failure once; the library would log every try.
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
        self._client = _Client(connection)
        once = copy(connection.settings)
        once.retries = Retry(1, status=0)  # a connection that was kept may be dead by now
        self._once = _Client(replace(connection, settings=once))
        self._granted: set[Call] = set()

    def request(self, verb: str, kind: Kind, name: str = "", body: Any = None, **query: Any) -> Any:
        """The JSON answer to one request in the namespace."""
        call = Call(verb, kind.plural, self.namespace, self.where)
        return self._send(call, kind.path(self.namespace, name), body, **query)

    def pages(self, kind: Kind, size: int, **query: Any) -> Iterator[Json]:
        """A list in the namespace, `size` items at a time."""
        rest: str | None = None
        while True:
            page: dict[str, Any] = {**query, "limit": size, "continue": rest}
            found = self.request("list", kind, **page)
            yield found
            rest = (found.get("metadata") or {}).get("continue") or None
            if rest is None:
                return

    def request_once(self, kind: Kind, name: str) -> Any:
        """The JSON of an object that need not be there: where nobody answers at once, nobody is asked again."""
        call = Call("get", kind.plural, self.namespace, self.where)
        with self._named_errors(call):
            path = kind.path(self.namespace, name)
            return json.loads(self._once.answer("GET", path, timeout=_AT_ONCE).data)

    def request_cluster(
        self, verb: str, resource: str, path: str, body: Any = None, **query: Any
    ) -> Any:
        """The JSON answer to one request that no namespace belongs to."""
        return self._send(Call(verb, resource, "", self.where), path, body, **query)

    def lines(self, verb: str, kind: Kind, name: str = "", **query: Any) -> Iterator[str]:
        """The lines of one long answer; a connection that is silent for longer than a watch lasts is dead."""
        silence = (TIMEOUT[0], WATCH_SECONDS + TIMEOUT[1])
        call, path = (
            Call(verb, kind.plural, self.namespace, self.where),
            kind.path(self.namespace, name),
        )
        with (
            self._named_errors(call),
            closing(self._open(call, path, None, silence, **query)) as answer,
        ):
            yield from _lines(answer)

    def watch(self, kind: Kind, version: str, **query: Any) -> Iterator[tuple[str, Json]]:
        """ADDED, MODIFIED or DELETED, and the object, from a list's `version` on, until the watch ends."""
        call = Call("watch", kind.plural, self.namespace, self.where)
        query = {
            "watch": True,
            "resourceVersion": version,
            "timeoutSeconds": WATCH_SECONDS,
            **query,
        }
        for line in self.lines("watch", kind, **query):
            with self._named_errors(call):
                change = json.loads(line)
            if change["type"] == "ERROR":
                raise faults.of_status(call, change["object"]["code"], json.dumps(change["object"]))
            yield change["type"], change["object"]

    def _send(self, call: Call, path: str, body: Any, **query: Any) -> Any:
        with self._named_errors(call):
            found = json.loads(self._open(call, path, body, TIMEOUT, **query).data)
        if not isinstance(found, dict) or (
            call.verb == "list" and not {"items", "resources"} & found.keys()
        ):
            raise faults.no_server(call)
        if call.verb == "list":  # an empty one may be null
            found["items"] = found.get("items") or ()
            found["metadata"] = {"resourceVersion": "", **(found.get("metadata") or {})}
        return found

    def _open(
        self, call: Call, path: str, body: Any, timeout: tuple[float, float], **query: Any
    ) -> Any:
        """The answer, not yet read; a restart of the API server is waited out."""
        http = _HTTP.get(call.verb, "GET")
        answer = stream.wait_out(
            lambda: self._client.answer(http, path, query, body, timeout),
            (ApiException, HTTPError),
            lambda error: faults.is_restart(error, granted=call in self._granted),
        )
        self._granted.add(call)
        return answer

    @contextmanager
    def _named_errors(self, call: Call) -> Iterator[None]:
        try:
            yield
        except ApiException as error:
            raise faults.of_status(call, error.status or 0, error.body or error.reason) from None
        except (HTTPError, ValueError) as error:
            raise faults.of_transport(call, error) from None


class _Client:
    """The library's client, which knows servers, certificates and credentials, with the headers that it knows not."""

    def __init__(self, connection: Connection) -> None:
        self._api = ApiClient(connection.settings)
        self._headers = connection.headers

    def answer(
        self,
        http: str,
        path: str,
        query: Mapping[str, Any] = MappingProxyType({}),
        body: Any = None,
        timeout: tuple[float, float] = TIMEOUT,
    ) -> Any:
        """urllib3's answer, not yet read; ApiException where its status is not a 2xx."""
        method, url, written, content, form = self._api.param_serialize(
            http,
            path,
            query_params=[(name, value) for name, value in query.items() if value is not None],
            header_params={"Accept": "application/json"},
            body=body,
            auth_settings=["BearerToken"],
        )
        headers = HTTPHeaderDict(written)
        for name, value in self._headers:  # some names come several times
            headers.add(name, value)
        answer: Any = self._api.call_api(
            method, url, headers, content, form, _request_timeout=timeout
        )
        if not 200 <= answer.status <= 299:
            answer.read()
            raise ApiException.from_response(http_resp=answer, body=None, data=None)
        return answer.response
