"""Where Hydra finds the Optuna sweeper: it takes plugins from `hydra_plugins` only, and imports them all at every start of run.py.

So nothing heavy is imported here; mbrl/sweepers does the work.
"""

from typing import Any

from hydra.plugins.sweeper import Sweeper


class OptunaSweeper(Sweeper):
    """`hydra/sweeper=optuna`; conf/hydra/sweeper/optuna.yaml says what its settings mean."""

    def __init__(self, **settings: Any):
        """The settings are read from the config in `setup`, where what is wrong with them can be said in one sentence."""

    def setup(self, *, hydra_context, task_function, config) -> None:
        from functools import partial

        from hydra.core.plugins import Plugins

        from mbrl.errors import ConfigError

        try:
            from mbrl.sweepers.optuna import OptunaSearch
        except ModuleNotFoundError as missing:
            if missing.name != "optuna":
                raise
            raise ConfigError(
                "hydra/sweeper=optuna needs Optuna: pip install 'mbrl-experiments[optuna]'."
            ) from missing
        launch_by = Plugins.instance().instantiate_launcher
        make_launcher = partial(
            launch_by, hydra_context=hydra_context, task_function=task_function, config=config
        )
        self._search = OptunaSearch(config, make_launcher, hydra_context.config_loader)

    def sweep(self, arguments: list[str]) -> Any:
        return self._search.sweep(arguments)
