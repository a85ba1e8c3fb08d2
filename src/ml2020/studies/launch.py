"""Hydra's launchers (basic, joblib, submitit, ray) for a list of jobs that is ours."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ml2020.core.conf import CONF
from ml2020.core.errors import TypedError

_waiting: list[Callable[[Any], None]] = []  # whoever called Hydra, until its launcher comes


def through_launcher(work: Callable[[Any], None], job: Callable[[Any], None], folder: Path, for_hydra: Sequence[str]) -> None:
    """Let Hydra set up the launcher that `for_hydra` names, and call `work(launch)`.

    `launch(list of the words of each job, initial_job_idx=n)` calls `job(cfg)` for each, in its folder beneath `folder`.
    """
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    _waiting.append(work)
    words = ["-m", "hydra/sweeper=ml2020", *for_hydra, f"hydra.sweep.dir='{folder.resolve()}'"]
    before, sys.argv = sys.argv, ["train.py", *words]
    try:
        hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")(job)()
    except (HydraException, OmegaConfBaseException) as error:
        raise TypedError(str(error).splitlines()[0]) from error
    finally:
        sys.argv = before
        _waiting.clear()


def take(launcher: Any) -> None:
    """Called by the sweeper (hydra_plugins), inside `through_launcher`."""
    _waiting[-1](launcher.launch)
