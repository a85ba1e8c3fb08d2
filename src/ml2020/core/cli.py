"""The `ml2020` command: what there is, and keeping what a run showed."""

from __future__ import annotations

import sys
from pathlib import Path

from ml2020.core.app import guarded
from ml2020.core.errors import TypedError, suggestion

_PAGE = """ml2020 list               the homeworks, their models and data
ml2020 record FOLDER [NAME]   keep a finished run's facts, metrics and figures under experiments/NAME"""


def main(argv: list[str] | None = None) -> int:
    """`ml2020 ...`; gives the exit status."""
    words = sys.argv[1:] if argv is None else argv
    return guarded(lambda: _main(words))


def _main(words: list[str]) -> None:
    if not words or words[0] in ("-h", "--help"):
        print(_PAGE)
    elif words[0] == "list":
        _list()
    elif words[0] == "record":
        if not 2 <= len(words) <= 3:
            raise TypedError("type ml2020 record FOLDER [NAME], with the folder of one finished run")
        from ml2020.core.record import record

        print(record(Path(words[1]), words[2] if len(words) == 3 else None))
    else:
        raise TypedError(f"there is no command ml2020 {words[0]}{suggestion(words[0], ['list', 'record'])}")


def _list() -> None:
    from ml2020.core.help import CONF, tasks

    for name, title in tasks().items():
        family = name.split("_")[0]
        print(f"{name:<16} {title}")
        for group in ("model", "data", "experiment"):
            own = sorted(file.stem for file in (CONF / group).glob(f"{family}_*.yaml"))
            if own:
                print(f"  {group + ':':<12} {' '.join(own)}")


if __name__ == "__main__":
    sys.exit(main())
