"""A foreign config cannot change Hydra's settings; a canary file would show that code ran."""

import os
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf

from mbrl.config import hydra_guard
from mbrl.config.config_folder import CONFIG_FOLDER
from mbrl.config.hydra_guard import check_command_line, check_job, has_foreign_files
from mbrl.config.hydra_internals import compose_unchecked, config_loader, use_own_plugins
from mbrl.errors import ConfigError

ROOT = Path(__file__).parents[2]
FOREIGN_MODULE = """
import logging
from pathlib import Path

Path({canary!r}).touch()

class Callback:
    def on_run_start(self, config, **kwargs):
        Path({canary!r}).write_text("ran")
    on_multirun_start = on_run_start
"""
BASIC = "_target_: hydra._internal.core_plugins.basic_launcher.BasicLauncher"
OPTION = "_target_: foreign.Callback"
CALLBACK = f"callbacks: {{hostile: {{{OPTION}}}}}"
EXPERIMENT = f"hydra: {{{CALLBACK}}}"
# Nodes to which the settings of the tables refer.
NODES = """
hostile: {_target_: foreign.Callback}
hostiles: {a: {_target_: foreign.Callback}}
by_name: {UNKNOWN_NAME: null, run: text}
choices: {hydra/launcher: basic, hydra/sweeper: basic}
"""


@pytest.fixture(autouse=True, scope="module")
def own_plugins():
    """As in run.py; the project's own config is composed once for equal settings."""
    use_own_plugins()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hydra_guard, "_compose_own", cache(hydra_guard._compose_own))
        yield


@pytest.fixture
def canary(tmp_path, monkeypatch) -> Path:
    """A file that exists once `foreign` was imported, and says `ran` after its callback."""
    path, package = tmp_path / "canary", tmp_path / "foreign"
    (package / "more").mkdir(parents=True)
    (package / "__init__.py").write_text(FOREIGN_MODULE.format(canary=str(path)))
    (package / "more" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("foreign", "foreign.more"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return path


@pytest.fixture
def folder(tmp_path) -> Path:
    """A config folder from elsewhere, given by --config-dir."""
    (tmp_path / "theirs").mkdir()
    return tmp_path / "theirs"


def write(folder: Path, **files: str) -> None:
    """Config files by name, with `__` for `/`; experiments are for the whole config."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        header = "# @package _global_\n" if name.startswith("experiment") else ""
        path.write_text(f"{header}{text}\n")


def command(folder: Path, options: str = "experiment=theirs") -> list[str]:
    return ["--config-dir", str(folder), *shlex.split(options)]


def refusal(*arguments: str) -> str:
    with pytest.raises(ConfigError) as caught:
        check_command_line(arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def rows(table: str) -> list[tuple[str, ...]]:
    """The lines of a table, split at ` | `."""
    return [tuple(map(str.strip, line.split(" | "))) for line in table.strip().splitlines()]


def test_a_command_line_without_foreign_configs_is_not_composed(monkeypatch):
    monkeypatch.delattr("mbrl.config.hydra_guard.compose_unchecked")
    check_command_line([])
    check_command_line(["-m", "planner=mcts,cem", "seed=range(5)", "trust=[mine]"])
    check_command_line(["hydra.run.dir=somewhere", "hydra.job_logging.root.level=DEBUG"])


@pytest.mark.parametrize(
    "override",
    [
        *(f"planner={value}" for value in ("0", "-1", "1e30", "nan", "true", "null", "[1]")),
        *("model/reward=0", "hydra/launcher=inf", "hydra=1", "experiment=null"),
        *("+planner@mine=0", "~planner=0", "planner=cem,0", "planner=range(3)"),
    ],
)
def test_an_option_that_is_not_a_name_is_refused(override):
    group = override.lstrip("+~").split("=")[0].split("@")[0]
    assert f"{override}: no such option. {group} is one of " in refusal(override)


@pytest.mark.parametrize("value", ["x" * 10_000, f"[{'1,' * 5000}1]"], ids=["text", "list"])
def test_an_override_too_long_to_be_parsed_is_refused_at_once(value):
    assert "characters, and must have at most 5000. Put the value" in refusal(f"seed={value}")


@pytest.mark.parametrize("names", ["[NOT_SET]", "[1]"])
def test_a_variable_to_copy_that_is_not_set_is_named(names):
    sentence = f"hydra.job.env_copy: the variable '{names[1:-1]}' is not set."
    assert refusal(f"hydra.job.env_copy={names}") == sentence


@pytest.mark.parametrize(
    "options",
    [
        "~planner hydra.job.env_copy=[PATH]",
        f"--config-path {CONFIG_FOLDER}",
        "--config-path conf --config-name config",
        "--cfg hydra --config-name config",
        "-cn config hydra.run.dir=somewhere planner=mcts",
        "-m -cn config hydra.sweep.dir=somewhere seed=0,1 planner=mcts,cem",
        "-m -cn config hydra/sweeper=optuna hydra.sweeper.direction=minimize",
        "-m -cn config hydra/launcher=basic hydra.verbose=true",
        "-cn config hydra/job_logging=disabled +hydra.job.env_set.NAME=value",
        "-m -cn config discount=interval(0.9,0.99) num_threads=2",
    ],
)
def test_configs_of_the_project_and_words_of_the_command_line_pass(options):
    check_command_line(options.split())


def test_a_foreign_config_without_hydra_settings_passes(folder):
    write(folder, experiment__theirs="defaults: [{override /planner: theirs}]\nseed: 3")
    write(folder, planner__theirs="_target_: their_package.Planner\nname: ${experiment}")
    check_command_line(command(folder, "experiment=theirs trust=[their_package]"))
    check_command_line(command(folder, "-m planner=theirs,cem seed=0,1"))


HARMLESS = """
/hydra/launcher: local | mode: MULTIRUN
/hydra/launcher: ray | mode: MULTIRUN
/hydra/launcher: joblib | launcher: {n_jobs: 2}
/hydra/launcher: submitit_slurm | launcher: {mem_gb: 8, slurm_setup: null, timeout_min: 5}
/hydra/launcher: ray | launcher: {max_retries: 3}
/hydra/launcher: local | mode: RUN
/hydra/launcher: local | sweeper: {params: {seed: '0,1', planner: 'cem,mcts', discount: 0.9}}
/hydra/launcher: local | sweeper: {params: {model/value: none, model.pessimism: 1.5}}
/hydra/sweeper: optuna | sweeper: {num_trials: 5, pruning: false}
"""


@pytest.mark.parametrize(("choice", "hydra"), rows(HARMLESS))
def test_choices_numbers_and_plain_sweep_parameters_pass(folder, choice, hydra):
    text = f"defaults: [{{override {choice}}}]\nhydra: {{{hydra}}}"
    write(folder, experiment__theirs=text)
    check_command_line(command(folder, "-m experiment=theirs"))


# Those with `by_name` would be harmless while they are checked, and text when they are read.
LAUNCHERS = """
submitit_slurm | slurm_setup: ['touch a file'] | slurm_setup
submitit_slurm | slurm_setup: 'touch a file' | slurm_setup
submitit_slurm | slurm_partition: theirs | slurm_partition
submitit_slurm | mem_gb: '8; touch' | mem_gb
submitit_slurm | cpus_per_task: '${hostile}' | cpus_per_task
submitit_slurm | slurm_wckey: 3 | slurm_wckey
submitit_slurm | slurm_setup: '${by_name.${hydra.job.name}}' | slurm_setup
submitit_slurm | slurm_setup: '${by_name.${now:%S}}' | slurm_setup
ray | address: 'ray://elsewhere:1' | address
ray | address: '${by_name.${hydra.job.name}}' | address
ray | init: {runtime_env: {pip: [a]}} | init
ray | max_retries: {a: 1} | max_retries
joblib | _target_: foreign.Callback | _target_
joblib | backend: foreign.Callback | backend
joblib | backend: '${by_name.${hydra.job.name}}' | backend
joblib | n_jobs: [2] | n_jobs
joblib | max_jobs: 1000000 | max_jobs
"""


@pytest.mark.parametrize(("launcher", "setting", "named"), rows(LAUNCHERS))
def test_text_lists_and_mappings_of_a_launcher_are_refused(folder, launcher, setting, named):
    choice = f"defaults: [{{override /hydra/launcher: {launcher}}}]"
    text = f"{choice}\n{NODES}\nhydra: {{launcher: {{{setting}}}}}"
    write(folder, experiment__theirs=text)
    assert f"hydra.launcher.{named}" in refusal(*command(folder, "-m experiment=theirs"))


@pytest.mark.parametrize("group", ["launcher", "sweeper"])
def test_no_launcher_or_sweeper_refers_to_what_a_foreign_config_may_set(group):
    for option in ["basic", *(path.stem for path in (CONFIG_FOLDER / "hydra" / group).iterdir())]:
        config = compose_unchecked(config_loader(), "config", [f"hydra/{group}={option}"])
        assert "${" not in OmegaConf.to_yaml(config.hydra[group])


# What stands after `hydra:`, and the setting that the error names. Some keys have dots, which are
# not the settings of those names; a handler's `.` once wrote any file.
REFUSED = r"""
{callbacks: {a: {_target_: foreign.Callback}}} | callbacks.a._target_=foreign.Callback
{callbacks: {a: {b: [{c: {_target_: foreign.Callback}}]}}} | callbacks.a.b
{callbacks: {a: '${hostile}'}} | callbacks.a=${hostile}
{callbacks: '${hostiles}'} | callbacks=${hostiles}
{callbacks: '${oc.create:${hostiles}}'} | callbacks=${oc.create:
{callbacks: {a: '\${hostile}'}} | callbacks.a
{launcher: {_target_: foreign.Callback}} | launcher._target_
{launcher: '${hostile}'} | launcher
{sweeper: {_target_: foreign.Callback}} | sweeper._target_
{sweeper: {params: {trust: foreign}}} | sweeper.params.trust=foreign
{sweeper: {params: {+trust: foreign}}} | sweeper.params.+trust=foreign
{sweeper: {params: {++trust: foreign}}} | sweeper.params.++trust
{sweeper: {params: {' trust': foreign}}} | sweeper.params. trust
{sweeper: {params: {'seed=0 trust': foreign}}} | sweeper.params.seed=0 trust
{sweeper: {params: {~trust: foreign}}} | sweeper.params.~trust
{sweeper: {params: {trust@a: foreign}}} | sweeper.params.trust@a
{sweeper: {params: {planner@hydra.callbacks: theirs}}} | sweeper.params.planner@hydra
{sweeper: {params: {hydra.run.dir: /elsewhere}}} | sweeper.params.hydra
{sweeper: {params: {hydra/launcher: ray}}} | sweeper.params.hydra/launcher
{sweeper: {params: {~hydra/launcher: ray}}} | sweeper.params.~hydra/launcher
{sweeper: {params: {experiment: ../theirs}}} | sweeper.params.experiment
{sweeper: {params: {seed: '\${hostile}'}}} | sweeper.params.seed
{sweeper: {params: {seed: [1, 2]}}} | sweeper.params.seed
{sweeper: {params: '${hostiles}'}} | sweeper.params
{run: {dir: /elsewhere}} | run.dir=/elsewhere
{sweep: {dir: /elsewhere}} | sweep.dir=/elsewhere
{sweep: {subdir: ../elsewhere}} | sweep.subdir=../elsewhere
{output_subdir: /elsewhere} | output_subdir=/elsewhere
{mode: '${hostile}'} | mode
{verbose: true} | verbose=True
{job: {chdir: true}} | job.chdir=True
{job: {name: ../elsewhere}} | job.name=../elsewhere
{job: {config: {override_dirname: {kv_sep: /}}}} | job.config.override_dirname.kv_sep=/
{job: {env_set: {LD_PRELOAD: theirs.so}}} | job.env_set.LD_PRELOAD=theirs.so
{job: {env_set: '${hostiles}'}} | job.env_set
{job: {env_copy: [HOME]}} | job.env_set.HOME=
{overrides: {task: ['trust=[foreign]']}} | overrides
{overrides: {hydra: ['hydra.run.dir=/elsewhere']}} | overrides
{runtime: {choices: '${oc.create:${choices}}'}} | runtime.choices
{runtime: {choices: {a: '${hostile}'}}} | runtime.choices.a
{help: {template: theirs}} | help.template=theirs
{job_logging: {handlers: {file: {filename: /elsewhere}}}} | job_logging.handlers.file.filename
{job_logging: {handlers: {file: {mode: w}}}} | job_logging.handlers.file.mode=w
{job_logging: {handlers: {file: {encoding: foreign}}}} | job_logging.handlers.file.encoding
{job_logging: {handlers: {a: {(): foreign.A}}}} | job_logging.handlers.a.()=foreign.A
{job_logging: {filters: {a: {(): foreign.A}}}} | job_logging.filters.a.()=foreign.A
{job_logging: {formatters: {a: {(): foreign.A}}}} | job_logging.formatters.a.()=foreign.A
{job_logging: {formatters: {a: {class: logging.FileHandler, format: /b}}}} | formatters.a.class
{job_logging: {handlers: {console: {stream: ext://foreign.a}}}} | console.stream=ext://foreign.a
{job_logging: {handlers: {console: cfg://hostile}}} | job_logging.handlers.console=cfg://hostile
{job_logging: {handlers: {a: {class: b, '.': {baseFilename: /c}}}}} | job_logging.handlers.a.
{job_logging: {handlers: {a: '${hostile}'}}} | job_logging.handlers.a=${hostile}
{job_logging: {handlers: {'${hostile}': {class: a}}}} | job_logging.handlers.${hostile}.class=a
{job_logging: {handlers.file.class: foreign.A}} | job_logging.handlers.file.class=foreign.A
{job_logging: {handlers: {1: {class: foreign.A}}}} | job_logging.handlers.1.class=foreign.A
{job_logging: {loggers: {mbrl: {handlers: [a]}}}} | job_logging.loggers.mbrl.handlers
{job_logging: {root: {handlers: [a]}}} | job_logging.root.handlers
{job_logging: {disable_existing_loggers: true}} | job_logging.disable_existing_loggers=True
{job_logging: {incremental: true}} | job_logging.incremental=True
{job_logging: {version: 2}} | job_logging.version=2
{job_logging: '${hostile}'} | job_logging=${hostile}
{hydra_logging: {handlers: {a: {class: logging.FileHandler, filename: /b}}}} | handlers.a.class
{hydra_logging: {handlers.a.filename: /b}} | hydra_logging.handlers.a.filename=/b
"""


@pytest.mark.parametrize(("hydra", "named"), rows(REFUSED))
def test_everything_else_under_hydra_is_refused(folder, canary, hydra, named):
    write(folder, experiment__theirs=f"{NODES}\nhydra: {hydra}")
    sentence = refusal(*command(folder))
    assert named in sentence
    assert "trust=[hydra]" in sentence
    check_command_line(command(folder, "experiment=theirs trust=[hydra]"))
    assert not canary.exists()


@pytest.mark.parametrize(
    "hydra",
    [
        "{new_section: {a: 1}}",
        "{sweeper: {max_batch_size: many}}",
        "{sweeper: {sampler: {_target_: foreign.Callback}}}",
        "{job_logging: null}",
        "{callbacks: !!binary Zm9v}",
        "{sweeper: {params: {1: 2}}}",
        "{overrides: {task: '${hostiles}'}}",
        "{runtime: {choices: '${hostiles}'}}",
        "'${hostile}'",
        "{runtime: '${hostile}'}",
        "{job: '${oc.create:${hostile}}'}",
    ],
)
def test_hydra_itself_refuses_what_its_schema_does_not_have(folder, canary, hydra):
    write(folder, experiment__theirs=f"{NODES}\nhydra: {hydra}")
    with pytest.raises(HydraException):
        check_command_line(command(folder))
    assert not canary.exists()


# With the folder of THEIRS below, and experiment/other.yaml after the options.
THEIRS = {
    "hydra__callbacks__theirs": f"hostile: {{{OPTION}}}",
    "hydra__job_logging__theirs": "handlers: {a: {class: logging.FileHandler}}",
    "hydra__launcher__theirs": BASIC,
    "hydra__launcher__joblib": OPTION,
    "hydra__sweeper__theirs": BASIC.replace("launcher", "sweeper").replace("Launcher", "Sweeper"),
    "hydra__sweeper__optuna": OPTION,
    "planner__callback": OPTION,
    "planner__many": f"hostile: {{{OPTION}}}",
    "planner__package": f"# @package hydra.callbacks\na: {{{OPTION}}}",
    "new__other": f"# @package hydra\n{CALLBACK}",
    "primary": f"defaults: [_self_]\n{EXPERIMENT}",
    "empty": "seed: 0",
    "experiment__theirs": EXPERIMENT,
}
WAYS = """
--config-dir=FOLDER experiment=theirs
--config-dir FOLDER experiment=theirs
--config-d FOLDER experiment=theirs
--config-dir=FOLDER experiment=theirs --multirun
--config-dir=FOLDER hydra/callbacks=theirs
--config-dir=FOLDER hydra/job_logging=theirs
--config-dir=FOLDER +planner@hydra.callbacks.hostile=callback
--config-dir=FOLDER +planner@hydra.callbacks=many
--config-dir=FOLDER planner=package
--config-dir=FOLDER --config-name=primary
-cp FOLDER -cn primary
-cd FOLDER -m hydra/launcher=theirs
-cd FOLDER -m hydra/sweeper=theirs
-cp FOLDER -cn empty -m hydra/launcher=joblib
-cp FOLDER -cn empty -m hydra/sweeper=optuna
-cd FOLDER ~hydra/launcher
-cd FOLDER experiment=other | defaults: [{override /hydra/callbacks: theirs}]
-cd FOLDER experiment=other | defaults: [{override /hydra/launcher: theirs}]
-cd FOLDER experiment=other | defaults: [{override /hydra/sweeper: theirs}]
-cd FOLDER experiment=other | defaults: [{override /hydra/job_logging: disabled}]
-cd FOLDER experiment=other | defaults: [{override /hydra/job_logging: null}]
-cd FOLDER experiment=other | defaults: [{/planner@hydra.callbacks: many}]
-cd FOLDER experiment=other | defaults: [{optional /planner@_global_.hydra.callbacks: many}]
-cd FOLDER experiment=other | defaults: [{/planner@hydra.callbacks.a: cem}]
-cd FOLDER experiment=other | defaults: [/planner/many@hydra.callbacks]
-cd FOLDER experiment=other | defaults: [../experiment/theirs]
-cd FOLDER experiment=other seed=1 | defaults: [{/new: '${experiment}'}]
-cd FOLDER experiment=other | {mine: &m {callbacks: {a: {b: c}}}, hydra: {<<: *m}}
"""


@pytest.mark.parametrize("way", rows(WAYS), ids=" ".join)
def test_there_is_no_other_way_in(folder, canary, way):
    write(folder, **THEIRS, experiment__other="".join(way[1:]))
    assert "hydra" in refusal(*way[0].replace("FOLDER", str(folder)).split())
    assert not canary.exists()


def test_options_that_nobody_chooses_do_not_count(folder, canary):
    write(folder, **THEIRS, config=EXPERIMENT, hydra=CALLBACK)
    # --config-dir stands behind conf/ in Hydra's search path.
    for options in ("seed=1", "-m hydra/launcher=joblib seed=0,1", "-m hydra/sweeper=optuna"):
        check_command_line(command(folder, options))
    assert not canary.exists()


GROUPS = ("launcher", "sweeper", "job_logging", "env", "output")


@pytest.mark.parametrize("group", [f"hydra/{group}" for group in GROUPS])
def test_an_option_outside_of_the_group_is_refused(tmp_path, folder, canary, group):
    write(tmp_path, option=f"# @package hydra\n{CALLBACK}")
    outside = os.path.relpath(tmp_path / "option", CONFIG_FOLDER / group)
    write(folder, experiment__theirs=f"defaults: [{{override /{group}: {outside}}}]")
    assert "hydra" in refusal(*command(folder))
    assert f"{group}=../../" in refusal("-m", f"{group}={outside}")
    assert not canary.exists()


def test_an_option_outside_of_conf_is_checked_too(tmp_path, canary):
    write(tmp_path, experiment__theirs=EXPERIMENT)
    option = os.path.relpath(tmp_path / "experiment" / "theirs", CONFIG_FOLDER / "a")
    assert "hydra.callbacks.hostile" in refusal(f"experiment={option}")
    hydra = f"hydra: {{mode: MULTIRUN, sweeper: {{params: {{experiment: {option}}}}}}}"
    write(tmp_path, primary=f"defaults: [/config, _self_]\n{hydra}")
    assert "hydra." in refusal("-cn", os.path.relpath(tmp_path / "primary", CONFIG_FOLDER))
    assert not canary.exists()


@pytest.mark.parametrize("option", ["--config-path=", "--config-name="])
def test_an_empty_option_is_not_one_that_is_left_out(folder, option):
    write(folder, config=f"defaults: [_self_]\n{EXPERIMENT}")
    (folder / ".yaml").write_text(f"defaults: [_self_]\n{EXPERIMENT}")
    with pytest.raises((ConfigError, HydraException)):
        check_command_line([option, "--config-dir", str(folder)])


@pytest.mark.parametrize(
    "text",
    [
        "defaults: [{/planner@_global_: 'p_${now:%S}'}]",
        "hydra: {overrides: {task: '${by_termination.zz.${now:%S}}'}}",
        "hydra: {callbacks: '${by_termination.zz.${now:%S}}'}",
    ],
)
def test_a_config_that_reads_the_clock_is_refused(folder, text):
    write(folder, **{f"planner__p_{second:02}": "seed: 3" for second in range(60)})
    write(folder, experiment__theirs=text)
    with pytest.raises((ConfigError, HydraException)):
        check_command_line(command(folder))
    # The clock is Hydra's again.
    assert len(OmegaConf.create({"now": "${now:%S}"}).now) == 2


@pytest.mark.parametrize(
    "hydra",
    [
        "{sweep: {dir: /elsewhere}}",
        "{sweep: {subdir: ../elsewhere}}",
        "{output_subdir: ../elsewhere}",
        "{job: {env_set: {LD_PRELOAD: theirs.so}}}",
        "{job: {config: {override_dirname: {item_sep: /}}}}",
        "{overrides: {task: ['trust=[foreign]']}}",
        "{runtime: {choices: '${oc.create:${by_termination}}'}}",
        "{job_logging: {handlers: {file: {class: foreign.A}}, handlers.file.class: a}}",
    ],
)
def test_a_job_cannot_change_the_settings_of_its_sweep(folder, hydra):
    write(folder, experiment__evil=f"hydra: {hydra}")
    loader = config_loader(None, str(folder))
    overrides = ["hydra.mode=MULTIRUN", "seed=0,1"]
    sweep = loader.load_configuration("config", overrides, RunMode.MULTIRUN)
    job = ["experiment=original", "num_threads=2", "seed=1"]
    check_job(loader.load_sweep_config(sweep, job), sweep, job)
    job = ["experiment=evil"]
    with pytest.raises(ConfigError, match=r"hydra\."):
        check_job(loader.load_sweep_config(sweep, job), sweep, job)


@pytest.mark.parametrize(
    "text",
    [
        "hydra: {searchpath: [pkg://foreign]}",
        "hydra: {searchpath: ['${oc.decode:pkg://foreign}']}",
        "hydra: {searchpath: '${paths}'}\npaths: ['pkg://foreign']",
        "hydra: {searchpath: [file:///elsewhere]}",
        "mine: &mine {searchpath: [pkg://foreign]}\nhydra: {<<: *mine}",
        "mine: {searchpath: [pkg://foreign]}\nhydra: ${mine}",
    ],
)
def test_a_search_path_imports_nothing(folder, canary, text):
    write(folder, primary=f"defaults: [config]\n{text}")
    for option in ("--config-dir", "--config-path"):
        assert "hydra.searchpath" in refusal(option, str(folder), "--config-name", "primary")
    assert not canary.exists()


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ("hydra.searchpath=[pkg://foreign]", "hydra.searchpath"),
        ("--config-path=pkg://foreign", "--config-path=pkg://foreign"),
        ("--experimental-rerun=FILE", "python -m mbrl reproduce RUN"),
        ("--exp=FILE", "python -m mbrl reproduce RUN"),
    ],
)
def test_an_option_imports_and_unpickles_nothing(tmp_path, canary, option, named):
    (tmp_path / "a.pickle").write_text(f"cos\nmkdir\n(V{canary}\ntR.")
    options = [option.replace("FILE", str(tmp_path / "a.pickle"))]
    options += ["trust=[hydra]"] if "FILE" in option else []  # which does not help
    assert named in refusal(*options)
    assert not canary.exists()


@pytest.mark.slow
def test_run_py_refuses_a_job_that_a_launcher_of_hydra_would_not_check(tmp_path, folder, canary):
    hydra = f"mode: MULTIRUN, launcher: {{{BASIC}}}, sweeper: {{params: {{planner: evil}}}}"
    logging = "job_logging: {handlers: {file: {class: foreign.Handler}}}"
    evil = f"# @package _global_\nhydra: {{launcher: {{{BASIC}}}, {logging}}}"
    write(folder, experiment__theirs=f"hydra: {{{hydra}}}", planner__evil=evil)
    write(folder, hydra__launcher__basic="# @package foo\n_target_: x")
    result = run_py(tmp_path, *command(folder))
    assert result.returncode == 1
    assert "hydra.launcher._target_" in result.stderr
    assert not canary.exists()


@pytest.mark.slow
@pytest.mark.parametrize("mode", [[], ["--multirun"]], ids=["run", "multirun"])
def test_run_py_refuses_before_hydra_starts(tmp_path, folder, canary, mode):
    write(folder, experiment__theirs=EXPERIMENT)
    options = [*mode, *command(folder), "training.env_steps=-5", "logger=files"]
    options += [f"hydra.run.dir={tmp_path}/run", f"hydra.sweep.dir={tmp_path}/sweep"]
    result = run_py(tmp_path, *options)
    assert result.returncode == 1
    assert "hydra.callbacks.hostile._target_=foreign.Callback" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not any((tmp_path / name).exists() for name in ("run", "sweep", "canary"))
    result = run_py(tmp_path, *options, "trust=[hydra]")
    assert "training.env_steps=-5" in result.stderr
    assert canary.read_text() == "ran"


@pytest.mark.parametrize(
    ("path", "name", "overrides", "expected"),
    [
        (None, "config", ["planner=mcts", "hydra.run.dir=../elsewhere", "seed=1"], False),
        (str(CONFIG_FOLDER), "config", ["hydra/launcher=joblib"], False),
        (None, "config", ["experiment=../experiment/oracle"], True),
        (None, "config", ["hydra.searchpath=[file:///tmp]"], True),
        (None, "config", ["hydra.searchpath=[pkg://mbrl]"], True),
        (None, "planner/cem", [], True),
    ],
)
def test_the_files_of_a_composed_config_are_known(path, name, overrides, expected):
    config = compose_unchecked(config_loader(path), name, overrides)
    assert has_foreign_files(config.hydra) is expected


@pytest.mark.parametrize("option", ["--config-dir", "--config-path"])
def test_a_config_folder_from_elsewhere_is_foreign(folder, option):
    write(folder, config="defaults: [_self_]")
    path, directory = (str(folder), None) if option == "--config-path" else (None, str(folder))
    assert has_foreign_files(compose_unchecked(config_loader(path, directory), "config", []).hydra)


def test_a_package_of_configs_from_elsewhere_is_foreign():
    hydra = compose_unchecked(config_loader(), "config", []).hydra
    [main] = [source for source in hydra.runtime.config_sources if source.provider == "main"]
    main.schema, main.path = "pkg", "theirs.conf"  # as for --config-path=pkg://theirs.conf
    assert has_foreign_files(hydra)


def run_py(folder: Path, *options: str) -> subprocess.CompletedProcess:
    path = f"{folder}{os.pathsep}{ROOT}"
    return subprocess.run(
        [sys.executable, str(ROOT / "run.py"), *options],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
