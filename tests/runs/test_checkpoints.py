import hashlib
import io
import json
import os

import numpy as np
import pytest

from mbrl.runs.checkpoints import load_checkpoint, newest_checkpoint, save_checkpoint

FACTS = {"env_steps": 20, "num_rows": 3, "wall_seconds": 1.5, "config": "abc"}


def save(folder, steps: int, max_checkpoints: int = 2):
    arrays = {"weights": np.full(3, float(steps)), "key": np.array(7, np.uint32)}
    return save_checkpoint(folder, arrays, FACTS | {"env_steps": steps}, max_checkpoints)


def test_a_saved_checkpoint_is_loaded(tmp_path):
    path = save(tmp_path, 120)
    arrays, facts = load_checkpoint(tmp_path)
    assert facts == FACTS | {"env_steps": 120}
    assert arrays["weights"].tolist() == [120.0] * 3
    assert arrays["key"].dtype == np.uint32
    # NumPy alone can read it too.
    with np.load(path) as file:
        assert file["weights"].tolist() == [120.0] * 3


def test_only_the_newest_checkpoints_remain(tmp_path):
    for steps in (8, 9, 10, 11):
        save(tmp_path, steps, max_checkpoints=2)
    assert newest_checkpoint(tmp_path) == 11
    names = [path.name for path in (tmp_path / "checkpoint").iterdir()]
    assert sorted(int(name.split("-")[0]) for name in names) == [10, 11]


def test_of_two_checkpoints_at_one_step_the_later_is_loaded(tmp_path):
    save_checkpoint(tmp_path, {}, FACTS | {"num_rows": 4}, 2)
    save_checkpoint(tmp_path, {}, FACTS | {"num_rows": 5}, 2)
    assert load_checkpoint(tmp_path).facts["num_rows"] == 5


def test_checkpoints_that_cannot_be_listed_are_not_taken_for_none(tmp_path):
    (tmp_path / "checkpoint").touch()
    for function in (load_checkpoint, newest_checkpoint):
        with pytest.raises(NotADirectoryError):
            function(tmp_path)


def test_a_checkpoint_that_the_run_removes_meanwhile_is_left_out(tmp_path, monkeypatch):
    save(tmp_path, 10)
    path = save(tmp_path, 20)
    entries = list(os.scandir(tmp_path / "checkpoint"))
    path.unlink()
    monkeypatch.setattr(os, "scandir", lambda folder: entries)
    assert newest_checkpoint(tmp_path) == 10


def test_an_unusable_checkpoint_is_skipped(tmp_path):
    save(tmp_path, 10)
    save(tmp_path, 20)
    assert load_checkpoint(tmp_path, lambda facts: facts["env_steps"] < 20).facts["env_steps"] == 10
    assert load_checkpoint(tmp_path, lambda facts: False) is None


def test_without_a_checkpoint_none_is_loaded(tmp_path):
    assert load_checkpoint(tmp_path) is None
    assert newest_checkpoint(tmp_path) is None


def test_other_files_are_ignored(tmp_path):
    save(tmp_path, 10)
    names = ["notes.txt", ".writing", "latest.npz", "000000000099-0123456789abcdef.npz"]
    for name in names:
        (tmp_path / "checkpoint" / name).write_bytes(b"half")
    assert load_checkpoint(tmp_path).facts["env_steps"] == 10
    assert (tmp_path / "checkpoint" / "notes.txt").exists()


def test_arrays_of_objects_are_refused(tmp_path):
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        save_checkpoint(tmp_path, {"weights": np.array([object()])}, {"env_steps": 1}, 2)


def write_checkpoint(folder, arrays: dict, compress: bool = False) -> None:
    """Write a file as anyone can, with the right name and checksum."""
    content = io.BytesIO()
    (np.savez_compressed if compress else np.savez)(content, **arrays)
    digest = hashlib.sha256(content.getvalue()).hexdigest()[:16]
    (folder / "checkpoint" / f"{20:012}-{digest}.npz").write_bytes(content.getvalue())


MISSING = "missing"  # in place of a value
DAMAGED = [
    {"env_steps": -7},
    {"env_steps": 21},
    {"env_steps": 20.0},
    {"num_rows": -3},
    {"num_rows": 1.5},
    {"num_rows": True},
    {"wall_seconds": -1e9},
    {"wall_seconds": float("nan")},
    {"config": 3},
    *({name: MISSING} for name in ("num_rows", "wall_seconds", "config")),
]


@pytest.mark.parametrize("changes", DAMAGED, ids=str)
def test_facts_that_cannot_be_are_damage(tmp_path, caplog, changes):
    save(tmp_path, 10)
    changed = {name: value for name, value in (FACTS | changes).items() if value is not MISSING}
    facts = np.frombuffer(json.dumps(changed).encode(), np.uint8)
    write_checkpoint(tmp_path, {"facts": facts})
    assert load_checkpoint(tmp_path).facts["env_steps"] == 10
    assert "is damaged" in caplog.text


def test_a_compressed_file_is_not_expanded(tmp_path, caplog):
    save(tmp_path, 10)
    facts = np.frombuffer(json.dumps(FACTS).encode(), np.uint8)
    write_checkpoint(tmp_path, {"facts": facts, "a": np.zeros(10**6)}, compress=True)
    assert load_checkpoint(tmp_path).facts["env_steps"] == 10
    assert "it is compressed, as no checkpoint is" in caplog.text


def test_a_large_file_is_not_read_but_the_one_before_it(tmp_path, caplog):
    save(tmp_path, 10)
    with (tmp_path / "checkpoint" / f"{20:012}-{'0' * 16}.npz").open("wb") as file:
        file.truncate(10**13)  # takes no space
    assert load_checkpoint(tmp_path, max_bytes=2000).facts["env_steps"] == 10
    assert "is larger than 2000 bytes" in caplog.text
