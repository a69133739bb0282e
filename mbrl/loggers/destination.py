"""Whether W&B uploads a run, and to whom: a config that others may have written decides neither."""

import logging
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mbrl.errors import ConfigError, printable
from mbrl.run_info import RunInfo, wandb_agent_run_id
from mbrl.tables import resume_command

# W&B's environment variables, by the setting whose default in conf/logger/wandb.yaml each one is.
VARIABLES = {
    "mode": "WANDB_MODE",
    "project": "WANDB_PROJECT",
    "entity": "WANDB_ENTITY",
    "name": "WANDB_NAME",
    "group": "WANDB_RUN_GROUP",
    "tags": "WANDB_TAGS",
}
DEFAULTS = {"entity": None, "project": "mbrl"}
TRUST = "wandb"  # trust=[wandb]: entity and project of such a config count

logger = logging.getLogger(__name__)


class Destination(NamedTuple):
    """Three settings of a WandbLogger."""

    mode: str
    entity: str | None  # None: the account's default
    project: str


def destination(settings: Mapping[str, Any]) -> Destination:
    """The destination in a logger's settings. Empty is not set; dryrun is W&B's old word."""
    mode = settings.get("mode")
    mode = "offline" if mode in (None, "", "dryrun") else mode
    return Destination(mode, settings.get("entity") or None, settings.get("project") or "mbrl")


def destination_of(run_info: RunInfo, settings: Mapping[str, Any]) -> Destination:
    """The destination of a run that starts now; logs what of the settings is not used.

    Raises ConfigError where a run may not be uploaded, or may not start in this working directory.
    """
    wanted = destination(settings)
    used = permitted(run_info, wanted)
    message = warning(run_info, wanted, used)
    if message:
        logger.warning("%s", message)
    if used.mode != "disabled":
        check_working_directory(run_info)
    return used


def permitted(run_info: RunInfo, wanted: Destination) -> Destination:
    """What counts of the wanted destination; all of it in a config that is the user's own.

    Otherwise the mode is the typed one, or online by WANDB_MODE=online, or else offline (disabled
    stays). Entity and project count if they are typed, the shell's, the defaults, or trusted. If
    not, a foreign file's are replaced. Those of a saved run stay while it is offline, so that
    `wandb sync` joins its folders; online they raise ConfigError.
    """
    if run_info.config_source == "own":
        return wanted
    mode = run_info.typed.get(_setting(run_info, "mode"))
    if mode is None and os.environ.get(VARIABLES["mode"]) == "online":
        mode = "online"
    elif mode is None:
        mode = "disabled" if wanted.mode == "disabled" else "offline"
    used = destination({**wanted._asdict(), "mode": mode})
    unknown = _unknown(run_info, wanted)
    if run_info.config_source == "saved":
        if used.mode == "online" and unknown:
            both = [_given(run_info, name, wanted) for name in DEFAULTS]
            raise ConfigError(
                f"{' '.join(both)}: a saved config does not decide where a run is uploaded.",
                f"If this is where it belongs, type {' '.join(unknown.values())}, or add "
                f"trust=[{TRUST}].",
            )
        return used
    usual = {name: os.environ.get(VARIABLES[name]) for name in unknown}
    return destination({**used._asdict(), **usual})


def warning(run_info: RunInfo, wanted: Destination, used: Destination) -> str | None:
    """One line about what of the wanted destination is not used, and how to use it."""
    is_held_back = wanted.mode == "online" != used.mode
    if run_info.config_source == "saved":
        unknown, command = _unknown(run_info, wanted), resume_command(run_info.folder)
        if is_held_back and _setting(run_info, "mode") not in run_info.typed:
            given = {"mode": _given(run_info, "mode", wanted)} | unknown
            return (
                f"This run was online in W&B, and is now recorded {used.mode}, since a saved "
                f"config does not decide that. To upload it: {command} {' '.join(given.values())}"
            )
        if used.mode == "offline" and "entity" in unknown:
            own = os.environ.get(VARIABLES["entity"]) or "YOUR_ENTITY"
            folder = shlex.quote(str(run_info.folder))
            return (
                f"{unknown['entity']}: set by the saved config, and where `wandb sync` uploads the "
                f"run. To upload it elsewhere: wandb sync --entity {shlex.quote(own)} "
                f"{folder}/wandb/offline-run-*"
            )
        return None
    names = [name for name in DEFAULTS if getattr(wanted, name) != getattr(used, name)]
    names = (["mode"] if is_held_back else []) + names
    given = {name: _given(run_info, name, wanted) for name in names}
    if not names:
        return None
    trust = "" if names == ["mode"] else f", or add trust=[{TRUST}] for entity and project"
    return (
        f"{' '.join(given.values())}: not used, since a file from elsewhere may have set it. Type "
        f"it on the command line{trust}. The run is recorded {used.mode}, in project "
        f"{used.project}."
    )


def check_working_directory(run_info: RunInfo) -> None:
    """Raises ConfigError if W&B would read settings that may belong to a config of others.

    W&B reads wandb/settings in the working directory, which can name another server. That gets the
    API key, and some of its requests are sent offline too.
    """
    if run_info.config_source == "own" or TRUST in run_info.trust:
        return
    for folder in ("wandb", ".wandb"):
        file = Path.cwd() / folder / "settings"
        if os.path.lexists(file):
            raise ConfigError(
                f"{file}: W&B would read it, and it may name a server that gets your API key. "
                "Start in another folder, do without W&B by logger.wandb.mode=disabled, or add "
                f"trust=[{TRUST}] if the file is yours."
            )


def report_unused_variables(used: Mapping[str, Any], is_resumed: bool) -> None:
    """Log which variables differ from the settings: in a new run, those were typed."""
    if wandb_agent_run_id() is not None:  # whose project and entity W&B uses
        return
    for setting, variable in VARIABLES.items():
        value = os.environ.get(variable)
        if value is None or used[setting] in (None, value, split_tags(value)):
            continue
        logger.log(
            logging.WARNING if is_resumed else logging.INFO,
            "%s=%s is not used, since this run has logger.wandb.%s=%s.",
            *(variable, value, setting, used[setting]),
        )


def split_tags(tags: Any) -> list[str]:
    """A list of tags; text is split at commas."""
    return [tag.strip() for tag in tags.split(",")] if isinstance(tags, str) else list(tags)


def _unknown(run_info: RunInfo, wanted: Destination) -> dict[str, str]:
    """The settings of the destination that do not count, each as it would be typed."""
    unknown = {}
    for name in () if TRUST in run_info.trust else DEFAULTS:
        value, setting = getattr(wanted, name), _setting(run_info, name)
        known = (DEFAULTS[name], os.environ.get(VARIABLES[name]), run_info.typed.get(setting))
        if value is not None and value not in known:
            unknown[name] = _given(run_info, name, wanted)
    return unknown


def _setting(run_info: RunInfo, name: str) -> str:
    return f"logger.{run_info.logger_name}.{name}"


def _given(run_info: RunInfo, name: str, wanted: Destination) -> str:
    """The setting as a word of a command line, which cannot steer a terminal."""
    value = getattr(wanted, name)
    text = f"{_setting(run_info, name)}={'null' if value is None else value}"
    return shlex.quote(printable(text))
