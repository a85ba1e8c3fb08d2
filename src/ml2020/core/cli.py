"""The `ml2020` command: what there is, and keeping what a run showed."""

from __future__ import annotations

import sys
from pathlib import Path

from ml2020.core.app import guarded
from ml2020.core.errors import TypedError, suggestion

_PAGE = """ml2020 list               the homeworks, their models and data
ml2020 record FOLDER [FOLDER ...] [name=NAME]
                          keep what finished runs showed under experiments/NAME"""


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
        from ml2020.core.record import record

        named = [word.removeprefix("name=") for word in words[1:] if word.startswith("name=")]
        paths = [Path(word) for word in words[1:] if not word.startswith("name=")]
        if not paths or len(named) > 1:
            raise TypedError("type ml2020 record FOLDER [FOLDER ...] [name=NAME], with folders of finished runs")
        print(record(paths, named[0] if named else None))
    else:
        raise TypedError(f"there is no command ml2020 {words[0]}{suggestion(words[0], ['list', 'record'])}")


def _list() -> None:
    from ml2020.core.conf import options
    from ml2020.core.help import tasks

    for name, title in tasks().items():
        family = name.split("_")[0]
        print(f"{name:<16} {title}")
        for group in ("model", "data", "experiment"):
            own = [option for option in options(group) if option.startswith(f"{family}_")]
            if own:
                print(f"  {group + ':':<12} {' '.join(own)}")


if __name__ == "__main__":
    sys.exit(main())
