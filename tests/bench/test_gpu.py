"""What the benchmark of a GPU reckons and keeps: rates by epoch, whole runs, headline, JSON that bench-check takes."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import pytest

from fingpt.train.batching import Row
from tests.bench import check, curves, gpu, kept, lines, training
from tests.bench.lines import TIMES, line
from tests.bench.pipeline import Rates, headline, pipeline_lines
from tests.bench.training import settings

OURS = Rates([17_500.0, 18_000.0, 17_800.0], 30.0, [25.0] * 3, [10.0] * 3)
SEED = Rates([2_800.0] * 3, 30.0, [5.0] * 3, [0.025] * 3)


def test_a_whole_run_is_its_start_epochs_evaluations_and_answers():
    first = OURS.seconds(300)[0]
    assert first == pytest.approx(30 + 5 * 1230 * 1892 / 17_500 + 10 * 300 / 25 + 300 / 10)


def test_the_seeds_schedule_answers_four_hundred_rows_and_the_equal_one_three_hundred():
    schedule, equal = pipeline_lines(OURS, SEED)
    ours, seed = 3600 / schedule.ours, 3600 / schedule.peer
    assert ours == pytest.approx(sorted(OURS.seconds(300))[1])
    assert seed == pytest.approx(30 + 5 * 1230 * 1892 / 2_800 + 600 + 400 / 0.025)
    assert seed - 3600 / equal.peer == pytest.approx(100 / 0.025)
    assert schedule.ratio > equal.ratio > 1


def test_the_headline_says_what_the_published_rows_take_and_cost_both_ways():
    found = headline(OURS, SEED, 3.0)
    assert found["rows_per_second"] == pytest.approx(17_800 / 1892, abs=0.01)
    assert found["gpu_minutes"] == pytest.approx(5 * 1230 * 1892 / 17_800 / 60, abs=0.01)
    assert found["dollars"] == pytest.approx(found["gpu_minutes"] / 60 * 3, abs=0.01)
    assert found["seed_dollars"] / found["dollars"] == pytest.approx(17_800 / 2_800, rel=0.02)


def test_it_evaluates_as_often_as_a_line_has_figures():
    train = settings("llama31", 128, 16, evaluations=TIMES).train
    per_epoch, total = train.steps(128)
    assert (per_epoch, total) == (8, 8 * TIMES)
    assert round(train.eval_every * total) == 8


def test_bench_check_takes_its_json(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(kept, "FOLDER", tmp_path / "benchmarks")
    about = lines.machine({"device": "NVIDIA H100 80GB HBM3", "driver": "580"})
    made = [
        line("training", "tokens/s", (OURS.training, SEED.training), 26_000.0),
        *pipeline_lines(OURS, SEED),
    ]
    path = lines.write("gpu", about, made, ["tokens: not asked for"], {"matrix_tflops": 790.0})
    assert path.name.endswith("-gpu-nvidia-h100-80gb-hbm3.json")
    found = json.loads(path.read_text())
    assert found["matrix_tflops"] == 790.0
    assert found["lines"][0]["name"] == "training"
    later = lines.write("gpu", about, made, [])
    assert later == path.with_name(f"{path.stem}-2.json")
    for name, one in (("BEFORE", path), ("AFTER", later)):
        monkeypatch.setenv(f"FINGPT_ARG_{name}", str(one))
    assert check.main() == 0
    assert "3 ratios" in capsys.readouterr().out


VLLM = """INFO loading
{"what": "vllm started", "seconds": 40.5, "all": 60.0}
{"what": "vllm answers base", "seconds": 25.0, "rows": 300, "new_tokens": 115200}
{"what": "vllm answers tuned", "seconds": 31.0, "rows": 300, "new_tokens": 115200, "weights_seconds": 4.5}
{"what": "vllm answers tuned", "seconds": 30.0, "rows": 300, "new_tokens": 115200, "weights_seconds": 0.0}
"""


@pytest.fixture
def printed(tmp_path):
    path = tmp_path / "vllm.txt"
    path.write_text(VLLM)
    return path


def test_answers_of_vllm_are_read_from_what_it_printed(printed):
    rates, start = gpu._by_vllm(printed)
    assert rates == [10.0] * TIMES
    assert start == 45.0


def test_vllms_answers_complete_a_benchmark_that_has_been_kept(tmp_path, monkeypatch, printed):
    monkeypatch.setattr(kept, "FOLDER", tmp_path / "benchmarks")
    ours = {"training": OURS.training, "losses": OURS.losses, "answers": [0.5] * 3}
    seed = {"training": SEED.training, "losses": SEED.losses, "answers": SEED.answers}
    more = {"rates": {"ours": ours, "seed": seed, "start": 20.0}}
    made = [
        line("training", "tokens/s", (OURS.training, SEED.training)),
        *gpu.whole_runs(more, None),
    ]
    assert more["answers"] == "transformers"
    path = lines.write("gpu", {"name": "h200"}, made, [], more)

    before_it = path.read_bytes()

    table, beside = gpu.complete(path, printed)

    assert path.read_bytes() == before_it
    assert beside == path.with_name(f"{path.stem}-2.json")
    found = json.loads(beside.read_text())
    assert [each["name"] for each in found["lines"]] == [each.name for each in table]
    assert len(found["lines"]) == len({each["name"] for each in found["lines"]}) == 4
    assert found["answers"] == "vLLM, started in 45.0 s"
    before, after = (
        next(each.ours for each in some if "schedule" in each.name) for some in (made, table)
    )
    spent = Rates(OURS.training, 20.0 + 45.0, OURS.losses, [10.0] * 3).seconds(300)
    assert 3600 / after == pytest.approx(sorted(spent)[1])
    assert after > before


def test_the_published_recipe_says_why_it_was_not_measured(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(training.importlib.util, "find_spec", lambda _: None)
    assert (
        training.published_rates("llama31", tmp_path, tmp_path, 4) == "DeepSpeed is not installed"
    )
    monkeypatch.setattr(training.importlib.util, "find_spec", lambda _: True)
    monkeypatch.setattr(training.sys, "executable", "false")
    assert training.published_rates("llama31", tmp_path, tmp_path, 4).startswith("ended with 1")
    program = tmp_path / "python"
    program.write_text(
        '#!/bin/sh\necho noise\necho \'{"peer": "published", "rates": [1.0, 2.0]}\'\n'
    )
    program.chmod(0o755)
    monkeypatch.setattr(training.sys, "executable", str(program))
    assert training.published_rates("llama31", tmp_path, tmp_path, 4) == [1.0, 2.0]


def test_an_unknown_part_and_a_machine_without_a_gpu_are_refused_in_words(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["gpu", "--only", "matrices"])
    assert gpu.main() == 64
    assert "training, losses, answers, pipeline, published, tokens" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["gpu"])
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert gpu.main() == 78


def test_losses_of_trainings_are_kept_and_drawn_over_one_another(tmp_path, monkeypatch):
    for name, losses in (("fast", [2.0, 1.5, 1.25]), ("plain", [2.0, 1.51, 1.25])):
        run = {"name": name, "losses": losses, "seconds": {}, "tokens_per_second": 9}
        (tmp_path / f"{name}.json").write_text(f"noise\n{json.dumps(run)}\n")
    out = tmp_path / "out.json"
    words = [out, tmp_path / "fast.json", tmp_path / "plain.json"]
    monkeypatch.setattr(sys, "argv", ["curves", *map(str, words)])
    curves.main()
    found = json.loads(out.read_text())
    assert found["largest_difference"] == 0.01
    assert "seconds" not in found["curves"][0]
    drawn = out.with_suffix(".svg").read_text()
    assert "fast" in drawn
    assert "plain" in drawn


def test_a_benchmark_that_is_cut_off_names_what_it_has_not_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "FOLDER", tmp_path / "benchmarks")
    monkeypatch.setattr(gpu, "_driver", lambda: "580")
    monkeypatch.setattr(gpu, "matrix_rate", lambda: 7.9e14)
    made = line("rows to tokens", "rows/s", ([9.0] * 3, [3.0] * 3))

    def two_parts(*_):
        yield "tokens", [made]
        raise KeyboardInterrupt

    monkeypatch.setattr(gpu.Benchmark, "_measure", two_parts)
    with pytest.raises(KeyboardInterrupt):
        gpu.Benchmark(tmp_path, ("tokens", "training")).run(tmp_path, None)
    (path,) = (tmp_path / "benchmarks").iterdir()  # written twice, under one name
    found = json.loads(path.read_text())
    assert [each["name"] for each in found["lines"]] == ["rows to tokens"]
    assert found["left_out"][-1] == "training: cut off before it"
    assert "losses: not asked for" in found["left_out"]


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """Every part of the benchmark of a GPU, with figures in place of a card."""
    records = [
        SimpleNamespace(tokens=900, seconds=0.05, eval_seconds=4.0 if step % 8 == 7 else None)
        for step in range(8 * TIMES)
    ]
    ours = SimpleNamespace(records=records, first_step=20.0)
    rates = {gpu.SEED: [3_000.0] * 3, gpu.PLAIN: [9_000.0] * 3}
    row = Row("one", (1,) * 1500, (2,) * 400)
    fakes = {
        "_driver": lambda: "580",
        "matrix_rate": lambda: 7.9e14,
        "flops_a_token": lambda base, passes=4.0: passes * 7e9,
        "prepared": lambda *_: SimpleNamespace(data=tmp_path, adapter=tmp_path),
        "trained": lambda task: ours,
        "described": lambda training: {"tokens_per_second": 18_000},
        "peer_rates": lambda peer, *_: rates[peer],
        "published_rates": lambda *_: [4_000.0] * 3,
        "tokenise": lambda *_: SimpleNamespace(evaluation=(row, row)),
        "token_lines": lambda *_: iter([line("rows to tokens", "rows/s", ([9.0] * 3, [3.0] * 3))]),
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(gpu, name, fake)
    slow = {"loaded": lambda *_: None, "seed_losses": lambda *_: [5.0] * 3}
    answers = {"seed_answers": lambda *_: [0.03] * 3, "our_answers": lambda *_: [0.3] * 3}
    for name, fake in {**slow, **answers}.items():
        monkeypatch.setattr(gpu.gpu_answers, name, fake)
    monkeypatch.setattr(kept, "FOLDER", tmp_path / "benchmarks")
    return tmp_path


def test_every_part_has_its_lines_and_none_is_left_out(measured):
    path = gpu.Benchmark(measured, gpu.PARTS).run(measured, None)
    found = json.loads(path.read_text())
    assert found["left_out"] == []
    assert [(each["ours"], each["peer"]) for each in found["lines"][:4]] == [
        (18_000.0, 3_000.0),
        (18_000.0, 9_000.0),
        (25.0, 5.0),
        (0.3, 0.03),
    ]
    assert "whole run" in found["lines"][4]["name"]
    assert found["lines"][-2]["peer"] == 4_000.0
    assert found["lines"][-1]["name"] == "rows to tokens"
    assert found["headline"]["rows_per_second"] == pytest.approx(18_000 / 1892, abs=0.01)
    assert found["rates"]["seed"]["answers"] == [0.03] * 3


def test_a_recipe_that_could_not_be_measured_is_left_out_in_words(measured, monkeypatch):
    monkeypatch.setattr(gpu, "published_rates", lambda *_: "DeepSpeed is not installed")
    path = gpu.Benchmark(measured, ("published",)).run(measured, None)
    found = json.loads(path.read_text())
    assert found["lines"] == []
    assert found["left_out"][-1] == "published: DeepSpeed is not installed"
    assert "training: not asked for" in found["left_out"]


@pytest.mark.parametrize("missing", ["--complete", "--answers"])
def test_a_file_that_is_not_there_is_named(tmp_path, monkeypatch, capsys, missing):
    there = tmp_path / "there"
    there.write_text("")
    given = {"--complete": there, "--answers": there, missing: tmp_path / "gone"}
    words = [str(word) for pair in given.items() for word in pair]
    monkeypatch.setattr(sys, "argv", ["gpu", *words])
    with pytest.raises(SystemExit, match="2"):
        gpu.main()
    assert f"{tmp_path / 'gone'} is no file" in capsys.readouterr().err
