"""`list`: what is there, and what became of it."""

import pytest

from mbrl.__main__ import main
from mbrl.errors import ConfigError
from tests.analysis.made_runs import make_run


@pytest.fixture
def outputs(tmp_path):
    """A sweep of four jobs, a run before it and one after it, and one whose files are damaged."""
    sweep = tmp_path / "outputs" / "sweeps" / "noon"
    for job, status in enumerate(("completed", "failed", "completed", None)):
        make_run(
            sweep / f"{job}_seed={job + 10}",
            status=status,
            seed=job + 10,
            error="ValueError: no" if status == "failed" else None,
        )
    (sweep / "multirun.yaml").touch()
    make_run(tmp_path / "outputs" / "runs" / "first", seed=5, env="pendulum", planner="mcts")
    make_run(tmp_path / "outputs" / "runs" / "last", seed=50, status="killed")
    (make_run(tmp_path / "outputs" / "runs" / "odd") / "config.yaml").write_text("[")
    return tmp_path / "outputs"


def listed(capsys, *arguments) -> list[str]:
    assert main(["list", *map(str, arguments)]) == 0
    lines = [
        " ".join(line.replace("│", " ").split()) for line in capsys.readouterr().out.splitlines()
    ]
    return [line for line in lines if line and line[0] not in "┏┡└┃"]


def test_runs_and_sweeps_are_listed_the_newest_last(outputs, capsys):
    lines = listed(capsys, outputs)
    assert [line.split("/")[-1] for line in lines[:6]] == [
        "first",
        "noon",
        "0_seed=10",
        "1_seed=11",
        "2_seed=12",
        "3_seed=13",
    ]
    assert lines[6].endswith("last")
    assert f"completed Pendulum-v1 ensemble mcts 5 100/100 20 {outputs}/runs/first" in lines[0]
    assert "4 jobs: 2 completed, 1 failed, 1 never started" in lines[1]
    assert (
        f"failed CartPole-v1 ensemble cem 11 100/100 20 {outputs}/sweeps/noon/1_seed=11" in lines[3]
    )
    assert "never started CartPole-v1 ensemble cem 13 0/100 –" in lines[5]
    assert "killed CartPole-v1 ensemble cem 50 100/100 20" in lines[6]
    assert any(
        line.startswith("UnreadableRun: ") and "odd/config.yaml cannot be read" in line
        for line in lines
    )


def test_only_some_are_listed_and_a_sweep_still_counts_all(outputs, capsys):
    lines = listed(capsys, outputs, "--status", "failed,never-started")
    assert [line.split("/")[-1] for line in lines] == ["noon", "1_seed=11", "3_seed=13"]
    assert "4 jobs: 2 completed, 1 failed, 1 never started" in lines[0]
    lines = listed(capsys, outputs / "runs", "--status", "interrupted")
    assert lines == [f"No runs that are interrupted in {outputs}/runs."]
    lines = listed(capsys, outputs, "--status", "damaged")
    assert lines[0].endswith("/odd")


def test_every_odd_run_is_named_by_its_folder_and_one_that_failed_by_its_error(tmp_path, capsys):
    make_run(tmp_path / "a", seed=-1)
    make_run(
        tmp_path / "b", seed=-1, status="failed", error="ConfigError: seed=-1 must not be negative"
    )
    lines = listed(capsys, tmp_path)
    assert sorted(line.split()[2] for line in lines[:2]) == ["damaged", "failed"]
    assert (
        f"UnreadableRun: {tmp_path}/a: seed=-1 must be a whole number, at least 0, as a run writes it."
        in lines
    )
    assert f"Failed: {tmp_path}/b: ConfigError: seed=-1 must not be negative" in lines
    assert len(listed(capsys, tmp_path, "--status", "failed")) == 2


def test_what_cannot_be_listed_is_refused_in_a_sentence(outputs, capsys, monkeypatch):
    with pytest.raises(ConfigError, match="nowhere is no folder"):
        main(["list", str(outputs / "nowhere")])
    with pytest.raises(SystemExit):
        main(["list", str(outputs), "--status", "broken"])
    assert "broken is no status: name completed, failed" in capsys.readouterr().err


def test_outputs_are_listed_where_nothing_is_said(outputs, capsys, monkeypatch):
    monkeypatch.chdir(outputs.parent)
    lines = listed(capsys)
    assert lines[0].endswith("outputs/runs/first")
