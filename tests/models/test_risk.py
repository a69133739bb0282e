"""Risk measures against closed forms, and as parts of the world model."""

import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.config.build import build
from mbrl.errors import ConfigError
from mbrl.models.ensemble.bonus import with_bonus
from mbrl.models.ensemble.propagation import TSInfinity
from mbrl.models.risk import CVaR, LowerConfidenceBound, Mean, Worst
from tests.configs import options, small_config
from tests.models.small import small_model

# Mean 4, variance 10, in no particular order.
MEMBERS = [4.0, 9.0, 1.0, 0.0, 6.0]
MEASURES = {
    "lower_confidence_bound": LowerConfidenceBound(),
    "mean": Mean(),
    "worst": Worst(),
    "cvar": CVaR(0.4),
}
every_measure = pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)


def test_every_option_has_a_test_case():
    assert sorted(MEASURES) == options("model/risk")


@pytest.mark.parametrize("pessimism", [0.0, 1.0, 0.5, -1.0])
def test_the_lower_confidence_bound_is_the_mean_minus_standard_deviations(pessimism):
    bound = LowerConfidenceBound()(jnp.array([1.0, 4.0, 7.0]), pessimism)
    np.testing.assert_allclose(bound, 4 - pessimism * np.sqrt(6), rtol=1e-6)


@pytest.mark.parametrize(("measure", "expected"), [(Mean(), 4.0), (Worst(), 0.0)])
def test_mean_and_worst_ignore_pessimism(measure, expected):
    for pessimism in (0.0, 2.0):
        np.testing.assert_allclose(measure(jnp.array(MEMBERS), pessimism), expected)


@pytest.mark.parametrize(
    ("fraction", "expected"),
    [
        (0.1, 0.0),  # half a member: the worst
        (0.2, 0.0),
        (0.4, 0.5),
        (0.6, 5 / 3),
        (0.5, (0 + 1 + 4 / 2) / 2.5),  # the third worst counts half
        (1.0, 4.0),
    ],
)
def test_cvar_is_the_mean_of_the_worst_fraction_of_the_members(fraction, expected):
    np.testing.assert_allclose(CVaR(fraction)(jnp.array(MEMBERS), 2.0), expected, rtol=1e-6)


@every_measure
def test_equal_estimates_aggregate_to_themselves(measure):
    np.testing.assert_allclose(measure(jnp.full(7, 3.0), 2.0), 3.0, rtol=1e-6)


@every_measure
def test_a_single_member_is_its_own_aggregate(measure):
    assert measure(jnp.array([3.0]), 2.0) == 3.0


@every_measure
@pytest.mark.parametrize("position", range(5))
def test_a_diverged_member_makes_the_aggregate_nan(measure, position):
    assert np.isnan(measure(jnp.array(MEMBERS).at[position].set(jnp.nan), 1.0))


@every_measure
@pytest.mark.parametrize("shift", [-2.0, 3.0])
def test_shifting_all_estimates_shifts_the_aggregate(measure, shift):
    members = jnp.array(MEMBERS)
    np.testing.assert_allclose(
        measure(members + shift, 1.0), measure(members, 1.0) + shift, atol=1e-5
    )


@every_measure
def test_the_model_aggregates_over_the_means_of_its_members(measure):
    """Members' means are 2, 7 and 3, however far the particles of one member spread."""
    estimates = jnp.array([1.0, 3.0, 0.0, 14.0, 3.0, 3.0])
    model = small_model(risk=measure, propagation=TSInfinity(2))
    np.testing.assert_allclose(
        model.aggregate(estimates), measure(jnp.array([2.0, 7.0, 3.0]), 1.0), rtol=1e-6
    )
    np.testing.assert_allclose(with_bonus(model, 0.5).aggregate(estimates), 4.0, rtol=1e-6)


@pytest.mark.parametrize("fraction", [0.0, -0.5, 1.5])
def test_a_fraction_outside_0_to_1_is_refused(fraction):
    with pytest.raises(ValueError, match=rf"model.risk.fraction={fraction}: must be in \(0, 1\]"):
        CVaR(fraction)


def test_the_command_line_chooses_the_measure_and_its_fraction():
    config = small_config("model/risk=cvar", "model.risk.fraction=0.2")
    assert build(config.model.risk).fraction == 0.2
    with pytest.raises(ConfigError, match=r"model\.risk\.fraction=2: must be in"):
        build(small_config("model/risk=cvar", "model.risk.fraction=2").model.risk)
