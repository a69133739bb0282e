"""What an environment may tell a planner beyond its data: its own equations of motion."""

from abc import abstractmethod

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray


class AbstractTrueDynamics(eqx.Module):
    """An environment's own equations of motion in JAX: what model=oracle plans in.

    The state is the physical one (angles, where the observation shows their cosine and sine), and it is Markov: nothing
    but it and the action decides, up to chance, what comes next. Actions come as features (`types.py`): one-hot for
    Discrete, values in [-1, 1] for Box, one-hots side by side for MultiDiscrete. Units are the environment's own, and each
    class names them; time limits are no part of it, and what follows a terminal state means nothing.

    Everything is unbatched, pure and float32; callers `vmap` over particles, plans and seeds.
    """

    @abstractmethod
    def from_observation(self, observation: Float[Array, " observation"]) -> Float[Array, " state"]:
        """The physical state that shows as this observation; angles in [-π, π]."""

    @abstractmethod
    def step(
        self,
        key: PRNGKeyArray | None,
        state: Float[Array, " state"],
        action: Float[Array, " features"],
    ) -> Float[Array, " state"]:
        """The state one step later. `key` draws what is random; without a key, it takes its mean."""

    @abstractmethod
    def observe(self, state: Float[Array, " state"]) -> Float[Array, " observation"]:
        """What the environment shows of a state: `observation(state(o)) == o` up to rounding."""
