"""The only module that talks to a cluster's API server; it gives and takes the records of objects.py and plain Jobs.

Requests are tried again where that can help; what remains is raised as one of fingpt/errors.py, in one sentence.
What a Job contains is job.py's affair, what its state means to a person is status's.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

import kubernetes.config as kube
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from kubernetes.watch import watch
from urllib3.exceptions import HTTPError

from fingpt.cluster.api import faults, objects, stream
from fingpt.cluster.api.faults import Call
from fingpt.cluster.api.objects import Event, JobState, Json, PodState, Quota
from fingpt.cluster.job import identity, selector
from fingpt.cluster.site import CONFIG_MAP, Site
from fingpt.errors import MissingInputError, RunConflictError, SetupError, TransientError

T = TypeVar("T")

TIMEOUT = (5.0, 30.0)  # seconds to connect, and to wait for an answer
WATCH_SECONDS = 240  # the server ends a watch after this; a dead connection is noticed soon after

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

_UNREAD = {"_preload_content": False, "_request_timeout": TIMEOUT}
_config: Any = kube  # has no types
_lines: Callable[[Any], Iterator[str]] = watch.iter_resp_lines

_BROKEN = (kube.ConfigException, *faults.BROKEN_KUBECONFIG)


class Cluster:
    """One namespace of one cluster, as one user; `where` is how messages call the cluster."""

    def __init__(self, api: client.ApiClient, namespace: str, where: str) -> None:
        self.namespace = namespace
        self.where = where
        self._batch = client.BatchV1Api(api)
        self._core = client.CoreV1Api(api)
        self._custom = client.CustomObjectsApi(api)
        self._access = client.AuthorizationV1Api(api)
        self._version = client.VersionApi(api)
        self._granted: set[Call] = set()

    @classmethod
    def connect(
        cls, namespace: str = "", context: str | None = None, kubeconfig: str | None = None
    ) -> Self:
        """The cluster of the current (or named) kube context, or the one that this pod runs in.

        The namespace is the context's, or this pod's, unless named. Raises SetupError when there is no usable
        kubeconfig or nobody answers, PermissionDeniedError when the credentials are not accepted. In a pod an API
        server that does not answer is a TransientError: it comes back, and the pod's retry finds it.
        """
        settings = client.Configuration()
        merged = _merged(kubeconfig)
        own, where = _load(merged, context, settings) if merged else _load_pod(settings)
        settings.retries = stream.retry()
        # What failed is said once, by the error; the library would print every try.
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
        cluster = cls(client.ApiClient(settings), namespace or own, where)
        try:
            cluster.version()
        except TransientError as error:
            if not merged:
                raise
            raise SetupError(str(error)) from None
        return cluster

    def version(self) -> str:
        """The API server's version, such as v1.35.4."""
        call = self._call("get", "/version", namespaced=False)
        return str(self._send(call, self._version.get_code)["gitVersion"])

    def site(self) -> Site:
        """The site settings that the chart installed; SetupError with the command when it did not."""
        try:
            found = self._ask(
                "get", "configmaps", self._core.read_namespaced_config_map, CONFIG_MAP
            )
        except MissingInputError:
            raise faults.no_chart(self.namespace) from None
        where = f"ConfigMap {CONFIG_MAP} of namespace '{self.namespace}'"
        return Site.of(found.get("data") or {}, where)

    def apply_job(self, job: dict[str, Any]) -> bool:
        """Create a Job; False when the very same is there already, whatever became of it.

        Raises RunConflictError when a Job of that name stands for another configuration or other weights.
        """
        name, wanted = job["metadata"]["name"], identity(job["metadata"]["annotations"])
        try:
            self._ask("create", "jobs", self._batch.create_namespaced_job, body=job)
            return True
        except RunConflictError:
            found = self.job(name)
        there = identity(found.annotations) if found else ""
        if there != wanted:
            raise faults.other_configuration(name, self.namespace, there, wanted)
        return False

    def job(self, name: str) -> JobState | None:
        """The Job of that name, None when there is none (never made, deleted, or past its time to live)."""
        return self._list_job(name)[0]

    def jobs(self, run_id: str = "") -> tuple[JobState, ...]:
        """All of our Jobs in the namespace, or those of one run."""
        method = self._batch.list_namespaced_job
        return self._items(JobState.of, "jobs", method, label_selector=selector(run_id))

    def pods(self, run_id: str = "", stage: str = "") -> tuple[PodState, ...]:
        """The pods of our Jobs, of one run, or of one of its stages, oldest first."""
        method = self._core.list_namespaced_pod
        pods = self._items(PodState.of, "pods", method, label_selector=selector(run_id, stage))
        return tuple(sorted(pods, key=lambda pod: (pod.created, pod.name)))

    def events(self, name: str) -> tuple[Event, ...]:
        """What was said in about the last hour of the objects of that name, oldest first."""
        method, about = self._core.list_namespaced_event, f"involvedObject.name={name}"
        events = self._items(Event.of, "events", method, field_selector=about)
        return tuple(sorted(events, key=lambda event: event.last))

    def nodes(self) -> tuple[objects.NodeState, ...]:
        """All nodes; PermissionDeniedError for users who may see their namespace only, as the chart's may."""
        found = self._send(self._call("list", "nodes", namespaced=False), self._core.list_node)
        return tuple(objects.NodeState.of(each) for each in found["items"])

    def quotas(self) -> tuple[Quota, ...]:
        """The namespace's quotas."""
        return self._items(Quota.of, "resourcequotas", self._core.list_namespaced_resource_quota)

    def can_i(self, verb: str, resource: str, group: str = "", subresource: str = "") -> bool:
        """Whether this user may, by the API server's own judgement."""
        call = self._call("create", "selfsubjectaccessreviews", namespaced=False)
        body = objects.access_review(self.namespace, verb, resource, group, subresource)
        method = self._access.create_self_subject_access_review
        return bool(self._send(call, method, body=body)["status"]["allowed"])

    def delete_job(self, name: str) -> bool:
        """Delete a Job and its pods, which get their SIGTERM and grace; False when there is none."""
        method = self._batch.delete_namespaced_job
        try:
            self._ask("delete", "jobs", method, name, propagation_policy="Background")
        except MissingInputError:
            return False
        return True

    def watch_job(self, name: str) -> Iterator[JobState]:
        """Every state of a Job that can be seen, from now to its end; the last one has an outcome.

        Lists, then watches from there; whatever ends the watch (time, a dropped connection, 410 Gone) starts over with
        a list, so no final state is missed. Raises MissingInputError when the Job is not there (any more),
        TransientError when the API server stays silent.
        """
        return stream.until(JobState.is_final, lambda: self._states(name), f"Job {name}")

    def logs(self, pod: str, follow: bool = False) -> Iterator[str]:
        """The lines of a pod's log, each once; with `follow` until the pod ends, over dropped connections.

        Raises MissingInputError when the pod is not there (any more), TransientError when its container has not started
        and `follow` is off, or when the API server stays silent.
        """
        new = stream.NewLines()
        if not follow:
            return self._log_lines(pod, new, follow=False)
        return stream.lines(
            lambda: PodState.of(self._ask("get", "pods", self._core.read_namespaced_pod, pod)),
            lambda state: self._log_lines(pod, new, follow=not state.ended),
            what=f"log of pod {pod}",
        )

    def _states(self, name: str) -> Iterator[JobState]:
        """One list and one watch; ends when the watch does."""
        state, version = self._list_job(name)
        if state is None:
            raise faults.no_job(name, self.namespace)
        yield state
        call = self._call("watch", "jobs")
        options = {"watch": True, "resource_version": version, "timeout_seconds": WATCH_SECONDS}
        method, only = self._batch.list_namespaced_job, f"metadata.name={name}"
        for line in self._stream("watch", "jobs", method, field_selector=only, **options):
            with self._named_errors(call):
                change = json.loads(line)
            if change["type"] == "ERROR":
                raise faults.of_status(call, change["object"]["code"], json.dumps(change["object"]))
            if change["type"] == "DELETED":
                return  # the list that follows says what is there now
            yield JobState.of(change["object"])

    def _log_lines(self, pod: str, new: stream.NewLines, *, follow: bool) -> Iterator[str]:
        options = {"follow": follow, "timestamps": True, "since_seconds": new.since_seconds()}
        method = self._core.read_namespaced_pod_log
        for stamped in self._stream("get", "pods/log", method, name=pod, **options):
            line = new.take(stamped)
            if line is not None:
                yield line

    def _list_job(self, name: str) -> tuple[JobState | None, str]:
        """The Job and the version of the list, from which a watch misses nothing."""
        method, only = self._batch.list_namespaced_job, f"metadata.name={name}"
        found = self._ask("list", "jobs", method, field_selector=only)
        return next(map(JobState.of, found["items"]), None), found["metadata"]["resourceVersion"]

    def _items(
        self, read: Callable[[Json], T], resource: str, method: Callable[..., Any], **options: Any
    ) -> tuple[T, ...]:
        return tuple(map(read, self._ask("list", resource, method, **options)["items"]))

    def _ask(
        self, verb: str, resource: str, method: Callable[..., Any], *names: str, **options: Any
    ) -> Any:
        """The JSON answer to one request in our namespace."""
        options["namespace"] = self.namespace
        return self._send(self._call(verb, resource), method, *names, **options)

    def _send(self, call: Call, method: Callable[..., Any], *names: str, **options: Any) -> Any:
        with self._named_errors(call):
            return json.loads(self._open(call, method, *names, **options).data)

    def _open(self, call: Call, method: Callable[..., Any], *names: str, **options: Any) -> Any:
        """The answer, not yet read; a restart of the API server is waited out."""
        answer = stream.wait_out(
            lambda: method(*names, **{**_UNREAD, **options}),
            (ApiException, HTTPError),
            lambda error: faults.restarts(error, granted=call in self._granted),
        )
        self._granted.add(call)
        return answer

    def _stream(
        self, verb: str, resource: str, method: Callable[..., Any], **options: Any
    ) -> Iterator[str]:
        """The lines of one long answer; a connection without a word for longer than a watch lasts is dead."""
        silence = (TIMEOUT[0], WATCH_SECONDS + TIMEOUT[1])
        options |= {"namespace": self.namespace, "_request_timeout": silence}
        call = self._call(verb, resource)
        with self._named_errors(call), closing(self._open(call, method, **options)) as answer:
            yield from _lines(answer)

    def _call(self, verb: str, resource: str, *, namespaced: bool = True) -> Call:
        return Call(verb, resource, self.namespace if namespaced else "", self.where)

    @contextmanager
    def _named_errors(self, call: Call) -> Iterator[None]:
        try:
            yield
        except ApiException as error:
            raise faults.of_status(call, error.status or 0, error.body or error.reason) from None
        except (HTTPError, ValueError) as error:
            raise faults.of_transport(call, error) from None


def current_context(kubeconfig: str | None = None) -> str | None:
    """The name of the current kube context, None when there is no kubeconfig or it has none."""
    merged = _merged(kubeconfig)
    return merged.value.get("current-context") or None if merged else None


def _merged(kubeconfig: str | None) -> Any:
    """All files of KUBECONFIG as one, None when there is none of them."""
    try:
        paths = kubeconfig or _config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION
        return _config.kube_config.KubeConfigMerger(paths).config
    except _BROKEN as error:
        raise faults.bad_kubeconfig(error) from None


def _load(merged: Any, context: str | None, settings: client.Configuration) -> tuple[str, str]:
    """Fill `settings` from a kubeconfig; gives the context's namespace and what to call it."""
    if not context and not merged.value.get("current-context"):
        raise faults.no_context()
    try:
        loader = _config.kube_config.KubeConfigLoader(config_dict=merged, active_context=context)
        loader.load_and_set(settings)
        chosen = loader.current_context
        where = f"context '{chosen['name']}' ({settings.host})"
        return chosen["context"].get("namespace") or "default", where
    except _BROKEN as error:
        raise faults.bad_kubeconfig(error) from None


def _load_pod(settings: client.Configuration) -> tuple[str, str]:
    """Fill `settings` from the files of the pod that we run in."""
    try:
        _config.load_incluster_config(client_configuration=settings)
        namespace = _NAMESPACE_FILE.read_text(encoding="utf-8").strip()
        return namespace, f"this pod's cluster ({settings.host})"
    except (kube.ConfigException, OSError):
        raise faults.no_kubeconfig() from None
