"""The search itself, with a launcher that computes each job's score from its overrides at once; one test runs real ones."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("optuna")

import optuna
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import RunMode
from omegaconf import OmegaConf
from optuna.trial import TrialState
from sqlalchemy import event
from sqlalchemy.engine import URL, Engine

from mbrl.config.compose import CONFIG_FOLDER
from mbrl.config.hydra_guard import check_command_line
from mbrl.errors import ConfigError, RunError
from mbrl.runs.folder import lock
from mbrl.sweepers import trials as trial_records
from mbrl.sweepers.optuna import OptunaSearch

ROOT = Path(__file__).parent.parent.parent
SPACE = ("discount=interval(0,1)", "horizon=range(1,20)", "planner=cem,mcts")
SEEDS = (100, 101, 102)


class Killed(BaseException):
    """As if the process had been killed: nothing catches it."""


class FakeLauncher(Launcher):
    """Runs `score(settings)` for each job in this process; `settings` has the overrides' values by key.

    Is killed where job number `dies_at` would begin: no result of that launch comes back.
    """

    def __init__(self, score, dies_at=None):
        self.score, self.dies_at = score, dies_at
        self.jobs = {}  # number → overrides
        self.launches = []  # the numbers launched together

    def setup(self, **unused):
        """Nothing to set up."""

    def launch(self, job_overrides, initial_job_idx):
        results = []
        self.launches.append(list(range(initial_job_idx, initial_job_idx + len(job_overrides))))
        for number, overrides in enumerate(job_overrides, initial_job_idx):
            if number == self.dies_at:
                raise Killed
            assert number not in self.jobs
            self.jobs[number] = list(overrides)
            results.append(self._result(overrides))
            self.judge(results[-1], number)
        return results

    def judge(self, result, number):
        """What else a launcher may make of a job."""

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
    """Best at discount 0.7 and horizon 10 with mcts; each seed is a little different, and noise depends on everything."""
    distance = (settings["discount"] - 0.7) ** 2 + (settings["horizon"] - 10) ** 2 / 100
    noise = hash((settings["discount"], settings["horizon"], settings["seed"])) % 1000 / 10_000
    return (settings["planner"] == "mcts") - distance + settings["seed"] / 1000 + noise


@pytest.fixture(scope="module")
def loader():
    setup_globals()
    return ConfigLoaderImpl(create_config_search_path(str(CONFIG_FOLDER)))


@pytest.fixture(autouse=True, scope="module")
def hasty_database():
    """What these tests write need not survive a loss of power."""

    def set_hasty(connection, record):
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA journal_mode=MEMORY")

    event.listen(Engine, "connect", set_hasty)
    yield
    event.remove(Engine, "connect", set_hasty)


def sweep(loader, folder, score=smooth, overrides=SPACE, dies_at=None, **settings):
    """A search in this folder, with a launcher of its own; returns that, with the `best` settings and the study's `trials`."""
    given = [f"hydra.sweeper.{name}={value}" for name, value in settings.items()]
    given = ["hydra/sweeper=optuna", f"hydra.sweep.dir='{folder}'", *given]
    config = loader.load_configuration("config", [*given, *overrides], RunMode.MULTIRUN)
    launcher = FakeLauncher(score, dies_at)
    try:
        launcher.best = OptunaSearch(config, lambda: launcher, loader).sweep(list(overrides))
    except Killed:
        launcher.best = None
    launcher.trials = trials(folder, settings.get("storage"), settings.get("study_name", "mbrl"))
    return launcher


@pytest.fixture
def search(loader, tmp_path):
    return lambda *arguments, folder=tmp_path, **settings: sweep(
        loader, folder, *arguments, **settings
    )


@pytest.fixture(scope="module")
def whole(loader, tmp_path_factory):
    """A search that nothing interrupted, longer than the ten trials that are drawn at random."""
    return sweep(loader, tmp_path_factory.mktemp("whole"), num_trials=14)


def trials(folder, storage=None, study_name="mbrl"):
    database = URL.create("sqlite", database=f"{folder}/optuna.db")
    return optuna.load_study(
        study_name=study_name, storage=storage or database.render_as_string()
    ).trials


def what_counts(found):
    """Of each trial, all but times."""
    return [
        (
            trial.number,
            trial.state,
            trial.params,
            trial.value,
            trial.intermediate_values,
            trial.user_attrs,
        )
        for trial in found
    ]


def refusal(search, kind=ConfigError, **arguments):
    with pytest.raises(kind) as caught:
        search(**arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_each_trial_runs_every_seed_and_is_worth_their_mean(search, tmp_path):
    launcher = search(overrides=[*SPACE, "training=smoke"], num_trials=3, pruning="false")
    assert len(launcher.trials) == 3
    for trial in launcher.trials:
        known = trial_records.scores(trial)
        assert tuple(known) == SEEDS
        assert trial.value == pytest.approx(sum(known.values()) / 3)
        for seed, number in trial_records.jobs(trial).items():
            overrides = [*trial.user_attrs[trial_records.OVERRIDES], f"seed={seed}"]
            assert launcher.jobs[number] == overrides
            assert {
                "training=smoke",
                "training.evaluation_seed=20000",
                f"planner={trial.params['planner']}",
            } <= set(overrides)
    assert launcher.launches == [list(range(9))]  # without pruning, all at once
    assert OmegaConf.load(tmp_path / "multirun.yaml").hydra.sweeper.num_trials == 3


def test_trials_are_drawn_together_so_that_a_launcher_has_work(search):
    assert search(num_trials=5, batch_size=3, pruning="true").launches == [
        [0, 1, 2],
        [3, 4, 5],
        [6, 7, 8],
        [9, 10],
        [11, 12],
        [13, 14],
    ]


def test_the_search_comes_nearer_to_the_best(search):
    found = search(num_trials=30, batch_size=1)
    assert found.best["planner"] == "mcts"
    chosen = [trial.params["planner"] for trial in found.trials]
    assert chosen[15:].count("mcts") >= 10
    assert abs(found.best["discount"] - 0.7) < 0.35


def test_minimize_turns_the_search_round(search):
    found = search(num_trials=8, direction="minimize", pruning="false")
    assert found.best == min(found.trials, key=lambda trial: trial.value).params


def test_start_states_given_on_the_command_line_stay(search):
    launcher = search(overrides=[*SPACE, "training.evaluation_seed=30000"], num_trials=1)
    given = [override for override in launcher.jobs[0] if "evaluation_seed" in override]
    assert given == ["training.evaluation_seed=30000"]


def test_the_same_seed_draws_the_same_trials_and_another_seed_others(search, tmp_path, whole):
    same = search(folder=tmp_path / "same", num_trials=14)
    other = search(folder=tmp_path / "other", num_trials=2, sampler_seed=1)
    assert what_counts(same.trials) == what_counts(whole.trials)
    assert len({repr(trial.params) for trial in [*whole.trials, *other.trials]}) == 16


@pytest.mark.parametrize("dies_at", [0, 5, 13, 31])
def test_a_search_that_was_killed_goes_on_as_if_it_had_not_been(search, whole, dies_at):
    killed = search(num_trials=14, dies_at=dies_at)
    assert any(trial.state == TrialState.RUNNING for trial in killed.trials)
    resumed = search(num_trials=14)
    assert what_counts(resumed.trials) == what_counts(whole.trials)
    assert killed.jobs | resumed.jobs == whole.jobs
    # Only what came back from a launch was known, and nothing of it runs once more.
    known = [number for launch in killed.launches if dies_at not in launch for number in launch]
    assert set(resumed.jobs) == set(whole.jobs).difference(known)
    assert search(num_trials=14).jobs == {}


def test_a_search_killed_while_it_kept_scores_launches_only_the_missing_ones(
    search, whole, monkeypatch
):
    keep, calls = trial_records.set_score, []

    def keep_some(trial, seed, score):
        calls.append(seed)
        if (
            len(calls) == 6
        ):  # the second trial's second seed; the fifth, the first trial's, was kept
            raise Killed
        keep(trial, seed, score)

    monkeypatch.setattr(trial_records, "set_score", keep_some)
    search(num_trials=4)
    monkeypatch.undo()
    resumed = search(num_trials=4)
    assert resumed.launches == [[5, 6, 7], [8, 9, 10, 11]]
    assert what_counts(resumed.trials) == what_counts(whole.trials[:4])


def test_a_search_killed_while_it_told_the_study_prunes_the_same(search, whole, monkeypatch):
    tell, calls = optuna.Study.tell, []

    def tell_some(study, *arguments, **state):
        calls.append(study)
        if len(calls) == 11:
            raise Killed
        return tell(study, *arguments, **state)

    monkeypatch.setattr(optuna.Study, "tell", tell_some)
    search(num_trials=14)
    monkeypatch.undo()
    assert what_counts(search(num_trials=14).trials) == what_counts(whole.trials)


def test_a_search_killed_while_it_drew_trials_draws_the_same(search, whole, monkeypatch):
    ask, calls = optuna.Study.ask, []

    def ask_some(study, *arguments):
        calls.append(study)
        if len(calls) == 11:  # two of four of the third batch
            raise Killed
        return ask(study, *arguments)

    monkeypatch.setattr(optuna.Study, "ask", ask_some)
    assert len(search(num_trials=14).trials) == 10
    monkeypatch.undo()
    resumed = search(num_trials=14)
    assert what_counts(resumed.trials) == what_counts(whole.trials)


def test_a_search_killed_while_it_drew_a_trial_s_settings_draws_the_rest(
    search, whole, monkeypatch
):
    suggest, calls = optuna.Trial._suggest, []

    def suggest_some(trial, key, distribution):
        calls.append(key)
        if len(calls) == 12 * 3 + 3:  # the last of three settings of trial 12
            raise Killed
        return suggest(trial, key, distribution)

    monkeypatch.setattr(optuna.Trial, "_suggest", suggest_some)
    killed = search(num_trials=14)
    monkeypatch.undo()
    assert [len(trial.params) for trial in killed.trials[11:]] == [3, 2]
    assert what_counts(search(num_trials=14).trials) == what_counts(whole.trials)


def test_a_finished_search_can_grow(search):
    first = search(num_trials=3)
    grown = search(num_trials=6)
    assert len(grown.trials) == 6
    assert min(grown.jobs) == max(first.jobs) + 1
    assert what_counts(grown.trials[:3]) == what_counts(first.trials)


@pytest.mark.parametrize(
    ("overrides", "settings", "named"),
    [
        ([*SPACE[:2]], {}, "space="),
        (["discount=interval(0.5,1)", *SPACE[1:]], {}, "space="),
        ([*SPACE, "env=pendulum"], {}, "fixed="),
        (SPACE, {"seeds": "[100,101]"}, "seeds="),
        (SPACE, {"direction": "minimize"}, "direction="),
    ],
)
def test_another_search_does_not_go_on_with_this_one(search, overrides, settings, named):
    search(num_trials=1)
    assert named in refusal(search, overrides=overrides, **settings)


def test_two_searches_do_not_share_a_folder(search, tmp_path):
    def search_within(settings):
        assert "Another search is running" in refusal(search, folder=tmp_path, num_trials=1)
        return smooth(settings)

    search(search_within, folder=tmp_path, num_trials=1, seeds="[100]")


def test_pruning_saves_seeds_of_bad_trials_and_never_the_best(search, tmp_path):
    def score(settings):  # the seeds agree about what is good, but for a little
        return settings["discount"] + (settings["seed"] % 3) / 100

    found = search(score, num_trials=24, batch_size=2)
    everything = search(
        score, folder=tmp_path / "all", num_trials=24, batch_size=2, pruning="false"
    )
    completed = [trial for trial in found.trials if trial.state == TrialState.COMPLETE]
    pruned = [trial for trial in found.trials if trial.state == TrialState.PRUNED]
    assert len(everything.jobs) == 72
    assert (
        len(found.jobs)
        == 3 * len(completed) + sum(len(trial_records.scores(trial)) for trial in pruned)
        <= 60
    )
    assert len(pruned) >= 5
    assert all(
        trial.number >= 4 for trial in pruned
    )  # the first four are what the others are measured by
    best = max(found.trials, key=lambda trial: trial.params["discount"])
    assert best.state == TrialState.COMPLETE
    assert found.best == best.params
    for trial in pruned:
        assert len(trial_records.scores(trial)) < 3
        before = sorted(
            other.params["discount"] for other in completed if other.number < trial.number
        )
        assert trial.params["discount"] < before[len(before) // 2]


@pytest.mark.parametrize(("direction", "sign"), [("maximize", 1), ("minimize", -1)])
def test_a_lucky_first_seed_saves_no_trial(search, direction, sign):
    lucky, unlucky = {100: 1.0, 101: -0.1, 102: 1.0}, {100: 0.4, 101: 0.6, 102: 0.6}
    told = [dict.fromkeys(SEEDS, 0.5)] * 4 + [lucky, unlucky, dict.fromkeys(SEEDS, 0.5)]

    def score(settings):
        drawn.setdefault(settings["discount"], len(drawn))
        return sign * told[drawn[settings["discount"]]][settings["seed"]]

    drawn = {}  # discount → the trial's number
    found = search(score, num_trials=7, batch_size=1, direction=direction).trials
    assert [len(trial_records.scores(trial)) for trial in found] == [3, 3, 3, 3, 2, 1, 3]
    assert [trial.state for trial in found] == [TrialState.COMPLETE] * 4 + [
        TrialState.PRUNED
    ] * 2 + [TrialState.COMPLETE]
    assert found[4].value == pytest.approx(sign * 0.45)


def test_a_failing_job_fails_its_trial_and_no_other(search, capsys):
    def score(settings):
        if settings["planner"] == "cem" and settings["seed"] == 101:
            raise ValueError("the pole broke\nbadly")
        return smooth(settings)

    found = search(score, num_trials=8)
    failed = [trial for trial in found.trials if trial.params["planner"] == "cem"]
    assert 0 < len(failed) < 8
    for trial in failed:
        assert trial.state == TrialState.FAIL
        assert list(trial_records.scores(trial)) == [100]
        assert 102 not in trial_records.jobs(trial)  # it is not launched any more
        assert (
            trial_records.failure(trial)
            == f"seed 101 (job {trial_records.jobs(trial)[101]}): ValueError: the pole broke"
        )
    others = [trial for trial in found.trials if trial not in failed]
    assert all(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in others)
    printed = capsys.readouterr().out
    assert printed.count("the pole broke") == len(failed)
    assert f"{len(failed)} failed" in printed


def refusing(error, said=None, folder=None):
    """A launcher's word for job 1: `error`, with its folder, whose summary has the status `said`."""

    def judge(launcher, result, number):
        if number != 1:
            return
        result.status, result.return_value, result.working_dir = (
            JobStatus.FAILED,
            error,
            str(folder),
        )
        folder.mkdir(exist_ok=True)
        (folder / "config.yaml").touch()
        if said is not None:
            (folder / "summary.json").write_text(f'{{"status": "{said}"}}')

    return judge


@pytest.mark.parametrize(
    ("said", "lives", "named"),
    [
        ("running", True, "1 (running)"),
        ("running", False, "1 (killed)"),
        ("interrupted", False, "1 (interrupted)"),
        (None, False, "1 (never started)"),
    ],
)
def test_a_job_that_is_not_over_fails_no_trial(
    search, tmp_path, whole, monkeypatch, said, lives, named
):
    folder = tmp_path / "1_job"
    monkeypatch.setattr(FakeLauncher, "judge", refusing(RunError("it has no result"), said, folder))
    folder.mkdir()
    descriptor = lock(folder) if lives else None
    sentence = refusal(search, RunError, num_trials=4)
    assert named in sentence
    assert f"hydra.sweep.dir={tmp_path}" in sentence
    left = trials(tmp_path)
    assert [trial.state for trial in left] == [TrialState.RUNNING] * 4
    assert [list(trial_records.scores(trial)) for trial in left] == [[100], [], [100], [100]]
    assert not any(trial_records.failure(trial) for trial in left)
    if descriptor is not None:
        os.close(descriptor)
    monkeypatch.undo()
    resumed = search(num_trials=4)
    assert resumed.launches[0] == [1]
    assert what_counts(resumed.trials) == what_counts(whole.trials[:4])


@pytest.mark.parametrize(
    ("error", "said"), [(RunError("it fell"), "failed"), (ConfigError("it is wrong"), None)]
)
def test_a_job_that_failed_by_its_folder_or_was_refused_fails_its_trial(
    search, tmp_path, monkeypatch, error, said
):
    monkeypatch.setattr(FakeLauncher, "judge", refusing(error, said, tmp_path / "1_job"))
    found = search(num_trials=4)
    assert [trial.number for trial in found.trials if trial.state == TrialState.FAIL] == [1]
    assert trial_records.failure(found.trials[1]) == f"seed 100 (job 1): {error}"


@pytest.mark.parametrize("score", [float("nan"), float("inf"), None])
def test_a_score_that_is_no_number_is_a_failure(search, score):
    found = search(
        lambda settings: score if settings["planner"] == "cem" else smooth(settings), num_trials=8
    )
    failed = [trial for trial in found.trials if trial.state == TrialState.FAIL]
    assert {trial.params["planner"] for trial in failed} == {"cem"}
    assert f"its score is {score}" in trial_records.failure(failed[0])


def test_only_if_every_trial_failed_the_search_fails(search):
    def score(settings):
        raise ValueError(f"no {settings['seed']}")

    sentence = refusal(search, RunError, score=score, num_trials=3)
    assert "All 3 trials" in sentence
    assert "seed 100 (job 0): ValueError: no 100" in sentence


def test_the_end_names_the_best_trial_as_a_command(search, tmp_path, capsys):
    given = [*SPACE, "+env.kwargs={m: 1}", "training.evaluation_seed=30000", "training=smoke"]
    found = search(overrides=given, num_trials=4)
    best = found.best
    command = (tmp_path / "best_command.txt").read_text()
    chosen = f"discount={best['discount']} horizon={best['horizon']} planner={best['planner']}"
    assert (
        command
        == f"python run.py -m '+env.kwargs={{m: 1}}' training=smoke {chosen} 'seed=range(10)'\n"
    )
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
        (SPACE, {"storage": "foo"}, "hydra.sweeper.storage=foo"),
        (SPACE, {"storage": 5}, "hydra.sweeper.storage=5"),
        (
            SPACE,
            {"storage": "'postgresql://host:port/x'"},
            "hydra.sweeper.storage=postgresql://host:port/x",
        ),
        (
            SPACE,
            {"storage": "'postgresql://me:hush@host/x'"},
            "storage=postgresql://me:***@host/x must hold no password",
        ),
        (
            SPACE,
            {"storage": "'postgresql://me@host/x?password=hush'"},
            "storage=postgresql://me@host/x must hold no password",
        ),
        (SPACE, {"storage": "'mysql://me:hu@sh@host:port/x'"}, "storage=mysql://***@host:port/x"),
        (SPACE, {"seeds": "[]"}, "hydra.sweeper.seeds=[]"),
        (SPACE, {"seeds": "[100,100]"}, "different"),
        (SPACE, {"seeds": "[100,a]"}, "whole numbers"),
        (SPACE, {"seeds": "[100,3]"}, "seed 3"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_anything_is_written(
    search, tmp_path, overrides, settings, named
):
    with pytest.raises(ConfigError) as caught:
        search(overrides=overrides, folder=tmp_path / "sweep", **settings)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "hush" not in str(caught.value)
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize(
    "storage",
    [
        "sqlite:////nonexistent/x.db",
        "sqlite:////dev/full",
        "foo://x",
        "redis://host",
        "postgresql+nodriver://host/x",
    ],
)
def test_a_database_that_cannot_be_opened_is_named(search, storage):
    assert f"hydra.sweeper.storage={storage} cannot be opened" in refusal(
        search, num_trials=1, storage=f"'{storage}'"
    )


@pytest.mark.parametrize(
    ("url", "module"), [("postgresql://host/x", "psycopg"), ("mysql://host/x", "MySQLdb")]
)
def test_a_database_whose_driver_is_missing_is_named(search, monkeypatch, url, module):
    for name in (module, "psycopg2"):
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    assert f"hydra.sweeper.storage={url} cannot be opened" in refusal(
        search, num_trials=1, storage=f"'{url}'"
    )


def test_each_folder_has_a_study_of_its_own_whatever_its_name(search, tmp_path):
    names = ["wd?1", "wd?2", "w d%201", "w d 1", "wd#1", "wd{1}"]
    for name in names:
        search(folder=tmp_path / name, num_trials=1, seeds="[100]")
    assert sorted(path.parent.name for path in tmp_path.glob("**/optuna.db")) == sorted(names)


def test_a_study_is_that_of_one_folder(search, tmp_path):
    where = {"storage": f"sqlite:///{tmp_path}/all.db", "seeds": "[100]"}
    search(folder=tmp_path / "one", num_trials=1, **where)
    sentence = refusal(search, folder=tmp_path / "two", num_trials=2, **where)
    assert f"is the search of hydra.sweep.dir={tmp_path}/one, not of {tmp_path}/two" in sentence
    search(folder=tmp_path / "two", num_trials=2, study_name="other", **where)
    assert search(folder=tmp_path / "one", num_trials=2, **where).jobs.keys() == {1}
    _, *arguments = shlex.split(sentence.split("`")[1])
    subprocess.run(
        [sys.executable, "-c", "from optuna.cli import main; main()", *arguments], check=True
    )
    assert search(folder=tmp_path / "two", num_trials=3, **where).jobs.keys() == {2}


def test_a_setting_that_is_unknown_is_named(loader, tmp_path):
    overrides = [
        "hydra/sweeper=optuna",
        "+hydra.sweeper.num_trails=3",
        f"hydra.sweep.dir={tmp_path}",
    ]
    config = loader.load_configuration("config", overrides, RunMode.MULTIRUN)
    with pytest.raises(
        ConfigError, match=r"hydra\.sweeper\.num_trails .* did you mean 'num_trials'\?"
    ):
        OptunaSearch(config, lambda: FakeLauncher(smooth), loader)


@pytest.mark.parametrize(
    "override", ["discuont=interval(0,1)", "planner=cem,mtcs", "planner.no_such=choice(1,2)"]
)
def test_what_does_not_compose_is_found_before_the_first_run(search, tmp_path, override):
    with pytest.raises(Exception, match=r"discuont|mtcs|no_such"):
        search(overrides=[override], folder=tmp_path / "sweep")
    assert not (tmp_path / "sweep").exists()


def test_hydra_finds_the_sweeper_and_the_command_line_check_lets_it_start():
    check_command_line(["-m", "hydra/sweeper=optuna", "hydra.sweeper.num_trials=3", *SPACE])
    assert "hydra_plugins.mbrl_optuna.OptunaSweeper" in Plugins.instance().class_name_to_class


def test_looking_for_plugins_imports_nothing_heavy():
    code = "import sys, hydra_plugins.mbrl_optuna; print([name for name in ('optuna', 'jax', 'mbrl.config') if name in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def start(folder, *arguments, **environment):
    command = [
        sys.executable,
        "run.py",
        "-m",
        "hydra/sweeper=optuna",
        f"hydra.sweep.dir={folder}",
        *arguments,
    ]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=600
    )


@pytest.mark.slow
def test_without_optuna_one_sentence_says_what_to_install(tmp_path):
    (tmp_path / "optuna").mkdir()
    (tmp_path / "optuna" / "__init__.py").write_text(
        "raise ModuleNotFoundError('No module named optuna', name='optuna')"
    )
    result = start(
        tmp_path / "sweep", "discount=interval(0.9,1)", PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}"
    )
    assert result.returncode == 1
    assert (
        result.stderr
        == "Error: hydra/sweeper=optuna needs Optuna: pip install 'mbrl-experiments[optuna]'.\n"
    )


def start_and_kill(folder, *arguments):
    """As `start`, but killed with job 2 underway."""
    command = [
        sys.executable,
        "run.py",
        "-m",
        "hydra/sweeper=optuna",
        f"hydra.sweep.dir={folder}",
        *arguments,
    ]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 300
    while (
        process.poll() is None
        and not list(folder.glob("2_*/metrics.jsonl"))
        and time.monotonic() < deadline
    ):
        time.sleep(0.05)
    process.kill()
    return process.wait()


@pytest.mark.slow
def test_real_runs_that_are_killed_go_on(tmp_path):
    small = [
        "training=smoke",
        "logger=files",
        "planner=random",
        "hydra.sweeper.num_trials=2",
        "hydra.sweeper.seeds=[100,101]",
    ]
    searched = ["training.epsilon=interval(0,1)", "model=mlp,ensemble"]
    assert start_and_kill(tmp_path, *searched, *small) == -signal.SIGKILL
    begun = trials(tmp_path)
    assert [(trial.state, list(trial_records.scores(trial))) for trial in begun] == [
        (TrialState.RUNNING, [100])
    ] * 2
    result = start(tmp_path, *searched, *small)
    assert result.returncode == 0, result.stderr
    assert "Job 2 of 2" in result.stdout
    found = trials(tmp_path)
    assert [trial.state for trial in found] == [TrialState.COMPLETE] * 2
    assert [trial.params for trial in found] == [trial.params for trial in begun]
    folders = sorted(path.parent for path in tmp_path.glob("*/summary.json"))
    assert [int(folder.name.split("_")[0]) for folder in folders] == [0, 1, 2, 3]
    for trial in found:
        for seed, number in trial_records.jobs(trial).items():
            saved = OmegaConf.load(folders[number] / "config.yaml")
            assert (saved.seed, saved.training.evaluation_seed) == (seed, 20000)
            assert saved.training.epsilon == trial.params["training.epsilon"]
            summary = OmegaConf.load(folders[number] / "summary.json")
            assert summary["evaluation/return_mean"] == trial_records.scores(trial)[seed]
    again = start(tmp_path, *searched, *small)
    assert again.returncode == 0, again.stderr
    assert "Job 1 of" not in again.stdout
    assert "2 trials: 2 completed" in again.stdout
