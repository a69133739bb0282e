"""For any value of any setting, the run is refused in one line that names the setting, or runs."""

import contextlib
import itertools
import math
import tempfile
from functools import cache

import hypothesis.strategies as st
import jax
import pytest
from hypothesis import HealthCheck, assume, given, settings
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mbrl.assemble import assemble
from mbrl.config.resolve import resolve
from mbrl.config.validation import MAX_INT, format_value
from mbrl.errors import ConfigError, RunError
from mbrl.experiment import run
from tests.configs import options, small_config

pytestmark = pytest.mark.slow

ENVIRONMENTS = ("cartpole", "pendulum", "point_mass")

# Examples that are built, and that are run.
EXAMPLES = {"reduced": (20, 2), "whole": (2000, 300)}
MAX_LENGTH = 200  # steps, plans, …: with larger values, a whole run would take too long

INTEGERS = [0, -1, 1, 2, 3, 7, 200, 2**31 - 1, 2**31, 2**32, 2**63, -(2**31), -(2**63), 10**400]
FLOATS = [0.0, -0.0, 0.5, 1.0, 1.5, 4.0, -0.1, 1e-9, 1e-308, 5e-324, 1e9, 3e38, 1e308, -1e308]
FLOATS += [math.nan, math.inf, -math.inf]
NUMBERS: list[int | float] = [*INTEGERS, *FLOATS]
WORDS = ["", " ", "none", "null", "true", "3", "nan", "1e-3", "two\nlines", "x" * 300, "é∞"]
WORDS += ["os.system", "optax.adamw", "???", "${nowhere}", "${seed}", "box", "discrete"]
WORDS += ["mbrl.planners.cem.CEM", "mbrl.models.propagation.TS1", "mbrl.envs.cartpole.reward"]
WORDS += ["mbrl.envs.cartpole.TIME_STEP"]
SCHEDULE = {"_target_": "optax.linear_schedule", "transition_steps": 10}
PARTS = [
    SCHEDULE | {"init_value": 0.5, "end_value": 0.0},
    SCHEDULE | {"init_value": 2.0, "end_value": -1.0},
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


@cache
def bases() -> dict[tuple[str, ...], DictConfig]:
    """Small configs: every planner in every environment, with the models in turn."""
    pairs = itertools.product(ENVIRONMENTS, options("planner"))
    models = itertools.cycle(options("model"))
    choices = [
        (f"env={env}", f"planner={planner}", f"model={next(models)}") for env, planner in pairs
    ]
    return {overrides: small(*overrides) for overrides in choices}


def small(*overrides: str) -> DictConfig:
    return small_config("training=smoke", "logger=files", *overrides)


def names(node, prefix: str = "") -> list[str]:
    """The names of all settings and groups of settings, as on the command line."""
    found = []
    for key in node if isinstance(node, DictConfig) else ():
        found.append(prefix + key)
        found += names(node._get_node(key), f"{prefix}{key}.")
    return found


def like(value) -> st.SearchStrategy:
    """Values of the same type, which pass more checks than others."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return st.sampled_from(WORDS)
    numbers = [number for number in NUMBERS if isinstance(number, type(value))]
    return st.sampled_from(numbers) | st.integers(0, 50).map(type(value))


@st.composite
def changed_settings(draw, any_type: bool) -> tuple[tuple[str, ...], str, object]:
    """The overrides of a config, the name of one of its settings, and another value for it.

    The value is of the same type, or with `any_type` often of another.
    """
    overrides = draw(st.sampled_from(list(bases())))
    config = bases()[overrides]
    name = draw(st.sampled_from(names(config)))
    same_type = like(OmegaConf.select(config, name))
    return overrides, name, draw(same_type | (values if any_type else st.nothing()))


def change(config: DictConfig, name: str, value: object) -> DictConfig:
    config = config.copy()
    OmegaConf.set_struct(config, False)
    parent, _, key = name.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    # A value that OmegaConf refuses cannot be in a config.
    with contextlib.suppress(OmegaConfBaseException):
        node[key] = value
    OmegaConf.set_struct(config, True)
    return config


def check_one_line(message: str) -> None:
    assert "\n" not in message
    assert len(message) < 1000
    assert message[-1] in ".?…"


def check_refusal(refusal: ConfigError, name: str, value: object) -> None:
    message = str(refusal)
    check_one_line(message)
    # A value that other settings interpolate may be refused under their names.
    expected = [*name.split("."), f"={format_value(value)}"]
    assert any(part in message for part in expected), (name, message)


def hypothesis_settings(config: pytest.Config, which: int) -> settings:
    bases()  # before the first draw, since composing may draw random numbers
    return settings(
        max_examples=EXAMPLES[config.getoption("--faults")][which],
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def test_any_config_is_built_or_refused(request):
    @hypothesis_settings(request.config, 0)
    @given(changed_settings(any_type=True))
    def build_or_refuse(case):
        overrides, name, value = case
        try:
            assemble(resolve(change(bases()[overrides], name, value)))
        except ConfigError as refusal:
            check_refusal(refusal, name, value)

    build_or_refuse()


@pytest.fixture
def fast_compilation():
    """Compile faster, to slower programs."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.mark.usefixtures("fast_compilation")
def test_any_config_is_run_or_refused(request, tmp_path):
    @hypothesis_settings(request.config, 1)
    @given(changed_settings(any_type=False))
    def run_or_refuse(case):
        overrides, name, value = case
        assume(not (isinstance(value, int) and MAX_LENGTH < value <= MAX_INT))
        folder = tempfile.mkdtemp(dir=tmp_path)
        config = small(f"hydra.run.dir={folder}", *overrides)
        try:
            run(change(config, name, value))
        except ConfigError as refusal:
            check_refusal(refusal, name, value)
        except RunError as failure:  # a learning rate that is too high shows only in the run
            check_one_line(str(failure))
        finally:
            jax.clear_caches()  # every program takes memory

    run_or_refuse()
