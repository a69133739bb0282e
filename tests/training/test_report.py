"""The reports of the loop: phases, and the expected end of the run."""

import pytest

from mbrl.assemble import assemble
from mbrl.training import report
from mbrl.training.loop import train
from mbrl.training.report import ProgressReporter, Remaining
from mbrl.training.snapshot import Snapshot
from tests.configs import resolved

EPISODE_LIMIT = 200


@pytest.fixture
def clock(monkeypatch):
    """Seconds that the test sets."""
    now = [0.0]
    monkeypatch.setattr(report, "perf_counter", lambda: now[0])
    return now


def phase(reporter, clock, name, seconds, count=1):
    reporter.begin(name, 0)
    clock[0] += seconds
    reporter.end(count)


def test_the_time_left_is_that_of_all_phases_that_follow(clock):
    shown = []
    remaining = Remaining(steps=100, learning_phases=3, evaluation_episodes=20)
    reporter = ProgressReporter(shown.append, lambda *_: remaining, EPISODE_LIMIT)
    phase(reporter, clock, "collecting", 2.0, count=10)
    assert shown[-1].ends_at is None  # learning has not been measured
    phase(reporter, clock, "learning", 7.0)
    reporter.begin("collecting", 0)
    # Before an evaluation, its episodes are expected to be as long as the limit.
    expected = 100 * 0.2 + 3 * 7.0 + 20 * EPISODE_LIMIT * 0.2
    assert shown[-1].ends_at == pytest.approx(clock[0] + expected)
    phase(reporter, clock, "evaluating", 5.0, count=10)
    reporter.begin("learning", 0)
    expected = 100 * 0.2 + 3 * 7.0 + 20 * 0.5
    assert shown[-1].ends_at == pytest.approx(clock[0] + expected)


def test_random_steps_do_not_count_as_planned_ones(clock):
    shown = []
    reporter = ProgressReporter(shown.append, lambda *_: Remaining(1, 1, 1), EPISODE_LIMIT)
    phase(reporter, clock, "collecting", 0.1, count=0)
    phase(reporter, clock, "learning", 7.0)
    reporter.begin("collecting", 0)
    assert shown[-1].ends_at is None


def test_a_phase_compiles_until_its_first_step(clock):
    shown = []
    reporter = ProgressReporter(shown.append, lambda *_: Remaining(1, 1, 1), EPISODE_LIMIT)
    reporter.begin("evaluating", 40, num_episodes=5)
    reporter.advance(40, 2)
    reporter.end(5)
    reporter.begin("evaluating", 80, num_episodes=5)
    assert [progress.compiling for progress in shown] == [True, False, False]
    assert (shown[1].episodes, shown[1].num_episodes, shown[1].env_steps) == (2, 5, 40)


@pytest.mark.slow
def test_the_loop_reports_every_phase_and_expects_what_its_schedule_has():
    overrides = ["training=smoke", "planner=random", "model/value=none", "model.num_members=2"]
    overrides += ["training.disagreement_bonus=0", "training.final_evaluation_episodes=3"]
    training, environment, planner, state = assemble(resolved(*overrides))
    shown, rows = [], []
    train(training, environment, planner, Snapshot(state), rows.append, show=shown.append)
    begun = [
        (progress.phase, progress.env_steps)
        for before, progress in zip([None, *shown], shown, strict=False)
        if before is None or progress.phase != before.phase
    ]
    assert begun == [
        ("collecting", 0),
        ("learning", 40),
        ("evaluating", 40),
        ("collecting", 40),
        ("learning", 60),
        ("evaluating", 60),
    ]
    assert [progress.env_steps for progress in shown if progress.phase == "collecting"][-1] == 60
    assert (shown[-1].episodes, shown[-1].num_episodes) == (3, 3)
    remaining = [training.remaining(*each) for each in begun]
    assert remaining[0] == Remaining(steps=60, learning_phases=2, evaluation_episodes=5)
    assert remaining[2] == Remaining(steps=20, learning_phases=1, evaluation_episodes=5)
    assert remaining[3] == Remaining(steps=20, learning_phases=1, evaluation_episodes=3)
    assert remaining[5] == Remaining(steps=0, learning_phases=0, evaluation_episodes=3)
