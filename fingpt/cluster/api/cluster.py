"""The client: every question that the project asks of a cluster, answered by the records of objects.py.

What a Job contains is job.py's affair, what its state means to a person is diagnosis/'s, how a request is sent is
transport.py's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any, Self, TypeVar

from fingpt.cluster.api import faults, kueue, objects, stream
from fingpt.cluster.api.faults import Call
from fingpt.cluster.api.kubeconfig import load_connection
from fingpt.cluster.api.objects import (
    POD_INDEX,
    Admission,
    Event,
    JobState,
    Json,
    NodeState,
    PodState,
    Quota,
)
from fingpt.cluster.api.transport import Kind, Transport
from fingpt.cluster.diagnosis.snapshot import JobSnapshot
from fingpt.cluster.job import RUN_URI, identity, job_name, search_selector, selector
from fingpt.cluster.jobset import GROUP, PLURAL, VERSION, child_job, is_jobset
from fingpt.cluster.site import CONFIG_MAP, Site
from fingpt.errors import (
    MissingInputError,
    PermissionDeniedError,
    RunConflictError,
    SetupError,
    TransientError,
)

T = TypeVar("T")

_JOBS = Kind("batch/v1", "jobs")
_JOBSETS = Kind(f"{GROUP}/{VERSION}", PLURAL)
_PODS, _LOGS, _EVENTS = Kind("v1", "pods"), Kind("v1", "pods/log"), Kind("v1", "events")
_CONFIG_MAPS, _SECRETS = Kind("v1", "configmaps"), Kind("v1", "secrets")
_QUOTAS, _NAMESPACES, _NODES = (
    Kind("v1", each) for each in ("resourcequotas", "namespaces", "nodes")
)
_REVIEWS = Kind("authorization.k8s.io/v1", "selfsubjectaccessreviews")
_NO_JOBSETS = (MissingInputError, PermissionDeniedError)
"""Without the CRD, or without rights to it, there are none of ours."""
SAMPLE = 20
"""Pods of an Indexed Job that are looked at to explain it: what keeps one from starting keeps the others too."""

_PAGE = 500

_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class Cluster:
    """`protocol.ClusterApi` over an API server."""

    def __init__(self, transport: Transport) -> None:
        self._api = transport
        self.namespace = transport.namespace
        self.where = transport.where

    @classmethod
    def connect(
        cls, namespace: str = "", context: str | None = None, kubeconfig: str | None = None
    ) -> Self:
        """The cluster of the current (or named) kube context, or the one that this pod runs in.

        The namespace is the context's, or this pod's, unless named. Raises ConfigError for a name that no namespace can
        have, SetupError when there is no usable kubeconfig or nobody answers, PermissionDeniedError when the
        credentials are not accepted. In a pod an API server that does not answer is a TransientError: it comes back,
        and the pod's retry finds it.
        """
        if namespace and not _NAMESPACE.fullmatch(namespace):
            raise faults.bad_namespace(namespace)
        connection = load_connection(context, kubeconfig)
        cluster = cls(Transport(connection, namespace or connection.namespace))
        try:
            cluster.version()
        except TransientError as error:
            if connection.in_pod:
                raise
            raise SetupError(str(error)) from None
        return cluster

    def version(self) -> str:
        """The API server's version, such as v1.35.4."""
        found = self._api.request_cluster("get", "/version", "/version")
        if not found.get("gitVersion"):
            raise faults.no_server(Call("get", "/version", "", self.where))
        return str(found["gitVersion"])

    def site(self) -> Site:
        """The settings that the chart installed; SetupError with the command when it did not."""
        try:
            found = self._api.request("get", _CONFIG_MAPS, CONFIG_MAP)
        except MissingInputError:
            self.require_namespace()
            raise faults.no_chart(self.namespace) from None
        where = f"ConfigMap {CONFIG_MAP} of namespace '{self.namespace}'"
        return Site.of(found.get("data") or {}, where)

    def apply_job(self, job: dict[str, Any]) -> bool:
        """Create a Job or a JobSet; False when the very same is there already, whatever became of it."""
        name, wanted = job["metadata"]["name"], identity(job["metadata"]["annotations"])
        try:
            if is_jobset(job):
                self._create_jobset(job)
            else:
                self._api.request("create", _JOBS, body=job)
            return True
        except RunConflictError:
            found = self.job(name)
        there = identity(found.annotations) if found else ""
        if there != wanted:
            raise faults.other_configuration(name, self.namespace, there, wanted)
        uri = found.annotations.get(RUN_URI) if found else None
        if uri and uri != job["metadata"]["annotations"].get(RUN_URI):
            raise faults.other_store(name, self.namespace, uri)
        return False

    def delete_job(self, name: str) -> bool:
        """Delete a Job or JobSet and its pods, which get their SIGTERM and grace; False when there is none."""
        options = {"propagationPolicy": "Background"}
        try:
            self._api.request("delete", _JOBS, name, **options)
            return True
        except MissingInputError:
            pass
        try:
            self._api.request("delete", _JOBSETS, name, **options)
        except _NO_JOBSETS:
            return False
        return True

    def job(self, name: str) -> JobState | None:
        """The Job of that name, None when there is none (never made, deleted, or past its time to live)."""
        return self._list_job(name)[0]

    def jobs(self, run_id: str = "", sweep: str = "") -> tuple[JobState, ...]:
        """All of our Jobs and JobSets in the namespace, those of one run, or those that a sweep has made."""
        only = {"labelSelector": selector(run_id, sweep=sweep)}
        return self._items(JobState.of, _JOBS, **only) + tuple(
            map(JobState.of_jobset, self._list_jobsets(**only)["items"])
        )

    def search_jobs(self, sweep: str) -> tuple[JobState, ...]:
        """A sweep's controller's Job and the Indexed Job of each model's trials, from the API server's cache."""
        return self._cached(JobState.of, _JOBS, labelSelector=search_selector(sweep))

    def pods(
        self, run_id: str = "", stage: str = "", *, index: int | None = None, phase: str = ""
    ) -> tuple[PodState, ...]:
        """The pods of our Jobs, of one run, or of one of its stages, oldest first; of an index, in a phase."""
        return self._pods(run_id, stage, index=index, phase=phase)

    def _pods(
        self,
        run_id: str,
        stage: str,
        *,
        index: int | None = None,
        phase: str = "",
        most: int | None = None,
    ) -> tuple[PodState, ...]:
        """In pages, since ten thousand pods are a hundred megabytes; `most`: any so many of them."""
        only = [selector(run_id, stage)] + ([] if index is None else [f"{POD_INDEX}={index}"])
        options = {"labelSelector": ",".join(filter(None, only))}
        if phase:
            options["fieldSelector"] = f"status.phase={phase}"
        pages = self._api.pages(_PODS, min(most or _PAGE, _PAGE), **options)
        pods = islice((PodState.of(pod) for page in pages for pod in page["items"]), most)
        return tuple(sorted(pods, key=lambda pod: (pod.created, pod.name)))

    def events(self, name: str) -> tuple[Event, ...]:
        """The events of about the last hour that concern objects of that name, oldest first."""
        events = self._items(Event.of, _EVENTS, fieldSelector=f"involvedObject.name={name}")
        return tuple(sorted(events, key=lambda event: event.last))

    def watch_job(self, name: str) -> Iterator[JobState]:
        """Every state of a Job that can be seen, from now to its end; the last one has an outcome.

        Lists, then watches from there; whatever ends the watch (time, a dropped connection, 410 Gone) starts over with
        a list, so no final state is missed.
        """
        return stream.until(JobState.is_final, lambda: self._states(name), f"Job {name}")

    def watch_pods(self, run_id: str, stage: str, seconds: int) -> Iterator[PodState | None]:
        """States of a stage's pods for so long: first what is, then every change; None for a pod that is gone.

        One request, which the server answers from its cache; it ends early when the connection does.
        """
        options = {"labelSelector": selector(run_id, stage), "timeoutSeconds": seconds}
        for change, found in self._api.watch(_PODS, "0", **options):
            yield None if change == "DELETED" else PodState.of(found)

    def logs(self, pod: str, follow: bool = False) -> Iterator[str]:
        """The lines of a pod's log, each once; with `follow` until the pod ends, over dropped connections."""
        new = stream.NewLines()
        if not follow:
            return self._log_lines(pod, new, follow=False)
        return stream.lines(
            lambda: PodState.of(self._api.request("get", _PODS, pod)),
            lambda state: self._log_lines(pod, new, follow=not state.ended),
            what=f"log of pod {pod}",
        )

    def stage_snapshot(self, run_id: str, stage: str, *, complete: bool | None) -> JobSnapshot:
        """Job, pods and events of a stage; `complete` is what the bucket says, None when it was not read.

        Of an Indexed Job, which may have thousands, any SAMPLE of its pods.
        """
        pods = partial(self._pods, run_id, stage)
        return self._snapshot(job_name(run_id, stage), pods, complete)

    def job_snapshot(self, name: str, job: JobState | None = None) -> JobSnapshot:
        """The same of a Job by its name, whatever its labels are; `job` is the Job where it is known already."""
        only = f"batch.kubernetes.io/job-name={name}"
        if job is not None and job.is_well() and not job.indexes:
            return JobSnapshot(job=job, pods=self._cached(PodState.of, _PODS, labelSelector=only))

        def pods(most: int | None) -> tuple[PodState, ...]:
            return self._items(PodState.of, _PODS, labelSelector=only, limit=most)

        return self._snapshot(name, pods, None, job)

    def can_i(self, verb: str, resource: str, group: str = "", subresource: str = "") -> bool:
        """Whether this user may, by the API server's own judgement."""
        body = objects.access_review(self.namespace, verb, resource, group, subresource)
        found = self._api.request_cluster("create", _REVIEWS.plural, _REVIEWS.path(), body)
        return bool(found["status"]["allowed"])

    def nodes(self) -> tuple[NodeState, ...]:
        """All nodes; PermissionDeniedError for users of the chart's Role, who may see their namespace only."""
        found = self._api.request_cluster("list", _NODES.plural, _NODES.path())
        return tuple(map(NodeState.of, found["items"]))

    def require_namespace(self) -> None:
        """SetupError when there is no such namespace; a user who may not look is believed."""
        try:
            self._read_namespace()
        except PermissionDeniedError:
            return  # rights to objects of a namespace come without those to itself

    def pod_security(self) -> str:
        """The Pod Security level that the namespace's label enforces; empty without one."""
        labels = self._read_namespace()["metadata"].get("labels") or {}
        return str(labels.get(objects.POD_SECURITY, ""))

    def _read_namespace(self) -> Json:
        path = _NAMESPACES.path(name=self.namespace)
        try:
            found: Json = self._api.request_cluster("get", _NAMESPACES.plural, path)
        except MissingInputError:
            # Said as what a person can mend, not as an object that is not found.
            raise faults.no_namespace(self.namespace, self.where) from None
        return found

    def quotas(self) -> tuple[Quota, ...]:
        """The namespace's quotas."""
        return self._items(Quota.of, _QUOTAS)

    def has_secret(self, name: str) -> bool:
        """Whether a Secret is there. What it holds comes along and is thrown away at once."""
        try:
            self._api.request("get", _SECRETS, name)
        except MissingInputError:
            return False
        return True

    def has_queue(self, name: str) -> bool | None:
        """Whether Kueue's LocalQueue is there; None where the cluster has no Kueue."""
        return kueue.has_queue(self._api, name)

    def _snapshot(
        self,
        name: str,
        list_pods: Callable[..., tuple[PodState, ...]],
        complete: bool | None,
        job: JobState | None = None,
    ) -> JobSnapshot:
        """The Job's events are read before its pods: a pod that was created, but is not listed, is then gone.

        Of a Job whose pods all run none are read: for each list of them the API server looks through every event of
        the namespace, of which ten thousand pods leave thirty thousand.
        """
        job = job or self.job(name)
        if job is not None and job.is_well():
            pods = list_pods(most=SAMPLE if job.indexes else None)
            return JobSnapshot(job=job, pods=pods, complete=complete)
        # An earlier Job of the same name has left events too.
        since = job.created.rstrip("Z") if job is not None else ""
        events = [event for event in self.events(name) if event.last >= since]
        pods = list_pods(most=SAMPLE if job is not None and job.indexes else None)
        if job is not None and job.nodes > 1:
            events += [each for each in self.events(child_job(name)) if each.last >= since]
        for pod in [pod for pod in pods if not pod.ended][:-2] + list(pods[-2:]):
            events.extend(self.events(pod.name))
        return JobSnapshot(
            job=job,
            pods=pods,
            events=tuple(sorted(events, key=lambda event: event.last)),
            complete=complete,
            admission=self.admission(job) if job is not None and job.suspended else Admission(),
        )

    def admission(self, job: JobState) -> Admission:
        """What Kueue says of a Job that it holds back; empty when there is nothing, or this user may not ask."""
        return kueue.admission(self._api, job)

    def _states(self, name: str) -> Iterator[JobState]:
        """One list and one watch; ends when the watch does."""
        state, version = self._list_job(name)
        if state is None:
            raise faults.no_job(name, self.namespace)
        yield state
        only, read = f"metadata.name={name}", JobState.of
        kind = _JOBS
        if state.nodes > 1:
            kind, read = _JOBSETS, JobState.of_jobset
        for change, found in self._api.watch(kind, version, fieldSelector=only):
            if change == "DELETED":
                return  # the list that follows says what is there now
            yield read(found)

    def _list_job(self, name: str) -> tuple[JobState | None, str]:
        """The Job, else the JobSet, and the version of the list, from which a watch misses nothing."""
        only = {"fieldSelector": f"metadata.name={name}"}
        found = self._api.request("list", _JOBS, **only)
        if found["items"]:
            return JobState.of(found["items"][0]), found["metadata"]["resourceVersion"]
        sets = self._list_jobsets(**only)
        state = next(map(JobState.of_jobset, sets["items"]), None)
        return state, sets["metadata"]["resourceVersion"]

    def _list_jobsets(self, **options: Any) -> Json:
        """The list of JobSets, an empty one where the cluster has no such kind or this user no rights to it."""
        try:
            found: Json = self._api.request("list", _JOBSETS, **options)
        except _NO_JOBSETS:
            return {"items": (), "metadata": {"resourceVersion": ""}}
        return found

    def _create_jobset(self, jobset: dict[str, Any]) -> None:
        try:
            self._api.request("create", _JOBSETS, body=jobset)
        except MissingInputError:
            raise faults.no_jobset_kind(self.where) from None

    def serves_jobsets(self) -> bool:
        """Whether the cluster knows JobSets of the version that we write."""
        try:
            found = self._api.request_cluster("list", "apiresources", f"/apis/{_JOBSETS.api}")
        except MissingInputError:
            return False
        return any(each.get("name") == PLURAL for each in found["resources"])

    def _log_lines(self, pod: str, new: stream.NewLines, *, follow: bool) -> Iterator[str]:
        options = {"follow": follow, "timestamps": True, "sinceSeconds": new.since_seconds()}
        for stamped in self._api.lines("get", _LOGS, pod, **options):
            line = new.take(stamped)
            if line is not None:
                yield line

    def _items(self, read: Callable[[Json], T], kind: Kind, **query: Any) -> tuple[T, ...]:
        return tuple(map(read, self._api.request("list", kind, **query)["items"]))

    def _cached(self, read: Callable[[Json], T], kind: Kind, **query: Any) -> tuple[T, ...]:
        """The same from the API server's cache as it is; all of it, since such a list knows no limit.

        Without a version a list waits until the cache has caught up with all that is written, which takes a busy API
        server a second. That there is nothing is believed only then: it may have been made just now.
        """
        return self._items(read, kind, **query, resourceVersion="0") or self._items(
            read, kind, **query
        )
