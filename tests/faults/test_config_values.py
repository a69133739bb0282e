"""Whatever value a setting is given, the run is refused in one sentence that names the setting, or it can be run."""

import contextlib
import itertools
import tempfile
from functools import cache

import hypothesis.strategies as st
import jax
import pytest
from hypothesis import HealthCheck, assume, given, settings
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mbrl.assemble import assemble
from mbrl.config.validation import MAX_INT, format_value
from mbrl.errors import ConfigError, RunError
from mbrl.experiment import run
from tests.configs import options, small_config

pytestmark = pytest.mark.slow

ENVIRONMENTS = ("cartpole", "pendulum", "point_mass")

# (built from, whole runs) examples that are tried.
EXAMPLES = {"reduced": (30, 2), "whole": (2000, 300)}

NUMBERS = [0, -1, 1, 2, 3, 7, 200, 2**31 - 1, 2**31, 2**32, 2**63, -(2**31), -(2**63), 10**400]
NUMBERS += [
    0.0,
    -0.0,
    0.5,
    1.0,
    1.5,
    4.0,
    -0.1,
    1e-9,
    1e-308,
    5e-324,
    1e9,
    3e38,
    1e308,
    -1e308,
    float("nan"),
    float("inf"),
    -float("inf"),
]
WORDS = [
    "",
    " ",
    "none",
    "null",
    "true",
    "3",
    "nan",
    "1e-3",
    "two\nlines",
    "x" * 300,
    "é∞",
    "os.system",
    "optax.adamw",
    "???",
    "${nowhere}",
    "${seed}",
]
WORDS += [
    "mbrl.planners.cem.CEM",
    "mbrl.models.propagation.TS1",
    "mbrl.envs.cartpole.reward",
    "mbrl.envs.cartpole.TIME_STEP",
    "box",
    "discrete",
]
PARTS = [
    {
        "_target_": "optax.linear_schedule",
        "init_value": 0.5,
        "end_value": 0.0,
        "transition_steps": 10,
    },
    {
        "_target_": "optax.linear_schedule",
        "init_value": 2.0,
        "end_value": -1.0,
        "transition_steps": 10,
    },
    {"_target_": "optax.sgd", "learning_rate": "fast"},
    {"_target_": "optax.sgd", "learning_rate": -0.1},
    {"_target_": "mbrl.envs.pendulum.reward", "_partial_": True},
    {"_target_": "mbrl.envs.pendulum.reward"},
    {"_target_": "mbrl.models.value.ZeroValue", "_partial_": True},
    {"_target_": "mbrl.models.propagation.TS1", "particles_per_member": 1},
    {"_target_": 3},
    {"_target_": None, "_partial_": "perhaps"},
]

plain = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(NUMBERS),
    st.sampled_from(WORDS),
    st.integers(),
    st.floats(),
    st.text("ab .=\n", max_size=5),
)
nested = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "width", "0"]), inner, max_size=2)
    ),
    max_leaves=4,
)
values = st.one_of(plain, plain, nested, st.sampled_from(PARTS))


LONGEST = 200  # steps, plans, …: what a whole run may be given and still end soon


@cache
def bases() -> dict[tuple[str, ...], DictConfig]:
    """Small configs: every planner in every environment here, in each of the models by turns."""
    pairs = itertools.product(ENVIRONMENTS, options("planner"))
    models = itertools.cycle(options("model"))
    choices = [
        (f"env={env}", f"planner={planner}", f"model={next(models)}") for env, planner in pairs
    ]
    return {chosen: small(*chosen) for chosen in choices}


def small(*overrides: str) -> DictConfig:
    return small_config("training=smoke", "logger=files", *overrides)


def names(node, prefix: str = "") -> list[str]:
    """Every setting, and every group of them, as the command line names them."""
    found = []
    for key in node if isinstance(node, DictConfig) else ():
        found.append(prefix + key)
        found += names(node._get_node(key), f"{prefix}{key}.")
    return found


def like(value) -> st.SearchStrategy:
    """Values of the same type: they come farther than others."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return st.sampled_from(WORDS)
    return st.sampled_from(
        [number for number in NUMBERS if isinstance(number, type(value))]
    ) | st.integers(0, 50).map(type(value))


@st.composite
def settings_changed(draw, anything: bool) -> tuple[tuple[str, ...], str, object]:
    """What to choose, the name of a setting of that choice, and a value for it: of the same type, or anything."""
    choices = draw(st.sampled_from(list(bases())))
    config = bases()[choices]
    name = draw(st.sampled_from(names(config)))
    return (
        choices,
        name,
        draw(like(OmegaConf.select(config, name)) | (values if anything else st.nothing())),
    )


def changed(config: DictConfig, name: str, value: object) -> DictConfig:
    config = config.copy()
    OmegaConf.set_struct(config, False)
    parent, _, key = name.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    with contextlib.suppress(
        OmegaConfBaseException
    ):  # what OmegaConf itself refuses never becomes a config
        node[key] = value
    OmegaConf.set_struct(config, True)
    return config


def check_one_sentence(sentence: str) -> None:
    assert "\n" not in sentence
    assert len(sentence) < 1000
    assert sentence[-1] in ".?…"


def check_refusal(refusal: ConfigError, name: str, value: object) -> None:
    sentence = str(refusal)
    check_one_sentence(sentence)
    # A value that other settings refer to may be found under their names.
    assert any(part in sentence for part in [*name.split("."), f"={format_value(value)}"]), (
        name,
        sentence,
    )


def tried(config: pytest.Config, which: int) -> settings:
    bases()  # before the first draw, in which nothing else may draw random numbers
    return settings(
        max_examples=EXAMPLES[config.getoption("--faults")][which],
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def test_a_config_is_built_or_refused(request):
    @tried(request.config, 0)
    @given(settings_changed(anything=True))
    def build_or_refuse(case):
        choices, name, value = case
        try:
            assemble(changed(bases()[choices], name, value))
        except ConfigError as refusal:
            check_refusal(refusal, name, value)

    build_or_refuse()


@pytest.fixture
def in_a_hurry():
    """Programs are compiled sooner, and are slower."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.mark.usefixtures("in_a_hurry")
def test_a_config_is_run_or_refused(request, tmp_path):
    @tried(request.config, 1)
    @given(settings_changed(anything=False))
    def run_or_refuse(case):
        choices, name, value = case
        assume(not (isinstance(value, int) and LONGEST < value <= MAX_INT))
        folder = tempfile.mkdtemp(dir=tmp_path)
        config = small(f"hydra.run.dir={folder}", *choices)
        try:
            run(changed(config, name, value))
        except ConfigError as refusal:
            check_refusal(refusal, name, value)
        except RunError as failure:  # what only shows once it runs: learning rates too high
            check_one_sentence(str(failure))
        finally:
            jax.clear_caches()  # every program takes memory

    run_or_refuse()
