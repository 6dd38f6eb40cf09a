"""`make build` as a person runs it: wrong words are one sentence, and what it prints is what `make run` takes."""

from __future__ import annotations

import os
import re
from datetime import date

import pytest

from fingpt.errors import ConfigError
from fingpt.reading import DATA_BYTES
from fingpt.storage import open_store
from fingpt.synthetic.market import write_market
from jobs.build import asked_symbols
from tests import s3_servers
from tests.jobs.commands import command

SYMBOLS = ("AAA", "BBB", "CCC", "DDD")


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"SYMBOL": "AAA"}, "SYMBOL is for make forecast; build takes SYMBOLS"),
        ({"SYMBOLS": "AAA", "WATCHLIST": "x"}, "WATCHLIST is for make forecast"),
        ({"SYMBOLS": "AAA,BBB"}, 'blanks separate symbols: SYMBOLS="AAA BBB"'),
        ({"SYMBOLS": "A/B"}, "is no symbol"),
    ],
)
def test_symbols_in_another_form_are_told_the_right_one(monkeypatch, variables, told) -> None:
    for name, text in variables.items():
        monkeypatch.setenv(f"FINGPT_ARG_{name}", text)
    with pytest.raises(ConfigError, match=re.escape(told)):
        asked_symbols(variables.get("SYMBOLS", ""))


@pytest.mark.slow  # a process for each
@pytest.mark.parametrize(
    ("variables", "code", "told"),
    [
        ({}, 64, "SYMBOLS names no symbol"),
        ({"SYMBOLS": "AAA", "FROM": "2024", "TO": "2024-02-01"}, 64, "is no day"),
        ({"SYMBOLS": "AAA", "FROM": "2025-01-01", "TO": "2024-02-01"}, 64, "is not before"),
        ({"SYMBOLS": "AAA", "FROM": "2024-01-01", "TO": "2124-02-01"}, 64, "in the future"),
        ({"SYMBOLS": "AAA", "FROM": "2024-01-01", "TO": "2024-02-01"}, 64, "No source is named"),
    ],
)
def test_a_wrong_command_is_one_sentence(tmp_path, variables, code, told) -> None:
    done = command(
        tmp_path, "build", **{f"FINGPT_ARG_{name}": text for name, text in variables.items()}
    )
    assert (done.returncode, done.stdout) == (code, "")
    assert told in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow  # three processes, one of them prep
def test_the_printed_address_is_what_run_takes(tmp_path) -> None:
    folder = tmp_path / "a market"
    write_market(folder, SYMBOLS, date(2023, 10, 2), date(2024, 12, 31), seed=5)
    asked = {
        "FINGPT_ARG_SYMBOLS": "AAA BBB CCC DDD",
        "FINGPT_ARG_FROM": "2024-01-01",
        "FINGPT_ARG_TO": "2024-12-31",
        "FINGPT_ARG_DATA": str(folder),
    }
    first, again = (command(tmp_path, "build", **asked) for _ in range(2))
    assert (first.returncode, again.returncode) == (0, 0), first.stderr
    assert first.stdout == again.stdout
    assert "the data set is there already" in again.stderr
    prep = command(
        tmp_path,
        *("submit", "prep", "--mode", "local"),
        FINGPT_ARG_DATA=first.stdout.strip(),
        FINGPT_ARG_MODEL="tiny-llama31",
    )
    assert prep.returncode == 0, prep.stderr
    assert '"event": "rows read"' in prep.stderr
    assert '"refused": 0' in prep.stderr


@pytest.mark.slow  # three processes for each server
@pytest.mark.parametrize("server", s3_servers.NAMES)
def test_a_bucket_gets_the_bytes_that_a_folder_gets(tmp_path, monkeypatch, server) -> None:
    folder = tmp_path / "market"
    write_market(folder, SYMBOLS, date(2023, 10, 2), date(2024, 9, 27), seed=5)
    asked = {
        "FINGPT_ARG_SYMBOLS": " ".join(SYMBOLS),
        "FINGPT_ARG_FROM": "2024-06-03",
        "FINGPT_ARG_TO": "2024-09-20",
    }
    data = {"FINGPT_ARG_DATA": str(folder)}
    there = {"FINGPT_STORE": "s3://rows/some/prefix", "AWS_EC2_METADATA_DISABLED": "true"}
    s3_servers.forget_aws_settings(monkeypatch)
    place = tmp_path / "server"
    place.mkdir()
    with s3_servers.server(server, place) as endpoint, s3_servers.client_of(endpoint) as client:
        client.create_bucket(Bucket="rows")
        s3_servers.use(monkeypatch, endpoint)
        there |= {name: text for name, text in os.environ.items() if name.startswith("AWS_")}
        first = command(tmp_path, "build", **asked, **data, **there)
        again = command(tmp_path, "build", **asked, **data, **there)
        local = command(tmp_path, "build", **asked, **data)
        assert (first.returncode, again.returncode, local.returncode) == (0, 0, 0), first.stderr
        address, path = first.stdout.strip(), local.stdout.strip()
        assert address.startswith("s3://rows/some/prefix/built/")
        assert again.stdout == first.stdout
        assert "the data set is there already" in again.stderr
        kept, made = open_store("s3://rows/some/prefix"), open_store((tmp_path / "store").as_uri())
        keys = [*made.keys("built/"), *made.keys("sources/")]
        assert [*kept.keys("built/"), *kept.keys("sources/")] == keys
        assert [kept.read(key, DATA_BYTES) for key in keys] == [
            made.read(key, DATA_BYTES) for key in keys
        ]
        assert path.endswith(address.rpartition("/")[2])
