"""Weights & Biases: the same rows, offline by default, so that no account is needed."""

import contextlib
import json
import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import wandb
from pydantic import ValidationError
from wandb.errors import AuthenticationError, UsageError
from wandb.sdk import wandb_setup
from wandb.sdk.lib import wbauth

from mbrl.loggers.base import AbstractLogger, finite_or_none

GRACE = (
    5.0  # seconds that W&B's own process may take beyond what it was told to wait for the server
)
EXIT_CODES = {
    "completed": 0,
    "failed": 1,
    "interrupted": 255,
}  # 255 is what W&B itself gives a run ended by Ctrl-C

logger = logging.getLogger(__name__)


class WandbLogger(AbstractLogger):
    """Sends rows to a W&B run of its own, whose files lie in `<folder>/wandb`, with `env_steps` as the axis of every plot.

    W&B gets what metrics.jsonl gets, plus `evaluation/returns_histogram`, since it draws no lists. Its failures end
    neither the run nor the other records, and hold nothing up for long: they are warned of once. Where its server does not
    answer, the run is recorded offline, to be uploaded later by `wandb sync`.

    A row's step in W&B is its index in metrics.jsonl. A run that is resumed gives the `run_id` it had before, and
    `rows_before`, the rows it keeps: online, W&B continues the same run; offline, it goes on in a second folder, and
    `wandb sync` joins the two. Under `wandb agent` (docs/search.md) the run is the agent's, in the sweep's project.

    Raises ValueError for mode "online" without a login, for a timeout that is not positive, and for a project or tags that
    W&B refuses.
    """

    def __init__(
        self,
        folder: str | Path,
        config: Mapping[str, Any],
        name: str,
        group: str | None = None,
        project: str = "mbrl",
        mode: str = "offline",
        tags: Sequence[str] = (),
        entity: str | None = None,
        init_timeout: float = 5.0,  # seconds to wait for the server at the start
        finish_timeout: float = 5.0,  # seconds to wait for the last rows to be uploaded
        run_id: str | None = None,  # W&B's name for this run; None lets W&B choose one
        rows_before: int = 0,  # rows of metrics.jsonl that a resumed run keeps
        **unused: Any,
    ):
        if mode not in ("offline", "online"):
            raise ValueError(f"logger.wandb.mode={mode} must be 'offline' or 'online'.")
        for key, seconds in {
            "init_timeout": init_timeout,
            "finish_timeout": finish_timeout,
        }.items():
            if not seconds > 0:
                raise ValueError(
                    f"logger.wandb.{key}={seconds} must be positive: it is how many seconds W&B's server may take."
                )
        # At the end of the process W&B reports about itself, and waits up to 20 seconds for a server that does not answer.
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        # Its banner would tear the progress display. For the whole process, since logging in also prints.
        with contextlib.suppress(
            Exception
        ):  # what keeps W&B from starting shows when the run begins
            wandb.setup(settings=wandb.Settings(silent=True))
        if mode == "online":
            _require_login()
        self._working = True
        self._next_step = rows_before
        self._finish_timeout = finish_timeout
        # Started by none else and ended by none else: jobs of a sweep share a process.
        arguments: dict[str, Any] = {
            "dir": folder,
            "config": _plain(config),
            "name": name,
            "group": group,
            "project": project,
        }
        arguments |= {"tags": list(tags), "entity": entity, "reinit": "create_new"}
        arguments |= _identity(run_id, rows_before)
        settings = wandb.Settings(
            silent=True,
            console="off",  # W&B would wrap stdout, which the progress display owns
            init_timeout=init_timeout,
            finish_timeout=finish_timeout,
            finish_timeout_raises=True,
        )
        self._run = self._begin(arguments, settings, mode)

    def log(self, row: Mapping[str, Any]) -> None:
        if not self._working or self._run is None:
            return
        values = finite_or_none(row)
        returns = [value for value in values.get("evaluation/returns", ()) if value is not None]
        if returns:
            values["evaluation/returns_histogram"] = wandb.Histogram(returns)
        step, self._next_step = self._next_step, self._next_step + 1
        try:
            with _at_most(GRACE):
                self._run.log(values, step=step, commit=True)
        except Exception as reason:
            self._give_up("stopped recording", reason)

    def finish(self, status: str) -> None:
        if self._run is None:
            return
        try:
            with _at_most(self._finish_timeout + GRACE):
                self._run.finish(exit_code=EXIT_CODES.get(status, 1))
        except TimeoutError:
            folder = Path(self._run.settings.sync_dir)
            logger.warning(
                "W&B did not get all rows in time; upload them with `wandb sync %s`.", folder
            )
        except Exception as reason:
            self._give_up("did not end its record properly", reason)

    def _begin(
        self, arguments: dict[str, Any], settings: wandb.Settings, mode: str
    ) -> wandb.Run | None:
        """A W&B run; after a failure another one, offline; None if that fails too."""
        attempts: tuple[Literal["online", "offline"], ...] = (
            ("online", "offline") if mode == "online" else ("offline",)
        )
        for attempt in attempts:
            try:
                with _at_most(settings.init_timeout + GRACE):
                    run = wandb.init(**arguments, mode=attempt, settings=settings)
                    run.define_metric("env_steps")
                    run.define_metric("*", step_metric="env_steps")
            except (UsageError, ValueError) as reason:
                raise ValueError(
                    f"W&B refuses a setting of logger.wandb: {_sentence(reason)}"
                ) from reason
            except Exception as reason:
                self._give_up(f"could not start a run in mode {attempt}", reason)
                continue
            self._working = True
            if attempt == "online":
                logger.info("W&B shows this run at %s", run.url)
            return run
        return None

    def _give_up(self, what: str, reason: Exception) -> None:
        if self._working:
            logger.warning(
                "W&B %s (%s); the run goes on, and its metrics.jsonl is whole.",
                what,
                _sentence(reason),
            )
        self._working = False
        if not isinstance(
            reason, wandb.Error
        ):  # W&B's own process died or is stuck: without a new one no later run would start
            with contextlib.suppress(Exception, SystemExit), _at_most(GRACE):
                wandb.teardown()


def _identity(run_id: str | None, rows_before: int) -> dict[str, Any]:
    """Which run this is at W&B. Under `wandb agent` it is the one that WANDB_RUN_ID names, with nothing yet to be taken up."""
    if os.environ.get("WANDB_SWEEP_ID") and os.environ.get("WANDB_RUN_ID") and rows_before == 0:
        return {
            "id": None,
            "resume": None,
        }  # W&B reads both from the environment, and would ignore an id
    return {"id": run_id, "resume": "allow" if run_id else None}


@contextlib.contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Kills W&B's own process, through which all goes, should the block take longer: what waits for it then raises."""
    before = wandb_setup.singleton()._connection  # no public way leads to the process

    def kill() -> None:
        connection = before or wandb_setup.singleton()._connection
        if connection is not None and connection._proc is not None:
            connection._proc._process.kill()
            connection._proc.join()

    watchdog = threading.Timer(seconds, kill)
    watchdog.daemon = True
    watchdog.start()
    try:
        yield
    finally:
        watchdog.cancel()


def _require_login() -> None:
    """Raises ValueError where `wandb.init` would ask for a key; asks nothing and no server itself."""
    host = wandb.setup().settings.base_url
    try:
        credentials = wbauth.authenticate_session(
            host=host, source="mbrl", prompt=False, update_session=False
        )
        problem = "nobody is logged in"
    except AuthenticationError as reason:
        credentials, problem = None, f"the login is not valid ({_sentence(reason)})"
    if credentials is None:
        raise ValueError(
            f"logger.wandb.mode=online needs a W&B account, but {problem}: run `wandb login`, or set WANDB_API_KEY, "
            "or choose logger=wandb to record offline."
        )


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config with text for keys that are numbers, which W&B does not take, and for values that are no JSON."""
    return json.loads(json.dumps(config, default=str))


def _sentence(reason: Exception) -> str:
    if isinstance(reason, ValidationError):
        return str(reason.errors()[0]["msg"]).rstrip(".")
    lines = str(reason).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(reason).__name__
