"""Arguments that several commands take."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from mbrl.errors import ConfigError
from mbrl.regular_files import check_entries
from mbrl.runs.finder import is_run, is_sweep
from mbrl.terminal import ArgumentParser, Console

MISSING = object()
OUTPUTS = Path("outputs")


class Parser(ArgumentParser):
    """Parser for a command that takes the folder of a run or sweep, and may take overrides."""

    def __init__(self, command: str, description: str, takes_overrides: bool = True):
        super().__init__(f"python -m mbrl {command}", description=description)
        help_text = "folder of a run or a sweep"
        self.add_argument("path", type=Path, metavar="RUN", help=help_text)
        if takes_overrides:
            help_text = (
                "settings to change, if the command allows it; trust=[package] allows your own "
                "parts"
            )
            self.add_argument("overrides", nargs="*", metavar="name=value", help=help_text)


def tolerance(text: str) -> float:
    """Parse --tolerance: a relative difference of at least 0."""
    value = float(text)
    if not value >= 0:
        raise argparse.ArgumentTypeError(f"{text}: must be a number of at least 0")
    return value


def resolve_folder(path: Path) -> Path:
    """The folder of a run or sweep, given itself or its config.yaml.

    Raises ConfigError if it holds neither, CorruptRun if it holds a link or a pipe.
    """
    folder = path.parent if path.name == "config.yaml" else path
    if not is_run(folder) and not is_sweep(folder):
        raise ConfigError(
            f"{path} is neither a run, which has a config.yaml, nor a sweep. Check the path."
        )
    check_entries(folder)
    return folder


def add_folders(parser: argparse.ArgumentParser) -> None:
    """Add `paths`, the folders to look for runs in, by default outputs."""
    help_text = "where to look; default: outputs"
    parser.add_argument(
        "paths", nargs="*", type=Path, default=[OUTPUTS], metavar="FOLDER", help=help_text
    )


def have_runs_begun(paths: Sequence[Path]) -> bool:
    """Whether the folders exist; false, with a hint, where the default folder does not.

    Raises ConfigError for any other path that is not a folder.
    """
    if paths == [OUTPUTS] and not OUTPUTS.exists():
        Console().say("There are no runs here yet. Start one: python -m mbrl run planner=mcts")
        return False
    for path in paths:
        if not path.is_dir():
            raise ConfigError(
                f"{path} is not a folder. Name one that contains runs or sweeps, such as outputs."
            )
    return True


def override(config: DictConfig, given: Sequence[str], allowed: Sequence[str], rule: str) -> None:
    """Change settings of a saved config in place.

    `allowed` has the settings that may change; a final dot stands for all settings of a group.
    Raises ConfigError with the `rule` for others, and for settings that the config does not have.
    """
    for text in given:
        name, equals, _ = text.partition("=")
        if name == "trust":
            continue
        is_allowed = any(
            name == setting or (setting.endswith(".") and name.startswith(setting))
            for setting in allowed
        )
        if not equals or not is_allowed:
            raise ConfigError(f"{text}: cannot be changed here. {rule}")
        if OmegaConf.select(config, name, default=MISSING) is MISSING:
            raise ConfigError(
                f"{name} is not a setting of this run's config.yaml. Check its spelling there."
            )
        OmegaConf.update(config, name, OmegaConf.select(OmegaConf.from_dotlist([text]), name))
