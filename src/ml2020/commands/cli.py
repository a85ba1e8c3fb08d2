"""The `ml2020` command: what there is, what was run, and what to keep of it. Nothing here imports torch."""

from __future__ import annotations

import os
import re
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ml2020.commands.guard import guarded
from ml2020.core.errors import TypedError, nearest, suggestion

Words = list[str]
Named = dict[str, str]

_ELSEWHERE = {
    "train": "python train.py task=NAME",
    "resume": "python train.py resume=FOLDER",
    "eval": "python eval.py run=FOLDER do=test",
    "test": "python eval.py run=FOLDER do=test, or make test for the tests of the project",
    "board": "make board",
} | {word: f"python eval.py run=FOLDER do={word}" for word in ("predict", "report", "export")}


@dataclass(frozen=True)
class Verb:
    """One word behind `ml2020`. `keys`: the key=value words that it knows; `free`: whether it takes any other as a plain word."""

    usage: str
    line: str
    more: str
    act: Callable[[Words, Named], None]
    keys: tuple[str, ...] = ()
    free: bool = False


def main(argv: Words | None = None) -> int:
    """`ml2020 ...`; gives the exit status."""
    words = sys.argv[1:] if argv is None else list(argv)
    rest = [word for word in words if word not in ("trace=true", "trace=false")]
    return guarded(lambda: _piped(rest), trace="trace=true" in words)


def _piped(words: Words) -> None:
    try:
        _main(words)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has left (| head): nothing is said, and nothing left to be said at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _main(words: Words) -> None:
    if words[:1] == ["help"]:
        words = [*words[1:2], "--help"]
    if not words or words[0] in ("-h", "--help"):
        print(page())
        return
    name = words[0]
    if name in _ELSEWHERE:
        raise TypedError(f"there is no command ml2020 {name}; type {_ELSEWHERE[name]}")
    if name not in VERBS:
        raise TypedError(f"there is no command ml2020 {name}{suggestion(name, VERBS)}")
    if {"-h", "--help"} & set(words[1:]):
        print(verb_page(name))
        return
    VERBS[name].act(*_sorted(name, words[1:]))


def page() -> str:
    """What `ml2020 --help` prints."""
    lines = ["ml2020 VERB [WORD ...]          what there is, what was run, what to keep of it", ""]
    lines += [f"  ml2020 {verb.usage.split('  ')[0]:<23}{verb.line}" for verb in VERBS.values()]
    lines += ["", "  ml2020 VERB --help            more about one of them"]
    lines += ["  python train.py --help        python eval.py --help        make board"]
    return "\n".join(lines)


def verb_page(name: str) -> str:
    """What `ml2020 VERB --help` prints."""
    verb = VERBS[name]
    usage = textwrap.fill(f"ml2020 {re.sub(' +', ' ', verb.usage)}", 80, subsequent_indent=" " * 8, break_on_hyphens=False)
    return f"{usage}\n\n  {verb.line}\n{verb.more}".rstrip()


def _sorted(name: str, words: Words) -> tuple[Words, Named]:
    """Plain words, and {key: value} of the keys that the verb knows. Raises TypedError for any other option or key."""
    plain: Words = []
    named: Named = {}
    for word in words:
        key, sign, value = word.partition("=")
        if word.startswith("-") and not Path(word).exists():
            raise TypedError(f"{word} is not an option of ml2020 {name}{_meant(name, word)}")
        if not sign or not key.isidentifier() or Path(word).exists():  # the folder of a job may hold an = in its name
            plain.append(word)
        elif key not in VERBS[name].keys:
            if not VERBS[name].free or nearest(key, VERBS[name].keys):
                raise TypedError(f"ml2020 {name} has no key {key}{_meant(name, word)}")
            plain.append(word)
        elif key in named:
            raise TypedError(f"{key}= is given twice")
        elif not value:
            raise TypedError(f"{key}= needs a value right behind it")
        else:
            named[key] = value
    return plain, named


def _meant(name: str, word: str) -> str:
    """What may have been meant by an option or key: a word of the verb's own usage."""
    key, sign, value = word.lstrip("-").partition("=")
    own = re.findall(r"[a-z_]+", VERBS[name].usage)[1:]
    if near := nearest(key, own, 1):
        return f"; did you mean {near[0]}{sign}{value}?" if near[0] in VERBS[name].keys else f"; did you mean {near[0]}?"
    return f"; see ml2020 {name} --help"


def _output(named: Named) -> Path:
    """Where the runs are: output_dir=, or ML2020_OUTPUT_DIR, or outputs. Raises TypedError for a typed one that is no folder."""
    root = Path(named.get("output_dir") or os.environ.get("ML2020_OUTPUT_DIR") or "outputs").expanduser()
    if not root.is_dir() and (root.exists() or "output_dir" in named):
        raise TypedError(f"there is no folder {root}")
    return root


def _list(words: Words, named: Named) -> None:
    from ml2020.commands.help import tasks
    from ml2020.core.conf import options

    every = tasks()
    found = {name: title for name, title in every.items() if all(word in name for word in words)}
    if not found:
        raise TypedError(f"there is no homework {' '.join(words)}{suggestion(' '.join(words), every)}")
    for name, title in found.items():
        print(f"{name:<16} {title}")
        for group in ("model", "data", "experiment"):
            if own := [option for option in options(group) if option.startswith(f"{name.split('_')[0]}_")]:
                print(textwrap.fill(" ".join(own), 80, initial_indent=f"  {group + ':':<12} ", subsequent_indent=" " * 15))


def _runs(words: Words, named: Named) -> None:
    from ml2020.commands.runs import show

    show(_output(named), words)


def _compare(words: Words, named: Named) -> None:
    from ml2020.commands.compare import show

    show(words, _output(named))


def _summary(words: Words, named: Named) -> None:
    if len(words) != 1:
        raise TypedError("type ml2020 summary SWEEP, with the folder of one sweep")
    path = Path(words[0]).expanduser()
    if not path.is_dir():
        raise TypedError(f"there is no folder {path}")
    from ml2020.studies.summary import summarize

    summarize(path)
    if (path / "search.json").is_file():
        from ml2020.studies.search import say_more

        say_more(path)


def _record(words: Words, named: Named) -> None:
    if not words:
        raise TypedError("type ml2020 record FOLDER [FOLDER ...] [name=NAME], with folders of finished runs")
    from ml2020.commands.record import record

    print(record([Path(word).expanduser() for word in words], named.get("name")))


def _clean(words: Words, named: Named) -> None:
    from ml2020.commands.clean import clean

    clean(_output(named), words, named)


def _new(words: Words, named: Named) -> None:
    from ml2020.commands.new import new

    if len(words) != 1:
        raise TypedError('type ml2020 new NAME [title="..."]: one name, such as hw16_mine, and a title between quotes')
    new(words[0], named.get("title"))


VERBS = {
    "list": Verb("list [WORD]", "the homeworks, their models, data and studies", "", _list),
    "runs": Verb(
        "runs [WORD ...]  [output_dir=PATH]",
        "every run, newest first",
        """
  WORD keeps the runs that it fits: a task, a model, seed=1, any part of the
  folder, or a status (running, finished, failed, interrupted, ...). Of several
  words all must fit; of several statuses, one: ml2020 runs hw03_cnn failed""",
        _runs,
        ("output_dir",),
        free=True,
    ),
    "compare": Verb(
        "compare RUN RUN ...  [output_dir=PATH]",
        "what differs: keys, data, metrics",
        """
  RUN is a run's folder; outputs/ in front of it may be left out. Two runs get
  the difference of their metrics; * marks the best by the main metric's goal.
  Where the data is not the same, nothing is called better.""",
        _compare,
        ("output_dir",),
    ),
    "summary": Verb("summary SWEEP", "rank the jobs of a sweep anew", "\n  SWEEP is outputs/<task>/sweeps/<date>_<time>.", _summary),
    "record": Verb(
        "record FOLDER ...  [name=NAME]",
        "keep what runs showed in experiments/NAME",
        """
  FOLDER is a finished run's. Several are runs that differ in their seed: the
  record then has their mean and standard deviation.""",
        _record,
        ("name",),
    ),
    "clean": Verb(
        "clean [WORD ...]  [output_dir=PATH] [cache_dir=PATH] [failed] [interrupted] [quick] [tmp] [cache] [yes]",
        "what could be removed; yes removes it",
        """
  failed        runs that failed
  interrupted   runs that were stopped (python train.py resume=FOLDER goes on)
  quick         runs with quick=true
  tmp           half-written files in runs that were killed
  cache         decoded and rendered data; made again when needed

  Without any of these words it says how large each is. With them it lists what
  would go; with yes behind them it removes that. A run that goes on is kept.""",
        _clean,
        ("output_dir", "cache_dir"),
    ),
    "new": Verb(
        'new NAME  [title="..."]',
        "a homework of your own that trains at once",
        """
  NAME is hwNN_name with a number that is free: hw16_mine. It gets its folder,
  configs, page, tests, and a small task that is there to be replaced.""",
        _new,
        ("title",),
    ),
}


if __name__ == "__main__":
    sys.exit(main())
