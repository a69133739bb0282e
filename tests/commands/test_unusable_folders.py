"""Folders that cannot be read, written or found: each command says why in one sentence."""

import errno
import os
import sys
from pathlib import Path

import pytest

from mbrl.__main__ import console
from mbrl.config.compose import compose
from mbrl.config.plain_errors import PLAIN_ERRORS_FLAG
from mbrl.errors import ConfigError, RunError
from mbrl.experiment import run
from tests.analysis.made_runs import make_run
from tests.faults.runs import QUICK

COMMANDS = ("run", "list", "show", "compare", "resume", "clean", "reproduce")


@pytest.fixture(autouse=True)
def plain(monkeypatch) -> None:
    # `run` sets them, in the hope that its process ends.
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.setenv(PLAIN_ERRORS_FLAG, "1")


@pytest.fixture
def said(monkeypatch, capsys):
    """A function that runs a command and returns what it prints, on one line."""

    def say(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["mbrl", *map(str, arguments)])
        with pytest.raises(SystemExit):
            console()
        output = capsys.readouterr()
        return " ".join((output.out + output.err).split())

    return say


@pytest.fixture
def no_working_directory(tmp_path, monkeypatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()


@pytest.fixture(params=["file", "denied"])
def broken(request, tmp_path, monkeypatch) -> tuple[Path, str]:
    """A run whose checkpoints cannot be listed, and why."""
    folder = make_run(tmp_path / "runs" / "run")
    if request.param == "file":
        (folder / "checkpoint").touch()
        return folder, "Not a directory"
    scandir = os.scandir

    def scandir_or_fail(path):
        if Path(path).name == "checkpoint":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scandir_or_fail)
    return folder, "Permission denied"


@pytest.mark.parametrize("command", ["show", "resume", "reproduce"])
def test_checkpoints_that_cannot_be_listed_are_an_error(said, broken, command):
    folder, reason = broken
    files = sorted(folder.rglob("*"))
    assert said(command, folder).startswith(f"Error: {folder / 'checkpoint'}: {reason}. ")
    assert sorted(folder.rglob("*")) == files


@pytest.mark.parametrize("command", ["list", "compare", "clean"])
def test_a_run_whose_checkpoints_cannot_be_listed_is_damaged(said, broken, command):
    folder, reason = broken
    output = said(command, folder.parent)
    assert f"{folder / 'checkpoint'}: {reason}" in output.replace("│ ", "").replace(" │", "")
    assert "damaged" in output
    assert "Errno" not in output


@pytest.mark.parametrize("command", COMMANDS)
def test_without_a_working_directory_every_command_says_so(said, no_working_directory, command):
    folders = ("x",) if command in ("show", "resume", "reproduce") else ()
    expected = "Error: The working directory was removed. Change to another, then repeat"
    assert said(command, *folders).startswith(expected)


def test_without_a_working_directory_python_raises_the_sentence(no_working_directory):
    with pytest.raises(ConfigError, match="The working directory was removed"):
        compose(QUICK)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EDQUOT])
def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path, monkeypatch, number):
    def fail(path, *arguments):
        raise OSError(number, os.strerror(number), path)

    monkeypatch.chdir(tmp_path)
    config = compose(QUICK)
    with monkeypatch.context() as patch:
        patch.setattr(os, "mkdir", fail)
        with pytest.raises(RunError, match=f"^outputs.*: {os.strerror(number)}. [A-Z]"):
            run(config)
