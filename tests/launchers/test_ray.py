"""Ray for real: two nodes, of which one is lost while both carry out jobs."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mbrl.launchers import ray as way
from mbrl.launchers.job import Job
from mbrl.runs.finder import runs_in
from mbrl.runs.folder import lock
from mbrl.runs.reader import read_metrics, read_provenance
from tests.faults.runs import PLANNERS, ROOT, lost, run_here

RUN = (
    "training=smoke",
    "logger=files",
    *PLANNERS["mcts"],
    "env.episode_limit=50",
    "model.num_members=2",
)
RUN += ("training.env_steps=400", "training.evaluate_every=1000")


@pytest.mark.slow
def test_the_jobs_of_a_node_that_is_lost_go_on_elsewhere(tmp_path):
    sweep = tmp_path / "sweep"
    alone_on_a_network = ["unshare", "--net", "--map-root-user"]
    program = [
        sys.executable,
        str(Path(__file__).with_name("two_nodes.py")),
        str(sweep),
        *RUN,
        "seed=range(3)",
    ]
    result = subprocess.run(
        [*alone_on_a_network, *program], cwd=ROOT, capture_output=True, text=True, timeout=800
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "was lost while the sweep was running" in result.stdout
    jobs = runs_in(sweep)
    assert [job.name.split("_")[0] for job in jobs] == ["0", "1", "2"]
    resumed = [job for job in jobs if read_provenance(job).get("resumes")]
    assert len(resumed) == 1, (
        "the job of the node that was lost, and no other, is begun a second time"
    )
    for job in (resumed[0], *(job for job in jobs if job not in resumed)):
        seed = int(job.name.split("_")[0])
        assert lost(job, run_here(tmp_path / f"alone{seed}", *RUN, f"seed={seed}")) == 0
        steps = [row["env_steps"] for row in read_metrics(job) if "loss/value" in row]
        assert steps == sorted(set(steps)), "no phase is counted twice"


def test_a_job_waits_for_the_process_of_a_lost_node_to_end(tmp_path, monkeypatch):
    began = []
    monkeypatch.setattr(way, "LOOK_EVERY", 0.05)

    def run(job: Job) -> None:
        os.close(lock(job.folder))
        began.append(time.monotonic())

    monkeypatch.setattr(Job, "run", run)
    held = lock(tmp_path)
    freed = threading.Timer(0.4, lambda: os.close(held))
    freed.start()
    before = time.monotonic()
    way.run_once_free(Job(tmp_path))
    assert began[0] - before >= 0.35


def test_a_job_that_another_carries_out_for_ever_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(way, "LOOK_EVERY", 0.01)
    monkeypatch.setattr(way, "LOCK_PATIENCE", 0.1)
    monkeypatch.setattr(Job, "run", lambda job: lock(job.folder))
    held = lock(tmp_path)
    with pytest.raises(BlockingIOError, match="Another run is using the folder"):
        way.run_once_free(Job(tmp_path))
    os.close(held)
