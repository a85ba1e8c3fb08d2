"""A run that is a trial of a search: it tells its main metric at each validation, and ends early where others were clearly better."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ml2020.core.errors import UserError


class Pruned(Exception):
    """The search has broken this trial off."""


class Trial:
    """Trial `facts["number"]` of the search whose storage lies beside this run's folder; `facts` are those of run.json."""

    def __init__(self, folder: Path, facts: dict[str, Any]) -> None:
        import optuna

        study = open_study(folder.parent)
        study.pruner = optuna.pruners.MedianPruner(n_startup_trials=facts["startup"], n_warmup_steps=facts["warmup"])
        frozen = next(trial for trial in study.get_trials(deepcopy=False) if trial.number == facts["number"])
        self.trial = optuna.Trial(study, frozen._trial_id)

    def report(self, validation: int, value: float) -> bool:
        """Tell the main metric of a validation, counted from 0; gives whether half of the earlier trials were better by then."""
        self.trial.report(value, validation)
        return self.trial.should_prune()


def open_study(folder: Path, **options: Any) -> Any:
    """The search in `folder`: a journal that several processes may write. With `options` (create_study's) it is made if need be."""
    try:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
    except ImportError:
        raise UserError("a search needs optuna; run: pip install optuna") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = JournalStorage(JournalFileBackend(str(folder / "optuna.log")))
    if options:
        return optuna.create_study(study_name="search", storage=storage, load_if_exists=True, **options)
    return optuna.load_study(study_name="search", storage=storage)
