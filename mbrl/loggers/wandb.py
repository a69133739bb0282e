"""Weights & Biases: the same rows, recorded offline by default, which needs no account."""

import contextlib
import json
import logging
import os
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import TIMEOUT_MAX
from typing import Any, Literal

import wandb
from pydantic import ValidationError
from wandb.errors import AuthenticationError, UsageError

from mbrl.errors import one_line
from mbrl.loggers.base import AbstractLogger
from mbrl.loggers.destination import (
    VARIABLES,
    destination_of,
    report_unused_variables,
    split_tags,
)
from mbrl.run_info import RunInfo, checkpoint_files, wandb_agent_run_id
from mbrl.wandb_internals import is_logged_in, time_limit

MODES = ("offline", "online", "disabled")
# Has no setting: it belongs to the machine, and a config from elsewhere must not choose a folder.
FOLDER_VARIABLE = "WANDB_DIR"
MAX_TAG_LENGTH = 64  # characters; W&B refuses longer tags

# 255 is W&B's own code for a run that was ended by Ctrl-C.
EXIT_CODES = {"completed": 0, "failed": 1, "interrupted": 255}

logger = logging.getLogger(__name__)


class WandbLogger(AbstractLogger):
    """Sends rows to one W&B run, whose files are in `<folder>/wandb` or in `$WANDB_DIR/wandb`.

    W&B plots every metric over `env_steps`. It receives the rows of metrics.jsonl and histograms
    of their lists, which it cannot plot (`evaluation/returns_histogram`). Its failures stop neither
    the run nor the other loggers, and delay them by seconds at most; one warning reports them. If
    the server does not answer, the run is recorded offline and `wandb sync` uploads it later.

    A row's step in W&B is its index in metrics.jsonl. A resumed run keeps its `run_info.run_id`:
    online, W&B continues the same run; offline, the new rows go to a second folder, and
    `wandb sync` joins the two. Under `wandb agent` (docs/search.md), the agent chooses the run's
    id and its project.

    The variables of VARIABLES are the defaults of conf/logger/wandb.yaml. config.yaml has the
    values that a new run used. A saved or foreign config alone neither uploads nor names the
    account (`destination.py`). Mode "disabled" records nothing.

    Raises ValueError for mode "online" without a login, for a timeout that is not positive, for a
    WANDB_DIR that cannot be written, for a project or tags that W&B refuses, and what
    `destination.py` raises.
    """

    def __init__(
        self,
        run_info: RunInfo,
        mode: str = "offline",
        project: str = "mbrl",
        entity: str | None = None,
        name: str | None = None,
        group: str | None = None,
        tags: Sequence[str] | str | None = None,  # text is split at commas
        upload_checkpoint: bool = False,  # the last one, when the run ends, as an artifact
        init_timeout: float = 5.0,  # seconds to wait for the server at the start
        finish_timeout: float = 5.0,  # seconds to wait for the last rows to be uploaded
        grace: float = 5.0,  # seconds that W&B's own process may take beyond these timeouts
    ):
        wanted = {"mode": mode, "entity": entity, "project": project}
        mode, entity, project = destination_of(run_info, wanted)
        if mode not in MODES:
            raise ValueError(f"{_given('mode', mode)}: must be one of {', '.join(MODES)}.")
        timeouts = {"init_timeout": init_timeout, "finish_timeout": finish_timeout, "grace": grace}
        for key, seconds in timeouts.items():
            if not 0 < seconds <= TIMEOUT_MAX:
                raise ValueError(
                    f"logger.wandb.{key}={seconds}: must be positive, in seconds, and at most "
                    f"{TIMEOUT_MAX:.0f}. Try 5."
                )
        self._run: wandb.Run | None = None
        self._working = mode != "disabled"
        self._next_step = run_info.num_rows
        self._finish_timeout, self._grace = finish_timeout, grace
        self._upload_from = run_info.folder if upload_checkpoint else None
        labels = {
            "project": project,
            "entity": entity,
            "name": name or run_info.name,
            "group": group or run_info.group,
            "tags": _default_tags(run_info) if tags in (None, "") else split_tags(tags),
        }
        report_unused_variables({"mode": mode, **labels}, is_resumed=run_info.num_rows > 0)
        if mode == "disabled":
            return
        arguments: dict[str, Any] = {
            "dir": _folder(run_info),
            "config": _config(run_info),
            "reinit": "create_new",  # jobs of a sweep can share one process
        }
        self._run = self._start(arguments | labels | _run_identity(run_info), init_timeout, mode)

    def log(self, row: Mapping[str, Any]) -> None:
        if not self._working or self._run is None:
            return
        values = dict(row)
        for name in ("evaluation/returns", "evaluation/lengths"):
            finite = [value for value in values.get(name, ()) if value is not None]
            if finite:
                values[f"{name}_histogram"] = wandb.Histogram(finite)
        step, self._next_step = self._next_step, self._next_step + 1
        try:
            with time_limit(self._grace):
                self._run.log(values, step=step, commit=True)
        except Exception as error:
            self._give_up("stopped recording", error)

    def finish(self, status: str) -> None:
        if self._run is None:
            return
        try:
            with time_limit(self._finish_timeout + self._grace):
                self._log_checkpoint()
                self._run.finish(exit_code=EXIT_CODES.get(status, 1))
        except TimeoutError:
            folder = shlex.quote(str(self._run.settings.sync_dir))
            logger.warning("W&B did not receive all rows in time. Upload: wandb sync %s", folder)
        except Exception as error:
            self._give_up("did not finish its record", error)

    def _start(self, arguments: dict[str, Any], init_timeout: float, mode: str) -> wandb.Run | None:
        """Start a W&B run, offline if online fails; None if that fails too."""
        _prepare_process(mode)
        settings = wandb.Settings(
            silent=True,
            console="off",  # W&B would wrap stdout, which the progress display uses
            init_timeout=init_timeout,
            finish_timeout=self._finish_timeout,
            finish_timeout_raises=True,
        )
        attempts: list[Literal["online", "offline"]] = ["offline"]
        if mode == "online":
            attempts.insert(0, "online")
        for attempt in attempts:
            try:
                with time_limit(init_timeout + self._grace):
                    run = wandb.init(**arguments, mode=attempt, settings=settings)
                    run.define_metric("env_steps")
                    run.define_metric("*", step_metric="env_steps")
            except (UsageError, ValueError) as error:
                raise ValueError(
                    f"W&B refuses a setting of logger.wandb{_variables()}: {_message(error)}"
                ) from error
            except Exception as error:
                self._give_up(f"could not start a run in mode {attempt}", error)
                self._end_process()  # in which the id of the failed run stays reserved
                continue
            self._working = True
            if attempt == "online":
                logger.info("W&B shows this run at %s", run.url)
            return run
        return None

    def _log_checkpoint(self) -> None:
        """Record the last checkpoint as an artifact, if that is asked for."""
        if self._upload_from is None or not self._working or self._run is None:
            return
        try:
            files = checkpoint_files(self._upload_from)
            if not files:
                return
            # A copy, since a resumed run removes old checkpoints before `wandb sync` reads them.
            copy = shutil.copy2(files[0], self._run.settings.sync_dir)
            artifact = wandb.Artifact(f"checkpoint-{self._run.id}", type="model")
            artifact.add_file(copy, name=files[0].name, policy="immutable", skip_cache=True)
            self._run.log_artifact(artifact)
        except Exception as error:
            logger.warning("W&B did not record the checkpoint (%s).", _message(error))

    def _give_up(self, failure: str, error: Exception) -> None:
        if self._working:
            logger.warning(
                "W&B %s (%s). The run continues, and its metrics.jsonl is complete.",
                failure,
                _message(error),
            )
        self._working = False
        # Any other error means that W&B's own process died or is stuck. Without a new one, no later
        # run of this process could start.
        if not isinstance(error, wandb.Error):
            self._end_process()

    def _end_process(self) -> None:
        """End W&B's own process; the next run starts a new one."""
        with contextlib.suppress(Exception, SystemExit), time_limit(self._grace):
            wandb.teardown()


def _run_identity(run_info: RunInfo) -> dict[str, Any]:
    """`wandb.init`'s `id` and `resume`."""
    if wandb_agent_run_id() is not None and run_info.num_rows == 0:
        # A new run under `wandb agent`: W&B reads both from the environment and ignores an id.
        return {"id": None, "resume": None}
    return {"id": run_info.run_id, "resume": "allow"}


def _given(setting: str, value: Any) -> str:
    """The setting and its value, by the name of the variable that it comes from, if it does."""
    is_variable = os.environ.get(VARIABLES[setting]) == value
    return f"{VARIABLES[setting] if is_variable else f'logger.wandb.{setting}'}={value}"


def _variables() -> str:
    """The variables that are set, of which W&B may refuse one."""
    named = [f"{name}={os.environ[name]}" for name in VARIABLES.values() if name in os.environ]
    return f" or of the environment ({', '.join(named)})" if named else ""


def _folder(run_info: RunInfo) -> Path:
    """The folder in which W&B makes its own."""
    given = os.environ.get(FOLDER_VARIABLE)
    if not given:
        return run_info.folder
    folder = Path(given).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError("it may not be written")
    except OSError as error:
        raise ValueError(
            f"{FOLDER_VARIABLE}={given}: must be a folder that can be written ({one_line(error)}). "
            "Name another, or unset it to use the run's folder."
        ) from error
    return folder


def _config(run_info: RunInfo) -> dict[str, Any]:
    """W&B's config: the chosen options as text, by which its tables group, and all settings.

    The settings are one level down, since those of `env`, `model` and `planner` are mappings.
    """
    config: dict[str, Any] = {
        "env": run_info.choices.get("env"),
        "model": run_info.choices.get("model"),
        "planner": run_info.choices.get("planner"),
        "seed": run_info.config.get("seed"),
        "num_parameters": run_info.num_parameters,
        "settings": run_info.config,
    }
    # W&B needs keys that are text, and values that JSON can hold.
    return json.loads(json.dumps(config, default=str))


def _default_tags(run_info: RunInfo) -> list[str]:
    """The options of environment, model and planner."""
    options = [run_info.choices.get(group, "") for group in ("env", "model", "planner")]
    return list(dict.fromkeys(option[:MAX_TAG_LENGTH] for option in options if option))


def _prepare_process(mode: str) -> None:
    """Set up W&B for the whole process. Raises ValueError if it would ask for a key."""
    # When the process ends, W&B reports errors of its own, and waits up to 20 seconds for a server
    # that does not answer.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    for name in VARIABLES.values():  # W&B refuses empty ones
        if not os.environ.get(name, "unset"):
            del os.environ[name]
    # W&B's banner would break the progress display, and logging in prints too. If W&B cannot start,
    # `wandb.init` reports it later.
    with contextlib.suppress(Exception):
        wandb.setup(settings=wandb.Settings(silent=True))
    if mode == "online":
        _require_login()


def _require_login() -> None:
    """Raise ValueError where `wandb.init` would ask for a key."""
    try:
        problem = None if is_logged_in() else "no login was found"
    except AuthenticationError as error:
        problem = f"the login is not valid ({one_line(error)})"
    if problem is not None:
        raise ValueError(
            f"{_given('mode', 'online')}: needs a W&B account, but {problem}. Run `wandb login`, "
            "set WANDB_API_KEY, or record offline by logger.wandb.mode=offline."
        )


def _message(error: Exception) -> str:
    """The error on one line; of a ValidationError, whose text has several, the first problem."""
    if isinstance(error, ValidationError):
        return str(error.errors()[0]["msg"]).rstrip(".")
    return one_line(error)
