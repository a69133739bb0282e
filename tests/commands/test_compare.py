"""The command `compare`, end to end."""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mbrl.__main__ import main
from mbrl.analysis.curves import load_metrics
from mbrl.errors import ConfigError
from tests.analysis.made_runs import make_run

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def outputs(tmp_path) -> Path:
    """Three runs of each of two planners, in a sweep and alone, and one that failed."""
    outputs = tmp_path / "outputs"
    today = outputs / "runs" / "today"
    for seed in range(3):
        job = outputs / "sweeps" / "today" / "noon" / f"{seed}_seed={seed}"
        make_run(job, (10.0, 20.0 + seed), seed=seed)
        make_run(today / str(seed), (10.0, 480.0), seed=seed, planner="mcts")
    make_run(today / "failed", status="failed", error="ValueError: [bold]exploded")
    return outputs


def compare(*arguments) -> int:
    return main(["compare", *map(str, arguments)])


def test_all_runs_in_a_folder_are_compared(outputs, tmp_path, capsys):
    folder = tmp_path / "written"
    assert compare(outputs, "--folder", folder) == 0
    output = capsys.readouterr().out
    for expected in (
        "CartPole-v1",
        "planner=cem",
        "planner=mcts",
        "3/4",
        "ValueError: [bold]exploded",
        "Note: 1 of 7 runs",
    ):
        assert expected in output
    names = {path.name for path in folder.iterdir()}
    assert names == {f"compare.{suffix}" for suffix in ("png", "pdf", "csv", "html")}
    assert (folder / "compare.png").read_bytes().startswith(b"\x89PNG")
    command = f"<code>python -m mbrl compare {outputs}</code>"
    assert command in (folder / "compare.html").read_text()


@pytest.mark.parametrize("width", [80, 100, 120])
def test_in_a_terminal_no_folder_and_no_word_is_broken(
    outputs, tmp_path, monkeypatch, capsys, width
):
    for name, value in {"COLUMNS": str(width), "FORCE_COLOR": "1", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    kwargs = {"a_long_name_of_a_setting": "a_long_value"}
    for seed in range(2):
        name = f"{'a_long_name_of_a_folder_' * 4}{seed}"
        make_run(outputs / name, status="killed", seed=seed, env__kwargs=kwargs)
    assert compare(outputs, "--folder", tmp_path / "written") == 0
    text = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    lines = text.splitlines()
    for folder in (*outputs.glob("a_long*"), outputs / "runs" / "today" / "failed"):
        assert len([line for line in lines if str(folder) in line.split()]) == 1
    assert any("env.kwargs.a_long_name_of_a_setting=a_long_value" in line for line in lines)
    tables = [line for line in lines if not line.startswith(("Note:", "Written:"))]
    words = " ".join(tables).split()
    for word in ("planner=mcts", "return", "P(better", "reached", "[20,", "[480,"):
        assert any(word in each for each in words), word
    for line in tables:
        assert len(line) <= width or line.startswith(str(outputs))


def test_the_learning_curves_of_all_runs_are_written_on_request(outputs, tmp_path, capsys):
    folder = tmp_path / "written"
    assert compare(outputs, "--csv", "curves", "--folder", folder) == 0
    assert f"Written: {folder / 'curves.csv'}" in capsys.readouterr().out
    with (folder / "curves.csv").open() as file:
        lines = list(csv.reader(file))
    curves = load_metrics(outputs)
    assert lines[0] == list(curves)
    assert len(lines) == 1 + len(curves["env_steps"]) == 1 + 2 * 7
    assert [line[lines[0].index("evaluation/return_mean")] for line in lines[1:]] == [
        str(score) for score in curves["evaluation/return_mean"]
    ]
    assert f"compare {outputs} --csv=curves</code>" in (folder / "compare.html").read_text()
    for name in ("png", "pdf", "csv", "html"):
        (folder / f"compare.{name}").unlink()
    with pytest.raises(ConfigError, match=r"already holds a comparison \(curves\.csv\)"):
        compare(outputs, "--folder", folder)


def test_no_comparison_is_overwritten(outputs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert compare("outputs") == 0
    assert compare("outputs") == 0
    first, second = (tmp_path / "outputs" / "comparisons").glob("*/*")
    before = (first / "compare.html").read_bytes()
    with pytest.raises(ConfigError, match=r"already holds a comparison \(compare.csv, "):
        compare("outputs", "--folder", first)
    assert (first / "compare.html").read_bytes() == before
    assert (first / "compare.png").read_bytes() == (second / "compare.png").read_bytes()
    assert (first / "compare.csv").read_bytes() == (second / "compare.csv").read_bytes()
    assert (first / "compare.html").read_bytes() == (second / "compare.html").read_bytes()


def test_invalid_arguments_are_refused_in_one_line(outputs, tmp_path):
    (tmp_path / "empty").mkdir()
    make_run(tmp_path / "copies" / "reproductions" / "a")
    for arguments, message in {
        (outputs, "--by", "planer"): "--by planer: must be a choice or a setting",
        (tmp_path / "missing",): "missing is not a folder",
        (tmp_path / "empty",): "empty contains no run.* Check the path",
        (tmp_path / "copies",): "copies contains no run.* Name .*copies/reproductions to include",
    }.items():
        with pytest.raises(ConfigError, match=message):
            compare(*arguments)
    for wrong in (("--threshold", "nan"), ("--confidence", "95"), ("--confidence", "0")):
        with pytest.raises(SystemExit) as error:
            compare(outputs, *wrong)
        assert error.value.code == 2


def test_if_no_run_can_be_read_they_are_listed(tmp_path, capsys):
    (make_run(tmp_path / "bad") / "config.yaml").write_text("[")
    assert compare(tmp_path, "--folder", tmp_path / "written") == 1
    assert "bad/config.yaml cannot be read" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("command", ["compare", "list"])
def test_jax_and_other_slow_packages_are_not_imported(outputs, tmp_path, command):
    arguments = [command, str(outputs)]
    if command == "compare":
        arguments.append(f"--folder={tmp_path / 'written'}")
    code = f"""
import json, sys
from mbrl.__main__ import main
from mbrl.analysis.curves import load_metrics
main({arguments!r})
json.dump(sorted(sys.modules), sys.stderr)
"""
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    loaded = set(json.loads(result.stderr))
    assert not loaded & {"jax", "equinox", "gymnasium", "wandb", "scipy.stats", "matplotlib.pyplot"}
    assert "matplotlib" not in loaded or command == "compare"
