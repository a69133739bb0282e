"""Settings that a sweep refuses, tested in this process; one test runs the command."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobStatus
from hydra.types import RunMode

from mbrl.commands.resume import main as resume
from mbrl.config.hydra_internals import config_loader
from mbrl.config.plain_errors import plain_errors
from mbrl.errors import ConfigError, CorruptRun
from mbrl.launchers.job import Job, check_not_running
from mbrl.launchers.local import Local
from mbrl.launchers.process_pool import ProcessPool
from mbrl.launchers.ray import Ray
from mbrl.launchers.submitit import Submitit
from mbrl.launchers.sweep import Sweep, check_same_sweep, lock_sweep
from mbrl.runs.folder import lock
from tests.configs import options
from tests.faults.runs import ROOT


@pytest.fixture
def new_sweep(tmp_path):
    """Makes a sweep from overrides, in a folder that does not exist yet."""
    loader = config_loader()
    hydra, sweeps = HydraConfig.instance().cfg, []

    def make(*overrides):
        task = [f"hydra.sweep.dir={tmp_path / 'sweep'}", "training=smoke", *overrides]
        sweeps.append(Sweep(loader, loader.load_configuration("config", task, RunMode.MULTIRUN)))
        return sweeps[-1]

    yield make
    HydraConfig.instance().cfg = hydra
    for sweep in sweeps:
        os.close(sweep._lock)


def refusal(function, *arguments, **options):
    with pytest.raises((ConfigError, CorruptRun)) as caught:
        function(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["hydra/launcher=joblib", "hydra.launcher.n_jobs=0"], "hydra.launcher.n_jobs=0: must be"),
        (["hydra/launcher=joblib", "hydra.launcher.n_jobs=1.5"], "hydra.launcher.n_jobs=1.5"),
        (["hydra/launcher=joblib", "+hydra.launcher.jobs=3"], "hydra.launcher.jobs"),
        (["hydra/launcher=local", "+hydra.launcher.n_jobs=3"], "hydra.launcher.n_jobs"),
        (["hydra/launcher=ray", "hydra.launcher.max_retries=-2"], "hydra.launcher.max_retries=-2"),
        (
            ["hydra/launcher=ray", "hydra.launcher.num_cpus_per_job=0"],
            "hydra.launcher.num_cpus_per_job=0: must be positive",
        ),
        (
            ["hydra/launcher=submitit_slurm", "hydra.launcher.cluster=moon"],
            "hydra.launcher.cluster=moon",
        ),
        (
            ["hydra/launcher=submitit_slurm", "hydra.launcher.slurm_array_parallelism=0"],
            "hydra.launcher.slurm_array_parallelism=0: must be at least 1",
        ),
        (
            ["hydra/launcher=local", "hydra.launcher.backend=os.path.join"],
            "hydra.launcher.backend=os.path.join: must name a backend in mbrl.launchers",
        ),
        (
            ["hydra/launcher=local", "hydra.launcher.backend=mbrl.launchers.moon.Moon"],
            "hydra.launcher.backend=mbrl.launchers.moon.Moon: must name a backend",
        ),
        (
            ["hydra/launcher=local", "hydra.launcher.backend=mbrl.launchers.job.Job"],
            "hydra.launcher.backend=mbrl.launchers.job.Job: must name a backend",
        ),
        (["hydra.sweeper.max_batch_size=1"], "hydra.sweeper.max_batch_size=1: must be null"),
        (["hydra.output_subdir=a/b"], "hydra.output_subdir=a/b: must be a name without '/'"),
        (["hydra.output_subdir=.."], "hydra.output_subdir=..: must be a name without '/'"),
        (["hydra.job.chdir=true"], "hydra.job.chdir=true: must be false in a sweep"),
    ],
)
def test_an_invalid_setting_is_refused_before_anything_is_written(
    new_sweep, tmp_path, overrides, message
):
    assert refusal(new_sweep, *overrides).startswith(message)
    assert not (tmp_path / "sweep").exists()


AGENT = {"WANDB_SWEEP_ID": "sw33p", "WANDB_RUN_ID": "ag3nt"}
AGENTS_RUN = "WANDB_RUN_ID=ag3nt: `wandb agent` gives this id to all that its command starts"


@pytest.fixture
def agent(monkeypatch):
    """The environment in which `wandb agent` starts a command."""
    for name, value in AGENT.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("agent")
@pytest.mark.parametrize("launcher", options("hydra/launcher"))
def test_every_launcher_refuses_a_sweep_under_a_wandb_agent(new_sweep, tmp_path, launcher):
    assert refusal(new_sweep, f"hydra/launcher={launcher}", "seed=0,1").startswith(AGENTS_RUN)
    assert not (tmp_path / "sweep").exists()


@pytest.mark.usefixtures("agent")
def test_resume_refuses_a_sweep_under_a_wandb_agent(tmp_path):
    (tmp_path / "multirun.yaml").write_text("{}")
    assert refusal(resume, [str(tmp_path)]).startswith(AGENTS_RUN)
    assert not (tmp_path / ".lock").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        [str(ROOT / "run.py"), "-m", "seed=0,1"],
        ["-m", "mbrl", "run", "-m", "seed=0"],
        [str(ROOT / "run.py"), "hydra.mode=MULTIRUN", "seed=0"],
        pytest.param(
            [str(ROOT / "run.py"), "-m", "hydra/sweeper=optuna", "discount=0.9,0.99"],
            marks=pytest.mark.extras,
        ),
    ],
    ids=["run.py", "mbrl run", "hydra.mode", "search"],
)
def test_a_sweep_under_a_wandb_agent_ends_before_anything_is_written(tmp_path, command):
    result = subprocess.run(
        [sys.executable, *command, "logger=files"],
        cwd=tmp_path,
        env=os.environ | AGENT | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 1
    [sentence] = result.stderr.splitlines()
    assert sentence.startswith(f"Error: {AGENTS_RUN}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("subdir", "message"),
    [
        ("a", "hydra.sweep.subdir=a: must not be the same for two jobs"),
        ("a/${seed}", "hydra.sweep.subdir=a/0: must be a name without '/'"),
        ("..", "hydra.sweep.subdir=..: must be a name without '/'"),
        ("''", "hydra.sweep.subdir=: must be a name without '/'"),
    ],
)
def test_jobs_need_separate_folders_side_by_side(new_sweep, tmp_path, subdir, message):
    sweep = new_sweep("hydra/launcher=local", "planner=random", f"hydra.sweep.subdir={subdir}")
    jobs = [["planner=random", f"seed={seed}"] for seed in (0, 1)]
    assert refusal(sweep.launch, jobs, 0).startswith(message)
    assert not list(tmp_path.glob("**/metrics.jsonl"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cluster": "slurm"}, "hydra.launcher: submitit cannot submit to slurm"),
        ({"cluster": "local", "timeout_min": "abc"}, "hydra.launcher: submitit cannot submit to"),
        ({"cluster": "local", "moon": 1}, "hydra.launcher: submitit cannot submit to local"),
    ],
)
def test_settings_that_submitit_refuses_are_refused(tmp_path, monkeypatch, settings, message):
    monkeypatch.setenv("PATH", str(tmp_path))  # without srun
    assert refusal(Submitit(**settings).run, [Job(tmp_path / "0_")]).startswith(message)


def test_a_job_that_fits_on_no_node_is_refused(tmp_path):
    backend = Ray(num_cpus_per_job=4096)
    backend._ray = SimpleNamespace(nodes=lambda: [{"Resources": {"CPU": 2.0}}])
    message = "A job needs 4096 CPUs, but this machine has 2."
    assert refusal(backend._check_cpus, [Job(tmp_path)]).startswith(message)


@pytest.mark.parametrize("backend", [Local, ProcessPool, lambda: Submitit("local")])
def test_a_job_that_is_still_running_is_refused(tmp_path, backend):
    held = lock(tmp_path)
    message = f"{tmp_path} is still running. Wait until it ends"
    assert refusal(backend().run, [Job(tmp_path)]).startswith(message)
    os.close(held)
    check_not_running([Job(tmp_path)])


def test_a_job_with_the_facts_of_another_environment_fails(new_sweep):
    [result] = new_sweep("hydra/launcher=local").launch([["env.id=Acrobot-v1"]], initial_job_idx=0)
    assert result.status == JobStatus.FAILED
    with pytest.raises(ConfigError, match="Give env=acrobot"):
        _ = result.return_value


def test_a_locked_folder_is_refused(new_sweep, tmp_path):
    new_sweep("hydra/launcher=local")
    assert "Another sweep is running in" in refusal(new_sweep, "hydra/launcher=local")
    assert "Another sweep is running in" in refusal(lock_sweep, tmp_path / "sweep")


def test_another_sweep_in_the_folder_is_refused(tmp_path):
    file = tmp_path / "multirun.yaml"
    check_same_sweep(tmp_path, ["seed=0,1"])
    file.write_text("hydra: {overrides: {task: ['seed=0,1']}}")
    check_same_sweep(tmp_path, ["seed=0,1"])
    sentence = refusal(check_same_sweep, tmp_path, ["seed=0,2"])
    assert "already holds another sweep (seed=0,1)" in sentence
    file.write_text("hydra: {overrides: {task: ['seed=0,1; rm']}}")
    sentence = refusal(check_same_sweep, tmp_path, ["seed=0,2"])
    assert "already holds another sweep ('seed=0,1; rm')" in sentence


def test_resume_refuses_a_sweep_that_lacks_jobs_or_is_damaged(tmp_path):
    job = tmp_path / "0_seed=0"
    job.mkdir()
    (job / "config.yaml").write_text("seed: 0")
    file = tmp_path / "sweep.json"
    file.write_text(json.dumps({"num_jobs": 2, "command": ["rm", "-rf", "x"]}))
    sentence = refusal(resume, [str(tmp_path)])
    assert "lacks 1 of its 2 jobs" in sentence
    assert sentence.endswith(f"in {file}, with hydra.sweep.dir={tmp_path}")
    assert "rm" not in sentence.replace(str(tmp_path), "")
    file.write_text(json.dumps({"num_jobs": "x"}))
    assert f"{file} is damaged" in refusal(resume, [str(tmp_path)])


def test_an_unknown_launcher_is_refused_with_the_known_ones(new_sweep, capsys):
    with pytest.raises(SystemExit), plain_errors():
        new_sweep("hydra/launcher=nowhere")
    message = "hydra/launcher=nowhere: no such option. hydra/launcher is one of"
    error = capsys.readouterr().err
    assert message in error
    assert "joblib, local, ray, submitit_slurm" in error


@pytest.mark.slow
def test_a_refusal_ends_the_command_with_one_sentence(tmp_path):
    overrides = ["planner=random", "seed=0,1", "hydra/launcher=submitit_slurm", "logger=files"]
    result = subprocess.run(
        [sys.executable, str(ROOT / "run.py"), "-m", *overrides, "hydra.sweep.dir=s"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 1
    message = "Error: hydra.launcher: submitit cannot submit to slurm"
    assert result.stderr.splitlines()[-1].startswith(message)
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.glob("s/*/metrics.jsonl"))
