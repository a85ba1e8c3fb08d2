"""`ml2020 new hw16_mine`: a homework of your own, made from the files in template/. It trains at once and is there to be replaced."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ml2020.core.conf import CONF, groups, options
from ml2020.core.errors import TypedError, UserError

ROOT = CONF.parent
_TEMPLATES = Path(__file__).parent / "template"
_FILES = {
    "src/ml2020/tasks/hwNN_name/__init__.py": None,
    "src/ml2020/tasks/hwNN_name/data.py": "data.py.txt",
    "src/ml2020/tasks/hwNN_name/model.py": "model.py.txt",
    "src/ml2020/tasks/hwNN_name/figures.py": "figures.py.txt",
    "conf/task/hwNN_name.yaml": "task.yaml.txt",
    "conf/model/hwNN_mlp.yaml": "mlp.yaml.txt",
    "conf/model/hwNN_linear.yaml": "linear.yaml.txt",
    "conf/data/hwNN_sample.yaml": "sample.yaml.txt",
    "docs/hwNN_name.md": "page.md.txt",
    "tests/tasks/hwNN_name/test_model.py": "test_model.py.txt",
}
_TITLE = "A network tells two classes of points apart"
_NEXT = """next: python train.py task={name}
      make test
then: your own data.py, model.py, figures.py in src/ml2020/tasks/{name}/, and docs/{name}.md;
      ML2020_GOLDEN=write make test keeps its keys and its first twenty steps in tests/golden/"""
_LINE = 80  # columns of the help page, on which name and title share a line
_FIRST = 16  # the course has fifteen


def new(name: str, title: str | None = None) -> None:
    """Make the files of a new homework `name` and say what to type next. Everything or nothing is made.

    Raises TypedError for a name or title that cannot be, UserError where files are in the way or cannot be written.
    """
    _check_checkout()
    family = _check_name(name)
    title = _check_title(title or _TITLE, name)
    readme = ROOT / "README.md"
    page = _with_row(readme.read_text(encoding="utf8"), name, title)

    def filled(text: str) -> str:
        return text.replace("hwNN_name", name).replace("hwNN", family).replace("A_TITLE", title)

    texts = {filled(target): filled((_TEMPLATES / file).read_text(encoding="utf8")) if file else "" for target, file in _FILES.items()}
    keys = f"tests/golden/{name}.keys"
    if there := [target for target in (*texts, keys) if (ROOT / target).exists()]:
        raise UserError(f"{there[0]} is there already; nothing has been made")
    made = _Made()
    try:
        for target, text in texts.items():
            made.write(ROOT / target, text)
        made.write(ROOT / keys, "\n".join(config_keys(name)) + "\n")
        made.rewrite(readme, page)
    except BaseException as error:
        made.undo()
        if isinstance(error, OSError):
            raise UserError(f"{error.filename} cannot be written ({error.strerror}); nothing has been made") from None
        raise
    print("\n".join(["made", *(f"  {target}" for target in (*texts, keys)), "  and a row in README.md"]))
    print(_NEXT.format(name=name))


def config_keys(task: str) -> list[str]:
    """Every key that can be typed with `task`, over the models and data of its family, in order."""
    from ml2020.core.config import load
    from ml2020.core.keys import leaves

    family = task.split("_")[0]
    keys = set()
    for group in ("model", "data"):
        for option in [o for o in options(group) if o.startswith(f"{family}_")]:
            cfg, _ = load("train", [f"task={task}", f"{group}={option}"])
            keys |= {key for key, _ in leaves(cfg) if not key.endswith("_") and not key.startswith("task.")}
    return sorted(keys)


class _Made:
    """What has been written so far, so that it can be taken back."""

    def __init__(self) -> None:
        self.places: list[Path] = []
        self.texts: dict[Path, str] = {}

    def write(self, file: Path, text: str) -> None:
        """A new file, and the folders that it needs."""
        for folder in reversed(file.parents):
            if not folder.exists():
                folder.mkdir()
                self.places.append(folder)
        with file.open("x", encoding="utf8") as stream:
            self.places.append(file)
            stream.write(text)

    def rewrite(self, file: Path, text: str) -> None:
        """Another text for a file that is there."""
        self.texts[file] = file.read_text(encoding="utf8")
        file.write_text(text, encoding="utf8")

    def undo(self) -> None:
        """Remove what was made, last first; folders only where nothing else has come into them."""
        for file, text in self.texts.items():
            if file.read_text(encoding="utf8") != text:
                file.write_text(text, encoding="utf8")
        for place in reversed(self.places):
            if place.is_file():
                place.unlink()
            elif not any(place.iterdir()):
                place.rmdir()


def _check_checkout() -> None:
    """A homework is made in the project's own folder, which an installed package has not."""
    if not (CONF / "task").is_dir() or not (ROOT / "README.md").is_file():
        raise UserError(f"ml2020 new works in a clone of the project, and {ROOT} is none (it has no conf/ and README.md)")


def _check_name(name: str) -> str:
    """The family of a name that is right and free (hw16)."""
    free = next(f"hw{number}" for number in range(_FIRST, 100) if not list(_taken(f"hw{number}")))
    if not re.fullmatch(r"hw\d\d_[a-z0-9_]+", name):
        word = re.sub(r"[^a-z0-9]+", "_", re.sub(r"^hw\d*", "", name.lower())).strip("_") or "mine"
        number = re.match(r"hw(\d\d)(?!\d)", name.lower())
        meant = f"{number[0] if number else free}_{word}"
        raise TypedError(f"{name} cannot be the name of a homework (hw, two digits, _, small letters and digits); type {meant}")
    family = name.split("_")[0]
    if taken := list(_taken(family)):
        raise TypedError(f"{family} is taken by {taken[0]}; {free} is free: ml2020 new {free}_{name.partition('_')[2]}")
    if len(name) > 24:
        raise TypedError(f"{name} is too long: it is typed often and names folders; take 24 letters at most")
    return family


def _taken(family: str) -> Iterator[str]:
    """The options in conf/ that belong to a family, the task first."""
    for group in sorted(groups(), key=lambda group: group != "task"):
        yield from (option for option in options(group) if option.split("_")[0] == family)


def _check_title(title: str, name: str) -> str:
    """A title that fits one line of the help page, of a YAML file and of a table."""
    if bad := re.search(r"[^\w .,;!?()'/+&-]", title):
        raise TypedError(f"{bad[0]!r} cannot stand in a title; take letters, digits and . , ; ! ? ( ) ' / + & -")
    if not re.match(r"\w", title) or title != title.strip():
        raise TypedError("a title begins with a letter or digit and ends without a blank")
    room = _LINE - len("  task= ") - max(13, len(name))
    if len(title) > room:
        raise TypedError(f"the title has {len(title)} letters; beside {name} there is room for {room}")
    return title


def _with_row(readme: str, name: str, title: str) -> str:
    """README.md with a row for the homework behind the last one of its table."""
    rows = list(re.finditer(r"^\| hw\d\d_\w+ \|.*\n", readme, re.M))
    if not rows:
        raise UserError("README.md has no table with a row for each homework; nothing has been made")
    end = rows[-1].end()
    return f"{readme[:end]}| {name} | {title[0].lower()}{title[1:]} | [docs/{name}.md](docs/{name}.md) |\n{readme[end:]}"
