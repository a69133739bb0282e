"""Weights & Biases: the same rows, recorded offline by default, which needs no account."""

import contextlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import wandb
from pydantic import ValidationError
from wandb.errors import AuthenticationError, UsageError

from mbrl.errors import one_line
from mbrl.loggers.base import AbstractLogger, finite_or_none
from mbrl.run_info import RunInfo
from mbrl.wandb_internals import is_logged_in, time_limit

# 255 is W&B's own code for a run that was ended by Ctrl-C.
EXIT_CODES = {"completed": 0, "failed": 1, "interrupted": 255}

logger = logging.getLogger(__name__)


class WandbLogger(AbstractLogger):
    """Sends rows to one W&B run, whose files are in `<folder>/wandb`.

    W&B plots every metric over `env_steps`. It receives the rows of metrics.jsonl and histograms
    of their lists, which it cannot plot (`evaluation/returns_histogram`). Its failures stop neither
    the run nor the other loggers, and delay them by seconds at most; one warning reports them. If
    the server does not answer, the run is recorded offline and `wandb sync` uploads it later.

    A row's step in W&B is its index in metrics.jsonl. A resumed run keeps its `run_info.run_id`:
    online, W&B continues the same run; offline, the new rows go to a second folder, and
    `wandb sync` joins the two. Under `wandb agent` (docs/search.md), the agent chooses the run's
    id and its project.

    Raises ValueError for mode "online" without a login, for a timeout that is not positive, and
    for a project or tags that W&B refuses.
    """

    def __init__(
        self,
        run_info: RunInfo,
        project: str = "mbrl",
        mode: str = "offline",
        tags: Sequence[str] = (),
        entity: str | None = None,
        init_timeout: float = 5.0,  # seconds to wait for the server at the start
        finish_timeout: float = 5.0,  # seconds to wait for the last rows to be uploaded
        grace: float = 5.0,  # seconds that W&B's own process may take beyond these timeouts
    ):
        if mode not in ("offline", "online"):
            raise ValueError(f"logger.wandb.mode={mode}: must be 'offline' or 'online'.")
        timeouts = {"init_timeout": init_timeout, "finish_timeout": finish_timeout, "grace": grace}
        for key, seconds in timeouts.items():
            if not seconds > 0:
                raise ValueError(f"logger.wandb.{key}={seconds}: must be positive, in seconds.")
        # When the process ends, W&B reports errors of its own, and waits up to 20 seconds for a
        # server that does not answer.
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        # W&B's banner would break the progress display. Set for the whole process, since logging in
        # prints too. If W&B cannot start, `wandb.init` reports it below.
        with contextlib.suppress(Exception):
            wandb.setup(settings=wandb.Settings(silent=True))
        if mode == "online":
            _require_login()
        self._working = True
        self._next_step = run_info.num_rows
        self._finish_timeout, self._grace = finish_timeout, grace
        arguments: dict[str, Any] = {
            "dir": run_info.folder,
            "config": _to_json_types(run_info.config),
            "name": run_info.name,
            "group": run_info.group,
            "project": project,
            "tags": list(tags),
            "entity": entity,
            "reinit": "create_new",  # jobs of a sweep can share one process
        }
        arguments |= _run_identity(run_info)
        settings = wandb.Settings(
            silent=True,
            console="off",  # W&B would wrap stdout, which the progress display uses
            init_timeout=init_timeout,
            finish_timeout=finish_timeout,
            finish_timeout_raises=True,
        )
        self._run = self._start(arguments, settings, mode)

    def log(self, row: Mapping[str, Any]) -> None:
        if not self._working or self._run is None:
            return
        values = finite_or_none(row)
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
                self._run.finish(exit_code=EXIT_CODES.get(status, 1))
        except TimeoutError:
            folder = Path(self._run.settings.sync_dir)
            logger.warning(
                "W&B did not receive all rows in time. Upload them with `wandb sync %s`.", folder
            )
        except Exception as error:
            self._give_up("did not finish its record", error)

    def _start(
        self, arguments: dict[str, Any], settings: wandb.Settings, mode: str
    ) -> wandb.Run | None:
        """Start a W&B run, offline if online fails; None if that fails too."""
        attempts: list[Literal["online", "offline"]] = ["offline"]
        if mode == "online":
            attempts.insert(0, "online")
        for attempt in attempts:
            try:
                with time_limit(settings.init_timeout + self._grace):
                    run = wandb.init(**arguments, mode=attempt, settings=settings)
                    run.define_metric("env_steps")
                    run.define_metric("*", step_metric="env_steps")
            except (UsageError, ValueError) as error:
                raise ValueError(
                    f"W&B refuses a setting of logger.wandb: {_message(error)}"
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
    agent = os.environ.get("WANDB_SWEEP_ID") and os.environ.get("WANDB_RUN_ID")
    if agent and run_info.num_rows == 0:
        # A new run under `wandb agent`: W&B reads both from the environment and ignores an id.
        return {"id": None, "resume": None}
    return {"id": run_info.run_id, "resume": "allow"}


def _require_login() -> None:
    """Raise ValueError where `wandb.init` would ask for a key."""
    try:
        problem = None if is_logged_in() else "no login was found"
    except AuthenticationError as error:
        problem = f"the login is not valid ({one_line(error)})"
    if problem is not None:
        raise ValueError(
            f"logger.wandb.mode=online: needs a W&B account, but {problem}. Run `wandb login`, "
            "set WANDB_API_KEY, or choose logger=wandb to record offline."
        )


def _to_json_types(config: Mapping[str, Any]) -> dict[str, Any]:
    """Turn keys that are numbers, and values that JSON cannot hold, into text, as W&B needs."""
    return json.loads(json.dumps(config, default=str))


def _message(error: Exception) -> str:
    """The error on one line; of a ValidationError, whose text has several, the first problem."""
    if isinstance(error, ValidationError):
        return str(error.errors()[0]["msg"]).rstrip(".")
    return one_line(error)
