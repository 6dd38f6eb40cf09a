"""What is kept of a benchmark stays: names that are taken, the commit and the day, the repetitions."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime

import pytest

from tests.bench import cpu, curves, kept, lines, scale, storage, training
from tests.bench.lines import line


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "FOLDER", tmp_path / "benchmarks")
    return tmp_path / "benchmarks"


def test_a_name_that_is_taken_is_left_and_the_next_number_is_said(tmp_path, capsys):
    wanted = tmp_path / "day-cpu-x.json"
    paths = [kept.keep({"run": number}, wanted) for number in (1, 2, 3)]
    assert [path.name for path in paths] == [
        "day-cpu-x.json",
        "day-cpu-x-2.json",
        "day-cpu-x-3.json",
    ]
    assert [json.loads(path.read_text()) for path in paths] == [{"run": 1}, {"run": 2}, {"run": 3}]
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert said[1] == f"{wanted} is of an earlier run and stays; this one is kept in {paths[2]}."


def test_commit_day_and_every_repetition_are_kept(folder, tmp_path, monkeypatch):
    def git(*words):
        who = ("-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "commit.gpgsign=false")
        command = ["git", "-C", str(tmp_path), *who, *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    git("init", "-q")
    (tmp_path / "code.py").write_text("1")
    git("add", "code.py")
    git("commit", "-q", "-m", "One")
    monkeypatch.setattr(kept, "ROOT", tmp_path)
    made = [line("x", "rows/s", ([3.0, 1.0, 2.0], [1.0, 1.0, 4.0]))]
    path = lines.write("cpu", {"name": "two"}, made, [], {"seconds": 543.0})
    found = json.loads(path.read_text())
    assert found["date"] == datetime.now(UTC).date().isoformat()
    assert found["commit"] == git("rev-parse", "HEAD")
    assert found["seconds"] == 543.0
    assert found["lines"][0]["rates"] == {"ours": [3.0, 1.0, 2.0], "peer": [1.0, 1.0, 4.0]}
    (tmp_path / "code.py").write_text("2")
    assert kept.origin()["commit"] == f"{found['commit']}-dirty"


def test_without_a_repository_there_is_no_commit(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setattr(kept, "ROOT", tmp_path)
    assert kept.origin()["commit"] is None


def test_make_bench_keeps_a_second_run_beside_the_first_and_says_where(folder, monkeypatch, capsys):
    monkeypatch.setattr(cpu.torch.cuda, "is_available", lambda: False)
    for name in ("server", "make_base", "token_lines", "training_lines", "answer_lines"):
        monkeypatch.setattr(cpu, name, lambda *_: [])
    apart = line("x", "rows/s", ([1.0, 4.0, 1.0], [1.0, 1.0, 1.0]))
    monkeypatch.setattr(cpu, "token_lines", lambda *_: [apart])
    assert (cpu.main(), cpu.main()) == (0, 0)
    first, second = sorted(folder.iterdir(), key=lambda path: len(path.name))
    assert second.name == f"{first.stem}-2.json"
    said = capsys.readouterr()
    assert f"Kept in {second}\n" in said.out
    assert f"{first} is of an earlier run and stays" in said.err
    assert "disagree by a factor of 4.0 (1.00 to 4.00): x." in said.out
    assert json.loads(second.read_text())["seconds"] > 0


def test_a_bench_of_scale_replaces_nothing_either(tmp_path, monkeypatch, capsys):
    out = tmp_path / "scale.json"
    out.write_text("earlier")
    monkeypatch.setattr(scale, "parts", lambda _: {"lists": lambda _: [figure]})
    figure = {"name": "x", "ours": 1.0, "peer": None, "unit": "s", "ratio": None, "limit": None}
    monkeypatch.setattr("sys.argv", ["scale", "--out", str(out)])
    scale.main()
    assert out.read_text() == "earlier"
    found = json.loads((tmp_path / "scale-2.json").read_text())
    assert (found["lines"], found["date"]) == ([figure], kept.origin()["date"])
    assert str(tmp_path / "scale-2.json") in capsys.readouterr().out


def test_losses_that_are_kept_stay_with_their_chart(tmp_path, monkeypatch):
    out, run = tmp_path / "losses.json", tmp_path / "run.txt"
    run.write_text('{"name": "fast", "losses": [2.0, 1.0]}\n')
    for _ in range(2):
        monkeypatch.setattr("sys.argv", ["curves", *map(str, (out, run, run))])
        curves.main()
    assert sorted(path.name for path in tmp_path.glob("losses*")) == [
        "losses-2.json",
        "losses-2.svg",
        "losses.json",
        "losses.svg",
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "required: OUT.json"),
        (["gone.json"], "gone.json is no JSON that this command has kept"),
        (["text"], "text is no JSON that this command has kept"),
        (["array"], "array is no JSON that this command has kept"),
        (["other.json"], "other.json is no JSON that this command has kept"),
        (["out.json", "gone.txt"], "gone.txt is no file"),
        (["out.json", "text"], "text holds no line of JSON with name and losses"),
        (["out.json", "cut.txt"], "cut.txt holds no line of JSON with name and losses"),
    ],
)
def test_what_no_curves_can_be_drawn_of_is_refused_in_one_sentence(
    tmp_path, monkeypatch, capsys, words, said
):
    monkeypatch.chdir(tmp_path)
    for name, content in {
        "text": "loss 1.0",
        "array": "[1]",
        "other.json": '{"benchmark": "cpu"}',
        "cut.txt": '{"name": "fast", "los',
    }.items():
        (tmp_path / name).write_text(content)
    monkeypatch.setattr("sys.argv", ["curves", *words])
    with pytest.raises(SystemExit, match="2"):
        curves.main()
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize(
    ("module", "words"),
    [(storage, ["gone"]), (training, ["seed", "--model=m", "--base=gone", "--rows=1", "--data=."])],
)
def test_a_folder_that_is_not_there_is_named(tmp_path, monkeypatch, capsys, module, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["bench", *words])
    with pytest.raises(SystemExit, match="2"):
        module.main()
    assert "gone is no folder" in capsys.readouterr().err


def test_pairs_that_differ_by_more_than_a_factor_of_two_are_warned_of():
    near = line("near", "rows/s", ([1.0, 2.0, 1.0], [1.0, 1.0, 1.0]))
    far = line("far", "rows/s", ([1.0, 2.01, 1.0], [1.0, 1.0, 1.0]))
    assert "Warning" not in lines.table([near])
    assert lines.table([near, far]).splitlines()[-1] == (
        "Warning: pairs of one line disagree by a factor of 2.0 (1.00 to 2.01): far. "
        "Measure it again on an idle machine before you use its ratio."
    )
