import json
import os
import subprocess
import sys

import pytest

from mbrl.runs.folder import RunFolder, safe_name, write_json
from mbrl.runs.reader import read_summary

HOLD_THE_LOCK = """
import sys
from mbrl.runs.folder import RunFolder
with RunFolder(sys.argv[1], "seed: 0"):
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_running_then_completed(tmp_path):
    path = tmp_path / "deep" / "run"
    with RunFolder(path, "seed: 3\n") as folder:
        assert read_summary(path) == {"status": "running", "env_steps": 0, "wall_seconds": 0.0}
        assert (path / "config.yaml").read_text() == "seed: 3\n"
        returned = folder.finish(
            "completed", {"env_steps": 30, "wall_seconds": 1.5, "loss/value": 0.25}
        )
    assert (
        read_summary(path)
        == {"status": "completed", "env_steps": 30, "wall_seconds": 1.5, "loss/value": 0.25}
        == returned
    )


def test_final_values_are_read_from_the_metrics(tmp_path):
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


def test_an_exception_is_a_failure_that_says_why(tmp_path):
    with pytest.raises(ArithmeticError), RunFolder(tmp_path, ""):
        raise ArithmeticError("the model diverged\nand more")
    summary = read_summary(tmp_path)
    assert summary["status"] == "failed"
    assert summary["error"] == "ArithmeticError: the model diverged"


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_being_stopped_is_an_interruption(tmp_path, stop):
    with pytest.raises(stop), RunFolder(tmp_path, ""):
        raise stop
    assert read_summary(tmp_path)["status"] == "interrupted"


def test_leaving_without_finish_is_no_success(tmp_path):
    with RunFolder(tmp_path, ""):
        pass
    assert read_summary(tmp_path)["status"] == "failed"


def test_what_fails_after_finish_leaves_the_result(tmp_path):
    def run():
        with RunFolder(tmp_path, "") as folder:
            folder.finish("completed")
            raise OSError("no space for the plot")

    with pytest.raises(OSError):
        run()
    assert read_summary(tmp_path)["status"] == "completed"


def test_a_status_must_be_an_end(tmp_path):
    with (
        pytest.raises(
            ValueError, match="status=running must be one of completed, failed, interrupted"
        ),
        RunFolder(tmp_path, "") as folder,
    ):
        folder.finish("running")


def test_nan_and_infinity_are_null(tmp_path):
    write_json(
        tmp_path / "numbers.json",
        {"nan": float("nan"), "list": [1.0, float("inf"), -float("inf")], "fine": 0.1},
    )
    text = (tmp_path / "numbers.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail) == {
        "nan": None,
        "list": [1.0, None, None],
        "fine": 0.1,
    }


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    write_json(tmp_path / "summary.json", {"status": "running"})
    with pytest.raises(TypeError):
        write_json(tmp_path / "summary.json", {"status": object()})
    assert read_summary(tmp_path) == {"status": "running"}


def test_the_file_is_replaced_only_once_it_is_whole(tmp_path, monkeypatch):
    write_json(tmp_path / "summary.json", {"status": "running"})
    replace = os.replace

    def look_then_replace(temporary, target):
        assert json.loads(temporary.read_text()) == {"status": "completed"}
        assert read_summary(tmp_path) == {"status": "running"}
        replace(temporary, target)

    monkeypatch.setattr(os, "replace", look_then_replace)
    write_json(tmp_path / "summary.json", {"status": "completed"})
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]


@pytest.mark.parametrize("record", ["config.yaml", "metrics.jsonl", "summary.json"])
def test_a_folder_that_holds_a_run_is_refused_and_left_alone(tmp_path, record):
    (tmp_path / record).write_text("precious")
    with (
        pytest.raises(
            FileExistsError,
            match=rf"{tmp_path} already holds a run \({record}\): leave out hydra.run.dir",
        ),
        RunFolder(tmp_path, ""),
    ):
        pass
    assert (tmp_path / record).read_text() == "precious"
    assert {path.name for path in tmp_path.iterdir()} == {record, ".lock"}


def test_what_hydra_has_left_there_is_no_run(tmp_path):
    (tmp_path / ".hydra").mkdir()
    (tmp_path / "run.log").write_text("")
    with RunFolder(tmp_path, "") as folder:
        folder.finish("completed")
    assert read_summary(tmp_path)["status"] == "completed"


def test_two_runs_never_share_a_folder(tmp_path):
    sentence = f"Another run is using the folder {tmp_path}: wait"
    with (
        RunFolder(tmp_path, ""),
        pytest.raises(BlockingIOError, match=sentence),
        RunFolder(tmp_path, ""),
    ):
        pass


def test_the_lock_holds_between_processes_and_dies_with_its_holder(tmp_path):
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
    assert read_summary(tmp_path)["status"] == "running"  # nobody was left to say otherwise


def test_a_refused_folder_is_not_kept_locked(tmp_path):
    (tmp_path / "summary.json").write_text("{}")
    for _ in range(2):
        with pytest.raises(FileExistsError, match="already holds a run"), RunFolder(tmp_path, ""):
            pass


@pytest.mark.parametrize("name", ["planner=cem,seed=0", "cartpole_ensemble_cem_seed0", "x" * 100])
def test_safe_names_stay_as_they_are(name):
    assert safe_name(name) == name


def test_unsafe_names_become_safe_short_and_stay_distinct():
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
