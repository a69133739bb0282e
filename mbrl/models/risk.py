"""Risk measures: how the estimates of an ensemble's members become one number."""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


class AbstractRiskMeasure(eqx.Module):
    """Aggregates one estimate of a return per member, in units of reward; more is better.

    Equal estimates aggregate to themselves. A NaN among them makes the result NaN, so that a
    diverged member cannot win a comparison. `pessimism` is the model's setting, in standard
    deviations over the members; measures with a parameter of their own ignore it.
    """

    @abstractmethod
    def __call__(self, members: Float[Array, " members"], pessimism: float) -> Float[Array, ""]:
        """The aggregated estimate."""


class LowerConfidenceBound(AbstractRiskMeasure):
    """Mean minus `pessimism` standard deviations over the members."""

    def __call__(self, members, pessimism):
        return jnp.mean(members) - pessimism * jnp.std(members)


class Mean(AbstractRiskMeasure):
    """Mean over the members: neutral to risk."""

    def __call__(self, members, pessimism):
        return jnp.mean(members)


class Worst(AbstractRiskMeasure):
    """Smallest estimate of the members."""

    def __call__(self, members, pessimism):
        return jnp.min(members)


class CVaR(AbstractRiskMeasure):
    """Conditional value at risk: mean over the worst `fraction` of the members.

    If `fraction` is not a whole number of members, the last one counts in part (Rockafellar &
    Uryasev 2002, proposition 8, for equally likely outcomes).
    """

    fraction: float = eqx.field(static=True)

    def __check_init__(self):
        if not 0 < self.fraction <= 1:
            raise ValueError(
                f"model.risk.fraction={self.fraction}: must be in (0, 1], the fraction of worst "
                "members to average. Try 0.4."
            )

    def __call__(self, members, pessimism):
        num_worst = self.fraction * len(members)
        weights = np.clip(num_worst - np.arange(len(members)), 0, 1) / num_worst
        return jnp.dot(weights.astype(np.float32), jnp.sort(members))
