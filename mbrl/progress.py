"""What a run is doing at the moment, as the loop reports it to displays. Imports no JAX."""

from typing import Literal, NamedTuple

Phase = Literal["collecting", "learning", "evaluating"]


class Progress(NamedTuple):
    """A report of the training loop."""

    phase: Phase
    env_steps: int  # real steps taken
    compiling: bool = False  # what the phase calls is being compiled first
    episodes: int = 0  # finished ones of this evaluation
    num_episodes: int = 0  # all of this evaluation
    episode_steps: int = 0  # steps of its episodes so far, which are taken together
    # Expected end of the run, as of time.perf_counter (seconds); None while nothing is measured.
    ends_at: float | None = None
