"""The Optuna study of a search, in a database in the sweep's folder."""

from pathlib import Path
from typing import Any, Literal

import optuna
from optuna import Study
from optuna.exceptions import OptunaError
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from mbrl.errors import ConfigError, one_line

NAME = "mbrl"
# User attributes of the study.
SEARCH = "search"  # what is searched
BATCH = "batch"  # start and end of the current batch, and its failures by job


def database_in(folder: Path) -> str:
    """The address of the database in a sweep's folder, whatever characters the name has."""
    return URL.create("sqlite", database=str(folder.absolute() / "optuna.db")).render_as_string()


def open_study(folder: Path, direction: Literal["maximize", "minimize"]) -> Study:
    """Create or load the study in a sweep's folder. Raises ConfigError for a damaged database."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return optuna.create_study(
            storage=database_in(folder), study_name=NAME, direction=direction, load_if_exists=True
        )
    except (SQLAlchemyError, OptunaError, RuntimeError) as error:
        raise ConfigError(
            f"{folder / 'optuna.db'} cannot be opened ({one_line(error)}). "
            "Leave out hydra.sweep.dir for a new search."
        ) from error


def check_same_search(study: Study, search: dict[str, Any], folder: Path) -> None:
    """Raises ConfigError if the study is of another search: their scores cannot be compared."""
    saved = study.user_attrs.get(SEARCH)
    if saved is None:
        study.set_user_attr(SEARCH, search)
    elif saved.get("format") != search["format"] or saved.keys() != search.keys():
        raise ConfigError(
            f"hydra.sweep.dir={folder}: holds a search by an older version of this program. "
            "Leave it out for a new search."
        )
    elif saved != search:
        name = next(name for name in search if saved.get(name) != search[name])
        raise ConfigError(
            f"hydra.sweep.dir={folder}: holds a search with {name}={saved[name]}, but this command "
            f"has {name}={search[name]}. To resume it, give the command that started it "
            "(hydra.sweeper.num_trials may grow). For a new search, leave out hydra.sweep.dir."
        )
