"""A foreign config cannot change Hydra's settings; a canary file would show that code ran."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf

from mbrl.config.config_folder import CONFIG_FOLDER
from mbrl.config.hydra_guard import check_command_line, check_job
from mbrl.config.hydra_internals import compose_unchecked, config_loader, use_local_launcher
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

class Handler(logging.Handler):
    def emit(self, record):
        pass
"""
CALLBACK = "callbacks: {hostile: {_target_: foreign.Callback}}"
LAUNCHERS = sorted(path.stem for path in (CONFIG_FOLDER / "hydra" / "launcher").glob("*.yaml"))


@pytest.fixture(autouse=True, scope="module")
def local_launcher():
    """As in run.py."""
    use_local_launcher()


class Touch:
    """Unpickling this creates a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def canary(tmp_path, monkeypatch) -> Path:
    """A file that exists once `foreign` was imported, and says `ran` after its callback."""
    path = tmp_path / "canary"
    package = tmp_path / "foreign"
    (package / "more").mkdir(parents=True)
    (package / "__init__.py").write_text(FOREIGN_MODULE.format(canary=str(path)))
    (package / "more" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("foreign", "foreign.more"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return path


@pytest.fixture
def folder(tmp_path) -> Path:
    """A config folder from elsewhere, given by --config-dir."""
    path = tmp_path / "their_conf"
    path.mkdir()
    return path


def write(folder: Path, name: str, text: str) -> None:
    path = folder / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def write_experiment(folder: Path, hydra: str, name: str = "theirs", rest: str = "") -> None:
    write(folder, f"experiment/{name}", f"# @package _global_\n{rest}\nhydra:\n  {hydra}\n")


def refusal(*arguments: str) -> str:
    with pytest.raises(ConfigError) as caught:
        check_command_line(arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


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
    "arguments",
    [
        ["~planner", "hydra.job.env_copy=[PATH]"],
        ["--config-path", str(CONFIG_FOLDER)],
        ["--config-path", "conf", "--config-name", "config"],
        ["--cfg", "hydra", "--config-name", "config"],
        ["-cn", "config", "hydra.run.dir=somewhere", "planner=mcts"],
        ["-m", "-cn", "config", "hydra.sweep.dir=somewhere", "seed=0,1", "planner=mcts,cem"],
        ["-m", "-cn", "config", "hydra/sweeper=optuna", "hydra.sweeper.direction=minimize"],
        ["-m", "-cn", "config", "hydra/launcher=basic", "hydra.verbose=true"],
        ["-cn", "config", "hydra/job_logging=disabled", "+hydra.job.env_set.NAME=value"],
        ["-m", "-cn", "config", "discount=interval(0.9,0.99)", "num_threads=2"],
    ],
)
def test_configs_of_the_project_and_words_of_the_command_line_pass(arguments):
    check_command_line(arguments)


def test_a_foreign_config_without_hydra_settings_passes(folder):
    rest = "defaults: [{override /planner: theirs}]\nseed: 3"
    write(folder, "experiment/theirs", f"# @package _global_\n{rest}")
    write(folder, "planner/theirs", "_target_: their_package.Planner\nname: ${experiment}")
    check_command_line(["--config-dir", str(folder), "experiment=theirs", "trust=[their_package]"])
    check_command_line(["-m", "--config-dir", str(folder), "planner=theirs,cem", "seed=0,1"])


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_foreign_config_may_choose_one_of_the_launchers(folder, launcher):
    rest = f"defaults: [{{override /hydra/launcher: {launcher}}}]"
    write_experiment(folder, "mode: MULTIRUN", rest=rest)
    check_command_line(["-m", "--config-dir", str(folder), "experiment=theirs"])


@pytest.mark.parametrize(
    ("launcher", "harmless"),
    [
        ("joblib", "launcher: {n_jobs: 2}"),
        ("submitit_slurm", "launcher: {mem_gb: 8, slurm_setup: null, timeout_min: 5}"),
        ("ray", "launcher: {max_retries: 3}"),
        ("local", "mode: RUN"),
        ("local", "sweeper: {params: {seed: '0,1', planner: 'cem,mcts', model.pessimism: 1.5}}"),
        ("local", "sweeper: {params: {model/value: none, discount: 0.9}}"),
    ],
)
def test_numbers_of_declared_keys_and_plain_sweep_parameters_count(folder, launcher, harmless):
    rest = f"defaults: [{{override /hydra/launcher: {launcher}}}]"
    write_experiment(folder, harmless, rest=rest)
    check_command_line(["-m", "--config-dir", str(folder), "experiment=theirs"])


def test_numbers_of_the_optuna_sweeper_count(folder):
    rest = "defaults: [{override /hydra/sweeper: optuna}]"
    write_experiment(folder, "sweeper: {num_trials: 5, pruning: false}", rest=rest)
    check_command_line(["-m", "--config-dir", str(folder), "experiment=theirs"])


@pytest.mark.parametrize(
    ("launcher", "hostile", "named"),
    [
        ("submitit_slurm", "launcher: {slurm_setup: ['touch a file']}", "launcher.slurm_setup"),
        ("submitit_slurm", "launcher: {slurm_setup: 'touch a file'}", "launcher.slurm_setup"),
        ("submitit_slurm", "launcher: {slurm_partition: theirs}", "launcher.slurm_partition"),
        ("submitit_slurm", "launcher: {mem_gb: '8; touch'}", "launcher.mem_gb"),
        ("submitit_slurm", "launcher: {cpus_per_task: '${theirs}'}", "launcher.cpus_per_task"),
        ("submitit_slurm", "launcher: {slurm_wckey: 3}", "launcher.slurm_wckey"),
        ("ray", "launcher: {address: 'ray://elsewhere:1'}", "launcher.address"),
        ("ray", "launcher: {init: {runtime_env: {pip: [a]}}}", "launcher.init"),
        ("ray", "launcher: {max_retries: {a: 1}}", "launcher.max_retries"),
        ("joblib", "launcher: {_target_: foreign.Callback}", "launcher._target_"),
        ("joblib", "launcher: {backend: foreign.Callback}", "launcher.backend"),
        ("joblib", "launcher: {n_jobs: [2]}", "launcher.n_jobs"),
        ("joblib", "launcher: '${theirs}'", "launcher"),
        # These would be harmless while they are checked, and text when they are read.
        ("submitit_slurm", "launcher: {slurm_setup: '${by_name.${hydra.job.name}}'}", "launcher"),
        ("submitit_slurm", "launcher: {slurm_setup: '${by_name.${now:%S}}'}", "launcher"),
        ("ray", "launcher: {address: '${by_name.${hydra.job.name}}'}", "launcher.address"),
        ("joblib", "launcher: {backend: '${by_name.${hydra.job.name}}'}", "launcher.backend"),
    ],
)
def test_text_lists_and_mappings_of_a_launcher_are_refused(folder, launcher, hostile, named):
    rest = f"defaults: [{{override /hydra/launcher: {launcher}}}]\ntheirs: {{_target_: foreign.A}}"
    rest += "\nby_name: {UNKNOWN_NAME: null, run: text}"
    write_experiment(folder, hostile, rest=rest)
    sentence = refusal("-m", "--config-dir", str(folder), "experiment=theirs")
    assert f"hydra.{named}" in sentence
    assert "trust=[hydra]" in sentence


@pytest.mark.parametrize("group", ["launcher", "sweeper"])
def test_no_launcher_or_sweeper_refers_to_what_a_foreign_config_may_set(group):
    for option in ["basic", *(path.stem for path in (CONFIG_FOLDER / "hydra" / group).iterdir())]:
        config = compose_unchecked(config_loader(), "config", [f"hydra/{group}={option}"])
        assert "${" not in OmegaConf.to_yaml(config.hydra[group])


@pytest.mark.parametrize("group", ["launcher", "sweeper"])
def test_an_option_outside_of_the_group_is_refused(tmp_path, folder, group):
    write(tmp_path / "elsewhere", "option", "_target_: foreign.Callback")
    outside = os.path.relpath(tmp_path / "elsewhere" / "option", CONFIG_FOLDER / "hydra" / group)
    rest = f"defaults: [{{override /hydra/{group}: {outside}}}]"
    write_experiment(folder, "mode: RUN", rest=rest)
    sentence = refusal("-m", "--config-dir", str(folder), "experiment=theirs")
    assert f"hydra/{group}=../../" in sentence
    assert f"hydra/{group}=../../" in refusal("-m", f"hydra/{group}={outside}")


@pytest.mark.parametrize("group", ["hydra/job_logging", "hydra/env", "hydra/output"])
def test_an_option_of_any_group_of_hydra_outside_of_conf_is_refused(tmp_path, canary, group):
    write(tmp_path / "elsewhere", "option", f"# @package hydra\n{CALLBACK}")
    outside = os.path.relpath(tmp_path / "elsewhere" / "option", CONFIG_FOLDER / group)
    assert group in refusal(f"{group}={outside}")
    assert not canary.exists()


@pytest.mark.parametrize("option", ["--config-path=", "--config-name="])
def test_an_empty_option_is_not_one_that_is_left_out(folder, option):
    write(folder, "config", f"defaults: [_self_]\nhydra:\n  {CALLBACK}")
    write(folder, "", f"defaults: [_self_]\nhydra:\n  {CALLBACK}")
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
    for second in range(60):
        write(folder, f"planner/p_{second:02}", "# @package _global_\nseed: 3")
    write(folder, "experiment/theirs", f"# @package _global_\n{text}")
    with pytest.raises((ConfigError, HydraException)):
        check_command_line(["--config-dir", str(folder), "experiment=theirs"])
    # The clock is Hydra's again.
    assert len(OmegaConf.create({"now": "${now:%S}"}).now) == 2


def test_a_launcher_that_the_command_line_deletes_is_refused(folder):
    sentence = refusal("--config-dir", str(folder), "~hydra/launcher")
    assert "hydra/launcher=null" in sentence


@pytest.mark.parametrize("group", ["launcher", "sweeper"])
def test_an_option_of_their_own_is_refused(folder, group):
    target = f"hydra._internal.core_plugins.basic_{group}.Basic{group.title()}"
    write(folder, f"hydra/{group}/theirs", f"_target_: {target}")
    write_experiment(folder, "mode: RUN", rest=f"defaults: [{{override /hydra/{group}: theirs}}]")
    for override in (f"hydra/{group}=theirs", "experiment=theirs"):
        assert "theirs" in refusal("-m", "--config-dir", str(folder), override)


@pytest.mark.parametrize("group", ["launcher", "sweeper"])
def test_an_option_that_hides_one_of_ours_is_refused(folder, group):
    own = {"launcher": "joblib", "sweeper": "optuna"}[group]
    write(folder, f"hydra/{group}/{own}", "_target_: foreign.Callback")
    write(folder, "primary", "seed: 0")
    # --config-dir stands behind conf/ in Hydra's search path; --config-path replaces conf/.
    check_command_line(["-m", "--config-dir", str(folder), f"hydra/{group}={own}", "seed=0,1"])
    options = ["-cp", str(folder), "-cn", "primary", f"hydra/{group}={own}"]
    assert "hydra." in refusal("-m", *options)


@pytest.mark.parametrize(
    ("hostile", "named"),
    [
        (CALLBACK, "hydra.callbacks.hostile._target_=foreign.Callback"),
        ("callbacks: {a: {b: [{c: {_target_: foreign.Callback}}]}}", "hydra.callbacks.a.b"),
        ("callbacks: {a: '${hostile}'}", "hydra.callbacks.a=${hostile}"),
        ("callbacks: '${hostiles}'", "hydra.callbacks=${hostiles}"),
        ("callbacks: {a: '\\${hostile}'}", "hydra.callbacks.a"),
        ("launcher: {_target_: foreign.Callback}", "hydra.launcher._target_"),
        ("sweeper: {_target_: foreign.Callback}", "hydra.sweeper._target_"),
        ("sweeper: {params: {trust: foreign}}", "hydra.sweeper.params.trust=foreign"),
        ("sweeper: {params: {+trust: foreign}}", "hydra.sweeper.params.+trust=foreign"),
        ("sweeper: {params: {++trust: foreign}}", "hydra.sweeper.params.++trust"),
        ("sweeper: {params: {hydra.run.dir: /elsewhere}}", "hydra.sweeper.params.hydra"),
        ("sweeper: {params: {hydra/launcher: ray}}", "hydra.sweeper.params.hydra/launcher"),
        ("sweeper: {params: {seed: '\\${hostile}'}}", "hydra.sweeper.params.seed"),
        ("sweeper: {params: {seed: [1, 2]}}", "hydra.sweeper.params.seed"),
        ("run: {dir: /elsewhere}", "hydra.run.dir=/elsewhere"),
        ("sweep: {dir: /elsewhere}", "hydra.sweep.dir=/elsewhere"),
        ("sweep: {subdir: ../elsewhere}", "hydra.sweep.subdir=../elsewhere"),
        ("output_subdir: /elsewhere", "hydra.output_subdir=/elsewhere"),
        ("verbose: true", "hydra.verbose=True"),
        ("job: {chdir: true}", "hydra.job.chdir=True"),
        ("job: {name: ../elsewhere}", "hydra.job.name=../elsewhere"),
        ("job: {env_set: {LD_PRELOAD: theirs.so}}", "hydra.job.env_set.LD_PRELOAD=theirs.so"),
        ("job: {env_copy: [HOME]}", "hydra.job.env_set.HOME="),
        ("overrides: {task: ['trust=[foreign]']}", "hydra.overrides"),
        ("overrides: {hydra: ['hydra.run.dir=/elsewhere']}", "hydra.overrides"),
        ("help: {template: theirs}", "hydra.help.template=theirs"),
        # A key with dots is not the setting of that name.
        (
            "job_logging: {handlers: {file: {class: foreign.Handler}}, "
            "handlers.file.class: logging.FileHandler}",
            "hydra.job_logging.handlers.file.class=foreign.Handler",
        ),
        (
            "hydra_logging: {handlers.a.filename: /elsewhere}",
            "hydra.hydra_logging.handlers.a.filename=/elsewhere",
        ),
        # The hole of the former list of forbidden keys: these write or empty any file.
        (
            "job_logging: {handlers: {a: {class: logging.FileHandler, delay: true, "
            "'.': {baseFilename: /elsewhere}}}}",
            "hydra.job_logging.handlers.a.",
        ),
        (
            "job_logging: {formatters: {a: {class: logging.FileHandler, format: /elsewhere}}}",
            "hydra.job_logging.formatters.a.class=logging.FileHandler",
        ),
        (
            "hydra_logging: {handlers: {a: {class: logging.FileHandler, filename: /elsewhere}}}",
            "hydra.hydra_logging.handlers.a.",
        ),
        (
            "job_logging: {handlers: {file: {filename: /elsewhere}}}",
            "hydra.job_logging.handlers.file.filename=/elsewhere",
        ),
        ("job_logging: {handlers: {file: {mode: w}}}", "hydra.job_logging.handlers.file.mode=w"),
        (
            "job_logging: {handlers: {a: {(): foreign.Handler}}}",
            "hydra.job_logging.handlers.a.()=foreign.Handler",
        ),
        (
            "job_logging: {filters: {a: {(): foreign.Handler}}}",
            "hydra.job_logging.filters.a.()=foreign.Handler",
        ),
        (
            "job_logging: {handlers: {console: {stream: ext://foreign.a}}}",
            "hydra.job_logging.handlers.console.stream=ext://foreign.a",
        ),
        ("job_logging: {version: 2}", "hydra.job_logging.version=2"),
        ("job_logging: {handlers: {a: '${hostile}'}}", "hydra.job_logging.handlers.a=${hostile}"),
        ("job_logging: '${hostile}'", "hydra.job_logging=${hostile}"),
    ],
)
def test_everything_else_under_hydra_is_refused(folder, canary, hostile, named):
    rest = "hostile: {_target_: foreign.Callback}\nhostiles: {a: {_target_: foreign.Callback}}"
    write_experiment(folder, hostile, rest=rest)
    options = ["--config-dir", str(folder), "experiment=theirs"]
    assert named in refusal(*options)
    assert not canary.exists()
    check_command_line([*options, "trust=[hydra]"])
    assert not canary.exists()


@pytest.mark.parametrize(
    "hostile",
    [
        "new_section: {a: 1}",
        "sweeper: {max_batch_size: many}",
        "sweeper: {sampler: {_target_: foreign.Callback}}",
        "job_logging: null",
    ],
)
def test_hydra_itself_refuses_what_its_schema_does_not_have(folder, hostile):
    write_experiment(folder, hostile)
    with pytest.raises(HydraException):
        check_command_line(["--config-dir", str(folder), "experiment=theirs"])


@pytest.mark.parametrize(
    "options",
    [
        ["--config-dir={}", "experiment=theirs"],
        ["--config-dir", "{}", "experiment=theirs"],
        ["-cd", "{}", "experiment=theirs"],
        ["--config-d", "{}", "experiment=theirs"],
        ["--config-dir={}", "experiment=theirs", "--multirun"],
        ["--config-dir={}", "hydra/callbacks=theirs"],
        ["--config-dir={}", "hydra/job_logging=theirs"],
        ["--config-dir={}", "+planner@hydra.callbacks.hostile=callback"],
        ["--config-dir={}", "+planner@hydra.callbacks=many"],
        ["--config-dir={}", "experiment=overriding"],
        ["--config-dir={}", "--config-name=primary"],
        ["-cp", "{}", "-cn", "primary"],
    ],
)
def test_there_is_no_other_way_in(folder, canary, options):
    write_experiment(folder, CALLBACK)
    write(folder, "hydra/callbacks/theirs", "hostile: {_target_: foreign.Callback}")
    write(folder, "hydra/job_logging/theirs", "handlers: {a: {class: logging.FileHandler}}")
    write(folder, "planner/callback", "_target_: foreign.Callback")
    write(folder, "planner/many", "hostile: {_target_: foreign.Callback}")
    rest = "defaults: [{override /hydra/callbacks: theirs}]"
    write_experiment(folder, "mode: RUN", name="overriding", rest=rest)
    write(folder, "primary", f"defaults: [_self_]\nhydra:\n  {CALLBACK}")
    refusal(*(option.format(folder) for option in options))
    assert not canary.exists()


def test_an_option_outside_of_conf_is_checked_too(tmp_path, canary):
    write_experiment(tmp_path / "conf", CALLBACK)
    option = os.path.relpath(tmp_path / "conf" / "experiment" / "theirs", CONFIG_FOLDER / "a")
    assert "hydra.callbacks.hostile" in refusal(f"experiment={option}")
    parameters = f"mode: MULTIRUN\n  sweeper: {{params: {{experiment: {option}}}}}"
    write(tmp_path / "conf", "primary", f"defaults: [/config, _self_]\nhydra:\n  {parameters}")
    primary = os.path.relpath(tmp_path / "conf" / "primary", CONFIG_FOLDER)
    assert "hydra." in refusal("-cn", primary)
    assert not canary.exists()


@pytest.mark.parametrize("job", ["evil", "dotted"])
def test_a_job_cannot_change_the_settings_of_its_sweep(folder, job):
    use_local_launcher()
    write_experiment(folder, "sweep: {dir: /elsewhere}", name="evil")
    hostile = "job_logging: {handlers: {file: {class: foreign.A}}, handlers.file.class: a}"
    write_experiment(folder, hostile, name="dotted")
    loader = config_loader(None, str(folder))
    overrides = ["hydra.mode=MULTIRUN", "seed=0,1"]
    sweep = loader.load_configuration("config", overrides, RunMode.MULTIRUN)
    harmless = loader.load_sweep_config(sweep, ["experiment=original", "num_threads=2", "seed=1"])
    check_job(harmless, sweep)
    hostile_job = loader.load_sweep_config(sweep, [f"experiment={job}"])
    with pytest.raises(ConfigError, match=r"hydra\."):
        check_job(hostile_job, sweep)


@pytest.mark.parametrize(
    "search_path",
    ["[pkg://foreign]", "['${oc.decode:pkg://foreign}']", "${paths}", "[file:///elsewhere]"],
)
def test_a_search_path_imports_nothing(folder, canary, search_path):
    text = f"defaults: [config]\npaths: ['pkg://foreign']\nhydra:\n  searchpath: {search_path}"
    write(folder, "primary", text)
    for option in ("--config-dir", "--config-path"):
        assert "hydra.searchpath" in refusal(option, str(folder), "--config-name", "primary")
    write(folder, "primary", "settings: {searchpath: ['pkg://foreign']}\nhydra: ${settings}")
    assert "${settings}" in refusal("-cp", str(folder), "-cn", "primary")
    assert "hydra.searchpath" in refusal("hydra.searchpath=[pkg://foreign]")
    assert not canary.exists()


def test_a_config_path_in_a_package_imports_nothing(canary):
    sentence = refusal("--config-path", "pkg://foreign")
    assert sentence.startswith("--config-path=pkg://foreign")
    assert "trust=[hydra]" in sentence
    assert not canary.exists()


@pytest.mark.parametrize("option", ["--experimental-rerun={}", "--exp={}"])
def test_a_pickle_is_not_read_even_with_trust(tmp_path, canary, option):
    (tmp_path / "config.pickle").write_bytes(pickle.dumps(Touch(canary)))
    sentence = refusal(option.format(tmp_path / "config.pickle"), "trust=[hydra]")
    assert str(tmp_path / "config.pickle") in sentence
    assert "python -m mbrl reproduce RUN" in sentence
    assert not canary.exists()


@pytest.mark.slow
def test_run_py_refuses_a_job_that_a_launcher_of_hydra_would_not_check(tmp_path, folder, canary):
    basic = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
    launcher = f"launcher: {{_target_: {basic}}}"
    parameters = "sweeper: {params: {planner: evil}}"
    logging = "job_logging: {handlers: {file: {class: foreign.Handler}}}"
    write(folder, "hydra/launcher/basic", "# @package foo\n_target_: x")
    write_experiment(folder, f"mode: MULTIRUN\n  {launcher}\n  {parameters}")
    write(folder, "planner/evil", f"# @package _global_\nhydra:\n  {launcher}\n  {logging}")
    result = subprocess.run(
        [sys.executable, str(ROOT / "run.py"), "--config-dir", str(folder), "experiment=theirs"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 1
    assert "hydra.launcher._target_" in result.stderr
    assert not canary.exists()


@pytest.mark.slow
@pytest.mark.parametrize("mode", [[], ["--multirun"]], ids=["run", "multirun"])
def test_run_py_refuses_before_hydra_starts(tmp_path, folder, canary, mode):
    write_experiment(folder, CALLBACK)
    command = [sys.executable, str(ROOT / "run.py"), *mode, "--config-dir", str(folder)]
    command += ["experiment=theirs", "training.env_steps=-5", "logger=files"]
    command += [f"hydra.run.dir={tmp_path}/run", f"hydra.sweep.dir={tmp_path}/sweep"]
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}

    def run(*trust: str) -> subprocess.CompletedProcess:
        options = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True}
        return subprocess.run([*command, *trust], timeout=120, **options)

    result = run()
    assert result.returncode == 1
    assert "hydra.callbacks.hostile._target_=foreign.Callback" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not any((tmp_path / name).exists() for name in ("run", "sweep", "canary"))
    result = run("trust=[hydra]")
    assert "training.env_steps=-5" in result.stderr
    assert canary.read_text() == "ran"
