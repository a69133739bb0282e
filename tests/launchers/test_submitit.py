"""The Slurm backend with stand-ins for sbatch and squeue."""

import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from mbrl.errors import ConfigError
from mbrl.launchers import submitit
from mbrl.launchers.job import Job
from mbrl.launchers.submitit import LOGS, Submitit, queued_jobs

pytestmark = pytest.mark.extras

SBATCH = "#!/bin/sh\necho >> {log}\necho Submitted batch job 7\n"
# Lists the tasks of the array for the first two calls.
SQUEUE = "#!/bin/sh\necho >> {log}\n[ $(wc -l < {log}) -gt 2 ] || printf '7_0\\n7_1\\n5\\n'\n"


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Puts the stand-ins on PATH. Returns a function that counts the calls of one."""
    commands = tmp_path / "bin"
    commands.mkdir()
    scripts = {"srun": "", "sbatch": SBATCH, "squeue": SQUEUE}
    for name, script in scripts.items():
        file = commands / name
        file.write_text(script.format(log=tmp_path / f"{name}.log"))
        file.chmod(0o755)
    monkeypatch.setenv("PATH", str(commands), prepend=":")
    # Imported within a test, submitit would configure logging and so close pytest's stderr.
    monkeypatch.setenv("SUBMITIT_LOG_LEVEL", "NOCONFIG")
    monkeypatch.setattr(submitit, "POLL_INTERVAL", {"slurm": 0.01, "local": 0.01})
    return lambda name: len((tmp_path / f"{name}.log").read_text().splitlines())


@pytest.fixture
def jobs(tmp_path):
    folders = [tmp_path / "sweep" / name for name in ("0_seed=0", "1_seed=1")]
    for folder in folders:
        folder.mkdir(parents=True)
    return [Job(folder) for folder in folders]


def test_jobs_are_submitted_as_one_array_and_awaited(slurm, jobs, capsys):
    Submitit("slurm", timeout_min=1).run(jobs)
    assert (slurm("sbatch"), slurm("squeue")) == (1, 3)
    submitted = json.loads((jobs[0].folder.parent / LOGS / "jobs.json").read_text())
    assert submitted == {"0_seed=0": "7_0", "1_seed=1": "7_1"}
    assert "What the jobs printed is in" in capsys.readouterr().out


@pytest.mark.parametrize(("given", "cpus"), [(None, 3), (2, 2)])
def test_a_task_has_as_many_cpus_as_the_jobs_use_threads(slurm, jobs, given, cpus):
    threads = [replace(job, num_threads=number) for job, number in zip(jobs, (3, 1), strict=True)]
    Submitit("slurm", cpus_per_task=given).run(threads)
    [script] = (jobs[0].folder.parent / LOGS).glob("*/*/*_submission.sh")
    assert f"#SBATCH --cpus-per-task={cpus}\n" in script.read_text()


def test_queued_jobs_are_not_submitted_again(slurm, jobs):
    sweep = jobs[0].folder.parent
    (sweep / LOGS).mkdir()
    (sweep / LOGS / "jobs.json").write_text('{"0_seed=0": "7_0", "1_seed=1": "4"}')
    assert queued_jobs(sweep) == {"0_seed=0": "7_0"}
    Submitit("slurm", timeout_min=1).run(jobs)
    assert slurm("sbatch") == 1
    submitted = json.loads((sweep / LOGS / "jobs.json").read_text())
    assert submitted == {"0_seed=0": "7_0", "1_seed=1": "7"}  # an array of one has no task index


def test_an_interrupt_leaves_the_jobs_in_the_queue(slurm, jobs, monkeypatch, capsys):
    def interrupt(seconds):
        raise KeyboardInterrupt

    # Of this module alone: subprocess sleeps too, while it waits for squeue.
    monkeypatch.setattr(submitit, "time", SimpleNamespace(sleep=interrupt))
    with pytest.raises(KeyboardInterrupt):
        Submitit("slurm", timeout_min=1).run(jobs)
    assert "To end them: scancel 7_0 7_1" in capsys.readouterr().out


@pytest.mark.parametrize(
    "error", [FileNotFoundError("squeue"), subprocess.TimeoutExpired("squeue", 60)]
)
def test_an_unreadable_queue_is_refused(tmp_path, monkeypatch, error):
    def run(*arguments, **options):
        raise error

    monkeypatch.setattr(submitit.subprocess, "run", run)
    assert queued_jobs(tmp_path) == {}
    (tmp_path / LOGS).mkdir()
    (tmp_path / LOGS / "jobs.json").write_text('{"0_seed=0": "7_0"}')
    with pytest.raises(ConfigError, match="squeue cannot list"):
        queued_jobs(tmp_path)


# Starts the job at once, as Slurm can, and gives it some seconds.
STARTING_SBATCH = """#!/bin/sh
folder=$(sed -n 's/.* submitit.core._submit //p' "$1")
SUBMITIT_EXECUTOR=slurm SLURM_JOB_ID=7 SLURM_NTASKS=1 SLURM_NNODES=1 SLURM_NODEID=0 \\
    SLURM_PROCID=0 SLURM_LOCALID=0 timeout 4 {python} -m submitit.core._submit "$folder" >&2
echo Submitted batch job 7
"""


@pytest.mark.slow
def test_nothing_is_unpickled_from_a_folder_that_was_there(slurm, jobs, tmp_path):
    canary = tmp_path / "canary"
    theirs = jobs[0].folder.parent / LOGS / "7" / "7_submitted.pkl"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(pickle.dumps(Touch(canary)))
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.write_text(STARTING_SBATCH.format(python=sys.executable))
    Submitit("slurm", timeout_min=1).run(jobs[:1])
    assert not canary.exists()
    ours = [path for path in theirs.parent.parent.glob("*/*/*.pkl") if path != theirs]
    assert [path.name for path in ours] == ["7_submitted.pkl"]


class Touch:
    """Unpickling it makes a file."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return (os.mknod, (str(self.file),))
