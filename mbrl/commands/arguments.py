"""What the commands have in common: a saved run, read without trusting it."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from mbrl.errors import ConfigError
from mbrl.runs.finder import is_run, is_sweep, refuse_links_out


class Parser(argparse.ArgumentParser):
    """The arguments that each command takes: a path, and what the command line vouches for."""

    def __init__(self, command: str, description: str, path: str = "a run's folder, or a sweep's"):
        super().__init__(f"python -m mbrl {command}", description=description)
        self.add_argument("path", type=Path, metavar="RUN", help=path)
        self.add_argument(
            "overrides",
            nargs="*",
            metavar="name=value",
            help="settings to change, where a command allows it; trust=[package] vouches for your own parts",
        )


def tolerance(text: str) -> float:
    """What --tolerance can be: a relative difference, 0 or more."""
    number = float(text)
    if not number >= 0:
        raise argparse.ArgumentTypeError(
            f"{text} must be a number, at least 0: the relative difference allowed"
        )
    return number


def resolve_folder(path: Path) -> Path:
    """The folder of a run or sweep; a config.yaml stands for the folder that it lies in. Raises ConfigError where it holds
    neither, CorruptRun where one of its files lies elsewhere.
    """
    folder = path.parent if path.name == "config.yaml" else path
    if not is_run(folder) and not is_sweep(folder):
        raise ConfigError(
            f"{path} holds no run, which has a config.yaml, and no sweep: check the path."
        )
    refuse_links_out(folder)
    return folder


def override(config: DictConfig, given: Sequence[str], allowed: Sequence[str], why: str) -> None:
    """Changes settings that may be changed; those of a group are allowed by its name and a dot.

    Raises ConfigError for others, saying `why`, and for those that the config does not have.
    """
    for text in given:
        name, equals, _ = text.partition("=")
        if name == "trust":
            continue
        if not equals or not any(
            name == each or (each.endswith(".") and name.startswith(each)) for each in allowed
        ):
            raise ConfigError(f"{text} cannot be said here: {why}")
        if OmegaConf.select(config, name, default=MISSING) is MISSING:
            raise ConfigError(
                f"{name} is not a setting of this run's config.yaml: check its spelling there."
            )
        OmegaConf.update(config, name, OmegaConf.select(OmegaConf.from_dotlist([text]), name))


MISSING = object()
