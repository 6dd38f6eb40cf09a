"""How models see rows, with a small tokenizer of each family's marks in the store."""

from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from fingpt.config import Environment, PrepConfig, RunConfig
from fingpt.models import spec
from fingpt.prep.stage import body
from fingpt.prep.views import model_views
from fingpt.runs.attempt import Attempt
from fingpt.runs.freeze import freeze_source
from fingpt.runs.manifest import BaseManifest, encode
from fingpt.runs.run import Run, Stage, base_manifest_key
from fingpt.runs.stage import Context
from fingpt.storage import put

MARKS = {
    "llama31": "<|begin_of_text|> <|start_header_id|> <|end_header_id|> <|eot_id|>",
    "deepseek-r1": "<｜begin▁of▁sentence｜> <｜end▁of▁sentence｜> <｜User｜> <｜Assistant｜> <think> </think>",
}


@pytest.fixture
def place_base(store, tmp_path):
    """Put a byte-level tokenizer with a family's marks into the store as a model's base."""

    def place(key: str) -> None:
        model = spec(key)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        vocabulary = {letter: number for number, letter in enumerate(sorted(alphabet))}
        tokenizer = Tokenizer(models.BPE(vocabulary, []))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        tokenizer.add_special_tokens(
            [AddedToken(mark, special=True) for mark in MARKS[model.family].split()]
        )
        ref = put(store, f"{model.base_prefix}/tokenizer.json", tokenizer.to_str().encode())
        other = put(store, f"{model.base_prefix}/model.safetensors", b"weights are not needed here")
        manifest = BaseManifest(base=model.base, revision=model.revision, files=(other, ref))
        put(store, base_manifest_key(model.base_prefix), encode(manifest))

    return place


def test_without_a_base_there_is_nothing_to_show(store, example, tmp_path):
    assert model_views(store, [example()], tmp_path, 4096) == ()


def test_prompt_tokens_are_given_and_answer_tokens_trained(store, place_base, example, tmp_path):
    place_base("tiny-llama31")
    place_base("tiny-deepseek-r1")
    views = model_views(store, [example(), example("BBB")], tmp_path, 4096)
    assert [view.key for view in views] == ["tiny-llama31", "tiny-deepseek-r1"]
    for view, stop in zip(views, ("<|eot_id|>", "<｜end▁of▁sentence｜>"), strict=True):
        assert len(view.rows) == 2
        tokens = view.rows[0].tokens
        assert "".join(t.text for t in tokens if t.trained) == example().answer + stop
        given = "".join(t.text for t in tokens if not t.trained)
        assert example().user in given
        assert [t.trained for t in tokens] == sorted(t.trained for t in tokens)


def test_only_the_tokenizer_is_downloaded(store, place_base, example, tmp_path):
    place_base("tiny-llama31")
    model_views(store, [example()], tmp_path / "scratch", 4096)
    fetched = [p.name for p in (tmp_path / "scratch").rglob("*") if p.is_file()]
    assert fetched == ["tokenizer.json"]


def test_a_row_that_is_too_long_says_so(store, place_base, example, tmp_path):
    place_base("tiny-llama31")
    news = "\n\n".join(f"[Headline]: {'x' * 400}\n[Summary]: y" for _ in range(3))
    long = example(news=news)
    (view,) = model_views(store, [long], tmp_path, 1800)
    assert "news items were left out" in view.rows[0].note
    (view,) = model_views(store, [long], tmp_path, 600)
    assert not view.rows[0].tokens
    assert "max_tokens" in view.rows[0].note


def test_a_second_model_gets_a_page_of_its_own_beside_the_first(
    store, place_base, row, write_parquet, tmp_path
):
    rows = [row(s, n) for n in range(14) for s in ("AAA", "BBB")]
    prep = PrepConfig(
        source=str(write_parquet(rows, "rows.parquet")), test_weeks=3, embargo_weeks=1
    )
    prep = freeze_source(store, RunConfig(model="tiny-llama31", prep=prep)).prep
    site = Environment.model_construct(store=store.uri, cache=tmp_path / "cache")

    def prepare(key: str) -> Path:
        scratch = tmp_path / key
        scratch.mkdir(exist_ok=True)
        run = Run.of(RunConfig(model=key, prep=prep), {})
        attempt = Attempt(store, run.id, Stage.PREP, 1)
        found = body(Context(store, run, Stage.PREP, site, scratch, attempt)).dataset
        return Path(store.uri.removeprefix("file://")) / "datasets" / found

    place_base("tiny-llama31")
    folder = prepare("tiny-llama31")
    first = (folder / "data.html").read_bytes()
    assert b'data-model="tiny-llama31"' in first
    assert b'data-model="tiny-deepseek-r1"' not in first
    place_base("tiny-deepseek-r1")
    assert prepare("tiny-deepseek-r1") == folder
    assert (folder / "data.html").read_bytes() == first
    beside = (folder / "data-tiny-deepseek-r1.html").read_bytes()
    assert b'data-model="tiny-deepseek-r1"' in beside
    assert b'data-model="tiny-llama31"' in beside

    pages = {path.name for path in folder.glob("*.html")}
    prepare("tiny-llama31")
    assert {path.name for path in folder.glob("*.html")} == pages
