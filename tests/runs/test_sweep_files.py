import os
import time

import pytest

from mbrl.errors import CorruptRun
from mbrl.runs.sweep_files import (
    LOGS,
    check_sweep,
    read_num_jobs,
    read_overrides,
    read_slurm_ids,
)

TASK = "hydra: {overrides: {task: %s}}"
READERS = {
    "multirun.yaml": read_overrides,
    "sweep.json": read_num_jobs,
    f"{LOGS}/jobs.json": read_slurm_ids,
}
DEEP = "[" * 100_000 + "]" * 100_000


def write(sweep, name, text):
    (sweep / name).parent.mkdir(exist_ok=True)
    (sweep / name).write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "text", "content"),
    [
        ("multirun.yaml", TASK % "['seed=0,1']", ["seed=0,1"]),
        ("multirun.yaml", TASK % "[]", []),
        ("sweep.json", '{"num_jobs": 2, "command": ["run.py"]}', 2),
        (f"{LOGS}/jobs.json", '{"0_seed=0": "7_0"}', {"0_seed=0": "7_0"}),
        (f"{LOGS}/jobs.json", "{}", {}),
    ],
)
def test_a_sweep_s_files_are_read(tmp_path, name, text, content):
    assert READERS[name](tmp_path) in (None, {})
    write(tmp_path, name, text)
    assert READERS[name](tmp_path) == content


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("multirun.yaml", TASK % DEEP),
        ("multirun.yaml", TASK % "[1]"),
        ("multirun.yaml", TASK % "{a: b}"),
        ("multirun.yaml", "hydra: 3"),
        ("multirun.yaml", "[]"),
        *(("sweep.json", f'{{"num_jobs": {number}}}') for number in (
            "1" * 6000, "NaN", "Infinity", "1.0", "-1", "true", '"1"', "null", "[1]", DEEP
        )),
        ("sweep.json", "{}"),
        *((name, text) for name in ("sweep.json", f"{LOGS}/jobs.json") for text in (
            "", "[", "[1]", '"x"', "3", "null", DEEP, " " * 100_000_001, '{"a": {"a": 1}'
        )),
        (f"{LOGS}/jobs.json", '{"0_seed=0": 7}'),
        (f"{LOGS}/jobs.json", '{"0_seed=0": ["7_0"]}'),
    ],
    ids=lambda text: text[:30],
)  # fmt: skip
def test_a_damaged_or_harmful_file_is_refused_at_once(tmp_path, name, text):
    write(tmp_path, name, text)
    start = time.monotonic()
    with pytest.raises(CorruptRun) as refusal:
        READERS[name](tmp_path)
    assert time.monotonic() - start < 5
    sentence = str(refusal.value)
    assert sentence.startswith(f"{tmp_path / name} ")
    assert len(sentence) < 600


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
@pytest.mark.parametrize("name", READERS)
def test_only_a_regular_file_is_read(tmp_path, name, kind):
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    make = {"link": lambda: file.symlink_to("/etc/hostname"), "folder": file.mkdir}
    make.get(kind, lambda: os.mkfifo(file))()
    with pytest.raises(CorruptRun, match=r"is (a link to|not a regular file)"):
        READERS[name](tmp_path)


def test_a_link_among_the_logs_is_not_followed_and_so_allowed(tmp_path):
    (tmp_path / LOGS / "7").mkdir(parents=True)
    (tmp_path / LOGS / "7_latest").symlink_to("7")
    check_sweep(tmp_path)


@pytest.mark.parametrize("place", [".", "0_seed=0", "0_seed=0/checkpoint"])
def test_a_link_in_a_sweep_or_a_job_is_found(tmp_path, place):
    folder = tmp_path / "sweep" / place
    check_sweep(tmp_path / "sweep")
    folder.mkdir(parents=True)
    (folder / "file").touch()
    check_sweep(tmp_path / "sweep")
    (folder / "link").symlink_to("file")
    with pytest.raises(CorruptRun, match="link is a link to file"):
        check_sweep(tmp_path / "sweep")
