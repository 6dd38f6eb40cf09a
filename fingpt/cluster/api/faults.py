"""Which of fingpt/errors.py a refusal or failure of the API server is, with the message that a person reads.

Pure: takes what transport.py caught, returns the error to raise.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    ResponseError,
    SSLError,
)
from yaml import MarkedYAMLError, YAMLError

from fingpt.cluster.jobset import GROUP, INSTALL, VERSION
from fingpt.errors import (
    ConfigError,
    FingptError,
    MissingInputError,
    PermissionDeniedError,
    RunConflictError,
    SetupError,
    TransientError,
)
from fingpt.storage import proxies

TRANSIENT = frozenset({429, 500, 502, 503, 504})
GONE = 410

# What the client library raises for broken kubeconfigs, beside its own ConfigException.
BROKEN_KUBECONFIG = (YAMLError, OSError, ValueError, TypeError, LookupError, AttributeError)


class NoClusterError(SetupError):
    """No cluster is named: this machine has no kubeconfig, and this process is in no pod."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request: `verb` and `resource` as RBAC spells them, in a namespace of a cluster."""

    verb: str
    resource: str
    namespace: str
    cluster: str

    def __str__(self) -> str:
        place = f"namespace '{self.namespace}' of " if self.namespace else ""
        return f"{self.verb} {self.resource} in {place}{self.cluster}"


def of_status(call: Call, status: int, body: str) -> FingptError:
    """The error for an HTTP status of the API server; `body` is its Status object, or whatever a proxy sent."""
    return proxies.from_answer(f"Cannot {call}", status, "", body) or _of_server(call, status, body)


def _of_server(call: Call, status: int, body: str) -> FingptError:
    message = _server_message(body)
    if status == 0:  # how the client library reports a failed TLS handshake
        return _of_tls(call, body)
    if status == 401:
        return PermissionDeniedError(
            f"The API server of {call.cluster} does not accept your credentials; log in again, "
            "then try `kubectl auth whoami`."
        )
    if status == 403:
        return _forbidden(call, message)
    if status == 400 and "waiting to start" in message:
        return TransientError(f"There is no log yet: {message}.")
    if status == 400 and "HTTP request to an HTTPS server" in body:
        return no_scheme(call.cluster)
    if status == 404:
        return _not_found(call, message)
    if status == 409:
        return RunConflictError(f"Cannot {call}: {message or 'conflict'}.")
    if status == 422:
        return ConfigError(f"The cluster refuses to {call} as written: {message}.")
    if status in TRANSIENT or status == GONE:
        return TransientError(
            f"Cannot {call} for now (HTTP {status}{f': {message}' if message else ''}); the same command resumes."
        )
    return SetupError(f"Cannot {call}: HTTP {status}{f', {message}' if message else ''}.")


def _not_found(call: Call, message: str) -> FingptError:
    if message == f'namespaces "{call.namespace}" not found':  # so a create is answered there
        return no_namespace(call.namespace, call.cluster)
    return MissingInputError(f"Cannot {call}: {message or 'not found'}.")


def _forbidden(call: Call, message: str) -> FingptError:
    if "exceeded quota" in message:
        return TransientError(f"The namespace's quota leaves no room to {call}: {message}.")
    if "because it is being terminated" in message:
        return SetupError(
            f"Namespace '{call.namespace}' of {call.cluster} is being deleted and takes nothing new; name another "
            "(NAMESPACE=), or wait until it is gone, make it anew and install the chart there."
        )
    if "system:anonymous" in message:
        return PermissionDeniedError(
            f"The API server of {call.cluster} takes you for nobody: the kubeconfig's user has no credentials that it "
            "knows; log in again, then try `kubectl auth whoami`."
        )
    return PermissionDeniedError(
        f"You may not {call}: {message or 'forbidden'}; ask its administrator for the Role 'fingpt-user' that the "
        "chart installs."
    )


def is_restart(error: Exception, *, granted: bool) -> bool:
    """Whether the API server is probably restarting, rather than refusing.

    A load balancer (or kind's port) in front of it then ends connections during the TLS handshake, and in its first
    seconds the server has not read its RBAC rules and forbids what it has `granted` before.
    """
    cause = error.reason if isinstance(error, MaxRetryError) and error.reason else error
    status = getattr(error, "status", None)
    if status == 403:
        return granted and " cannot " in _server_message(str(getattr(error, "body", "") or ""))
    return (isinstance(cause, SSLError) or status == 0) and _cut_off(str(cause))


def of_transport(call: Call, error: HTTPError | ValueError) -> FingptError:
    """The error for a connection that could not be made, or broke."""
    if isinstance(error, UnicodeError):
        return unreadable(call)
    if isinstance(error, ValueError) and not isinstance(error, HTTPError):
        text = str(getattr(error, "doc", ""))  # what JSON was expected to be
        return proxies.from_answer(f"Cannot {call}", 200, "", text) or no_json(call)
    cause = error.reason if isinstance(error, MaxRetryError) and error.reason else error
    if isinstance(cause, ProxyError) and not isinstance(cause.original_error, ssl.SSLError):
        refused = proxies.from_tunnel(f"Cannot {call}", str(cause.original_error))
        if refused:
            return refused
        return SetupError(
            f"The proxy in front of the API server of {call.cluster} cannot be reached; check HTTPS_PROXY, NO_PROXY, "
            "and `proxy-url` in your kubeconfig."
        )
    if isinstance(cause, SSLError):
        return _of_tls(call, str(cause))
    if isinstance(cause, NameResolutionError):
        return TransientError(
            f"The host name in {call.cluster} does not resolve; check the server in your kubeconfig, or the network."
        )
    if isinstance(cause, NewConnectionError):  # to urllib3 a kind of ConnectTimeoutError
        how = "refuses connections" if "refused" in str(cause).lower() else "cannot be reached"
        return TransientError(
            f"The API server of {call.cluster} {how}; check that it is up, and the server in your kubeconfig."
        )
    if isinstance(cause, ConnectTimeoutError):
        return TransientError(
            f"The API server of {call.cluster} does not answer; check that it is up and that a VPN it may need is on."
        )
    if isinstance(cause, ResponseError) and "redirect" in str(cause):
        return SetupError(
            f"The server of {call.cluster} answers by naming another address, as a proxy that asks for a login does; "
            "log in there, or check the server in your kubeconfig, HTTPS_PROXY and NO_PROXY."
        )
    return TransientError(
        f"The connection to the API server of {call.cluster} broke while asking to {call.verb} {call.resource} "
        f"({type(cause).__name__}); the same command resumes."
    )


def no_json(call: Call) -> TransientError:
    """The answer is not an API server's, or is cut short."""
    return TransientError(
        f"The answer to {call} is not JSON; perhaps a proxy sent it: check HTTPS_PROXY, or try again."
    )


def no_server(call: Call) -> SetupError:
    """The answer is JSON, and none that an API server gives."""
    return SetupError(
        f"The answer to {call} is not an API server's; check the server in your kubeconfig, and HTTPS_PROXY."
    )


def unreadable(call: Call) -> SetupError:
    """The answer is in another encoding than its header says, or in one that does not exist."""
    return SetupError(
        f"The answer to {call} is in no encoding that can be read, so a proxy in between sent it; check HTTPS_PROXY, "
        "NO_PROXY and the server in your kubeconfig."
    )


def no_job(name: str, namespace: str) -> MissingInputError:
    """A Job that should be there is not."""
    return MissingInputError(
        f"There is no Job {name} in namespace '{namespace}': it was deleted, or its time to live is over; "
        "what its run has reached is in the bucket."
    )


def other_configuration(name: str, namespace: str, there: str, wanted: str) -> RunConflictError:
    """A Job's name is taken; `there` and `wanted` are what the two Jobs compute (see job.identity)."""
    return RunConflictError(
        f"Job {name} belongs to another configuration ({there or 'unknown'}, yours {wanted}); "
        f"nothing was changed: kubectl delete job {name} -n {namespace}, or use another namespace."
    )


def other_store(name: str, namespace: str, uri: str) -> RunConflictError:
    """A Job's name is taken by the same work on another store: the namespace's was changed meanwhile."""
    return RunConflictError(
        f"Job {name} does the same in another store ({uri}), which this namespace had before; nothing was changed: "
        f"wait for its end, or kubectl delete job {name} -n {namespace}"
    )


def no_namespace(namespace: str, where: str) -> SetupError:
    """The cluster has no such namespace."""
    return SetupError(
        f"There is no namespace '{namespace}' in {where}; name one that is there (NAMESPACE=; `kubectl get namespaces` "
        f"lists them), or make it: kubectl create namespace {namespace}"
    )


def no_chart(namespace: str) -> SetupError:
    """The chart is not installed in the namespace."""
    return SetupError(
        f"Namespace '{namespace}' has no ConfigMap 'fingpt-jobs'; install the chart: "
        f"helm install fingpt helm/fingpt-jobs -n {namespace} --set store.uri=s3://bucket/prefix "
        "--set store.secret=NAME, or name another namespace."
    )


def no_jobset_kind(where: str) -> SetupError:
    """The cluster cannot make a JobSet."""
    return SetupError(
        f"train.nodes > 1 takes a JobSet, and {where} does not serve {GROUP}/{VERSION}; have its administrator install "
        f"the controller: {INSTALL}"
    )


def bad_namespace(name: str) -> ConfigError:
    """No namespace can be called so."""
    return ConfigError(
        f"NAMESPACE={name} is no name of a namespace, which has up to 63 small letters, digits and inner hyphens: "
        "`kubectl get namespaces` lists yours."
    )


def no_kubeconfig() -> NoClusterError:
    """Neither a kubeconfig nor a pod's own account."""
    return NoClusterError(
        "There is no kubeconfig: neither KUBECONFIG nor ~/.kube/config is a file; get one from your cluster's "
        "administrator, or work on this machine with LOCAL=1."
    )


def no_context() -> SetupError:
    """The kubeconfig chooses no cluster."""
    return SetupError(
        "The kubeconfig has no current context; choose one: kubectl config get-contexts, "
        "then kubectl config use-context NAME."
    )


def bad_token() -> PermissionDeniedError:
    """The kubeconfig's token can be sent to no server."""
    return PermissionDeniedError(
        "The token in the kubeconfig holds a line break or another character that no token has; copy it again, or log "
        "in again."
    )


def bad_name() -> SetupError:
    """Whom the kubeconfig acts as can be sent to no server."""
    return SetupError(
        "The kubeconfig acts as somebody (`as`, `as-groups`) whose name holds a line break or another character that "
        "no header can hold; correct it there."
    )


def no_credentials(user: str, said: Sequence[str]) -> PermissionDeniedError:
    """What the kubeconfig names to log a user in, a command most times, has failed; `said` is why."""
    why = " ".join(" ".join(said).split()).rstrip(".")[:300]
    return PermissionDeniedError(
        f"The kubeconfig's user '{user}' gets no credentials: {why}; log in again, or mend what kubectl calls for it "
        "(`kubectl config view` shows it under `exec` or `auth-provider`)."
    )


def no_scheme(server: str) -> SetupError:
    """The server's address does not begin as the server speaks."""
    return SetupError(
        f"The API server of {server} is not addressed by https://; correct `server` in your kubeconfig: "
        "https://host:port."
    )


def bad_kubeconfig(error: Exception) -> SetupError:
    """The kubeconfig is broken; the message says where."""
    first = next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")
    if isinstance(error, MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        first = f"{mark.name}, line {mark.line + 1}: {error.problem}"
    elif isinstance(error, TypeError | LookupError | AttributeError):
        first = "its `clusters`, `contexts` and `users` are no lists of entries with `name` and what belongs to it"
    return SetupError(
        f"The kubeconfig cannot be used: {first}; compare with what `kubectl config view` says."
    )


def _cut_off(message: str) -> bool:
    # What ssl says of a connection that ended: it depends on whether the other side's end came before our first bytes.
    said = ("EOF occurred", "has been closed (EOF)", "reset by peer", "Broken pipe")
    return any(words in message for words in said)


def _of_tls(call: Call, message: str) -> SetupError | TransientError:
    if _cut_off(message):
        return TransientError(
            f"The API server of {call.cluster} ends connections during the TLS handshake, as when it restarts; "
            "the same command resumes."
        )
    for word, meaning in (
        (
            "expired",
            "a certificate has expired; renew the kubeconfig, or check this machine's clock",
        ),
        (
            "Hostname mismatch",
            "its certificate is for another host name; check the server in your kubeconfig",
        ),
        (
            "IP address mismatch",
            "its certificate is for another address; check the server in your kubeconfig",
        ),
        (
            "WRONG_VERSION_NUMBER",
            "it speaks no TLS on that port; check the server in your kubeconfig",
        ),
        (
            "CERTIFICATE_VERIFY_FAILED",
            "its certificate is not signed by the authority in your kubeconfig",
        ),
    ):
        if word.lower() in message.lower():
            return SetupError(f"The API server of {call.cluster} cannot be trusted: {meaning}.")
    return SetupError(f"No TLS connection to the API server of {call.cluster}: {message[:200]}.")


def _server_message(body: str) -> str:
    """The server's own message."""
    try:
        status = json.loads(body)
        return str(status["message"]).strip().rstrip(".")
    except (ValueError, KeyError, TypeError):
        return " ".join(body.split())[:200]
