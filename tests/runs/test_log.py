"""run.log of runs inside a program that has logging of its own."""

import logging
from contextlib import nullcontext
from pathlib import Path

import pytest

from mbrl.runs.log import log_to, logged_to, quiet_libraries


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


@pytest.mark.parametrize("start", [log_to, logged_to])
def test_messages_steer_no_terminal_and_forge_no_line(monkeypatch, tmp_path, capsys, start):
    root = new_root(monkeypatch)
    context = start(tmp_path) or nullcontext()
    with context:
        logging.getLogger("theirs").warning("a \x1b]0;owned\x07\r%s", "\u202e\n[forged] \udc80")
        try:
            raise ValueError("\x1b[2J\nforged")
        except ValueError:
            logging.getLogger("theirs").exception("failed")
    for handler in root.handlers if start is log_to else ():
        handler.close()
    for text in ((tmp_path / "run.log").read_text(), capsys.readouterr().err):
        assert "a �]0;owned� �\n    [forged] �\n" in text
        assert "failed\n    Traceback (most recent call last):\n" in text
        assert "    ValueError: �[2J\n    forged\n" in text


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


@pytest.mark.parametrize("name", ["talkative", "talkative.part"])
def test_a_logger_with_a_level_of_its_own_is_heard_as_before(monkeypatch, tmp_path, name):
    root = new_root(monkeypatch)
    own = logging.FileHandler(tmp_path / "own.log")
    root.addHandler(own)
    monkeypatch.setattr(logging.getLogger("talkative"), "level", logging.INFO)
    with logged_to(tmp_path):
        logging.getLogger(name).info("a fact")
        logging.getLogger("other").info("not asked for")
    own.close()
    assert (tmp_path / "own.log").read_text() == "a fact\n"


@pytest.mark.parametrize(("root_level", "is_quiet"), [(logging.INFO, True), (logging.DEBUG, False)])
def test_libraries_are_quiet_in_a_run_only(monkeypatch, root_level, is_quiet):
    new_root(monkeypatch).setLevel(root_level)
    library = logging.getLogger("matplotlib")
    monkeypatch.setattr(library, "level", logging.NOTSET)
    with quiet_libraries():
        assert library.isEnabledFor(logging.INFO) is not is_quiet
        assert library.isEnabledFor(logging.WARNING)
    assert library.level == logging.NOTSET
