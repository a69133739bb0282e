"""The configs of a sweep's jobs, composed quickly: what jobs have in common is composed once."""

import copy
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from mbrl.config.hydra_guard import check_job
from mbrl.config.hydra_internals import apply_overrides
from mbrl.config.limits import limited

MAX_CACHED = 16  # configs of some megabytes each


class JobComposer:
    """Composes jobs as `loader.load_sweep_config(sweep, overrides)` does, ten times as fast.

    Most overrides only set a value in the composed config (`seed=3`), so the config from before is
    copied for all jobs with the same choices.
    """

    def __init__(self, loader: Any, sweep: DictConfig):
        self._loader, self._sweep = loader, sweep
        self._parser = OverridesParser.create()
        container: Any = OmegaConf.to_container(sweep)
        # Config groups are mappings, or null where nothing is chosen.
        self._values = {key for key in container if not isinstance(container[key], dict | None)}
        self._with_choices = lru_cache(MAX_CACHED)(self._compose_choices)

    @limited()
    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """The config of a job.

        Raises ConfigError if it changes Hydra's settings of the sweep, and what Hydra raises for
        overrides that fit no config.
        """
        parsed = self._parser.parse_overrides(list(overrides))
        values = [each for each in parsed if self._only_sets_a_value(each)]
        choices = [line for line, each in zip(overrides, parsed, strict=True) if each not in values]
        config = copy.deepcopy(self._with_choices(tuple(choices)))
        apply_overrides(values, config)
        config.hydra.overrides.task = list(overrides)
        OmegaConf.copy_cache(from_config=self._sweep, to_config=config)
        return config

    def _compose_choices(self, overrides: tuple[str, ...]) -> DictConfig:
        config = self._loader.load_sweep_config(self._sweep, list(overrides))
        check_job(config, self._sweep, overrides)
        return config

    def _only_sets_a_value(self, override: Override) -> bool:
        """Whether it certainly takes no part in the choice of config files."""
        key = override.key_or_group
        return (
            ("." in key or key in self._values)
            and not key.startswith("hydra")
            and override.package is None
            and not override.is_sweep_override()
            and not self._sweep.hydra.searchpath  # which can hold further groups
            and not self._loader.repository.group_exists(key)
        )
