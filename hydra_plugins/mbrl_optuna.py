"""Where Hydra finds the Optuna sweeper.

Hydra looks for plugins only in `hydra_plugins` and imports all of them at every start of run.py. So
this module imports nothing heavy; mbrl/sweepers does the work.
"""

from typing import Any

from hydra.plugins.sweeper import Sweeper


class OptunaSweeper(Sweeper):
    """`hydra/sweeper=optuna`; conf/hydra/sweeper/optuna.yaml explains its settings."""

    def __init__(self, **settings: Any):
        """Ignores the settings; `setup` reads them from the config and reports errors."""

    def setup(self, *, hydra_context, task_function, config) -> None:
        from functools import partial

        from hydra.core.plugins import Plugins

        from mbrl.extras import optional_import

        optional_import("optuna", extra="optuna", option="hydra/sweeper=optuna")
        from mbrl.sweepers.optuna import OptunaSearch

        make_launcher = partial(
            Plugins.instance().instantiate_launcher,
            hydra_context=hydra_context,
            task_function=task_function,
            config=config,
        )
        self._search = OptunaSearch(config, make_launcher, hydra_context.config_loader)

    def sweep(self, arguments: list[str]) -> Any:
        return self._search.sweep(arguments)
