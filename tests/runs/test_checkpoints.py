"""Checkpoints: what is written comes back, only the newest stay, and half a file has no name."""

import numpy as np
import pytest

from mbrl.runs.checkpoints import load_checkpoint, newest_checkpoint, save_checkpoint


def save(folder, steps: int, num_kept: int = 2):
    return save_checkpoint(
        folder,
        {"weights": np.full(3, float(steps)), "key": np.array(7, np.uint32)},
        {"env_steps": steps},
        num_kept,
    )


def test_what_is_saved_is_loaded(tmp_path):
    path = save(tmp_path, 120)
    arrays, facts = load_checkpoint(tmp_path)
    assert facts == {"env_steps": 120}
    assert arrays["weights"].tolist() == [120.0] * 3
    assert arrays["key"].dtype == np.uint32
    # By anybody, with nothing but NumPy.
    with np.load(path) as file:
        assert file["weights"].tolist() == [120.0] * 3


def test_the_newest_stay(tmp_path):
    for steps in (8, 9, 10, 11):
        save(tmp_path, steps, num_kept=2)
    assert newest_checkpoint(tmp_path) == 11
    assert sorted(int(path.name.split("-")[0]) for path in (tmp_path / "checkpoint").iterdir()) == [
        10,
        11,
    ]


def test_of_two_at_one_step_the_later_counts(tmp_path):
    save_checkpoint(tmp_path, {}, {"env_steps": 5, "evaluated_at": 0}, 2)
    save_checkpoint(tmp_path, {}, {"env_steps": 5, "evaluated_at": 5}, 2)
    assert load_checkpoint(tmp_path).facts["evaluated_at"] == 5


def test_one_that_is_of_no_use_is_passed_over(tmp_path):
    save(tmp_path, 10)
    save(tmp_path, 20)
    assert load_checkpoint(tmp_path, lambda facts: facts["env_steps"] < 20).facts["env_steps"] == 10
    assert load_checkpoint(tmp_path, lambda facts: False) is None


def test_where_there_is_none(tmp_path):
    assert load_checkpoint(tmp_path) is None
    assert newest_checkpoint(tmp_path) is None


def test_what_is_not_a_checkpoint_is_let_be(tmp_path):
    save(tmp_path, 10)
    for name in (
        "notes.txt",
        ".writing",
        "latest.npz",
        "../../000000000099-0123456789abcdef.npz"[6:],
    ):
        (tmp_path / "checkpoint" / name).write_bytes(b"half")
    assert load_checkpoint(tmp_path).facts["env_steps"] == 10
    assert (tmp_path / "checkpoint" / "notes.txt").exists()


def test_arrays_of_objects_are_refused(tmp_path):
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        save_checkpoint(tmp_path, {"weights": np.array([object()])}, {"env_steps": 1}, 2)
