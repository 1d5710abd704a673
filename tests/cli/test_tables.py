"""``vidfold tables``."""

import csv
import io
import subprocess
import sys

import pytest

from tests.cli.running import refused
from tests.evaluation.results import put_run
from vidfold.cli import main
from vidfold.evaluation.published import load, names


def printed(capsys, *arguments: str) -> str:
    assert main(["tables", *arguments]) == 0
    return capsys.readouterr().out


@pytest.mark.lab
def test_published_tables_need_no_numpy():
    code = "import sys; sys.modules['numpy'] = None; from vidfold.cli import main; sys.exit(main(['tables', '1']))"
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert load("1").title in " ".join(ran.stdout.split())


def test_list(capsys):
    out = printed(capsys)
    assert all(load(name).title in " ".join(out.split()) for name in names())


@pytest.mark.parametrize("name", names())
def test_table_formats(capsys, name):
    numbers = load(name).numbers
    assert load(name).title in printed(capsys, name)
    assert [row["value"] for row in csv.DictReader(io.StringIO(printed(capsys, name, "--csv")))] == [
        str(number.value) for number in numbers
    ]


def test_result_formats(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    put_run(tmp_path)
    out = printed(capsys, "1", "--results", str(tmp_path))
    assert "+0.5 ± 1.2" in out
    tidy = list(csv.DictReader(io.StringIO(printed(capsys, "1", "--results", str(tmp_path), "--csv"))))
    assert len(tidy) == len(load("1").numbers)
    assert sum(row["status"] == "compared" for row in tidy) == 5


def test_bad_input_gets_one_line(capsys, tmp_path):
    assert refused(capsys, "tables", "5") == f"no published table '5'; there are: {', '.join(names())}"
    for arguments in (("--results", str(tmp_path)), ("--csv",)):
        assert refused(capsys, "tables", *arguments).startswith("--results and --csv need the name of a table")
    assert "holds no *_results.json" in refused(capsys, "tables", "1", "--results", str(tmp_path))
