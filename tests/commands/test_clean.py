"""The command `clean`: what it removes, and all that it refuses to remove."""

import json
import os
import re
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

from mbrl import experiment
from mbrl.__main__ import main
from mbrl.config.compose import compose
from mbrl.errors import ConfigError
from mbrl.runs.checkpoints import WRITING, save_checkpoint
from mbrl.runs.finder import run_folders, runs_in
from mbrl.runs.folder import foreign_files, lock
from tests.analysis.made_runs import make_run

TODAY = "runs/2026-01-01"
SWEEP = "sweeps/2026-01-01/noon"


@pytest.fixture
def outputs(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "outputs"


@pytest.fixture
def on_terminal(monkeypatch):
    """A function that makes the terminal answer questions by a function."""

    def set_answer(answer):
        monkeypatch.setattr("sys.stdin.isatty", lambda: True)
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        monkeypatch.setattr("builtins.input", answer)

    return set_answer


def clean(capsys, *arguments) -> str:
    assert main(["clean", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def tree(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def make_sweep(outputs: Path, *statuses: str | None) -> Path:
    for job, status in enumerate(statuses):
        make_run(outputs / SWEEP / f"{job}_seed={job}", (), status=status, seed=job, error="no")
    (outputs / SWEEP / "multirun.yaml").touch()
    (outputs / SWEEP / "sweep.json").write_text(json.dumps({"num_jobs": len(statuses)}))
    return outputs / SWEEP


@contextmanager
def locked(folder: Path):
    descriptor = lock(folder)
    try:
        yield
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(
    ("status", "returns", "is_removed"),
    [
        ("failed", (), True),
        ("failed", (1.0,), True),
        ("killed", (), True),
        ("interrupted", (), True),
        (None, (), True),
        ("killed", (1.0,), False),
        ("killed", (None,), False),
        ("interrupted", (1.0,), False),
        ("completed", (), False),
        ("completed", (1.0,), False),
    ],
)
def test_only_failed_and_empty_runs_are_removed(outputs, capsys, status, returns, is_removed):
    run = make_run(outputs / TODAY / "a", returns, status=status)
    make_run(outputs / TODAY / "other")
    output = clean(capsys, outputs, "--yes")
    assert run.exists() != is_removed
    assert ("Removed 1 of 1 run." in output) == is_removed
    assert ("There is nothing to remove in" in output) != is_removed
    assert (outputs / TODAY / "other" / "config.yaml").exists()


def test_a_run_with_a_checkpoint_stays_unless_it_failed(outputs, capsys):
    for status in ("killed", "interrupted", "failed"):
        run = make_run(outputs / TODAY / status, (), status=status, error="ValueError: why")
        (run / "checkpoint").mkdir()
        (run / "checkpoint" / f"{50:012}-{'0' * 16}.npz").touch()
    output = clean(capsys, outputs, "--yes")
    assert sorted(os.listdir(outputs / TODAY)) == ["interrupted", "killed"]
    [line] = [line for line in output.splitlines() if "ValueError: why" in line]
    cells = [cell.strip() for cell in line.strip("│").split("│")]
    assert cells[:4] == ["failed", "0/100", "50", "–"]


def test_a_folder_of_a_day_goes_with_its_last_run(outputs, capsys):
    make_run(outputs / TODAY / "a", status="failed")
    clean(capsys, "--yes")
    assert tree(outputs) == [outputs / "runs"]


def refusal_to_remove(capsys, outputs: Path) -> str:
    """The reason in the output, after checking that nothing was removed."""
    before = tree(outputs)
    output = clean(capsys, outputs, "--yes")
    assert tree(outputs) == before
    assert "There is nothing to remove" in output
    [reason] = re.findall(r"^Kept: \S+: (.*)\.$", output, re.MULTILINE)
    return reason


def test_a_run_that_a_process_uses_stays(outputs, capsys):
    run = make_run(outputs / "a", (), status="failed")
    with locked(run):
        assert refusal_to_remove(capsys, outputs) == "a process is using it"


def test_a_run_that_starts_during_the_question_stays(outputs, capsys, on_terminal):
    run = make_run(outputs / "a", (), status="failed")
    descriptors = []

    def answer(question):
        descriptors.append(lock(run))
        return "y"

    on_terminal(answer)
    assert main(["clean", str(outputs)]) == 1
    os.close(descriptors.pop())
    output = capsys.readouterr().out
    assert "Another run is using the folder" in output
    assert "Removed 0 of 1 run." in output
    assert (run / "config.yaml").exists()


def test_a_run_that_is_completed_during_the_question_stays(outputs, capsys, on_terminal):
    run = make_run(outputs / "a", (), status="killed")

    def answer(question):
        (run / "summary.json").write_text('{"status": "completed"}')
        return "y"

    on_terminal(answer)
    assert main(["clean", str(outputs)]) == 1
    assert "it is completed by now" in capsys.readouterr().out
    assert (run / "config.yaml").exists()


def write(path: Path, text: str = "") -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda run: write(run / "thesis.tex"), "it holds thesis.tex, which no run writes"),
        (
            lambda run: write(run / "checkpoint" / "notes.txt"),
            "it holds checkpoint/notes.txt, which no run writes",
        ),
        (lambda run: (run / "config.yaml").unlink(), "it has no config.yaml"),
        (lambda run: os.chdir(run), "it is the working directory"),
        (
            lambda run: write(run.parent / "optuna.db"),
            "it belongs to a search, whose trials refer to it",
        ),
        (
            lambda run: write(run.parent / ".submitit" / "jobs.json", '{"0_seed=0": "17_0"}'),
            "it is in Slurm's queue",
        ),
    ],
    ids=["file", "checkpoint", "config", "working directory", "search", "queue"],
)
def test_what_changes_during_the_question_counts(
    outputs, capsys, on_terminal, tmp_path, monkeypatch, change, reason
):
    run = make_sweep(outputs, "failed") / "0_seed=0"
    write(tmp_path / "bin" / "squeue", "#!/bin/sh\necho 17_0\n")
    (tmp_path / "bin" / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    trees = []

    def answer(question):
        change(run)
        trees.append(tree(outputs))
        return "y"

    on_terminal(answer)
    assert main(["clean", str(outputs)]) == 1
    assert f"Kept: {run}: {reason}." in capsys.readouterr().out
    new = {run / ".lock", run.parent / ".lock"}
    assert set(tree(outputs)) - new == set(trees[0]) - new


@pytest.mark.parametrize("name", ["thesis.tex", "checkpoint/my_notes.txt", "run.log/notes.txt"])
def test_a_folder_with_other_files_stays(outputs, capsys, name):
    write(make_run(outputs / "a", (), status="failed") / name)
    listed = name.removesuffix("/notes.txt")
    assert refusal_to_remove(capsys, outputs) == f"it holds {listed}, which no run writes"


def test_all_that_a_run_can_leave_in_its_checkpoints_is_removed(outputs, capsys):
    run = make_run(outputs / "a", (), status="failed")
    save_checkpoint(run, {}, {"env_steps": 50}, max_checkpoints=2)
    [path] = (run / "checkpoint").iterdir()
    path.rename(f"{path}.damaged")
    save_checkpoint(run, {}, {"env_steps": 100}, max_checkpoints=2)
    (run / "checkpoint" / WRITING).touch()
    clean(capsys, outputs, "--yes")
    assert tree(outputs) == []


@pytest.mark.parametrize(
    "logger",
    [
        "files",
        pytest.param("wandb", marks=pytest.mark.slow),
        pytest.param("tensorboard", marks=pytest.mark.extras),
    ],
)
def test_a_failed_run_is_removed_with_what_its_loggers_wrote(outputs, capsys, logger):
    run = outputs / "a"
    overrides = ["training=smoke", "planner=random", f"logger={logger}", "~logger.console"]
    experiment.run(compose([*overrides, f"hydra.run.dir={run}"]))
    assert (run / logger).exists() == (logger != "files")
    assert foreign_files(run) == []
    (run / "summary.json").write_text('{"status": "failed"}')
    clean(capsys, outputs, "--yes")
    assert tree(outputs) == []


def test_the_rest_of_a_run_that_is_partly_removed_is_named_and_is_no_run(
    outputs, capsys, monkeypatch
):
    sweep = make_sweep(outputs, "failed", "completed")

    def remove_and_fail(folder):
        (folder / "config.yaml").unlink()
        raise OSError("the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", remove_and_fail)
        assert main(["clean", str(outputs), "--yes"]) == 1
    output = capsys.readouterr().out
    pattern = r"^Partly removed: (\S+): the disk is gone\. The rest is in (\S+)\.$"
    [(name, rest)] = re.findall(pattern, output, re.MULTILINE)
    assert "Removed 0 of 1 run." in output
    assert name == str(sweep / "0_seed=0")
    assert not Path(name).exists()
    assert (Path(rest).parent, (Path(rest) / "summary.json").exists()) == (sweep, True)
    assert [*run_folders(outputs), *runs_in(sweep)] == [sweep / "1_seed=1"] * 2


def test_damaged_runs_stay(outputs, capsys):
    (make_run(outputs / "a", status="completed") / "summary.json").write_text("{")
    assert refusal_to_remove(capsys, outputs).startswith("it is damaged (")
    (outputs / "a" / "summary.json").write_text('{"status": "failed"}')
    clean(capsys, outputs, "--yes")
    assert not (outputs / "a").exists()


def test_a_folder_without_a_config_stays(outputs, capsys):
    (outputs / "a").mkdir(parents=True)
    (outputs / "a" / "summary.json").write_text('{"status": "failed"}')
    assert "has no config.yaml" in refusal_to_remove(capsys, outputs)


def test_folders_that_are_not_runs_stay(outputs, capsys):
    (outputs / "empty" / "2026-01-01").mkdir(parents=True)
    before = tree(outputs)
    assert "There is nothing to remove" in clean(capsys, outputs, "--yes")
    assert tree(outputs) == before


def test_links_are_not_followed(outputs, tmp_path, capsys):
    elsewhere = make_run(tmp_path / "elsewhere" / "a", (), status="failed")
    outputs.mkdir()
    (outputs / "link").symlink_to(elsewhere)
    assert "There is nothing to remove" in clean(capsys, outputs, "--yes")
    assert "Kept: " in clean(capsys, outputs / "link", "--yes")
    (outputs / "link").unlink()
    run = make_run(outputs / "b", (), status="failed")
    (run / "wandb").symlink_to(elsewhere)
    assert "wandb is a link to" in refusal_to_remove(capsys, outputs)
    (run / "wandb").unlink()
    (run / "wandb").mkdir()
    (run / "wandb" / "link").symlink_to(elsewhere)
    clean(capsys, outputs, "--yes")
    assert not run.exists()
    assert (elsewhere / "config.yaml").exists()


def test_the_working_directory_stays(outputs, capsys, monkeypatch):
    run = make_run(outputs / "a", (), status="failed")
    monkeypatch.chdir(run)
    assert refusal_to_remove(capsys, outputs) == "it is the working directory"


def test_of_a_sweep_only_failed_jobs_go_and_it_can_run_them_again(outputs, capsys):
    sweep = make_sweep(outputs, "failed", "killed", "interrupted", None, "completed")
    clean(capsys, outputs, "--yes")
    names = sorted(path.name for path in sweep.iterdir() if path.is_dir())
    assert names == ["1_seed=1", "2_seed=2", "3_seed=3", "4_seed=4"]
    saved = {"num_jobs": 5, "command": ["python", "run.py", "-m", "seed=range(5)"]}
    (sweep / "sweep.json").write_text(json.dumps(saved))
    with pytest.raises(ConfigError, match=r"lacks 1 of its 5 jobs.* or they were removed\. To run"):
        main(["resume", str(sweep)])


def test_a_sweep_without_jobs_goes_with_its_day_unless_it_holds_other_files(outputs, capsys):
    sweep = make_sweep(outputs, "failed", "failed")
    (sweep / "notes.txt").touch()
    clean(capsys, outputs, "--yes")
    left = {"notes.txt", "multirun.yaml", "sweep.json", ".lock"}
    assert {path.name for path in sweep.iterdir()} == left
    (sweep / "notes.txt").unlink()
    make_run(sweep / "2_seed=2", (), status="failed")
    clean(capsys, outputs, "--yes")
    assert tree(outputs) == [outputs / "sweeps"]


def test_jobs_of_a_running_sweep_stay(outputs, capsys):
    with locked(make_sweep(outputs, "failed")):
        assert refusal_to_remove(capsys, outputs) == "its sweep is running"


def test_jobs_of_a_search_stay(outputs, capsys):
    (make_sweep(outputs, "failed") / "optuna.db").touch()
    expected = "it belongs to a search, whose trials refer to it"
    assert refusal_to_remove(capsys, outputs) == expected


@pytest.mark.parametrize("queue", ["echo 17_0", "false"])
def test_jobs_in_a_queue_stay(outputs, capsys, tmp_path, monkeypatch, queue):
    sweep = make_sweep(outputs, "failed")
    (sweep / ".submitit").mkdir()
    (sweep / ".submitit" / "jobs.json").write_text(json.dumps({"0_seed=0": "17_0"}))
    (tmp_path / "squeue").write_text(f"#!/bin/sh\n{queue}\n")
    (tmp_path / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert "queue" in refusal_to_remove(capsys, outputs)


def test_a_lock_of_a_sweep_that_is_a_link_or_pipe_is_not_opened(outputs, capsys):
    sweep = make_sweep(outputs, "failed")
    os.mkfifo(sweep / ".lock")
    assert "is not a regular file" in refusal_to_remove(capsys, outputs)


def test_without_a_terminal_and_without_yes_it_lists_and_refuses(outputs, capsys):
    run = make_run(outputs / "a", (), status="failed")
    with pytest.raises(ConfigError, match=r"no terminal to ask on\. Add --yes to remove 1 run\."):
        main(["clean", str(outputs)])
    assert str(run) in capsys.readouterr().out
    assert (run / "config.yaml").exists()


@pytest.mark.parametrize(
    ("answer", "is_removed"), [("y", True), (" YES ", True), ("", False), ("n", False)]
)
def test_on_a_terminal_it_asks(outputs, capsys, on_terminal, answer, is_removed):
    run = make_run(outputs / "a", (), status="failed")
    questions = []

    def ask(question):
        questions.append(question)
        return answer

    on_terminal(ask)
    output = clean(capsys, outputs)
    assert questions == ["Remove 1 run? [y/N] "]
    assert run.exists() != is_removed
    assert ("Nothing was removed." in output) != is_removed


def test_an_end_of_input_is_a_no(outputs, capsys, on_terminal):
    run = make_run(outputs / "a", (), status="failed")

    def end(question):
        raise EOFError

    on_terminal(end)
    assert "Nothing was removed." in clean(capsys, outputs)
    assert run.exists()
