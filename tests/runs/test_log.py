"""run.log of runs inside a program that has logging of its own."""

import logging
from pathlib import Path

import pytest

from mbrl.runs.log import logged_to


def new_root(monkeypatch) -> logging.Logger:
    """The root logger as in a new process; not a fixture, since pytest adds handlers later."""
    logger = logging.getLogger()
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "level", logging.WARNING)
    return logger


def log_in(folder: Path) -> str:
    with logged_to(folder):
        logging.getLogger("theirs").debug("a detail")
        logging.getLogger("theirs").info("a fact")
        logging.getLogger("theirs").warning("a warning")
    logging.getLogger("theirs").warning("later")
    return (folder / "run.log").read_text()


def test_messages_go_to_the_file_and_warnings_to_the_terminal(monkeypatch, tmp_path, capsys):
    new_root(monkeypatch)
    text = log_in(tmp_path)
    assert "[theirs][INFO] - a fact\n" in text
    assert "a warning" in text
    assert "a detail" not in text
    assert "later" not in text
    assert capsys.readouterr().err == "a warning\nlater\n"


def test_handlers_of_the_program_receive_what_they_did_before(monkeypatch, tmp_path, capsys):
    root = new_root(monkeypatch)
    own = logging.FileHandler(tmp_path / "own.log")
    root.addHandler(own)
    assert "a fact" in log_in(tmp_path)
    own.close()
    assert (tmp_path / "own.log").read_text() == "a warning\nlater\n"
    assert capsys.readouterr().err == ""
    assert (root.handlers, root.level, own.filters) == ([own], logging.WARNING, [])


def test_a_program_that_logs_everything_keeps_its_details(monkeypatch, tmp_path):
    root = new_root(monkeypatch)
    root.setLevel(logging.DEBUG)
    own = logging.FileHandler(tmp_path / "own.log")
    root.addHandler(own)
    assert "a detail" not in log_in(tmp_path)
    own.close()
    assert "a detail" in (tmp_path / "own.log").read_text()


def test_logging_is_as_before_after_an_error(monkeypatch, tmp_path):
    root = new_root(monkeypatch)
    with pytest.raises(RuntimeError), logged_to(tmp_path):
        raise RuntimeError
    assert (root.handlers, root.level) == ([], logging.WARNING)
