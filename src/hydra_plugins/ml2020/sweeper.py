"""Hydra's door to our sweeps. Hydra finds plugins in this namespace only (no __init__.py in hydra_plugins).

Which jobs there are, which are missing and how they ended is known by ml2020.studies; this class hands Hydra's launcher over to it.
"""

from __future__ import annotations

from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper


class HandedOver(Sweeper):
    """A sweeper that hands the launcher to whoever called Hydra (ml2020.studies.launch)."""

    def setup(self, *, hydra_context: Any, task_function: Any, config: Any) -> None:
        from hydra.core.plugins import Plugins

        self.launcher = Plugins.instance().instantiate_launcher(hydra_context=hydra_context, task_function=task_function, config=config)

    def sweep(self, arguments: list[str]) -> None:
        from ml2020.studies import launch

        launch.take(self.launcher)


_CONFIG = {"_target_": "hydra_plugins.ml2020.sweeper.HandedOver"}
ConfigStore.instance().store("ml2020", _CONFIG, group="hydra/sweeper", provider="ml2020")
