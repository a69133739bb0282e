"""The Optuna study of a search: opening it, and checking that it belongs to this search."""

import re
import shlex
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna import Study
from optuna.exceptions import OptunaError
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from mbrl.config.validation import format_value
from mbrl.errors import ConfigError, one_line

# User attributes of the study.
SEARCH = "search"  # what is searched
FOLDER = "folder"  # the sweep's folder, if the database is elsewhere

PASSWORD_KEYS = {"password", "passwd"}  # as some drivers take them, after the ? of an address


def check_storage(storage: Any) -> None:
    """Raises ConfigError for an invalid address, and for one with a password.

    The address is written to the sweep's files, so a password in it would leak.
    """
    try:
        if not isinstance(storage, str):
            raise ValueError
        url = make_url(storage)
    except (ArgumentError, ValueError):
        # Even an invalid address can contain a password.
        public = re.sub(r"//.*@", "//***@", format_value(storage))
        raise ConfigError(
            f"hydra.sweeper.storage={public}: must be the address of a database, such as "
            "sqlite:////absolute/path/optuna.db or postgresql://user@host/database, "
            "or null for one in the sweep's folder."
        ) from None
    if url.password is not None or PASSWORD_KEYS.intersection(url.query):
        public = url.set(query={}).render_as_string(hide_password=True)
        raise ConfigError(
            f"hydra.sweeper.storage={public}: must contain no password, because it is written to "
            "the sweep's files. Put the password where the database's driver looks for it "
            "(PGPASSWORD or ~/.pgpass for PostgreSQL, my.cnf for MySQL)."
        )


def database_in(folder: Path) -> str:
    """The address of a database in the sweep's folder, whatever characters the name has."""
    url = URL.create("sqlite", database=str(folder / "optuna.db"))
    return url.render_as_string(hide_password=False)


def without_password(url: str) -> str:
    """A database's address for display."""
    return make_url(url).render_as_string(hide_password=True)


def open_study(url: str, name: str, direction: Literal["maximize", "minimize"]) -> Study:
    """Create or load the study. Raises ConfigError if the database cannot be used."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return optuna.create_study(
            storage=url, study_name=name, direction=direction, load_if_exists=True
        )
    # ImportError: a missing driver. ValueError, TypeError: an invalid port, for example.
    # RuntimeError: the tables of another version.
    except (
        SQLAlchemyError,
        OptunaError,
        ImportError,
        ValueError,
        TypeError,
        RuntimeError,
    ) as error:
        raise ConfigError(
            f"hydra.sweeper.storage={without_password(url)} cannot be opened ({one_line(error)}). "
            "Give an existing database whose driver is installed, such as "
            "sqlite:////absolute/path/optuna.db, or null for one in the sweep's folder."
        ) from error


def check_same_search(study: Study, search: dict[str, Any], url: str) -> None:
    """Raises ConfigError if the study is of another search: their scores cannot be compared."""
    saved = study.user_attrs.get(SEARCH)
    if saved is None and not study.get_trials(deepcopy=False):
        study.set_user_attr(SEARCH, search)
    elif saved is None or saved.get("format") != search["format"]:
        raise ConfigError(
            f"hydra.sweeper.study_name={study.study_name}: in {without_password(url)} it was made "
            "by another program or an older version of this one. Give another study_name, or leave "
            "out hydra.sweep.dir."
        )
    elif saved != search:
        name = next(name for name in search if saved.get(name) != search[name])
        raise ConfigError(
            f"The study {study.study_name} in {without_password(url)} has "
            f"{name}={saved.get(name)}, but this command has {name}={search[name]}. To resume it, "
            "give the command that started it (hydra.sweeper.num_trials may grow). "
            "For a new search, leave out hydra.sweep.dir."
        )


def check_same_folder(study: Study, folder: Path, url: str) -> None:
    """Raises ConfigError if the study belongs to another folder, whose search may be running."""
    own, saved = str(folder.resolve()), study.user_attrs.get(FOLDER)
    if saved is None:
        study.set_user_attr(FOLDER, own)
    elif saved != own:
        name, public = study.study_name, without_password(url)
        move = ["optuna", "study", "set-user-attr", "--storage", public, "--study-name", name]
        raise ConfigError(
            f"hydra.sweeper.study_name={name}: in {public} it is the search of "
            f"hydra.sweep.dir={saved}, not of {own}. Give that folder, or another study_name. "
            f"If the folder was moved: `{shlex.join([*move, '--key', FOLDER, '--value', own])}`."
        )
