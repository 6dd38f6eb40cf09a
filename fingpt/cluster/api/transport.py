"""How requests reach the API server: sent, repeated where that can help, read as JSON or line by line, errors named.

The only module that knows how the kubernetes library is called. Which questions there are is cluster.py's affair, how a
stream is followed over its interruptions is stream.py's.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from copy import copy
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException
from kubernetes.watch import watch
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from fingpt.cluster.api import faults, stream
from fingpt.cluster.api.faults import Call
from fingpt.cluster.api.kubeconfig import Connection
from fingpt.cluster.api.objects import Json

TIMEOUT = (5.0, 30.0)  # seconds to connect, and to wait for an answer
WATCH_SECONDS = 240  # the server ends a watch after this; a dead connection is noticed soon after

Method = Callable[..., Any]

_UNREAD = {"_preload_content": False, "_request_timeout": TIMEOUT}
_AT_ONCE = (2.0, 5.0)
_lines: Callable[[Any], Iterator[str]] = watch.iter_resp_lines


class Transport:
    """Sends requests in one namespace; `method` is always one of the library's, of the API groups that are its fields.

    `verb` and `resource` are as RBAC spells them, for messages. Every error is one of fingpt/errors.py.
    """

    def __init__(self, connection: Connection, namespace: str) -> None:
        self.namespace = namespace
        self.where = connection.where
        connection.settings.retries = stream.retry()
        # The error reports a failure once; the library would log every try.
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
        api = client.ApiClient(connection.settings)
        self.access = client.AuthorizationV1Api(api)
        self.batch = client.BatchV1Api(api)
        self.core = client.CoreV1Api(api)
        self.custom = client.CustomObjectsApi(api)
        self.version = client.VersionApi(api)
        once = copy(connection.settings)
        once.retries = Retry(1, status=0)  # a connection that was kept may be dead by now
        once.safe_chars_for_path_param = "/"  # `name/subresource`
        optional = client.CustomObjectsApi(client.ApiClient(once))
        self._once: Method = optional.get_namespaced_custom_object
        self._granted: set[Call] = set()

    def request(self, verb: str, resource: str, method: Method, *names: str, **options: Any) -> Any:
        """The JSON answer to one request in the namespace."""
        call = Call(verb, resource, self.namespace, self.where)
        return self._send(call, method, *names, **options, namespace=self.namespace)

    def pages(
        self, verb: str, resource: str, method: Method, size: int, **options: Any
    ) -> Iterator[Json]:
        """A list in the namespace, `size` items at a time."""
        rest: str | None = None
        while True:
            found = self.request(verb, resource, method, limit=size, _continue=rest, **options)
            yield found
            rest = (found.get("metadata") or {}).get("continue") or None
            if rest is None:
                return

    def request_once(self, resource: str, **options: Any) -> Any:
        """The JSON of a custom object that need not be there: where nobody answers at once, nobody is asked again."""
        call = Call("get", resource, self.namespace, self.where)
        options |= {"namespace": self.namespace, "_request_timeout": _AT_ONCE}
        with self._named_errors(call):
            return json.loads(self._once(**{**_UNREAD, **options}).data)

    def request_cluster(self, verb: str, resource: str, method: Method, **options: Any) -> Any:
        """The JSON answer to one request that no namespace belongs to."""
        return self._send(Call(verb, resource, "", self.where), method, **options)

    def lines(self, verb: str, resource: str, method: Method, **options: Any) -> Iterator[str]:
        """The lines of one long answer; a connection that is silent for longer than a watch lasts is dead."""
        silence = (TIMEOUT[0], WATCH_SECONDS + TIMEOUT[1])
        options |= {"namespace": self.namespace, "_request_timeout": silence}
        call = Call(verb, resource, self.namespace, self.where)
        with self._named_errors(call), closing(self._open(call, method, **options)) as answer:
            yield from _lines(answer)

    def watch(
        self, resource: str, method: Method, version: str, /, **options: Any
    ) -> Iterator[tuple[str, Json]]:
        """ADDED, MODIFIED or DELETED, and the object, from a list's `version` on, until the watch ends."""
        call = Call("watch", resource, self.namespace, self.where)
        options = {
            "watch": True,
            "resource_version": version,
            "timeout_seconds": WATCH_SECONDS,
            **options,
        }
        for line in self.lines("watch", resource, method, **options):
            with self._named_errors(call):
                change = json.loads(line)
            if change["type"] == "ERROR":
                raise faults.of_status(call, change["object"]["code"], json.dumps(change["object"]))
            yield change["type"], change["object"]

    def _send(self, call: Call, method: Method, *names: str, **options: Any) -> Any:
        with self._named_errors(call):
            return json.loads(self._open(call, method, *names, **options).data)

    def _open(self, call: Call, method: Method, *names: str, **options: Any) -> Any:
        """The answer, not yet read; a restart of the API server is waited out."""
        answer = stream.wait_out(
            lambda: method(*names, **{**_UNREAD, **options}),
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
