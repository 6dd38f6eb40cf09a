"""RunConfig: strict loading, overrides, cross-field rules, identity."""

import re
import socket
from pathlib import Path

import pytest

from fingpt.config import (
    EvalConfig,
    RunConfig,
    load_config,
    local_path,
    parse_config,
    pod_and_node,
    read_environment,
    split_names,
    split_words,
    store_uri,
)
from fingpt.errors import ConfigError
from fingpt.record import canonical_json
from fingpt.storage import open_store

CONFIGS = Path(__file__).parent.parent / "jobs" / "configs"


def write(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_configuration_loads_and_is_named_after_its_model(path):
    assert path.stem.removeprefix("seed-repro-") == load_config(path).model


def test_an_override_replaces_one_value_and_keeps_the_rest(tmp_path):
    path = write(tmp_path, "model: llama31\ntrain: {epochs: 3}\n")
    config = load_config(path, ["train.lr=1e-4", "train.lora.r=4", "prep.limit=null"])
    assert (config.train.lr, config.train.lora.r, config.train.epochs) == (1e-4, 4, 3.0)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.lrr=1", ["train.lrr", "did you mean 'lr'"]),
        ("trian.lr=1", ["trian", "did you mean 'train'"]),
        ("train.lora.rank=8", ["train.lora.rank", "no setting"]),
        ("train.lr=-1e-4", ["train.lr", "-0.0001", "greater than 0"]),
        ("train.lr=fast", ["train.lr", "'fast'", "number"]),
        ("train.lr=nan", ["train.lr"]),
        ("train.epochs=inf", ["train.epochs"]),
        ("model=lama31", ["lama31", "did you mean 'llama31'"]),
        ("train.lora.targets=[q_proj, o_porj]", ["o_porj", "o_proj"]),
        ("train.lr", ["train.lr", "must look like"]),
        ("train.lr.x=1", ["train.lr", "is a value"]),
        ("train.optimizer=zero_one_adam", ["zero_stage=0"]),
        ("prep.split=random", ["allow_leaky_split"]),
        ("train.precision=fp16", ["loss scaling"]),
        ("train={pack_tokens: 8192, zero_stage: 1}", ["train.pack_tokens", "DeepSpeed"]),
        ("train.gradient_precison=fp8", ["did you mean 'gradient_precision'"]),
        ("train.gradient_precision=int8", ["'int8'", "'bf16' or 'fp8'"]),
        ("train.base_precision=fp8", ["'fp8'", "'bf16' or 'int8'"]),
        ("train.load_in_8bit=true", ["did you mean 'train.base_precision'"]),
        (
            "train={gradient_precision: fp8, zero_stage: 2}",
            ["train.gradient_precision=fp8 and train.zero_stage=2", "DeepSpeed", "leave one"],
        ),
        (
            "train={base_precision: int8, gradient_precision: fp8, gradient_checkpointing: true}",
            ["base_precision=int8 and train.gradient_precision=fp8 and train.gradient_checkpoint"],
        ),
        (
            "train={base_precision: int8, precision: fp32}",
            ["fp32 exclude", "set train.precision=auto"],
        ),
        (
            "train={base_precision: int8, lora: {targets: [q_proj, v_proj]}}",
            ["every linear layer", "leaves out k_proj, o_proj, gate_proj, up_proj, down_proj"],
        ),
        ("prep.limit=0", ["prep.limit"]),
        ("train.pack_tokens=auto", ["'auto'", "a valid integer", "; null is its default."]),
        ("prep.allow_leaks.market-cap-canry=known", ["did you mean 'market-cap-canary'"]),
        ("prep.allow_leaks.market-cap-canary= ", ["market-cap-canary needs a reason"]),
        ("prep.allow_leaks=true", ["prep.allow_leaks"]),
        ("prep.origins=3", ["prep.origins", "greater than or equal to 4"]),
        ("prep.origin=1", ["prep.origin=1", "prep.origins is not set"]),
        ("prep={origins: 4, origin: 5}", ["prep.origin=5", "there are 4 origins"]),
        (
            "prep={origins: 4, split: published}",
            ["prep.split=published", "use prep.split=calendar"],
        ),
        ("seed=-1", ["seed"]),
    ],
)
def test_a_wrong_setting_is_named_with_what_was_expected(tmp_path, override, words):
    path = write(tmp_path, "model: llama31\ntrain: {lr: 1e-4}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path, [override])
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert caught.value.exit_code == 64


@pytest.mark.parametrize(
    ("overrides", "end"),
    [
        (["train.lrr=1"], "'train.lrr' is no setting; did you mean 'lr'?"),
        (["train.lora.targets=[o_porj]"], "did you mean 'o_proj'?"),
        (["train.zzz=1", "prep.limit=0"], "warmup_ratio, weight_decay, zero_stage."),
        (["train.lr=fast"], "unable to parse string as a number."),
    ],
)
def test_a_sentence_about_settings_ends_once(tmp_path, overrides, end):
    path = write(tmp_path, "model: llama31\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    assert str(caught.value).endswith(end)
    assert not re.search(r"[.?][.;]", str(caught.value).removeprefix(str(path)))


def test_a_run_of_a_single_split_is_hashed_as_before_there_were_origins():
    before = {"embargo_weeks": 1, "test_weeks": 10, "validation_weeks": 0}
    config = RunConfig.model_validate({"model": "tiny-llama31", "prep": before})
    assert config.sha256 == "5985301d1c3f8861626f6beec71128f7f49bb69c9efcbbc81fc15cc8cf016efd"


def test_zero_one_adam_is_refused_with_one_rank_and_taken_with_two():
    train = {"optimizer": "zero_one_adam", "zero_stage": 0}
    with pytest.raises(ConfigError, match="drops most"):
        parse_config({"model": "llama31", "train": train}, "here")
    config = parse_config({"model": "llama31", "train": {**train, "processes": 2}}, "here")
    assert config.train.optimizer == "zero_one_adam"


def test_an_unknown_configuration_names_the_nearest_file():
    with pytest.raises(ConfigError, match="did you mean 'tiny-llama31'"):
        load_config(CONFIGS / "tiny-lama31.yaml")


@pytest.mark.parametrize("text", ["model: [", "- a\n- b\n", ""])
def test_a_file_that_is_no_mapping_is_one_sentence(tmp_path, text):
    with pytest.raises(ConfigError, match="mine"):
        load_config(write(tmp_path, text))


def test_equal_configurations_hash_equal_and_any_change_changes_the_hash():
    one = RunConfig(model="llama31")
    again = parse_config({"model": "llama31", "train": {"lr": 2e-4}}, "here")
    other = parse_config({"model": "llama31", "train": {"lr": 1e-4}}, "here")
    assert one.sha256 == again.sha256 != other.sha256


ALLOWED = """
model: llama31
prep:
  source: hub:a/b@main
  allow_leaks:
    market-cap-canary: the rows are published so
"""


def test_a_reason_is_text_and_a_run_that_allows_nothing_hashes_as_before(tmp_path):
    path = write(tmp_path, "model: llama31\n")
    config = load_config(path, ["prep.allow_leaks.market-cap-canary=known: 1e-4 #yes"])
    assert config.prep.allow_leaks == {"market-cap-canary": "known: 1e-4 #yes"}
    plain = load_config(path)
    assert "allow_leaks" not in plain.model_dump(mode="json")["prep"]
    assert plain.sha256 != config.sha256
    assert parse_config(config.model_dump(mode="json"), "here") == config


def test_a_file_allows_leaks_of_the_rows_that_it_names_and_of_no_others(tmp_path):
    path = write(tmp_path, ALLOWED)
    same = load_config(path, ["train.lr=1e-4", "prep.source=hub:a/b@main"])
    assert set(same.prep.allow_leaks) == {"market-cap-canary"}
    other = ["prep.allow_leaks.answer-in-prompt=mine", "prep.source=folder"]
    assert load_config(path, other).prep.allow_leaks == {"answer-in-prompt": "mine"}


def test_the_report_s_own_settings_are_reproduced():
    config = load_config(CONFIGS / "seed-repro-llama31.yaml")
    train = config.train
    assert (train.lora.r, train.lora.alpha, train.lora.dropout) == (8, 16, 0.1)
    assert len(train.lora.targets) == 7
    assert (train.lr, train.epochs, train.weight_decay) == (5e-5, 5, 0.01)
    assert train.batch_size * train.accumulation * train.processes == 16


def test_the_site_comes_from_the_environment_and_not_from_the_run(monkeypatch, tmp_path):
    monkeypatch.setenv("FINGPT_STORE", "s3://bucket/prefix")
    monkeypatch.setenv("FINGPT_CACHE", str(tmp_path))
    site = read_environment()
    assert (site.store, site.cache) == ("s3://bucket/prefix", tmp_path)
    monkeypatch.delenv("FINGPT_STORE")
    monkeypatch.chdir(tmp_path)
    assert read_environment().store == (tmp_path / "store").as_uri()


FOLDERS = [
    *("my results", " a", "week%20one", "100%", "week#1", "what?", "Bob's", 'a "b"', "[1]", "{x}"),
    *(
        "a;b",
        "a&b",
        "a:b",
        "a=b",
        "a\\b",
        "a\nb",
        "$HOME",
        "$(x)",
        "*",
        "Zürich",
        "東京",
        "-x",
        "a/runs/b",
    ),
]


@pytest.mark.parametrize("name", FOLDERS)
def test_a_store_is_the_folder_that_is_named_and_no_other(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    for text in (str(tmp_path / "absolute" / name), f"relative/{name}"):
        monkeypatch.setenv("FINGPT_STORE", text)
        store = open_store(read_environment().store)
        store.create("key", b"data")
        again = open_store(store.uri)  # what a child process or a log line gets
        assert (again.read("key"), again.uri) == (b"data", store.uri)
    assert (tmp_path / "absolute" / name / "key").read_bytes() == b"data"
    assert (tmp_path / "relative" / name / "key").read_bytes() == b"data"
    objects = [
        path for path in tmp_path.rglob("*") if path.is_file() and ".aside" not in path.parts
    ]
    assert len(objects) == 2


def test_a_tilde_in_front_is_the_home_folder_and_elsewhere_a_letter(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert store_uri("~/x y") == (tmp_path / "x y").as_uri()
    assert local_path("~/x") == tmp_path / "x"
    assert store_uri("a~") == (tmp_path / "a~").as_uri()
    assert local_path("./~/x").absolute() == tmp_path / "~" / "x"
    monkeypatch.setenv("FINGPT_CACHE", "~/c")
    assert read_environment().cache == tmp_path / "c"
    with pytest.raises(ConfigError, match="no such home folder"):
        store_uri("~nobody-of-that-name/x")


@pytest.mark.parametrize("threads", ["0", "abc", "-1", "1.5", "2,0", "100000000"])
def test_threads_that_are_no_number_are_refused_with_their_value(monkeypatch, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    with pytest.raises(ConfigError, match=f"OMP_NUM_THREADS is '{threads}'"):
        read_environment()


@pytest.mark.parametrize("threads", ["4", " 08 ", "4,2", " "])
def test_threads_that_openmp_takes_are_taken(monkeypatch, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    read_environment()


@pytest.mark.parametrize("text", ["s3://bucket/a b", "file:///x/a%20b", " s3://bucket/x "])
def test_a_store_that_is_a_uri_stays_one(text):
    assert store_uri(text) == text.strip()


@pytest.mark.parametrize("text", ["s3:/bucket/x", "s3:bucket", "gs://bucket/x", "ftp://host/x"])
def test_a_mistyped_uri_is_no_folder(text):
    with pytest.raises(ConfigError, match="names no store"):
        open_store(store_uri(text))


def test_a_percent_sign_in_a_file_uri_is_decoded_once(tmp_path):
    open_store(f"file://{tmp_path}/week%2520one").create("key", b"data")
    assert (tmp_path / "week%20one" / "key").is_file()


@pytest.mark.parametrize(
    "name", [*FOLDERS, "123", "null", "a: b", "a #b", "1e-4", "yes", "2024-02-30", "!!x"]
)
def test_a_setting_that_is_text_is_taken_as_it_is_written(tmp_path, name):
    path = write(tmp_path, "model: llama31\n")
    assert load_config(path, [f"prep.source={name}"]).prep.source == name


def test_words_stand_between_blanks_and_quotes_hold_them_together():
    text = """train.lr=1e-4\tprep.source='my rows'\n 'prep.source=a "b"' x=$(y) # z\\'s"""
    assert split_words(text, "SET") == [
        *("train.lr=1e-4", "prep.source=my rows", 'prep.source=a "b"', "x=$(y)", "#", "z's")
    ]
    for wrong in ("a='b", 'a="b', "a\\"):
        with pytest.raises(ConfigError, match="SET cannot be read"):
            split_words(wrong, "SET")


def test_names_with_commas_between_them_are_answered_with_the_line_that_is_right():
    assert split_names(" a-1  b-2 ", "RUNS") == ["a-1", "b-2"]
    for text in ("a-1,b-2", "a-1, b-2", "a-1 , b-2,"):
        with pytest.raises(ConfigError, match=r'RUNS takes names .* not commas: RUNS="a-1 b-2"'):
            split_names(text, "RUNS")


def test_the_hub_s_token_is_a_variable_or_else_a_file(tmp_path, monkeypatch):
    path = tmp_path / "token"
    path.write_text("hf_file\n")
    monkeypatch.setenv("HF_TOKEN_PATH", str(path))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    assert read_environment().hub_token.get_secret_value() == "hf_file"
    monkeypatch.setenv("HF_TOKEN", "hf_variable")
    assert read_environment().hub_token.get_secret_value() == "hf_variable"
    monkeypatch.delenv("HF_TOKEN")
    path.unlink()
    assert read_environment().hub_token is None


def test_a_pod_of_ours_knows_its_node_and_another_place_is_its_own_node(monkeypatch):
    host = socket.gethostname()
    monkeypatch.delenv("FINGPT_NODE", raising=False)
    assert pod_and_node() == ("", host)
    monkeypatch.setenv("FINGPT_NODE", "gpu-1")
    assert pod_and_node() == (host, "gpu-1")
    monkeypatch.setenv("FINGPT_POD", "run-train-node-0-1-x7k2p")  # where the host has another name
    assert pod_and_node() == ("run-train-node-0-1-x7k2p", "gpu-1")


def test_the_usual_question_is_hashed_as_before_and_another_one_is_part_of_the_run(tmp_path):
    path = write(tmp_path, "model: llama31\n")
    plain = load_config(path)
    assert "compare" not in plain.model_dump(mode="json")
    assert load_config(path, ["compare.primary=direction"]).sha256 == plain.sha256
    asked = load_config(path, ["compare.primary=loss", "compare.margin=0.02"])
    assert asked.sha256 != plain.sha256
    assert parse_config(asked.model_dump(mode="json"), "here") == asked


@pytest.mark.parametrize(
    "setting", ["compare.primary=rouge", "compare.margin=0", "compare.least_gap=1.5"]
)
def test_a_question_that_nobody_can_answer_is_refused(tmp_path, setting):
    with pytest.raises(ConfigError, match=setting.split("=")[0]):
        load_config(write(tmp_path, "model: llama31\n"), [setting])


def test_a_run_that_answers_every_row_has_the_bytes_from_before_there_was_a_choice():
    plain = RunConfig(model="tiny-llama31")
    assert b"answer_rows" not in canonical_json(plain)
    some = RunConfig(model="tiny-llama31", eval=EvalConfig(answer_rows=40))
    assert b'"answer_rows":40' in canonical_json(some)
    assert some.sha256 != plain.sha256
    assert RunConfig.model_validate_json(canonical_json(some)) == some


def test_a_run_whose_packs_are_measured_hashes_as_before_there_were_packs():
    measured = RunConfig(model="tiny-llama31")
    assert "pack_tokens" not in measured.model_dump()["train"]
    assert RunConfig(model="tiny-llama31", train={"pack_tokens": 8192}).sha256 != measured.sha256


@pytest.mark.parametrize("setting", [{"gradient_precision": "fp8"}, {"base_precision": "int8"}])
def test_a_run_in_bf16_keeps_the_identity_that_it_had_before_there_were_8_bits(setting):
    plain = RunConfig(model="tiny-llama31")
    assert not plain.model_dump()["train"].keys() & {"gradient_precision", "base_precision"}
    assert plain == RunConfig(model="tiny-llama31", train=dict.fromkeys(setting, "bf16"))
    assert RunConfig(model="tiny-llama31", train=setting).sha256 != plain.sha256
    assert RunConfig(model="tiny-llama31", train={**setting, "nodes": 2, "processes": 4})


def test_a_run_on_one_node_hashes_as_before_there_were_several():
    one = RunConfig(model="tiny-llama31")
    assert "nodes" not in one.model_dump()["train"]
    assert RunConfig(model="tiny-llama31", train={"nodes": 2}).sha256 != one.sha256


def test_more_nodes_change_neither_the_rows_of_a_step_nor_the_number_of_steps():
    train = RunConfig(model="llama31", train={"processes": 2}).train
    several = RunConfig(model="llama31", train={"processes": 2, "nodes": 8}).train
    assert several.steps(1000) == train.steps(1000)
    assert (train.ranks, several.ranks) == (2, 16)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["train.nodes=0"], "train.nodes"),
        (["train.nodes=17"], r"leaves nodes without a row: .* = 16 rows per process"),
        (["train.nodes=3", "train.zero_stage=2"], "train.accumulation=16 is no multiple"),
    ],
)
def test_nodes_that_cannot_share_a_step_are_refused(tmp_path, settings, words):
    with pytest.raises(ConfigError, match=words):
        load_config(write(tmp_path, "model: llama31\n"), settings)


def test_one_process_on_each_of_two_nodes_is_enough_for_zero_one_adam(tmp_path):
    path = write(tmp_path, "model: llama31\n")
    settings = ["train.optimizer=zero_one_adam", "train.zero_stage=0"]
    with pytest.raises(ConfigError, match=r"needs train\.processes ≥ 2"):
        load_config(path, settings)
    assert load_config(path, [*settings, "train.nodes=2"]).train.ranks == 2


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.nodes=0", "SET=train.nodes=0: 'train.nodes' is 0"),
        ("train.epochs=1e29", "SET=train.epochs=1e29: 'train.epochs' is 1e\\+29"),
        ("train.lora.r=1e8", "less than or equal to 8192"),
        ("train.accumulation=1000000", "less than or equal to 65536"),
        ("prep.validation_weeks=100000", "less than or equal to 5200"),
        ("train.epochs=yes", "'train.epochs' is True, but a number is expected"),
        ("train.zero_stage=true", "'train.zero_stage' is True, but a number is expected"),
        ("train.learning_rate=1e-4", "did you mean 'train.lr'"),
        (
            "train.precision=fp16",
            r"SET=train.precision=fp16 on .*tiny-llama31.yaml: .*loss scaling",
        ),
        ("train.lr", "SET=train.lr must look like"),
    ],
)
def test_what_a_person_set_is_blamed_on_what_set_it(override, words):
    with pytest.raises(ConfigError, match=words):
        load_config(CONFIGS / "tiny-llama31.yaml", [override])


def test_a_variable_of_its_own_is_named_and_a_fault_of_the_file_is_the_files(tmp_path, monkeypatch):
    monkeypatch.setenv("FINGPT_ARG_LIMIT", "-1")
    with pytest.raises(ConfigError, match=r"^LIMIT=-1: 'prep.limit' is -1"):
        load_config(CONFIGS / "tiny-llama31.yaml", ["prep.limit=-1"])
    with pytest.raises(ConfigError, match=r"^SET=prep.limit=-2: 'prep.limit' is -2"):
        load_config(CONFIGS / "tiny-llama31.yaml", ["prep.limit=-2"])
    path = write(tmp_path, "model: llama31\ntrain: {lr: 3}\n")
    with pytest.raises(ConfigError, match=rf"^{path}: 'train.lr' is 3"):
        load_config(path, ["train.epochs=1"])


def test_a_switch_may_still_be_said_by_yes():
    assert (
        load_config(CONFIGS / "tiny-llama31.yaml", ["train.deterministic=no"]).train.deterministic
        is False
    )
