"""What a job of a sweep may do beyond a saved run, by the arguments that it is resumed with."""

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from mbrl.config.hydra_internals import config_loader, named_as_run
from mbrl.config.launch import read_run, run_info_from_provenance
from mbrl.launchers.composition import JobComposer
from mbrl.launchers.job_files import save_job
from mbrl.loggers.destination import destination, permitted
from mbrl.run_info import RunInfo

FOREIGN = """# @package _global_
defaults: [{override /logger: online}]
logger: {wandb: {entity: them, project: theirs}}
"""
MODE, TRUST = 'logger.wandb.mode="online"', 'trust=["wandb"]'


@pytest.fixture(autouse=True)
def hydra_config(monkeypatch):
    before = HydraConfig.instance().cfg
    for name in ("MODE", "PROJECT", "ENTITY"):
        monkeypatch.delenv(f"WANDB_{name}", raising=False)
    yield
    HydraConfig.instance().cfg = before


@pytest.fixture
def their_folder(tmp_path):
    (tmp_path / "their" / "experiment").mkdir(parents=True)
    (tmp_path / "their" / "experiment" / "theirs.yaml").write_text(FOREIGN)
    return tmp_path / "their"


def saved_job(folder, typed, config_dir=None, more=()):
    """The first job of the sweep `run.py -m <typed>`, with `more` from the sweep's own config."""
    overrides = [*typed, f"hydra.sweep.dir={folder / 'sweep'}", "hydra.mode=MULTIRUN"]
    with named_as_run():
        loader = config_loader(config_dir=config_dir and str(config_dir))
        sweep = loader.load_configuration("config", overrides, RunMode.MULTIRUN)
        job_overrides = [*more, *typed]
        config = JobComposer(loader, sweep).compose(job_overrides)
        job, _ = save_job(config, sweep, 0, job_overrides)
    return job


def used_by(job):
    """The destination of the saved job where it runs."""
    config, provenance = read_run(job.folder, job.arguments)
    info: RunInfo = run_info_from_provenance(job.folder, provenance, job.arguments)
    assert info.config_source == "saved"
    return permitted(info, destination(config.logger.wandb))


@pytest.mark.parametrize(
    ("typed", "arguments", "used"),
    [
        (["logger=online"], (TRUST, MODE), ("online", None, "mbrl")),
        (
            ["logger=online", "logger.wandb.entity=me", "logger.wandb.project=mine", "trust=[a]"],
            ('trust=["a", "wandb"]', MODE),
            ("online", "me", "mine"),
        ),
        (["seed=1"], (TRUST, 'logger.wandb.mode="offline"'), ("offline", None, "mbrl")),
        (["logger.wandb.mode=disabled"], (TRUST, 'logger.wandb.mode="disabled"'), None),
    ],
)
def test_a_job_of_one_s_own_sweep_uploads_as_its_sweep_would(tmp_path, typed, arguments, used):
    job = saved_job(tmp_path, typed)
    assert job.arguments == arguments
    assert used_by(job) == (used or ("disabled", None, "mbrl"))


def test_a_job_without_w_and_b_needs_no_arguments(tmp_path):
    assert saved_job(tmp_path, ["logger=files"]).arguments == ()


@pytest.mark.parametrize(
    ("typed", "used"),
    [
        ([], ("offline", None, "mbrl")),
        (["logger=online"], ("online", None, "mbrl")),
        (["logger=online", "logger.wandb.project=theirs"], ("online", None, "theirs")),
        (["logger=online", "trust=[wandb]"], ("online", "them", "theirs")),
    ],
)
def test_a_job_of_a_foreign_sweep_uploads_only_what_was_typed(tmp_path, their_folder, typed, used):
    more = ["logger.wandb.mode=online", "logger.wandb.entity=them"]  # of hydra.sweeper.params
    job = saved_job(tmp_path, ["experiment=theirs", *typed], their_folder, more)
    assert used_by(job) == used
    config, _ = read_run(job.folder, job.arguments)
    assert destination(config.logger.wandb) == used


def test_a_job_s_folder_that_was_there_before_is_not_trusted(tmp_path):
    mine = ["logger=online", "logger.wandb.project=mine"]
    file = saved_job(tmp_path, mine).folder / "config.yaml"
    file.write_text(file.read_text().replace("project: mine", "project: theirs"))
    job = saved_job(tmp_path, mine)
    assert job.arguments == (MODE,)
    with pytest.raises(ValueError, match=r"logger\.wandb\.project=theirs: a saved config does not"):
        used_by(job)
