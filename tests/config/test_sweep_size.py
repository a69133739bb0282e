import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from mbrl.config.hydra_internals import BasicSweeper, config_loader
from mbrl.config.sweep_size import check_num_jobs, count_jobs
from mbrl.errors import ConfigError


def parse(*overrides):
    return OverridesParser.create(config_loader()).parse_overrides(list(overrides))


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("seed=3",),
        ("seed=0,1,1", "planner=choice(cem,mcts)"),
        ("seed=range(5)", "horizon=range(1,10,4)"),
        ("seed=range(5,0,-2)",),
        ("seed=range(5,0)",),
        ("discount=range(0.1,1,0.1)",),
        ("discount=range(1,0,-0.3)",),
        ("seed=shuffle(range(7))", "discount=sort(0.9,0.8)"),
        ("planner=glob(m*)",),
        ("seed=0,1", "seed=2,3,4"),
        ("model.x=[1,2]", "env.kwargs={a: 1}"),
    ],
)
def test_the_count_is_that_of_hydra_s_list(overrides):
    parsed = parse(*overrides)
    [jobs] = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    assert count_jobs(parsed) == len(jobs)


@pytest.mark.parametrize(
    ("overrides", "count"),
    [
        (("seed=range(1000000)", "horizon=range(1,1000001)"), 10**12),
        (("seed=range(-1000000000000000000000,0)",), 10**21),
        (("seed=shuffle(range(1000000000000))",), 10**12),
        (("discount=range(0,1,0.0000000001)",), 10**10),
    ],
)
def test_a_long_range_is_counted_without_a_list(overrides, count):
    assert count_jobs(parse(*overrides)) == pytest.approx(count)


@pytest.mark.parametrize(
    "override",
    ["seed=range(0,5,0)", "discount=range(0,inf,0.1)", "discount=range(0,1,nan)"],
)
def test_a_range_without_end_is_refused(override):
    with pytest.raises(ConfigError, match="must have finite ends and a step other than 0"):
        count_jobs(parse(override))


def test_an_interval_is_refused():
    with pytest.raises(ConfigError, match=r"discount=interval\(0,1\): has no values to list"):
        count_jobs(parse("discount=interval(0,1)"))


def test_the_largest_number_of_jobs_is_allowed():
    launcher = OmegaConf.create({"max_jobs": 5})
    check_num_jobs(5, launcher)
    with pytest.raises(ConfigError, match=r"hydra\.launcher\.max_jobs=5: this sweep would have 6"):
        check_num_jobs(6, launcher)
    check_num_jobs(10_000, OmegaConf.create())
    with pytest.raises(ConfigError, match=r"hydra\.launcher\.max_jobs=10000"):
        check_num_jobs(10_001, OmegaConf.create())


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, None, "many"])
def test_an_invalid_limit_is_refused(limit):
    with pytest.raises(ConfigError, match=r"max_jobs=.*: must be a whole number of at least 1"):
        check_num_jobs(1, OmegaConf.create({"max_jobs": limit}))
