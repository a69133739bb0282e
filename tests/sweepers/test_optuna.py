"""Searches whose launcher computes each job's score from its overrides; one runs real jobs."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("optuna")

import optuna
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import RunMode
from omegaconf import OmegaConf
from optuna.trial import TrialState
from sqlalchemy import event
from sqlalchemy.engine import Engine

from mbrl.config.hydra_guard import check_command_line
from mbrl.config.hydra_internals import config_loader
from mbrl.errors import ConfigError, RunError
from mbrl.runs.folder import lock
from mbrl.sweepers.optuna import OptunaSearch
from mbrl.sweepers.study import NAME, database_in

pytestmark = pytest.mark.extras

ROOT = Path(__file__).parent.parent.parent
SPACE = ("discount=interval(0,1)", "horizon=range(1,20)", "planner=cem,mcts")
SEEDS = ("100", "101", "102")


class Killed(BaseException):
    """Stands for a kill signal: nothing catches it."""


class FakeLauncher(Launcher):
    """Computes `score(settings)` for each job; `settings` has the overrides' values by key.

    Like the real one, it does not repeat the jobs that are completed in the sweep's folder, `done`.
    Raises Killed instead of starting job `dies_at`, so no result of that launch comes back.
    """

    def __init__(self, score, done, dies_at=None):
        self.score, self.done, self.dies_at = score, done, dies_at
        self.jobs = {}  # index → overrides, of the jobs that ran
        self.launches = []  # the indices launched together

    def setup(self, **unused):
        """Nothing to set up."""

    def launch(self, job_overrides, initial_job_idx):
        results = []
        self.launches.append(list(range(initial_job_idx, initial_job_idx + len(job_overrides))))
        for number, overrides in enumerate(job_overrides, initial_job_idx):
            result = self.done.get(number)
            if result is None:
                if number == self.dies_at:
                    raise Killed
                self.jobs[number] = list(overrides)
                result = self._result(overrides)
                self.change_result(result, number)
            assert list(result.overrides) == list(overrides)
            if result.status == JobStatus.COMPLETED:
                self.done[number] = result
            results.append(result)
        return results

    def change_result(self, result, number):
        """Overridden by tests."""

    def _result(self, overrides):
        settings = {
            override.key_or_group: override.value()
            for override in OverridesParser.create().parse_overrides(list(overrides))
        }
        result = JobReturn(overrides=overrides)
        try:
            result.return_value, result.status = self.score(settings), JobStatus.COMPLETED
        except ValueError as error:
            result.return_value, result.status = error, JobStatus.FAILED
        return result


def smooth(settings):
    """Best at discount 0.7 and horizon 10 with mcts, plus a seed effect and noise."""
    distance = (settings["discount"] - 0.7) ** 2 + (settings["horizon"] - 10) ** 2 / 100
    noise = hash((settings["discount"], settings["horizon"], settings["seed"])) % 1000 / 10_000
    return (settings["planner"] == "mcts") - distance + settings["seed"] / 1000 + noise


@pytest.fixture(scope="module")
def loader():
    setup_globals()
    return config_loader()


@pytest.fixture(autouse=True, scope="module")
def fast_database():
    """Databases that would not survive a loss of power."""

    def set_fast(connection, record):
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA journal_mode=MEMORY")

    event.listen(Engine, "connect", set_fast)
    yield
    event.remove(Engine, "connect", set_fast)


FOLDERS = {}  # folder → its completed jobs


def sweep(loader, folder, score=smooth, overrides=SPACE, dies_at=None, **settings):
    """Run a search. Returns its launcher, with the `best` settings and the study's `trials`."""
    given = [f"hydra.sweeper.{name}={value}" for name, value in settings.items()]
    given = ["hydra/sweeper=optuna", f"hydra.sweep.dir='{folder}'", *given]
    config = loader.load_configuration("config", [*given, *overrides], RunMode.MULTIRUN)
    launcher = FakeLauncher(score, FOLDERS.setdefault(folder, {}), dies_at)
    try:
        launcher.best = OptunaSearch(config, lambda: launcher, loader).sweep(list(overrides))
    except Killed:
        launcher.best = None
    launcher.trials = study(folder).trials
    return launcher


@pytest.fixture
def search(loader, tmp_path):
    return lambda *arguments, folder=tmp_path, **settings: sweep(
        loader, folder, *arguments, **settings
    )


@pytest.fixture(scope="module")
def whole(loader, tmp_path_factory):
    """An uninterrupted search, longer than the ten trials that are drawn at random."""
    return sweep(loader, tmp_path_factory.mktemp("whole"), num_trials=14)


def study(folder):
    return optuna.load_study(study_name=NAME, storage=database_in(folder))


def scores(trial):
    return trial.user_attrs["scores"]


def failure(trial):
    return trial.user_attrs["failure"]


def without_times(trials):
    """All of each trial except its times."""
    names = ("number", "state", "params", "value", "intermediate_values", "user_attrs")
    return [[getattr(trial, name) for name in names] for trial in trials]


def refusal(search, kind=ConfigError, **arguments):
    with pytest.raises(kind) as caught:
        search(**arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_trial_runs_every_seed_and_scores_their_mean(search, tmp_path):
    launcher = search(overrides=[*SPACE, "training=smoke"], num_trials=3, pruning="false")
    assert len(launcher.trials) == 3
    for trial in launcher.trials:
        assert tuple(scores(trial)) == SEEDS
        assert trial.value == pytest.approx(sum(scores(trial).values()) / 3)
        for seed, index in trial.user_attrs["jobs"].items():
            assert launcher.jobs[index] == [*trial.user_attrs["overrides"], f"seed={seed}"]
            planner = f"planner={trial.params['planner']}"
            shared = {"training=smoke", "training.evaluation_seed=20000"}
            assert shared | {planner} <= set(launcher.jobs[index])
    assert launcher.launches == [list(range(9))]  # all at once without pruning
    assert OmegaConf.load(tmp_path / "multirun.yaml").hydra.sweeper.num_trials == 3


def test_the_trials_of_a_batch_are_launched_together(search):
    rounds = [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10], [11, 12], [13, 14]]
    assert search(num_trials=5, batch_size=3, pruning="true").launches == rounds


def test_the_search_approaches_the_best_settings(search):
    found = search(num_trials=30, batch_size=1)
    assert found.best["planner"] == "mcts"
    chosen = [trial.params["planner"] for trial in found.trials]
    assert chosen[15:].count("mcts") >= 10
    assert abs(found.best["discount"] - 0.7) < 0.35


def test_minimize_prefers_low_scores(search):
    found = search(num_trials=8, direction="minimize", pruning="false")
    assert found.best == min(found.trials, key=lambda trial: trial.value).params


def test_an_evaluation_seed_on_the_command_line_is_kept(search):
    launcher = search(overrides=[*SPACE, "training.evaluation_seed=30000"], num_trials=1)
    given = [override for override in launcher.jobs[0] if "evaluation_seed" in override]
    assert given == ["training.evaluation_seed=30000"]


def test_the_sampler_seed_determines_the_trials(search, tmp_path, whole):
    same = search(folder=tmp_path / "same", num_trials=14)
    other = search(folder=tmp_path / "other", num_trials=2, sampler_seed=1)
    assert without_times(same.trials) == without_times(whole.trials)
    assert len({repr(trial.params) for trial in [*whole.trials, *other.trials]}) == 16


@pytest.mark.parametrize("dies_at", [0, 5, 13, 31])
def test_a_killed_search_resumes_as_if_uninterrupted(search, whole, dies_at):
    killed = search(num_trials=14, dies_at=dies_at)
    resumed = search(num_trials=14)
    assert without_times(resumed.trials) == without_times(whole.trials)
    assert killed.jobs | resumed.jobs == whole.jobs
    assert not set(killed.jobs).intersection(resumed.jobs)  # no job runs twice
    assert search(num_trials=14).launches == []


def kill(monkeypatch, method, at):
    """Lets a method of studies raise Killed instead of its call number `at`."""
    original, calls = getattr(optuna.Study, method), []

    def killed(study, *arguments, **options):
        calls.append(method)
        if len(calls) == at:
            raise Killed
        return original(study, *arguments, **options)

    monkeypatch.setattr(optuna.Study, method, killed)


@pytest.mark.parametrize(
    ("method", "at"),
    [
        ("set_user_attr", 1),
        ("set_user_attr", 2),
        ("set_user_attr", 4),
        ("ask", 11),  # the third trial of the third batch
        ("tell", 7),
        *(("add_trial", number) for number in range(1, 40, 3)),
    ],
)
def test_a_search_killed_between_two_writes_runs_the_same_jobs(
    search, whole, monkeypatch, method, at
):
    kill(monkeypatch, method, at)
    killed = search(num_trials=14)
    monkeypatch.undo()
    resumed = search(num_trials=14)
    assert without_times(resumed.trials) == without_times(whole.trials)
    assert killed.jobs | resumed.jobs == whole.jobs
    assert not set(killed.jobs).intersection(resumed.jobs)


def test_a_failed_job_is_not_tried_again_after_a_kill(search, tmp_path):
    def breaking(settings):
        if settings["seed"] == 100 and settings["horizon"] % 2:
            raise ValueError("the pole broke")
        return smooth(settings)

    whole = search(breaking, folder=tmp_path / "whole", num_trials=8)
    failed = [trial.number for trial in whole.trials if trial.state == TrialState.FAIL]
    assert 0 < len(failed) < 8
    assert failed[0] < 3
    killed = search(breaking, num_trials=8, dies_at=6)
    resumed = search(num_trials=8)  # now that job would succeed
    assert resumed.trials[:4] != []
    assert without_times(resumed.trials[:4]) == without_times(whole.trials[:4])
    assert not set(killed.jobs).intersection(resumed.jobs)


def test_a_batch_that_was_killed_keeps_its_size(search, whole):
    search(num_trials=14, dies_at=13)
    resumed = search(num_trials=14, batch_size=1)
    assert without_times(resumed.trials[:8]) == without_times(whole.trials[:8])
    assert len(resumed.launches[-1]) == 1


def test_a_finished_search_can_be_extended(search):
    first = search(num_trials=3)
    extended = search(num_trials=6)
    assert len(extended.trials) == 6
    assert min(extended.jobs) == max(first.jobs) + 1
    assert without_times(extended.trials[:3]) == without_times(first.trials)


@pytest.mark.parametrize(
    ("overrides", "settings", "named"),
    [
        ([*SPACE[:2]], {}, "space="),
        (["discount=interval(0.5,1)", *SPACE[1:]], {}, "space="),
        ([*SPACE, "env=pendulum"], {}, "fixed="),
        (SPACE, {"seeds": "[100,101]"}, "seeds="),
        (SPACE, {"direction": "minimize"}, "direction="),
        (SPACE, {"sampler_seed": 1}, "sampler_seed="),
        (SPACE, {"pruning": "false"}, "pruning="),
    ],
)
def test_another_search_cannot_resume_this_one(search, overrides, settings, named):
    search(num_trials=1)
    assert named in refusal(search, overrides=overrides, **settings)


def test_two_searches_cannot_run_in_one_folder(search, tmp_path):
    def search_within(settings):
        assert "Another search is running" in refusal(search, folder=tmp_path, num_trials=1)
        return smooth(settings)

    search(search_within, folder=tmp_path, num_trials=1, seeds="[100]")


def test_pruning_skips_seeds_of_bad_trials_and_never_of_the_best(search, tmp_path):
    def score(settings):  # the seeds nearly agree
        return settings["discount"] + (settings["seed"] % 3) / 100

    found = search(score, num_trials=24, batch_size=2)
    everything = search(
        score, folder=tmp_path / "all", num_trials=24, batch_size=2, pruning="false"
    )
    completed = [trial for trial in found.trials if trial.state == TrialState.COMPLETE]
    pruned = [trial for trial in found.trials if trial.state == TrialState.PRUNED]
    assert len(everything.jobs) == 72
    num_jobs = 3 * len(completed) + sum(len(scores(trial)) for trial in pruned)
    assert len(found.jobs) == num_jobs <= 60
    assert len(pruned) >= 5
    # The first four trials are those that others are compared with.
    assert all(trial.number >= 4 for trial in pruned)
    best = max(found.trials, key=lambda trial: trial.params["discount"])
    assert best.state == TrialState.COMPLETE
    assert found.best == best.params
    for trial in pruned:
        assert len(scores(trial)) < 3
        earlier = sorted(t.params["discount"] for t in completed if t.number < trial.number)
        assert trial.params["discount"] < earlier[len(earlier) // 2]


@pytest.mark.parametrize(("direction", "sign"), [("maximize", 1), ("minimize", -1)])
def test_one_good_seed_does_not_protect_a_trial_from_pruning(search, direction, sign):
    average = dict.fromkeys((100, 101, 102), 0.5)
    good_first, bad_first = {100: 1.0, 101: -0.1, 102: 1.0}, {100: 0.4, 101: 0.6, 102: 0.6}
    by_trial = [average] * 4 + [good_first, bad_first, average]
    drawn = {}  # discount → the trial's number

    def score(settings):
        number = drawn.setdefault(settings["discount"], len(drawn))
        return sign * by_trial[number][settings["seed"]]

    found = search(score, num_trials=7, batch_size=1, direction=direction).trials
    assert [len(scores(trial)) for trial in found] == [3, 3, 3, 3, 2, 1, 3]
    pruned = [trial.number for trial in found if trial.state == TrialState.PRUNED]
    assert pruned == [4, 5]
    assert found[4].value == pytest.approx(sign * 0.45)


def test_a_failed_job_fails_only_its_own_trial(search, capsys):
    def score(settings):
        if settings["planner"] == "cem" and settings["seed"] == 101:
            raise ValueError("the pole broke\nbadly")
        return smooth(settings)

    found = search(score, num_trials=8)
    failed = [trial for trial in found.trials if trial.params["planner"] == "cem"]
    assert 0 < len(failed) < 8
    for trial in failed:
        assert trial.state == TrialState.FAIL
        assert list(scores(trial)) == ["100"]
        jobs = trial.user_attrs["jobs"]
        assert "102" not in jobs  # no longer launched
        assert failure(trial) == f"seed 101 (job {jobs['101']}): ValueError: the pole broke badly"
    others = [trial for trial in found.trials if trial not in failed]
    assert all(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in others)
    printed = capsys.readouterr().out
    assert printed.count("the pole broke") == len(failed)
    assert f"{len(failed)} failed" in printed


def failing(error, status=None, folder=None):
    """Makes job 1 fail with `error`, in a folder whose summary has this status."""

    def change_result(launcher, result, index):
        if index == 1:
            result.status, result.return_value = JobStatus.FAILED, error
            result.working_dir = str(folder)
            folder.mkdir(exist_ok=True)
            (folder / "config.yaml").touch()
            if status is not None:
                (folder / "summary.json").write_text(f'{{"status": "{status}"}}')

    return change_result


@pytest.mark.parametrize(
    ("status", "locked", "named"),
    [
        ("running", True, "1 (running)"),
        ("running", False, "1 (killed)"),
        ("interrupted", False, "1 (interrupted)"),
        (None, False, "1 (never started)"),
    ],
)
def test_an_unfinished_job_ends_the_search_and_fails_no_trial(
    search, tmp_path, whole, monkeypatch, status, locked, named
):
    folder = tmp_path / "1_job"
    error = RunError("it has no result")
    monkeypatch.setattr(FakeLauncher, "change_result", failing(error, status, folder))
    folder.mkdir()
    descriptor = lock(folder) if locked else None
    sentence = refusal(search, RunError, num_trials=4)
    assert named in sentence
    assert f"hydra.sweep.dir={tmp_path}" in sentence
    assert study(tmp_path).trials == []
    if descriptor is not None:
        os.close(descriptor)
    monkeypatch.undo()
    resumed = search(num_trials=4)
    assert min(resumed.jobs) == 1
    assert not {0, 2, 3}.intersection(resumed.jobs)
    assert without_times(resumed.trials) == without_times(whole.trials[:4])


@pytest.mark.parametrize(
    ("error", "status"), [(RunError("it fell"), "failed"), (ConfigError("it is wrong"), None)]
)
def test_a_failed_or_refused_job_fails_its_trial(search, tmp_path, monkeypatch, error, status):
    monkeypatch.setattr(FakeLauncher, "change_result", failing(error, status, tmp_path / "1_job"))
    found = search(num_trials=4)
    assert [trial.number for trial in found.trials if trial.state == TrialState.FAIL] == [1]
    assert failure(found.trials[1]) == f"seed 100 (job 1): {error}"


@pytest.mark.parametrize("score", [float("nan"), float("inf"), None])
def test_a_score_that_is_not_a_finite_number_fails_the_trial(search, score):
    found = search(
        lambda settings: score if settings["planner"] == "cem" else smooth(settings), num_trials=8
    )
    failed = [trial for trial in found.trials if trial.state == TrialState.FAIL]
    assert {trial.params["planner"] for trial in failed} == {"cem"}
    assert f"its score is {score}" in failure(failed[0])


def test_the_search_fails_only_if_every_trial_failed(search):
    def score(settings):
        raise ValueError(f"no {settings['seed']}")

    sentence = refusal(search, RunError, score=score, num_trials=3)
    assert "All 3 trials" in sentence
    assert "seed 100 (job 0): ValueError: no 100" in sentence


def test_the_report_gives_the_best_trial_as_a_command(search, tmp_path, capsys):
    given = [*SPACE, "+env.kwargs={m: 1}", "training.evaluation_seed=30000", "training=smoke"]
    best = search(overrides=given, num_trials=4).best
    command = (tmp_path / "best_command.txt").read_text()
    chosen = f"discount={best['discount']} horizon={best['horizon']} planner={best['planner']}"
    expected = f"'+env.kwargs={{m: 1}}' training=smoke {chosen} 'seed=range(10)'"
    assert command == f"python run.py -m {expected}\n"
    printed = capsys.readouterr().out
    assert command in printed
    assert f"optuna-dashboard sqlite:///{tmp_path}/optuna.db" in printed
    assert "4 trials: 4 completed" in printed


@pytest.mark.parametrize(
    ("overrides", "settings", "named"),
    [
        ([*SPACE, "seed=0,1"], {}, "hydra.sweeper.seeds"),
        ([*SPACE, "seed=interval(0,9)"], {}, "hydra.sweeper.seeds"),
        ([*SPACE, "seed=100"], {}, "hydra.sweeper.seeds"),
        (["planner=mcts"], {}, "nothing to search"),
        (SPACE, {"num_trials": 0}, "hydra.sweeper.num_trials=0"),
        (SPACE, {"num_trials": "2.5"}, "hydra.sweeper.num_trials=2.5"),
        (SPACE, {"num_trials": "null"}, "hydra.sweeper.num_trials=null"),
        (SPACE, {"batch_size": 0}, "hydra.sweeper.batch_size=0"),
        (SPACE, {"sampler_seed": -1}, "hydra.sweeper.sampler_seed=-1"),
        (SPACE, {"direction": "up"}, "hydra.sweeper.direction=up"),
        (SPACE, {"pruning": "maybe"}, "hydra.sweeper.pruning=maybe"),
        (SPACE, {"seeds": "[]"}, "hydra.sweeper.seeds=[]"),
        (SPACE, {"seeds": "[100,100]"}, "different"),
        (SPACE, {"seeds": "[100,a]"}, "whole numbers"),
        (SPACE, {"seeds": "[100,3]"}, "seed 3"),
    ],
)
def test_an_invalid_search_is_refused_before_anything_is_written(
    search, tmp_path, overrides, settings, named
):
    sentence = refusal(search, overrides=overrides, folder=tmp_path / "sweep", **settings)
    assert named in sentence
    assert not (tmp_path / "sweep").exists()


def test_a_damaged_database_is_named(search, tmp_path):
    (tmp_path / "optuna.db").write_text("not a database " * 1000)
    sentence = refusal(search, num_trials=1)
    assert f"{tmp_path}/optuna.db cannot be opened" in sentence


def test_a_search_by_an_older_version_is_refused(search, tmp_path):
    search(num_trials=1)
    study(tmp_path).set_user_attr("search", {"format": 2, "space": {}})
    assert "older version" in refusal(search, num_trials=2)


def test_each_folder_has_its_own_study_whatever_its_name(search, tmp_path):
    names = ["wd?1", "wd?2", "w d%201", "w d 1", "wd#1", "wd{1}"]
    for name in names:
        search(folder=tmp_path / name, num_trials=1, seeds="[100]")
    assert sorted(path.parent.name for path in tmp_path.glob("**/optuna.db")) == sorted(names)


def test_whole_numbers_may_be_written_as_floats(search):
    assert len(search(num_trials="2.0", batch_size="1e0", seeds="[100]").trials) == 2


def test_an_unknown_setting_is_refused(loader, tmp_path):
    unknown = "+hydra.sweeper.num_trails=3"
    overrides = ["hydra/sweeper=optuna", unknown, f"hydra.sweep.dir={tmp_path}"]
    config = loader.load_configuration("config", overrides, RunMode.MULTIRUN)
    with pytest.raises(ConfigError, match=r"hydra\.sweeper\.num_trails: .*num_trials"):
        OptunaSearch(config, lambda: FakeLauncher(smooth, {}), loader)


@pytest.mark.parametrize(
    "override", ["discuont=interval(0,1)", "planner=cem,mtcs", "planner.no_such=choice(1,2)"]
)
def test_an_option_that_does_not_compose_is_refused_before_the_first_run(
    search, tmp_path, override
):
    with pytest.raises(Exception, match=r"discuont|mtcs|no_such"):
        search(overrides=[override], folder=tmp_path / "sweep")
    assert not (tmp_path / "sweep").exists()


def test_hydra_finds_the_sweeper_and_the_command_line_check_allows_it():
    check_command_line(["-m", "hydra/sweeper=optuna", "hydra.sweeper.num_trials=3", *SPACE])
    assert "hydra_plugins.mbrl_optuna.OptunaSweeper" in Plugins.instance().class_name_to_class


def test_plugins_import_nothing_heavy():
    heavy = "('optuna', 'ray', 'submitit', 'jax', 'mbrl.config')"
    imports = "import sys, hydra_plugins.mbrl, hydra_plugins.mbrl_optuna"
    code = f"{imports}; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


COMMAND = [sys.executable, "run.py", "-m", "hydra/sweeper=optuna"]


def start(folder, *arguments, **environment):
    return subprocess.run(
        [*COMMAND, f"hydra.sweep.dir={folder}", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.mark.slow
def test_without_optuna_the_error_says_what_to_install(tmp_path):
    (tmp_path / "optuna").mkdir()
    missing = "raise ModuleNotFoundError('No module named optuna', name='optuna')"
    (tmp_path / "optuna" / "__init__.py").write_text(missing)
    path = f"{tmp_path}{os.pathsep}{ROOT}"
    result = start(tmp_path / "sweep", "discount=interval(0.9,1)", PYTHONPATH=path)
    problem = "hydra/sweeper=optuna needs the package optuna, which is not installed"
    assert result.returncode == 1
    assert result.stderr == f"Error: {problem}: pip install 'mbrl-experiments[optuna]'.\n"


def start_and_kill(folder, *arguments):
    """As `start`, but killed while job 2 is running. Returns the exit status."""
    process = subprocess.Popen(
        [*COMMAND, f"hydra.sweep.dir={folder}", *arguments],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < deadline:
        if list(folder.glob("2_*/metrics.jsonl")):
            break
        time.sleep(0.05)
    process.kill()
    return process.wait()


@pytest.mark.slow
def test_a_killed_search_of_real_runs_resumes(tmp_path):
    small = ["training=smoke", "logger=files", "planner=random", "hydra.sweeper.num_trials=2"]
    small += ["training.env_steps=40", "model/value=none"]
    searched = ["training.epsilon=interval(0,1)", "model=mlp,ensemble"]
    arguments = [*searched, *small, "hydra.sweeper.seeds=[100,101]"]
    assert start_and_kill(tmp_path, *arguments) == -signal.SIGKILL
    assert study(tmp_path).trials == []
    result = start(tmp_path, *arguments)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("Job 1 of 2") == 1  # the round of seed 100 was complete
    found = study(tmp_path).trials
    assert [trial.state for trial in found] == [TrialState.COMPLETE] * 2
    folders = sorted(path.parent for path in tmp_path.glob("*/summary.json"))
    assert [int(folder.name.split("_")[0]) for folder in folders] == [0, 1, 2, 3]
    for trial in found:
        for seed, index in trial.user_attrs["jobs"].items():
            saved = OmegaConf.load(folders[index] / "config.yaml")
            assert (saved.seed, saved.training.evaluation_seed) == (int(seed), 20000)
            assert saved.training.epsilon == trial.params["training.epsilon"]
            summary = OmegaConf.load(folders[index] / "summary.json")
            assert summary["evaluation/return_mean"] == scores(trial)[seed]
    again = start(tmp_path, *arguments)
    assert again.returncode == 0, again.stderr
    assert "Job 1 of" not in again.stdout
    assert "2 trials: 2 completed" in again.stdout
