import errno
import os
import socket

import pytest
from pydantic_core import from_json

from mbrl.errors import CorruptRun
from mbrl.regular_files import check_entries, open_regular, read_regular, write_atomic, write_json

MODES = ("rb", "ab", "r+b")


@pytest.fixture
def outside(tmp_path):
    """A file that must stay as it is."""
    path = tmp_path / "outside"
    path.write_text("precious")
    return path


def make(kind, path, outside):
    if kind == "link":
        path.symlink_to(outside)
    elif kind == "broken link":
        path.symlink_to(outside.parent / "nowhere")
    elif kind == "link to itself":
        path.symlink_to(path)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(os.path.relpath(path))  # as an absolute path, it could be too long
    elif kind == "folder":
        path.mkdir()


IRREGULAR = ("link", "broken link", "link to itself", "pipe", "socket")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", [*IRREGULAR, "folder"])
def test_only_a_regular_file_is_opened(tmp_path, outside, kind, mode):
    path = tmp_path / "file"
    make(kind, path, outside)
    with pytest.raises(CorruptRun, match=r"file is (a link to|not a regular file)"):
        open_regular(path, mode)
    assert outside.read_text() == "precious"
    assert not (tmp_path / "nowhere").exists()


def test_a_regular_file_is_read_appended_to_and_created(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "file")
    for _ in range(2):
        with open_regular(tmp_path / "file", "ab") as file:
            file.write(b"row\n")
    with open_regular(tmp_path / "lock", "r+b"):
        pass
    assert read_regular(tmp_path / "file", max_bytes=8) == b"row\nrow\n"
    assert read_regular(tmp_path / "lock") == b""


def test_a_large_file_is_not_read(tmp_path):
    with (tmp_path / "file").open("wb") as file:
        file.truncate(10**13)  # takes no space
    with pytest.raises(CorruptRun, match="larger than 100000000 bytes"):
        read_regular(tmp_path / "file")


@pytest.mark.parametrize("name", ["checkpoint", "checkpoint/any", "any", ".lock", ".hydra/any"])
@pytest.mark.parametrize("kind", IRREGULAR)
def test_a_folder_with_anything_but_files_and_folders_is_refused(tmp_path, outside, name, kind):
    run = tmp_path / "run"
    (run / name).parent.mkdir(parents=True)
    make(kind, run / name, outside)
    with pytest.raises(CorruptRun, match=f"{name} is "):
        check_entries(run)


def test_folders_of_other_programs_may_hold_links_and_a_run_may_be_reached_by_one(tmp_path):
    run = tmp_path / "run"
    (run / "wandb").mkdir(parents=True)
    (run / "wandb" / "debug.log").symlink_to(tmp_path / "logs")
    (tmp_path / "link").symlink_to(run)
    for folder in (run, tmp_path / "link", tmp_path / "missing"):
        check_entries(folder)
    (run / "checkpoint").touch()
    with pytest.raises(NotADirectoryError):
        check_entries(run)


def test_a_failed_write_names_its_file(tmp_path, monkeypatch):
    def fail(descriptor):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=f"Input/output error: '{tmp_path}/a.json'"):
        write_json(tmp_path / "a.json", {"value": 1})
    assert os.listdir(tmp_path) == []


def test_names_that_are_not_text_are_written_as_what_can_be_read(tmp_path):
    write_json(tmp_path / "a.json", {"command": ["\udcff", "\U0001f40d", "é"]})
    content = read_regular(tmp_path / "a.json")
    assert content.isascii()
    assert from_json(content) == {"command": ["?", "\U0001f40d", "é"]}


def test_an_atomic_write_replaces_links_and_leaves_their_targets(tmp_path, outside):
    for name in ("a.json", ".b.json.tmp"):
        (tmp_path / name).symlink_to(outside)
    write_json(tmp_path / "a.json", {"value": 1})
    write_json(tmp_path / "b.json", {"value": 2})
    write_atomic(tmp_path / "c", b"3", tmp_path / ".writing")
    assert outside.read_text() == "precious"
    assert read_regular(tmp_path / "a.json") == b'{\n  "value": 1\n}\n'
    assert sorted(os.listdir(tmp_path)) == ["a.json", "b.json", "c", "outside"]
