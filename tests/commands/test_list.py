"""The command `list`, end to end."""

import os
import re

import pytest

from mbrl.__main__ import main
from mbrl.errors import ConfigError
from tests.analysis.made_runs import make_run


@pytest.fixture
def outputs(tmp_path):
    """A sweep of four jobs, a run before and one after it, and one whose files are damaged."""
    outputs = tmp_path / "outputs"
    sweep, runs = outputs / "sweeps" / "noon", outputs / "runs"
    for job, status in enumerate(("completed", "failed", "completed", None)):
        error, seed = "ValueError: no" if status == "failed" else None, job + 10
        make_run(sweep / f"{job}_seed={seed}", status=status, seed=seed, error=error)
    (sweep / "multirun.yaml").touch()
    make_run(runs / "first", seed=5, env="pendulum", planner="mcts")
    make_run(runs / "last", seed=50, status="killed")
    (make_run(runs / "odd") / "config.yaml").write_text("[")
    return outputs


def listed(capsys, *arguments) -> list[str]:
    """The lines of the list, without the table's frame."""
    assert main(["list", *map(str, arguments)]) == 0
    lines = capsys.readouterr().out.splitlines()
    lines = [" ".join(line.replace("│", " ").split()) for line in lines]
    return [line for line in lines if line and line[0] not in "┏┡└┃"]


def last_parts(lines: list[str]) -> list[str]:
    return [line.split("/")[-1] for line in lines]


def test_runs_and_sweeps_are_listed_the_newest_last(outputs, capsys):
    lines = listed(capsys, outputs)
    jobs = ["0_seed=10", "1_seed=11", "2_seed=12", "3_seed=13"]
    assert last_parts(lines[:7]) == ["first", "noon", *jobs, "last"]
    assert f"completed Pendulum-v1 ensemble mcts 5 100/100 20 {outputs}/runs/first" in lines[0]
    assert "4 jobs: 2 completed, 1 failed, 1 never started" in lines[1]
    job = f"failed CartPole-v1 ensemble cem 11 100/100 20 {outputs}/sweeps/noon/1_seed=11"
    assert job in lines[3]
    assert "never started CartPole-v1 ensemble cem 13 0/100 –" in lines[5]
    assert "killed CartPole-v1 ensemble cem 50 100/100 20" in lines[6]
    [damaged] = [line for line in lines if line.startswith("Damaged: ")]
    assert "odd/config.yaml cannot be read" in damaged


def test_with_a_status_a_sweep_s_line_still_counts_all_its_jobs(outputs, capsys):
    lines = listed(capsys, outputs, "--status", "failed,never-started")
    assert last_parts(lines) == ["noon", "1_seed=11", "3_seed=13"]
    assert "4 jobs: 2 completed, 1 failed, 1 never started" in lines[0]
    lines = listed(capsys, outputs / "runs", "--status", "interrupted")
    assert lines == [f"No runs with the status interrupted in {outputs}/runs."]
    lines = listed(capsys, outputs, "--status", "damaged")
    assert lines[0].endswith("/odd")


def test_unreadable_runs_are_explained_and_failed_ones_by_their_error(tmp_path, capsys):
    make_run(tmp_path / "a", seed=-1)
    error = "ConfigError: seed=-1 must not be negative"
    make_run(tmp_path / "b", seed=-1, status="failed", error=error)
    lines = listed(capsys, tmp_path)
    assert sorted(line.split()[2] for line in lines[:2]) == ["damaged", "failed"]
    [damaged] = [line for line in lines if line.startswith("Damaged: ")]
    config = tmp_path / "a" / "config.yaml"
    assert damaged.startswith(f"Damaged: {config} is not the saved config of a run (seed: ")
    assert f"Failed: {tmp_path}/b: {error}" in lines
    assert len(listed(capsys, tmp_path, "--status", "failed")) == 2


@pytest.fixture
def terminal(monkeypatch):
    """A function that makes the output that of a terminal of a width."""

    def set_width(width: int) -> None:
        for name, value in {"COLUMNS": str(width), "FORCE_COLOR": "1", "TERM": "xterm"}.items():
            monkeypatch.setenv(name, value)

    return set_width


LONG = "2026-11-28/04-51-17.764682_mountain_car_continuous_ensemble_random_shooting_seed3,other=17"


@pytest.mark.parametrize("width", [40, 80, 100, 120, 400])
@pytest.mark.parametrize("options", [(), ("--failed",)])
def test_in_a_terminal_no_folder_and_no_word_is_broken(outputs, capsys, terminal, width, options):
    error = f"ValueError: {'/a/long/path' * 20}"
    long = make_run(outputs / LONG, status="failed", error=error, env__id="my.package:mine/Car-v0")
    terminal(width)
    assert main(["list", str(outputs), *options]) == 0
    text = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    table = text.partition("Damaged:")[0]
    lines = table.splitlines()
    folders = [long, outputs / "sweeps" / "noon", outputs / "sweeps" / "noon" / "1_seed=11"]
    folders += [] if options else [outputs / "runs" / "first", outputs / "sweeps/noon/3_seed=13"]
    for folder in folders:
        assert len([line for line in lines if str(folder) in line.split()]) == 1
    assert table.split().count("failed") >= 2
    assert "1 failed, 1 never started" in table
    assert "mine/Car-v0" in table or width == 40
    assert (error in table) == bool(options)
    beside = [line for line in lines if "/" not in line.replace("/100", "").replace("mine/", "")]
    assert max(map(len, beside)) <= width or width == 40


def test_a_long_name_is_cut_from_the_left_if_that_tells_it_from_others(tmp_path, capsys, terminal):
    long = f"their.package:Their{'Very' * 12}Long"
    for name in (f"{long}Task-v0", f"{long}Task-v1", "other:Other-v0"):
        make_run(tmp_path / name.rpartition(":")[2], env__id=name)
    terminal(80)
    assert main(["list", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "…ryVeryVeryVeryLongTask-v0 " in text
    assert "…ryVeryVeryVeryLongTask-v1 " in text
    assert " Other-v0 " in text
    assert "planner" in text
    make_run(tmp_path / "again", env__id="their.other.package:Other-v0")
    terminal(120)
    assert main(["list", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert " other:Other-v0 " in text
    assert " their.other.package:Other-v0 " in text


def test_without_a_terminal_each_run_is_on_one_line(outputs, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    long = make_run(outputs / LONG, env__id="my.package:mine/Car-v0", planner="mcts")
    [line] = [line for line in listed(capsys, outputs) if "Car-v0" in line]
    assert line.endswith(f"completed my.package:mine/Car-v0 ensemble mcts 0 100/100 20 {long}")


def test_failed_lists_what_ended_without_a_result_and_why(outputs, capsys):
    make_run(outputs / "stopped", status="interrupted")
    lines = listed(capsys, outputs, "--failed")
    assert len(lines) == 4
    assert lines[0].endswith("/noon")
    assert lines[1].endswith("noon/1_seed=11 ValueError: no")
    assert lines[2].endswith("last it was killed; `python -m mbrl resume` continues it")
    assert "odd/config.yaml cannot be read" in lines[3]
    make_run(outputs / "fine" / "a")
    assert listed(capsys, outputs / "fine", "--failed") == [
        f"No runs with the status failed or killed or damaged in {outputs}/fine."
    ]
    with pytest.raises(SystemExit):
        main(["list", "--failed", "--status", "failed"])


def test_invalid_arguments_are_refused_in_one_line(outputs, capsys):
    with pytest.raises(ConfigError, match="missing is not a folder"):
        main(["list", str(outputs / "missing")])
    with pytest.raises(SystemExit):
        main(["list", str(outputs), "--status", "broken"])
    assert "broken is not a status; choose from completed, failed" in capsys.readouterr().err


def test_by_default_the_folder_outputs_is_listed(outputs, capsys, monkeypatch):
    monkeypatch.chdir(outputs.parent)
    lines = listed(capsys)
    assert lines[0].endswith("outputs/runs/first")


def test_where_there_are_no_runs_yet_it_says_how_to_begin(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["list"]) == 0
    assert capsys.readouterr().out.endswith("Start one: python -m mbrl run planner=mcts\n")
    (tmp_path / "outputs").mkdir()
    assert main(["list"]) == 0
    assert capsys.readouterr().out == "No runs in outputs.\n"


@pytest.mark.parametrize(
    "odd", ["\u00b2_x", "\u0663_x", "9" * 200, os.fsdecode(b"\xff"), "a\x1b[2J", "a\nb"]
)
def test_a_folder_with_an_odd_name_spoils_nothing(tmp_path, capsys, odd):
    outputs = tmp_path / "outputs"
    make_run(outputs / "good", seed=1)
    make_run(outputs / odd)
    make_run(outputs / f"{odd}_damaged", provenance=False)
    (outputs / f"{odd}_damaged" / "provenance.json").write_text('{"started": "0001-01-01"}')
    (outputs / "multirun.yaml").touch()
    for command in (["list"], ["list", "--failed"], ["show"], ["clean"]):
        assert main([*command, str(outputs)]) == 0
    assert main(["compare", str(outputs), f"--folder={tmp_path}/comparison"]) == 0
    shown = capsys.readouterr().out
    assert "good" in shown
    assert "\x1b[2J" not in shown
    assert odd.isprintable() == (odd in (tmp_path / "comparison" / "compare.csv").read_text())
