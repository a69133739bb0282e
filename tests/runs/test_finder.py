"""What a path names, and links that lead out of a run's folder."""

import pytest

from mbrl.runs.finder import is_run, is_sweep, refuse_links_out, run_folders, runs_in
from mbrl.runs.reader import CorruptRun


def test_runs_come_in_the_order_of_their_numbers(tmp_path):
    for name in ("10_seed=10", "9_seed=9", "notes"):
        (tmp_path / name).mkdir()
        (tmp_path / name / ("config.yaml" if "_" in name else "notes.txt")).touch()
    assert [folder.name for folder in runs_in(tmp_path)] == ["9_seed=9", "10_seed=10"]
    assert is_sweep(tmp_path)
    assert not is_run(tmp_path)
    (tmp_path / "9_seed=9" / ".hydra").mkdir()
    (tmp_path / "9_seed=9" / ".hydra" / "config.yaml").touch()
    assert is_run(tmp_path / "9_seed=9")
    assert not is_sweep(tmp_path / "9_seed=9")


@pytest.mark.parametrize(
    "name",
    ["metrics.jsonl", "checkpoint", "checkpoint/000000000100-0123456789abcdef.npz", "summary.json"],
)
def test_a_link_out_of_the_folder_is_refused(tmp_path, name):
    elsewhere, run = tmp_path / "elsewhere", tmp_path / "run"
    elsewhere.mkdir()
    (run / name).parent.mkdir(parents=True)
    (run / name).symlink_to(elsewhere)
    with pytest.raises(CorruptRun, match="leads out of the run's folder"):
        refuse_links_out(run)


def test_links_within_the_folder_and_to_it_are_fine(tmp_path):
    run = tmp_path / "run"
    (run / "wandb").mkdir(parents=True)
    (run / "latest").symlink_to(run / "wandb")
    (run / "wandb" / "debug.log").symlink_to(tmp_path / "logs")
    (tmp_path / "link").symlink_to(run)
    refuse_links_out(run)
    refuse_links_out(tmp_path / "link")


def test_every_run_below_is_found_and_what_was_one(tmp_path):
    for name in (
        "b/10_seed=10",
        "b/9_seed=9",
        "b/9_seed=9/.hydra",
        "a",
        "a/wandb/x",
        "c/checkpoint/y",
    ):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.yaml").touch()
    (tmp_path / "refused" / ".hydra").mkdir(parents=True)
    (tmp_path / "again").symlink_to(tmp_path / "a")
    assert [folder.name for folder in run_folders(tmp_path)] == [
        "a",
        "9_seed=9",
        "10_seed=10",
        "refused",
    ]
    assert list(run_folders(tmp_path / "a")) == [tmp_path / "a"]
    assert list(run_folders(tmp_path / "nowhere")) == [tmp_path / "nowhere"]
