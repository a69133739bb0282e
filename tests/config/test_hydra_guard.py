"""What a command line would have Hydra start is refused before Hydra starts it; a canary would show that something ran."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from mbrl.config.compose import CONFIG_FOLDER
from mbrl.config.hydra_guard import check_command_line
from mbrl.errors import ConfigError

ROOT = Path(__file__).parent.parent

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

CALLBACK = "hydra: {callbacks: {hostile: {_target_: foreign.Callback}}}"
CALLBACK_NAMED = "_target_=foreign.Callback"


class Touch:
    """Unpickling this makes a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def canary(tmp_path, monkeypatch) -> Path:
    """A file that is there once anybody has imported the package `foreign`, and says `ran` once its callback was called."""
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
    """Somebody else's config folder, given by --config-dir."""
    path = tmp_path / "their_conf"
    path.mkdir()
    return path


def write(folder: Path, name: str, text: str) -> None:
    path = folder / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def refusal(*arguments: str) -> str:
    with pytest.raises(ConfigError) as caught:
        check_command_line(arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_plain_command_line_is_not_even_composed(monkeypatch):
    monkeypatch.delattr("mbrl.config.hydra_guard.ConfigLoaderImpl")
    check_command_line([])
    check_command_line(["-m", "planner=mcts,cem", "seed=range(5)", "trust=[mine]"])


@pytest.mark.parametrize(
    "arguments",
    [
        ["hydra.run.dir=somewhere", "planner=mcts"],
        ["-m", "hydra.sweep.dir=somewhere", "seed=0,1", "planner=mcts,cem"],
        [
            "-m",
            "hydra/sweeper=optuna",
            "hydra.sweeper.storage=sqlite:///somewhere.db",
            "planner=mcts,cem",
        ],
        ["-m", "hydra/launcher=basic", "hydra.verbose=true", "discount=interval(0.9,0.99)"],
        ["hydra/job_logging=disabled"],
        ["hydra/job_logging=stdout", "hydra/hydra_logging=hydra_debug"],
        ["hydra.job_logging.root.level=DEBUG"],
        ["+hydra.job.env_set.NAME=value"],
        ["--config-path", str(CONFIG_FOLDER)],
        ["--config-path", "conf", "--config-name", "config"],
        ["--cfg", "hydra", "--config-name", "config"],
    ],
)
def test_what_the_project_and_hydra_ship_passes(arguments):
    check_command_line(arguments)


def test_a_config_of_somebody_s_own_passes(folder):
    write(
        folder,
        "experiment/theirs",
        "# @package _global_\ndefaults: [{override /planner: theirs}]\nseed: 3",
    )
    write(folder, "planner/theirs", "_target_: their_package.Planner\nname: ${experiment}")
    check_command_line(["--config-dir", str(folder), "experiment=theirs", "trust=[their_package]"])
    check_command_line(["-m", "--config-dir", str(folder), "planner=theirs,cem", "seed=0,1"])


@pytest.mark.parametrize(
    "options",
    [
        ["--config-dir={}", "experiment=theirs"],
        ["--config-dir", "{}", "experiment=theirs"],
        ["-cd", "{}", "experiment=theirs"],
        ["--config-d", "{}", "experiment=theirs"],
        ["--config-dir={}", "experiment=theirs", "--multirun"],
        ["-m", "--config-dir={}", "experiment=theirs,original"],
        ["-m", "--config-dir={}", "experiment=original,theirs"],
        ["-m", "--config-dir={}", "experiment=glob(*)"],
        ["-m", "--config-dir={}", "experiment=choice(original,theirs)"],
        ["-m", "--config-dir={}", "planner=cem,mcts", "experiment=only_with_${planner}", "seed=0"],
        ["--config-dir={}", "hydra/callbacks=theirs"],
        ["--config-dir={}", "+planner@hydra.callbacks.hostile=callback"],
        ["--config-dir={}", "+planner@hydra.callbacks=many"],
        ["--config-dir={}", "experiment=overriding"],
        ["--config-dir={}", "--config-name=primary"],
        ["-cp", "{}", "-cn", "primary"],
    ],
)
def test_a_callback_is_not_made(folder, canary, options):
    write(folder, "experiment/theirs", f"# @package _global_\n{CALLBACK}")
    write(folder, "experiment/only_with_mcts", f"# @package _global_\n{CALLBACK}")
    write(folder, "experiment/only_with_cem", "# @package _global_\nseed: 3")
    write(folder, "hydra/callbacks/theirs", "hostile: {_target_: foreign.Callback}")
    write(folder, "planner/callback", "_target_: foreign.Callback")
    write(folder, "planner/many", "hostile: {_target_: foreign.Callback}")
    write(
        folder,
        "experiment/overriding",
        "# @package _global_\ndefaults: [{override /hydra/callbacks: theirs}]",
    )
    write(folder, "primary", f"defaults: [_self_]\n{CALLBACK}")
    arguments = [option.format(folder) if "{}" in option else option for option in options]
    sentence = refusal(*arguments)
    assert CALLBACK_NAMED in sentence
    assert "trust=[foreign]" in sentence
    assert not canary.exists()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("callbacks: {a: {_target_: foreign.Callback}}", CALLBACK_NAMED),
        ("callbacks: {a: {_target_: foreign.Callback, _partial_: true}}", CALLBACK_NAMED),
        ("callbacks: {a: {b: [{c: {_target_: foreign.Callback}}]}}", CALLBACK_NAMED),
        (
            "callbacks: {a: {_target_: mbrl.loggers.files.FilesLogger, folder: /}}",
            "_target_=mbrl.loggers.files.FilesLogger",
        ),
        (
            "callbacks: {a: {_target_: hydra.utils.get_object, path: foreign}}",
            "_target_=hydra.utils.get_object",
        ),
        ("callbacks: {a: {_target_: [foreign.Callback]}}", "_target_=['foreign.Callback']"),
        ("callbacks: {a: '${hostile}'}", CALLBACK_NAMED),
        ("callbacks: '${hostiles}'", CALLBACK_NAMED),
        ("callbacks: {a: '\\${hostile}'}", "${hostile}"),
        ("launcher: {_target_: foreign.Callback}", CALLBACK_NAMED),
        (
            "launcher: {_target_: hydra._internal.core_plugins.basic_launcher.Path}",
            "core_plugins.basic_launcher.Path is not one",
        ),
        ("sweeper: {_target_: foreign.Callback}", CALLBACK_NAMED),
        ("sweeper: {params: {trust: foreign}}", "hydra.sweeper.params.trust=foreign"),
        ("mode: MULTIRUN", "hydra.mode=MULTIRUN"),
        ("run: {dir: /elsewhere}", "hydra.run.dir=/elsewhere"),
        ("output_subdir: /elsewhere", "hydra.output_subdir=/elsewhere"),
        ("job: {env_set: {LD_PRELOAD: theirs.so}}", "hydra.job.env_set.LD_PRELOAD=theirs.so"),
        ("overrides: {task: ['trust=[foreign]']}", "hydra.overrides.task.0=trust=[foreign]"),
        (
            "job_logging: {handlers: {a: {(): foreign.Handler}}}",
            "hydra.job_logging.handlers.a.()=foreign.Handler",
        ),
        (
            "job_logging: {handlers: {a: {class: foreign.Handler}}}",
            "hydra.job_logging.handlers.a.class=foreign.Handler",
        ),
        (
            "job_logging: {formatters: {a: {(): foreign.Handler}}}",
            "hydra.job_logging.formatters.a.()=foreign.Handler",
        ),
        (
            "job_logging: {formatters: {a: {class: foreign.Handler}}}",
            "hydra.job_logging.formatters.a.class=foreign.Handler",
        ),
        (
            "job_logging: {filters: {a: {(): foreign.Handler}}}",
            "hydra.job_logging.filters.a.()=foreign.Handler",
        ),
        (
            "job_logging: {handlers: {a: {class: logging.StreamHandler, stream: ext://foreign.a}}}",
            "stream=ext://foreign.a",
        ),
        (
            "job_logging: {handlers: {a: {class: logging.handlers.SocketHandler}}}",
            "class=logging.handlers.SocketHandler",
        ),
        (
            "job_logging: {handlers: {file: {filename: /elsewhere}}}",
            "hydra.job_logging.handlers.file.filename=/elsewhere",
        ),
        ("job_logging: {handlers: {a: '${hostile}'}}", "hydra.job_logging.handlers.a=${hostile}"),
        ("job_logging: '${hostile}'", "hydra.job_logging=${hostile}"),
        (
            "hydra_logging: {handlers: {a: {(): foreign.Handler}}}",
            "hydra.hydra_logging.handlers.a.()=foreign.Handler",
        ),
    ],
)
def test_hydra_s_own_settings_run_nothing(folder, canary, text, named):
    values = "hostile: {_target_: foreign.Callback}\nhostiles: {a: {_target_: foreign.Callback}}"
    write(folder, "experiment/theirs", f"# @package _global_\n{values}\nhydra:\n  {text}")
    sentence = refusal("--config-dir", str(folder), "experiment=theirs")
    assert named in sentence
    assert "trust=[" in sentence or "write the value itself" in sentence
    assert not canary.exists()


@pytest.mark.parametrize("group", ["launcher", "sweeper"])
@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("a: {_target_: foreign.Callback}", CALLBACK_NAMED),
        ("a: ['${hostile}']", CALLBACK_NAMED),
        ("a: '\\${hostile}'", "${hostile}"),
        ("a: {_target_: hydra.utils.get_object, path: foreign}", "_target_=hydra.utils.get_object"),
        ("setup: [touch a file]", "setup.0=touch a file"),
        ("custom_search_space: foreign.search", "custom_search_space=foreign.search"),
    ],
)
def test_a_launcher_or_sweeper_of_somebody_else_s_runs_nothing(folder, canary, group, text, named):
    target = f"hydra._internal.core_plugins.basic_{group}.Basic{group.title()}"
    write(folder, f"hydra/{group}/theirs", f"{text}\n_target_: {target}")
    write(
        folder,
        "experiment/theirs",
        f"# @package _global_\ndefaults: [{{override /hydra/{group}: theirs}}]",
    )
    for override in (f"hydra/{group}=theirs", "experiment=theirs"):
        sentence = refusal(
            "-m", "--config-dir", str(folder), override, "+hostile._target_=foreign.Callback"
        )
        assert named in sentence
        assert "trust=[" in sentence or "write the value itself" in sentence
        assert not canary.exists()


def test_trust_lets_hydra_start_what_it_names(folder, canary):
    text = "hydra: {callbacks: {a: {_target_: foreign.Callback}}, job_logging: {handlers: {b: {class: foreign.Handler}}}}"
    write(folder, "experiment/theirs", f"# @package _global_\n{text}")
    check_command_line(["--config-dir", str(folder), "experiment=theirs", "trust=[foreign]"])
    assert canary.exists()
    write(
        folder,
        "experiment/theirs",
        "# @package _global_\nhydra: {job: {env_set: {A: b}}, run: {dir: elsewhere}}",
    )
    check_command_line(["--config-dir", str(folder), "experiment=theirs", "trust=[hydra]"])


def test_no_trust_lets_a_config_speak_for_the_command_line(folder):
    write(
        folder,
        "experiment/theirs",
        "# @package _global_\nhydra: {overrides: {task: ['trust=[os]']}}",
    )
    assert "hydra.overrides" in refusal(
        "--config-dir", str(folder), "experiment=theirs", "trust=[hydra]"
    )


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("+hydra.callbacks.a._target_=foreign.Callback", CALLBACK_NAMED),
        ("++hydra.callbacks.a={_target_: foreign.Callback}", CALLBACK_NAMED),
        ("hydra.launcher._target_=foreign.Callback", CALLBACK_NAMED),
        ("hydra.sweeper._target_=foreign.Callback", CALLBACK_NAMED),
        ("+hydra.sweeper.sampler._target_=foreign.Callback", CALLBACK_NAMED),
        ("+hydra.job_logging.handlers.a.class=foreign.Handler", "class=foreign.Handler"),
        ("hydra.job_logging.handlers.console.stream=ext://foreign.a", "stream=ext://foreign.a"),
        (
            "hydra.searchpath=[pkg://foreign.more]",
            "hydra.searchpath=pkg://foreign.more (which imports foreign.more)",
        ),
        (
            "hydra.searchpath=[pkg://foreign/more]",
            "hydra.searchpath=pkg://foreign/more (which imports foreign.more)",
        ),
    ],
)
def test_the_command_line_s_own_words_need_trust_too(canary, override, named):
    for arguments in ([override], ["-m", override], ["seed=1", override, "planner=mcts"]):
        sentence = refusal(*arguments)
        assert named in sentence
        assert "trust=[foreign]" in sentence
        assert not canary.exists()
    check_command_line([override, "trust=[foreign]"])


@pytest.mark.parametrize(
    "searchpath",
    ["[pkg://foreign]", "['${oc.decode:pkg://foreign}']", "${paths}", "[file:///elsewhere]"],
)
def test_a_search_path_imports_nothing(folder, canary, searchpath):
    write(
        folder,
        "primary",
        f"defaults: [config]\npaths: ['pkg://foreign']\nhydra:\n  searchpath: {searchpath}",
    )
    for options in (["--config-dir", str(folder)], ["--config-path", str(folder)]):
        sentence = refusal(*options, "--config-name", "primary")
        assert "hydra.searchpath=" in sentence
        assert "trust=[" in sentence
    write(folder, "primary", "settings: {searchpath: ['pkg://foreign']}\nhydra: ${settings}")
    assert "${settings}" in refusal("-cp", str(folder), "-cn", "primary")
    assert not canary.exists()


def test_a_config_path_in_a_package_imports_nothing(canary):
    sentence = refusal("--config-path", "pkg://foreign")
    assert "--config-path=pkg://foreign (which imports foreign)" in sentence
    assert "trust=[foreign]" in sentence
    assert not canary.exists()


@pytest.mark.parametrize("option", ["--experimental-rerun={}", "--exp={}"])
def test_a_pickle_is_not_read(tmp_path, canary, option):
    (tmp_path / "config.pickle").write_bytes(pickle.dumps(Touch(canary)))
    sentence = refusal(option.format(tmp_path / "config.pickle"), "trust=[foreign]")
    assert str(tmp_path / "config.pickle") in sentence
    assert "python -m mbrl reproduce RUN" in sentence
    assert "trust=" in sentence
    assert not canary.exists()


def start(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """`run.py`, with the package `foreign` at hand, and with a budget that ends it before it trains."""
    command = [
        sys.executable,
        str(ROOT / "run.py"),
        *arguments,
        "training.env_steps=-5",
        "logger=files",
        f"hydra.run.dir={folder}/run",
    ]
    environment = os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )


@pytest.mark.slow
@pytest.mark.parametrize("mode", [[], ["--multirun"]], ids=["run", "multirun"])
@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("callbacks: {a: {_target_: foreign.Callback}}", CALLBACK_NAMED),
        (
            "job_logging: {root: {handlers: [a]}, handlers: {a: {class: foreign.Handler}}}",
            "class=foreign.Handler",
        ),
    ],
)
def test_run_refuses_before_hydra_starts(tmp_path, folder, canary, mode, text, named):
    write(folder, "experiment/theirs", f"# @package _global_\nhydra: {{{text}}}")
    options = [
        *mode,
        "--config-dir",
        str(folder),
        "experiment=theirs",
        f"hydra.sweep.dir={tmp_path}/sweep",
    ]
    result = start(tmp_path, *options)
    assert result.returncode == 1
    assert named in result.stderr
    assert "trust=[foreign]" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not canary.exists()
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "sweep").exists()
    result = start(tmp_path, *options, "trust=[foreign]")
    assert "training.env_steps=-5" in result.stderr
    assert canary.exists()
    assert "callbacks" not in text or canary.read_text() == "ran"


@pytest.mark.slow
def test_run_does_not_unpickle(tmp_path, canary):
    (tmp_path / "config.pickle").write_bytes(pickle.dumps(Touch(canary)))
    result = start(tmp_path, f"--experimental-rerun={tmp_path}/config.pickle")
    assert result.returncode == 1
    assert result.stderr.startswith("Error: --experimental-rerun=")
    assert len(result.stderr.strip().splitlines()) == 1
    assert not canary.exists()
