"""`compare` as its user meets it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mbrl.__main__ import main
from mbrl.errors import ConfigError
from tests.analysis.made_runs import make_run

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def outputs(tmp_path) -> Path:
    """Three runs of each of two planners, as sweep and runs, and one that failed."""
    for seed in range(3):
        make_run(
            tmp_path / "outputs" / "sweeps" / "today" / "noon" / f"{seed}_seed={seed}",
            (10.0, 20.0 + seed),
            seed=seed,
        )
        make_run(
            tmp_path / "outputs" / "runs" / "today" / str(seed),
            (10.0, 480.0),
            seed=seed,
            planner="mcts",
        )
    make_run(
        tmp_path / "outputs" / "runs" / "today" / "failed",
        status="failed",
        error="ValueError: [bold]exploded",
    )
    return tmp_path / "outputs"


def compare(*arguments) -> int:
    return main(["compare", *map(str, arguments)])


def test_a_folder_of_all_is_compared(outputs, tmp_path, capsys):
    assert compare(outputs, "--folder", tmp_path / "written") == 0
    said = capsys.readouterr().out
    for expected in (
        "CartPole-v1",
        "planner=cem",
        "planner=mcts",
        "3/4",
        "ValueError: [bold]exploded",
        "Note: 1 of 7 runs",
    ):
        assert expected in said
    assert {path.name for path in (tmp_path / "written").iterdir()} == {
        f"compare.{ending}" for ending in ("png", "pdf", "csv", "html")
    }
    assert (tmp_path / "written" / "compare.png").read_bytes().startswith(b"\x89PNG")
    assert (
        f"<code>python -m mbrl compare {outputs}</code>"
        in (tmp_path / "written" / "compare.html").read_text()
    )


def test_nothing_is_written_over(outputs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert compare("outputs") == 0
    assert compare("outputs") == 0
    first, second = (tmp_path / "outputs" / "comparisons").glob("*/*")
    before = (first / "compare.html").read_bytes()
    with pytest.raises(ConfigError, match=r"has a comparison already \(compare.csv, "):
        compare("outputs", "--folder", first)
    assert (first / "compare.html").read_bytes() == before
    assert (first / "compare.png").read_bytes() == (second / "compare.png").read_bytes()
    assert (first / "compare.csv").read_bytes() == (second / "compare.csv").read_bytes()


def test_what_cannot_be_compared_is_refused_in_a_sentence(outputs, tmp_path):
    (tmp_path / "empty").mkdir()
    make_run(tmp_path / "copies" / "reproductions" / "a")
    for arguments, message in {
        (outputs, "--by", "planer"): "--by planer names nothing that these runs have",
        (tmp_path / "nowhere",): "nowhere is no folder",
        (tmp_path / "empty",): "empty holds no run",
        (
            tmp_path / "copies",
        ): "holds no run, which has a config.yaml: name .*copies/reproductions to have what is there",
    }.items():
        with pytest.raises(ConfigError, match=message):
            compare(*arguments)
    for wrong in (("--threshold", "nan"), ("--confidence", "95"), ("--confidence", "0")):
        with pytest.raises(SystemExit) as error:
            compare(outputs, *wrong)
        assert error.value.code == 2


def test_damaged_runs_alone_are_named(tmp_path, capsys):
    (make_run(tmp_path / "bad") / "config.yaml").write_text("[")
    assert compare(tmp_path, "--folder", tmp_path / "written") == 1
    assert "bad/config.yaml cannot be read" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("command", ["compare", "list"])
def test_neither_jax_nor_what_it_takes_with_it_is_loaded(outputs, tmp_path, command):
    arguments = [
        command,
        str(outputs),
        *([f"--folder={tmp_path / 'written'}"] if command == "compare" else []),
    ]
    code = f"import sys, json; from mbrl.__main__ import main; main({arguments!r}); json.dump(sorted(sys.modules), sys.stderr)"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    loaded = set(json.loads(result.stderr))
    assert not loaded & {"jax", "equinox", "gymnasium", "wandb", "scipy.stats", "matplotlib.pyplot"}
    assert "matplotlib" not in loaded or command == "compare"
