from types import SimpleNamespace

import pytest
from hydra.errors import ConfigCompositionException
from hydra.types import RunMode
from omegaconf import OmegaConf

from mbrl.config.hydra_internals import config_loader
from mbrl.errors import ConfigError
from mbrl.launchers.composition import JobComposer

JOBS = [
    ["training=smoke", "seed=3"],
    ["training=smoke", "seed=4"],
    ["training.env_steps=70", "training=smoke", "+x.y=3", "env.id='a,b'", "model/reward=known"],
    ["experiment=original", "discount=0.5", "trust=[a]", "num_threads=2", "~training.epsilon"],
    ["env=pendulum", "logger.wandb.name=x", "++model.z={a: 1}", "horizon=${seed}", "+new=1"],
]


@pytest.fixture(scope="module")
def composer():
    """Composes jobs, and counts in `loads` how many compositions by Hydra that takes."""
    loader, loads = config_loader(), []
    sweep = loader.load_configuration("config", ["seed=0,1", "hydra.sweep.dir=s"], RunMode.MULTIRUN)

    def load_sweep_config(sweep, overrides):
        loads.append(overrides)
        return loader.load_sweep_config(sweep, overrides)

    counting = SimpleNamespace(load_sweep_config=load_sweep_config, repository=loader.repository)
    composer = JobComposer(counting, sweep)
    composer.loader, composer.sweep, composer.loads = loader, sweep, loads
    return composer


@pytest.mark.parametrize("overrides", JOBS, ids=lambda overrides: overrides[0])
def test_a_job_is_composed_as_hydra_composes_it(composer, overrides):
    configs = [composer.loader.load_sweep_config(composer.sweep, overrides)]
    for _ in range(2):  # the first must not change what the second starts from
        configs.append(composer.compose(overrides))
        configs[-1].seed = 99
        configs[-1].hydra.job.num = 99
    for config in configs:
        config.hydra.job.override_dirname = ""  # assigned later, for each job
        config.seed, config.hydra.job.num = 0, 0
    hydras, first, second = map(OmegaConf.to_yaml, configs)
    assert hydras == first == second
    assert configs[0].hydra.sweep.dir == configs[1].hydra.sweep.dir


def test_jobs_that_differ_in_values_are_composed_by_hydra_once(composer):
    composer.loads.clear()
    for planner in ("greedy", "random"):
        for seed in range(3):
            config = composer.compose([f"planner={planner}", f"seed={seed}", "training.epsilon=0"])
            assert config.seed == seed
            assert config.hydra.overrides.task[1] == f"seed={seed}"
    assert composer.loads == [["planner=greedy"], ["planner=random"]]


@pytest.mark.parametrize("override", ["training.epsilom=1", "planner=cen", "sead=1"])
def test_an_override_that_fits_no_config_is_refused(composer, override):
    with pytest.raises(ConfigCompositionException):
        composer.compose(["seed=0", override])


def test_a_job_that_changes_hydra_s_settings_is_refused(composer, tmp_path):
    with pytest.raises(ConfigError, match="a config from elsewhere may not set this"):
        composer.compose(["hydra.job.name=other", "seed=0"])
