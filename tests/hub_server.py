"""A hub on this machine, with as much of the protocol as its own client speaks for one model or data set at one commit.

Small files are answered directly and known by git's SHA-1; large ones lie on another host (`localhost` instead of
127.0.0.1), are known by their sha256, and may be asked for in ranges, as on the real hub. Where it listens beyond
loopback it answers them itself, as a site's mirror of the hub does. Faults are switched on by fields.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

OTHER_TOKEN, TOKEN = "hf_stranger", "hf_planted_token_0123456789"
_STORE_BYTES = 1 << 16
_LOOPBACK = "127.0.0.1"


@dataclass
class HubServer:
    """One repository and what is wrong with the hub today.

    `served` replaces the bytes of a file that are sent, while its size and hash are announced as before; `cut` maps
    a large file to the number of bytes after which its first download breaks off; `status` answers everything with one
    code; `stall` holds weights back until it is set. `kind` is `models` or `datasets`, `branch` a name that means
    `commit` now, `beside` more repositories of the same hub. `address` is where it listens.
    """

    repo: str
    commit: str
    files: dict[str, bytes]
    gated: bool = False
    status: int = 0
    page: bytes = b""
    info: dict[str, object] = field(default_factory=dict)
    served: dict[str, bytes] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    stall: threading.Event | None = None
    kind: str = "models"
    branch: str = ""
    beside: list[HubServer] = field(default_factory=list)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    address: str = _LOOPBACK
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self.port}"

    def asked(self, method: str, pattern: str) -> list[dict[str, str]]:
        """Headers of the requests whose path matches."""
        return [
            head
            for verb, path, head in self.requests
            if verb == method and re.search(pattern, path)
        ]

    def large(self, name: str) -> bool:
        return (
            name.endswith((".safetensors", ".bin", ".parquet"))
            or len(self.files[name]) > _STORE_BYTES
        )

    def sibling(self, name: str) -> dict[str, object]:
        data = self.files[name]
        entry: dict[str, object] = {"rfilename": name, "size": len(data), "blobId": blob(data)}
        if self.large(name):
            entry["lfs"] = {"size": len(data), "sha256": sha256(data), "pointerSize": 135}
        return entry


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def blob(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: HubServer

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        hub, path = self.hub, self.path.partition("?")[0]
        hub.requests.append((self.command, path, {k.lower(): v for k, v in self.headers.items()}))
        if hub.page:
            return self.answer(200, hub.page, {"Content-Type": "text/html"})
        if hub.status:
            return self.refuse(hub.status, "", "something is wrong")
        if path.startswith("/store/"):
            owner = self.path.partition("?of=")[2]
            hubs = (self.hub, *self.hub.beside)
            hub = next(each for each in hubs if each.repo == owner)
            return self.large_file(hub, path.removeprefix("/store/"), {})
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in ("", TOKEN, OTHER_TOKEN):
            return self.refuse(401, "", "Invalid credentials in Authorization header")
        hub, found, asked = self.route(path)
        if not asked:
            if not token:
                return self.refuse(401, "", "Invalid username or password.")
            return self.refuse(404, "RepoNotFound", "Repository not found")
        if asked[2] not in (hub.commit, hub.branch or hub.commit):
            return self.refuse(404, "RevisionNotFound", f"Invalid rev id: {asked[2]}")
        if found:
            listing = {"id": hub.repo, "sha": hub.commit, "gated": "manual" if hub.gated else False}
            listing["siblings"] = [hub.sibling(name) for name in hub.files]
            return self.answer(200, json.dumps({**listing, **hub.info}).encode())
        if hub.gated and token != TOKEN:
            return self.refuse(403 if token else 401, "GatedRepo", "Access to model is restricted")
        return self.resolve(hub, unquote(asked[3]))

    def route(self, path: str) -> tuple[HubServer, re.Match[str] | None, re.Match[str] | None]:
        """Whose listing (the second) or file a path asks for; the third is None where it is nobody's."""
        for hub in (self.hub, *self.hub.beside):
            folder = "" if hub.kind == "models" else f"{hub.kind}/"
            found = re.fullmatch(rf"/api/{hub.kind}/(.+?)/revision/([^/]+)", path)
            asked = found or re.fullmatch(rf"/{folder}(.+?)/resolve/([^/]+)/(.+)", path)
            if asked and asked[1] == hub.repo:
                return hub, found, asked
        return self.hub, None, None

    def resolve(self, hub: HubServer, name: str) -> None:
        if name not in hub.files:
            return self.refuse(404, "EntryNotFound", "Entry not found")
        data = hub.files[name]
        head = {"X-Repo-Commit": hub.commit}
        if not hub.large(name):
            return self.answer(200, hub.served.get(name, data), {**head, "ETag": f'"{blob(data)}"'})
        head |= {"X-Linked-Etag": f'"{sha256(data)}"', "X-Linked-Size": str(len(data))}
        if self.hub.address != _LOOPBACK:
            return self.large_file(hub, name, head)
        head["Location"] = f"http://localhost:{self.hub.port}/store/{name}?of={hub.repo}"
        return self.answer(302, b"", head)

    def large_file(self, hub: HubServer, name: str, more: dict[str, str]) -> None:
        data = hub.served.get(name, hub.files[name])
        if hub.stall is not None and name.endswith(".safetensors"):
            hub.stall.wait(30)
        start = int((re.match(r"bytes=(\d+)-", self.headers.get("Range", "")) or [0, 0])[1])
        head = {**more, "Content-Length": str(len(data) - start)}
        if start:
            head["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        end = hub.cut.pop(name, len(data))
        self.answer(206 if start else 200, data[start:end], head)
        self.close_connection = end < len(data)

    def refuse(self, status: int, code: str, message: str) -> None:
        head = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
        self.answer(status, json.dumps({"error": message}).encode(), head)

    def answer(self, status: int, body: bytes, head: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **(head or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


@contextmanager
def serving(hub: HubServer) -> Iterator[HubServer]:
    """Serve `hub` on a free port of its address."""
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer((hub.address, 0), handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign] # a client that goes away is no news
    hub.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        if hub.stall is not None:
            hub.stall.set()
        server.shutdown()
        thread.join()
        server.server_close()


def repository(weights: dict[str, bytes] | None = None) -> dict[str, bytes]:
    """A small repository in the form of the real ones: what is needed, and beside it what must never be taken."""
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": 8,
        "rope_scaling": {"rope_type": "llama3", "factor": 8.0},
        "torch_dtype": "bfloat16",
    }
    parts = weights or {
        f"model-0000{n}-of-00002.safetensors": bytes([n]) * (200_000 + n) for n in (1, 2)
    }
    table = {f"layer.{n}": name for n, name in enumerate(parts)}
    return {
        ".gitattributes": b"*.safetensors filter=lfs\n",
        "README.md": b"# A model\n",
        "config.json": json.dumps(config).encode(),
        "generation_config.json": b'{"do_sample": true, "temperature": 0.6}',
        "model.safetensors.index.json": json.dumps({"metadata": {}, "weight_map": table}).encode(),
        "tokenizer.json": b'{"model": {"type": "BPE", "vocab": {}, "merges": []}}'
        + b" " * _STORE_BYTES,
        "tokenizer_config.json": b'{"tokenizer_class": "PreTrainedTokenizerFast"}',
        "modeling_llama.py": b"raise SystemExit('ran')\n",
        "pytorch_model.bin": b"\x80\x04." * 10,
        "original/consolidated.00.pth": b"\x80\x04." * 10,
        "consolidated.safetensors": b"the same weights in another layout",
        **parts,
    }
