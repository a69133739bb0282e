"""Ray: a real cluster that loses a node, and waiting for the lock of a job."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mbrl.launchers import ray
from mbrl.launchers.job import Job
from mbrl.runs.finder import runs_in
from mbrl.runs.folder import lock
from mbrl.runs.reader import read_metrics, read_provenance
from tests.faults.runs import PLANNERS, ROOT, lost, run_here

pytestmark = pytest.mark.extras

RUN = ("training=smoke", "logger=files", *PLANNERS["mcts"], "env.episode_limit=50")
RUN += ("model.num_members=2", "training.env_steps=400", "training.evaluate_every=1000")


@pytest.mark.slow
def test_the_job_of_a_lost_node_resumes_on_another(tmp_path):
    sweep = tmp_path / "sweep"
    own_network = ["unshare", "--net", "--map-root-user"]
    program = [sys.executable, str(Path(__file__).with_name("two_nodes.py")), str(sweep)]
    result = subprocess.run(
        [*own_network, *program, *RUN, "seed=0,1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=800,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "was lost while the sweep was running" in result.stdout
    jobs = runs_in(sweep)
    assert [job.name for job in jobs] == ["0_seed=0", "1_seed=1"]
    resumed = [job for job in jobs if read_provenance(job).get("resumes")]
    assert len(resumed) == 1, "only the job of the lost node is started again"
    for seed, job in enumerate(jobs):
        assert lost(job, run_here(tmp_path / f"alone{seed}", *RUN, f"seed={seed}")) == 0
        steps = [row["env_steps"] for row in read_metrics(job) if "loss/value" in row]
        assert steps == sorted(set(steps)), "no phase is counted twice"


def test_a_job_waits_until_its_folder_is_unlocked(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(ray, "POLL_INTERVAL", 0.05)

    def run(job: Job) -> None:
        os.close(lock(job.folder))
        started.append(time.monotonic())

    monkeypatch.setattr(Job, "run", run)
    held = lock(tmp_path)
    threading.Timer(0.4, lambda: os.close(held)).start()
    before = time.monotonic()
    ray.run_when_unlocked(Job(tmp_path))
    assert started[0] - before >= 0.35


def test_a_job_fails_if_its_folder_stays_locked(tmp_path, monkeypatch):
    monkeypatch.setattr(ray, "POLL_INTERVAL", 0.01)
    monkeypatch.setattr(ray, "LOCK_TIMEOUT", 0.1)
    monkeypatch.setattr(Job, "run", lambda job: lock(job.folder))
    held = lock(tmp_path)
    with pytest.raises(BlockingIOError):
        ray.run_when_unlocked(Job(tmp_path))
    os.close(held)
