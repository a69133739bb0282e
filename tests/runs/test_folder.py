import json
import os
import subprocess
import sys

import pytest

from mbrl.errors import RunError
from mbrl.regular_files import write_json
from mbrl.runs.folder import HYDRA_FILES, RunFolder, discard_refused, safe_name
from mbrl.runs.reader import read_summary

HOLD_THE_LOCK = """
import sys
from mbrl.runs.folder import RunFolder
with RunFolder(sys.argv[1], "seed: 0"):
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_the_summary_of_a_run_is_running_then_completed(tmp_path):
    path = tmp_path / "deep" / "run"
    final = {"env_steps": 30, "wall_seconds": 1.5, "loss/value": 0.25}
    with RunFolder(path, "seed: 3\n") as folder:
        assert read_summary(path) == {"status": "running", "env_steps": 0, "wall_seconds": 0.0}
        assert (path / "config.yaml").read_text() == "seed: 3\n"
        returned = folder.finish("completed", final)
    assert read_summary(path) == {"status": "completed"} | final == returned


def test_the_summary_has_the_last_value_of_each_metric(tmp_path):
    with RunFolder(tmp_path, "") as folder:
        rows = [{"env_steps": 10, "loss/value": 2.0}, {"env_steps": 20, "wall_seconds": 0.5}]
        (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        folder.finish("completed")
    assert read_summary(tmp_path) == {
        "status": "completed",
        "env_steps": 20,
        "wall_seconds": 0.5,
        "loss/value": 2.0,
    }


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ArithmeticError("the model\ndiverged."), "ArithmeticError: the model diverged"),
        (KeyError(), "KeyError"),
        (RunError("x" * 900 + "."), f"RunError: {'x' * 900}."),
    ],
    ids=["several lines", "empty", "own error"],
)
def test_an_exception_is_recorded_as_a_failure_with_its_message(tmp_path, error, message):
    with pytest.raises(type(error)), RunFolder(tmp_path, ""):
        raise error
    summary = read_summary(tmp_path)
    assert summary["status"] == "failed"
    assert summary["error"] == message


def test_damaged_rows_do_not_hide_why_a_run_failed(tmp_path, caplog):
    def fail():
        with RunFolder(tmp_path, ""):
            (tmp_path / "metrics.jsonl").write_text('{"env_steps": "x"}\n')
            raise RunError("the reason")

    with pytest.raises(RunError, match="the reason"):
        fail()
    assert "line 1 is not a row of metrics" in caplog.text


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_ctrl_c_and_exit_are_recorded_as_interruptions(tmp_path, stop):
    with pytest.raises(stop), RunFolder(tmp_path, ""):
        raise stop
    assert read_summary(tmp_path)["status"] == "interrupted"


def test_leaving_the_block_without_finish_is_a_failure(tmp_path):
    with RunFolder(tmp_path, ""):
        pass
    assert read_summary(tmp_path)["status"] == "failed"


def test_an_error_after_finish_does_not_change_the_summary(tmp_path):
    def run():
        with RunFolder(tmp_path, "") as folder:
            folder.finish("completed")
            raise OSError("no space for the plot")

    with pytest.raises(OSError):
        run()
    assert read_summary(tmp_path)["status"] == "completed"


def test_finish_refuses_a_status_that_is_not_final(tmp_path):
    message = "status=running must be one of completed, failed, interrupted"
    with pytest.raises(ValueError, match=message), RunFolder(tmp_path, "") as folder:
        folder.finish("running")


def test_a_failed_write_leaves_the_old_file(tmp_path):
    write_json(tmp_path / "summary.json", {"status": "running"})
    with pytest.raises(TypeError):
        write_json(tmp_path / "summary.json", {"status": object()})
    assert read_summary(tmp_path) == {"status": "running"}


def test_a_file_is_replaced_only_when_the_new_one_is_complete(tmp_path, monkeypatch):
    write_json(tmp_path / "summary.json", {"status": "running"})
    replace = os.replace

    def check_then_replace(temporary, target):
        assert json.loads(temporary.read_text()) == {"status": "completed"}
        assert read_summary(tmp_path) == {"status": "running"}
        replace(temporary, target)

    monkeypatch.setattr(os, "replace", check_then_replace)
    write_json(tmp_path / "summary.json", {"status": "completed"})
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]


@pytest.mark.parametrize("name", ["config.yaml", "metrics.jsonl", "summary.json"])
def test_a_folder_that_holds_a_run_is_refused_and_unchanged(tmp_path, name):
    (tmp_path / name).write_text("precious")
    message = rf"{tmp_path} already holds a run \({name}\). Leave out hydra.run.dir"
    with pytest.raises(FileExistsError, match=message), RunFolder(tmp_path, ""):
        pass
    assert (tmp_path / name).read_text() == "precious"
    assert {path.name for path in tmp_path.iterdir()} == {name, ".lock"}


def test_hydra_s_own_files_do_not_count_as_a_run(tmp_path):
    (tmp_path / ".hydra").mkdir()
    (tmp_path / "run.log").write_text("")
    with RunFolder(tmp_path, "") as folder:
        folder.finish("completed")
    assert read_summary(tmp_path)["status"] == "completed"


def test_a_second_run_in_the_same_folder_is_refused(tmp_path):
    message = f"Another run is using the folder {tmp_path}. Wait"
    with (
        RunFolder(tmp_path, ""),
        pytest.raises(BlockingIOError, match=message),
        RunFolder(tmp_path, ""),
    ):
        pass


def test_the_lock_works_between_processes_and_is_released_by_a_killed_one(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_THE_LOCK, tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(BlockingIOError, match="Another run is using"), RunFolder(tmp_path, ""):
            pass
        holder.kill()
    with pytest.raises(FileExistsError, match="already holds a run"), RunFolder(tmp_path, ""):
        pass
    assert read_summary(tmp_path)["status"] == "running"


def test_the_lock_is_released_when_a_folder_is_refused(tmp_path):
    (tmp_path / "summary.json").write_text("{}")
    for _ in range(2):
        with pytest.raises(FileExistsError, match="already holds a run"), RunFolder(tmp_path, ""):
            pass


@pytest.mark.parametrize("name", ["planner=cem,seed=0", "cartpole_ensemble_cem_seed0", "x" * 100])
def test_safe_names_are_unchanged(name):
    assert safe_name(name) == name


def test_unsafe_names_become_safe_short_and_distinct():
    long = "model.width=" + "9" * 300
    texts = ["env.id=ALE/Pong-v5", "env.id=ALE-Pong-v5", "env.id=ALE:Pong-v5", long, long + "1"]
    texts += ["", ".", "..", "../up", "-m", "ü", "a b", "a\nb", "x" * 101]
    names = [safe_name(text) for text in texts]
    assert len(set(names)) == len(texts)
    for name in names:
        assert 0 < len(name) <= 100
        assert name[0] not in ".-"
        assert not set(name) & set("/\\ :\n\0*?$'\"")
    assert safe_name(texts[0]).startswith("env.id=ALE-Pong-v5-")


def test_only_what_a_refused_run_wrote_itself_is_discarded(tmp_path):
    day = tmp_path / "2026-11-28"
    refused, mine, other = day / "refused", tmp_path / "mine", tmp_path / "link"
    for folder in (refused, mine):
        (folder / ".hydra").mkdir(parents=True)
        (folder / "run.log").touch()
    other.symlink_to(mine)
    (tmp_path / "mine" / "notes.txt").touch()
    for folder in (refused, mine, other, tmp_path / "missing"):
        discard_refused(folder, HYDRA_FILES)
    assert not day.exists()
    assert (mine / ".hydra").exists()
    (tmp_path / "mine" / "notes.txt").unlink()
    discard_refused(other, HYDRA_FILES)
    assert (mine / "run.log").exists()
    discard_refused(mine, HYDRA_FILES)
    assert not mine.exists()
    assert tmp_path.exists()


@pytest.mark.parametrize("num_rows", [0, 1, 2])
def test_only_complete_rows_are_kept_or_superseded(tmp_path, num_rows):
    folder, file = RunFolder(tmp_path, ""), tmp_path / "metrics.jsonl"
    file.write_text("1\n2\nhalf")
    folder.truncate_metrics(num_rows)
    superseded = tmp_path / "metrics.superseded.jsonl"
    rows = ["1\n", "2\n"]
    assert file.read_text() == "".join(rows[:num_rows])
    assert (superseded.read_text() if superseded.exists() else "") == "".join(rows[num_rows:])


def test_superseded_rows_never_replace_others(tmp_path):
    folder = RunFolder(tmp_path, "")
    (tmp_path / "metrics.superseded.2.jsonl").write_text("2")
    for rows in ("1", "3"):
        (tmp_path / "metrics.superseded.jsonl").write_text(rows)
        folder.archive_superseded()
    found = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert found == {f"metrics.superseded.{number}.jsonl": str(number) for number in (1, 2, 3)}


def test_the_working_directory_is_never_discarded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.log").touch()
    discard_refused(tmp_path, HYDRA_FILES)
    assert (tmp_path / "run.log").exists()
