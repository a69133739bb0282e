import os

from mbrl.runs.finder import MAX_DEPTH, is_run, is_sweep, run_folders, runs_in


def test_the_runs_of_a_sweep_are_ordered_by_number(tmp_path):
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


def test_all_runs_below_a_folder_are_found_even_without_a_config(tmp_path):
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
    (tmp_path / "link").symlink_to(tmp_path / "a")
    names = [folder.name for folder in run_folders(tmp_path)]
    assert names == ["a", "9_seed=9", "10_seed=10", "refused"]
    assert list(run_folders(tmp_path / "a")) == [tmp_path / "a"]
    assert list(run_folders(tmp_path / "missing")) == [tmp_path / "missing"]


def test_a_folder_that_is_nested_too_deep_is_one_run_that_cannot_be_read(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").touch()
    descriptor = os.open(tmp_path, os.O_RDONLY)
    for _ in range(300):  # longer paths than a system call takes
        os.mkdir("b" * 20, dir_fd=descriptor)
        inside = os.open("b" * 20, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inside
    os.close(descriptor)
    deep, run = run_folders(tmp_path)
    assert deep == tmp_path.joinpath(*["b" * 20] * (MAX_DEPTH + 1))
    assert run.name == "run"


def test_names_that_look_like_numbers_are_in_order(tmp_path):
    names = ["\u00b2_x", "1_x", "\u0663_x", "9" * 200, os.fsdecode(b"\xff")]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").touch()
    ordered = ["\u00b2_x", os.fsdecode(b"\xff"), "1_x", "\u0663_x", "9" * 200]
    assert [folder.name for folder in runs_in(tmp_path)] == ordered
