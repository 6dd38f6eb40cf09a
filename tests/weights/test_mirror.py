"""The mirror against a hub on loopback, through the hub's real client: what is taken, verified, resumed and refused."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from pydantic import SecretStr

from fingpt.errors import (
    ConfigError,
    DataError,
    FingptError,
    MissingInputError,
    NoSpaceError,
    PermissionDeniedError,
    SetupError,
    StorageError,
    TransientError,
)
from fingpt.models import spec
from fingpt.weights.base import fetch_base, read_base_manifest
from fingpt.weights.contents import KINDS, check_config, check_settings
from fingpt.weights.hub import Hub
from fingpt.weights.mirror import mirror
from tests import hub_server
from tests.hub_server import OTHER_TOKEN, TOKEN, HubServer, repository, serving, sha256

MODEL = spec("llama31")
SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
TAKEN = {
    *("config.json", "generation_config.json", "model.safetensors.index.json"),
    *("tokenizer.json", "tokenizer_config.json", *SHARDS),
}


@pytest.fixture(autouse=True)
def online(monkeypatch):
    """The hub's client may make requests, to loopback and past any proxy."""
    from huggingface_hub import close_session, constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    close_session()
    yield
    close_session()


@pytest.fixture
def server():
    with serving(HubServer(MODEL.base, MODEL.revision, repository())) as hub:
        yield hub


def hub_at(server, token=None):
    return Hub(SecretStr(token) if token else None, server.url)


def stored(store):
    return {key.removeprefix(f"{MODEL.base_prefix}/") for key in store.keys("")}


def failure(store, server, token=None):
    with pytest.raises(FingptError) as caught:
        mirror(store, MODEL, hub_at(server, token))
    return caught.value


class Watched:
    """A store that counts the files in the scratch folder at each upload and may fail at one."""

    def __init__(self, store, fail_at=-1):
        self._store, self._fail_at, self.seen = store, fail_at, []

    def __getattr__(self, name):
        return getattr(self._store, name)

    def upload(self, path, key):
        if len(self.seen) == self._fail_at:
            raise TransientError("the store went away")
        self.seen.append([p.name for p in path.parent.iterdir() if p.is_file()])
        return self._store.upload(path, key)


def test_what_is_needed_is_taken_and_nothing_else(store, server):
    manifest = mirror(store, MODEL, hub_at(server))
    assert stored(store) == {*TAKEN, "manifest.json"}
    assert {file.name: file.sha256 for file in manifest.files} == {
        name: sha256(server.files[name]) for name in TAKEN
    }
    assert {file.name: file.size for file in manifest.files} == {
        name: len(server.files[name]) for name in TAKEN
    }
    assert [file.name for file in manifest.files] == sorted(TAKEN)
    assert read_base_manifest(store, MODEL) == manifest
    assert not server.asked("GET", r"\.bin|\.py|\.pth|consolidated|README")


def test_a_single_weight_file_needs_no_index(store, server):
    for name in (*SHARDS, "model.safetensors.index.json"):
        del server.files[name]
    server.files["model.safetensors"] = b"w" * 100
    names = {file.name for file in mirror(store, MODEL, hub_at(server)).files}
    assert names == {*TAKEN, "model.safetensors"} - {*SHARDS, "model.safetensors.index.json"}


def test_fetched_weights_of_a_mirror_load_in_transformers_without_the_hub(
    store, server, tmp_path, monkeypatch
):
    import torch
    from huggingface_hub import constants
    from safetensors.torch import save
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        architectures=["LlamaForCausalLM"],
        vocab_size=64,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config)
    tensors = sorted(model.state_dict().items())
    parts = dict(zip(SHARDS, (tensors[0::2], tensors[1::2]), strict=True))
    server.files |= {name: save(dict(part), {"format": "pt"}) for name, part in parts.items()}
    table = {key: name for name, part in parts.items() for key, _ in part}
    index = {"metadata": {"total_size": 0}, "weight_map": table}
    server.files["model.safetensors.index.json"] = json.dumps(index).encode()
    server.files["config.json"] = config.to_json_string().encode()
    mirror(store, MODEL, hub_at(server))

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    before = len(server.requests)
    folder = fetch_base(store, MODEL, tmp_path / "cache")
    loaded = LlamaForCausalLM.from_pretrained(folder)
    same = zip(model.state_dict().values(), loaded.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in same)
    assert len(server.requests) == before


def test_one_file_at_a_time_is_on_the_disk(store, server):
    watched = Watched(store)
    mirror(watched, MODEL, hub_at(server))
    assert [len(names) for names in watched.seen] == [1] * len(TAKEN)
    assert watched.seen[0] == ["config.json"]
    assert [names[0] for names in watched.seen[-2:]] == SHARDS


def test_a_broken_off_mirror_goes_on_after_the_files_that_are_stored(store, server):
    with pytest.raises(TransientError):
        mirror(Watched(store, fail_at=6), MODEL, hub_at(server))
    assert stored(store) == TAKEN - {SHARDS[1]}
    server.requests.clear()
    manifest = mirror(store, MODEL, hub_at(server))
    assert {file.name for file in manifest.files} == TAKEN
    assert [path for verb, path, _ in server.requests if verb == "GET"][1:] == [
        f"/store/{SHARDS[1]}"
    ]


def test_a_mirror_that_is_complete_asks_the_hub_nothing(store, server):
    first = mirror(store, MODEL, hub_at(server))
    server.requests.clear()
    assert mirror(store, MODEL, hub_at(server)) == first
    assert server.requests == []


@pytest.mark.parametrize("name", ["config.json", SHARDS[0]])
def test_a_stored_file_with_other_bytes_is_neither_taken_nor_overwritten(store, server, name):
    wrong = server.files[name][:-1] + b"#"
    store.create(f"{MODEL.base_prefix}/{name}", wrong)
    error = failure(store, server)
    assert isinstance(error, StorageError)
    assert name in str(error)
    assert store.read(f"{MODEL.base_prefix}/{name}") == wrong
    assert "manifest.json" not in stored(store)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", SHARDS[0]])
@pytest.mark.parametrize("change", [lambda data: data[:-1] + b"#", lambda data: data + b"#"])
def test_bytes_that_differ_from_the_announced_ones_are_not_stored(store, server, name, change):
    server.served[name] = change(server.files[name])
    error = failure(store, server)
    assert isinstance(error, StorageError)
    assert f"{name} has other bytes than the hub announces" in str(error)
    assert not {name, "manifest.json"} & stored(store)


class Meter:
    def __init__(self):
        self.counted = []

    def advance(self, n=1, **_):
        self.counted.append(n)


def test_a_copy_in_the_clients_own_cache_is_verified_and_counted(server, tmp_path, monkeypatch):
    from huggingface_hub import HfApi, constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    cached = HfApi(endpoint=server.url).hf_hub_download(
        MODEL.base, SHARDS[0], revision=MODEL.revision
    )
    server.requests.clear()
    hub, meter = hub_at(server), Meter()
    file = hub.files(MODEL)[SHARDS[0]]
    assert hub.download(MODEL, file, tmp_path / "one", meter) == file.sha256
    assert server.asked("GET", "^/store/") == []
    assert sum(meter.counted) == file.size

    Path(cached).write_bytes(bytes(file.size))
    with pytest.raises(StorageError, match="other bytes than the hub announces"):
        hub.download(MODEL, file, tmp_path / "two", meter)


def test_a_download_that_breaks_off_is_taken_up_where_it_broke(server, tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1 << 14)  # the client keeps whole chunks
    server.cut[SHARDS[0]] = 70_000
    hub, meter = hub_at(server), Meter()
    file = hub.files(MODEL)[SHARDS[0]]
    assert hub.download(MODEL, file, tmp_path, meter) == file.sha256
    ranges = [head.get("range") for head in server.asked("GET", "^/store/")]
    assert ranges == [None, "bytes=65536-"]
    assert sum(meter.counted) == file.size


def test_the_token_goes_to_the_hub_and_not_to_where_the_files_lie(store, server):
    server.gated = True
    mirror(store, MODEL, hub_at(server, TOKEN))
    assert {head.get("authorization") for head in server.asked("GET", "^/api/")} == {
        f"Bearer {TOKEN}"
    }
    assert len(server.asked("GET", "^/store/")) == 3
    assert not any("authorization" in head for head in server.asked("GET", "^/store/"))
    assert TOKEN not in repr(hub_at(server, TOKEN))


@pytest.mark.parametrize(
    ("token", "words"),
    [(None, ["no token was given", "HF_TOKEN"]), (OTHER_TOKEN, ["account", "accept its licence"])],
)
def test_a_gated_repository_says_where_the_licence_is_accepted(store, server, token, words):
    server.gated = True
    error = failure(store, server, token)
    assert isinstance(error, PermissionDeniedError)
    assert all(word in str(error) for word in [*words, f"/{MODEL.base}"])
    assert stored(store) == set()


@pytest.mark.parametrize(
    ("change", "token", "kind", "words"),
    [
        ({"repo": "other/model"}, TOKEN, MissingInputError, "has no model meta-llama/"),
        ({"repo": "other/model"}, None, MissingInputError, "known accounts only: give a token"),
        ({"commit": "f" * 40}, None, MissingInputError, f"no commit {MODEL.revision}"),
        ({}, "hf_revoked", PermissionDeniedError, "refuses the token"),
        ({}, "hf two", PermissionDeniedError, "HF_TOKEN holds a blank"),
        ({"status": 403}, TOKEN, PermissionDeniedError, "forbids"),
        ({"status": 503}, None, TransientError, "answered 503"),
        ({"status": 429}, None, TransientError, "answered 429"),
        ({"status": 418}, None, SetupError, "answered 418"),
        ({"page": b"<html>please log in</html>"}, None, SetupError, "HF_ENDPOINT"),
        ({"info": {"sha": "f" * 40}}, None, SetupError, "answers with commit"),
        ({"info": {"siblings": [{"rfilename": "config.json"}]}}, None, SetupError, "no size"),
        ({"info": {"siblings": None}}, None, MissingInputError, "no config.json and no tokenizer"),
    ],
)
def test_what_the_hub_refuses_is_one_sentence_and_stores_nothing(
    store, server, change, token, kind, words
):
    for name, value in change.items():
        setattr(server, name, value)
    with pytest.raises(FingptError) as caught:
        mirror(store, MODEL, hub_at(server, token))
    assert type(caught.value) is kind
    assert words in str(caught.value)
    assert not token or token not in str(caught.value)
    assert stored(store) == set()


def test_a_hub_that_cannot_be_reached_is_transient(store):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(TransientError, match="cannot be reached"):
        mirror(store, MODEL, Hub(endpoint=f"http://127.0.0.1:{port}"))


def test_a_client_that_is_set_offline_says_so(store, server, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    error = failure(store, server)
    assert isinstance(error, SetupError)
    assert "HF_HUB_OFFLINE" in str(error)


def test_a_file_that_finds_no_room_is_named_with_what_it_needs(store, server, monkeypatch):
    monkeypatch.setattr("fingpt.storage.files.free_bytes", lambda _: 150_000)
    error = failure(store, server)
    assert isinstance(error, NoSpaceError)
    assert all(word in str(error) for word in (SHARDS[0], "150,000", "200,001"))
    assert stored(store) == TAKEN - set(SHARDS)


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("config.json", {"auto_map": {"AutoModel": "modeling.Evil"}}, "'auto_map'"),
        ("config.json", {"model_type": "gpt2"}, "'gpt2'"),
        ("config.json", {"architectures": ["EvilForCausalLM"]}, "EvilForCausalLM"),
        ("config.json", {"_attn_implementation_internal": "a/b"}, "_attn_implementation_internal"),
        ("config.json", {"vocab_file": "/etc/passwd"}, "'vocab_file'"),
        ("config.json", [], "no settings"),
        ("config.json", b"{", "is not JSON"),
        ("config.json", b"[" * 100_000, "is nested deeper"),
        ("tokenizer.json", {}, "no fast tokenizer"),
        ("tokenizer.json", {"model": {"type": "Unigram", "vocab": {}, "merges": []}}, "kind BPE"),
        ("tokenizer.json", {"model": {"type": "BPE", "vocab": {}}}, "no fast tokenizer"),
        ("tokenizer.json", b"version https://git-lfs.github.com/spec/v1", "is not JSON"),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["a.B", None]}}, "'auto_map'"),
        ("tokenizer_config.json", {"tokenizer_file": "/tmp/x"}, "'tokenizer_file'"),
        ("generation_config.json", {"custom_generate": "a/b"}, "'custom_generate'"),
        ("model.safetensors.index.json", {"weight_map": {}}, "no table of weights"),
        ("model.safetensors.index.json", {"weight_map": {"a": ["b"]}}, "no table of weights"),
        ("model.safetensors.index.json", {"weight_map": {"a": SHARDS[0]}}, "no section 'metadata'"),
        ("model.safetensors.index.json", {"weight_map": {"a": "../x.safetensors"}}, "'../x.s"),
        ("model.safetensors.index.json", {"weight_map": {"a": "pytorch_model.bin"}}, "'pytorch_"),
        ("model.safetensors.index.json", {"weight_map": {"a": "gone.safetensors"}}, "'gone.s"),
    ],
)
def test_settings_that_could_load_code_or_files_are_refused(store, server, name, settings, words):
    if isinstance(settings, dict) and name == "config.json":
        settings = {**json.loads(server.files[name]), **settings}
    data = settings if isinstance(settings, bytes) else json.dumps(settings).encode()
    server.files[name] = data
    error = failure(store, server)
    assert isinstance(error, DataError)
    assert name in str(error)
    assert words in str(error)
    assert not {"manifest.json", *SHARDS} & stored(store)
    assert not server.asked("GET", "^/store/model-")


def test_the_settings_of_both_pinned_models_are_allowed():
    common = (
        "attention_bias attention_dropout bos_token_id eos_token_id hidden_act hidden_size initializer_range "
        "intermediate_size max_position_embeddings mlp_bias num_attention_heads num_hidden_layers num_key_value_heads "
        "pretraining_tp rms_norm_eps rope_scaling rope_theta tie_word_embeddings torch_dtype transformers_version "
        "use_cache vocab_size"
    )
    content = {**dict.fromkeys(common.split(), 1), **KINDS}
    assert check_config(content) == ""
    tokenizer = "add_bos_token added_tokens_decoder bos_token chat_template legacy model_max_length tokenizer_class"
    assert check_settings(dict.fromkeys(tokenizer.split(), 1)) == ""


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        (["tokenizer.json"], "no tokenizer.json"),
        (["config.json"], "no config.json"),
        (["model.safetensors.index.json"], "no safetensors weights"),
    ],
)
def test_a_repository_without_what_is_needed_is_refused_before_any_download(
    store, server, gone, words
):
    for name in gone:
        del server.files[name]
    error = failure(store, server)
    assert isinstance(error, MissingInputError)
    assert words in str(error)
    assert not server.asked("GET", "/resolve/")


def test_a_tiny_model_is_made_and_not_mirrored(store, server):
    with pytest.raises(ConfigError, match="make tiny MODEL=tiny-llama31"):
        mirror(store, spec("tiny-llama31"), hub_at(server))
    assert server.requests == []


PAGE = b"<html><body>Your company says no</body></html>"


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (401, PermissionDeniedError, "HTML page.*HTTPS_PROXY"),
        (403, PermissionDeniedError, "HTML page.*HTTPS_PROXY"),
        (407, PermissionDeniedError, "proxy in between asks for a login"),
        (404, SetupError, "HTML page.*HTTPS_PROXY"),
        (200, SetupError, "does not answer as a hub does"),
    ],
)
def test_a_proxy_that_answers_in_the_hub_s_place_is_named(server, monkeypatch, status, kind, words):
    head = {"Content-Type": "text/html; charset=windows-1252"}
    monkeypatch.setattr(
        hub_server._Handler, "do_GET", lambda handler: handler.answer(status, PAGE, head)
    )
    with pytest.raises(kind, match=words) as caught:
        hub_at(server, TOKEN).files(MODEL)
    assert type(caught.value) is kind


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_a_certificate_file_that_is_missing_is_named_with_its_variable(server, monkeypatch, name):
    monkeypatch.setenv(name, "/nonexistent/ca.pem")
    with pytest.raises(SetupError, match=f"{name} names /nonexistent/ca.pem"):
        hub_at(server)


def test_a_hub_s_address_with_a_password_is_refused_and_masked():
    with pytest.raises(SetupError, match="HF_ENDPOINT") as caught:
        Hub(None, "http://ann:hunter2@127.0.0.1:9")
    assert "hunter2" not in str(caught.value)
