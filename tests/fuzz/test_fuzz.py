"""A hundred cases of the fuzz test (`make test-fuzz`), the same in each run."""

import random

import pytest

from tests.fuzz.cases import SMOKE, VALUES, Case, base_settings, setting
from tests.fuzz.outcome import FAULTS, judged, outcome_of

pytestmark = pytest.mark.slow

NUM_CASES = 100
TRAINED = 20  # one case in so many may reach training


def cases() -> list[Case]:
    """Each value equally often, for keys at random."""
    draw, keys = random.Random(0), list(base_settings(SMOKE))
    settings = [
        setting(draw.choice(keys), list(VALUES)[number % len(VALUES)])
        for number in range(NUM_CASES)
    ]
    return [
        Case(number, SMOKE, (each,), number % TRAINED == 0) for number, each in enumerate(settings)
    ]


def test_any_setting_is_run_or_refused_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcomes = {str(case): outcome_of(case, case.may_train) for case in cases()}
    assert len(outcomes) > 0.9 * NUM_CASES
    kinds = {case: judged(outcome.kind, outcome.message) for case, outcome in outcomes.items()}
    assert not {case: (kind, outcomes[case]) for case, kind in kinds.items() if kind in FAULTS}
