"""The structure of the house in numbers: rooms and their sizes, core against its budget, what is longest, who imports whom.

Standard library only: python benchmarks/shape.py, or make shape.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "src"
CORE_BUDGET = 2500  # lines of code: without blank lines, comments and docstrings
_NO_CODE = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING, tokenize.ENDMARKER)


@dataclass(frozen=True)
class File:
    """A Python file: its folder under src/, lines, lines of code, (lines, name) of its functions, and the rooms it imports from."""

    path: Path
    folder: str
    lines: int
    code: int
    functions: list[tuple[int, str]]
    imports: set[str]


def main() -> None:
    """Print everything."""
    files = [read(path) for path in sorted(SOURCE.rglob("*.py"))]
    folders = list(dict.fromkeys(file.folder for file in files))
    table(("folder", "files", "lines", "code"), [(name or "all", *sums(files, name)) for name in [*folders, ""]])
    _, lines, code = sums(files, "ml2020/core")
    word = "within" if code <= CORE_BUDGET else "OVER"
    print(
        f"\ncore: {code:,} lines of code, {word} its budget of {CORE_BUDGET:,} ({lines:,} lines with blanks, comments and docstrings)"
    )
    longest = max(files, key=lambda file: file.lines)
    length, name, path = max((length, name, file.path) for file in files for length, name in file.functions)
    print(f"longest file: {longest.path.relative_to(SOURCE)}, {longest.lines} lines")
    print(f"longest function: {name} in {path.relative_to(SOURCE)}, {length} lines")
    print("\nfiles of a room (rows) that import from another (columns)")
    print_imports(files)


def sums(files: list[File], folder: str) -> tuple[int, int, int]:
    """(files, lines, lines of code) of a folder, or of all for ""."""
    own = [file for file in files if folder in ("", file.folder)]
    return len(own), sum(file.lines for file in own), sum(file.code for file in own)


def read(path: Path) -> File:
    """What there is to count in one file."""
    text = path.read_text(encoding="utf8")
    tree = ast.parse(text)
    functions = [
        (node.end_lineno - node.lineno + 1, node.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    folder = path.parent.relative_to(SOURCE).as_posix()
    return File(path, folder, len(text.splitlines()), code_lines(text, tree), functions, {room(name) for name in imported(tree)})


def code_lines(text: str, tree: ast.Module) -> int:
    """Lines that hold code: no blank lines, comments or docstrings."""
    docs: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(node) is not None:
            docs |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    held = {line for token in tokens if token.type not in _NO_CODE for line in range(token.start[0], token.end[0] + 1)}
    return len(held - docs)


def imported(tree: ast.Module) -> Iterator[str]:
    """The dotted modules of ours that a file imports, also inside functions."""
    for node in ast.walk(tree):
        names = [node.module] if isinstance(node, ast.ImportFrom) else []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        yield from (name for name in names if name and name.startswith("ml2020."))


def room(module: str) -> str:
    """core, data, commands, ...; a homework is a room of its own, such as tasks/hw03_cnn."""
    parts = module.split(".")
    return "/".join(parts[1:3] if parts[1] == "tasks" else parts[1:2])


def print_imports(files: list[File]) -> None:
    """A small table with all homeworks in one row, and the homeworks that import another, of which there should be none."""
    counts: Counter[tuple[str, str]] = Counter()
    circles = []
    for file in files:
        own = room(file.folder.replace("/", ".")) if "/" in file.folder else file.folder
        for other in file.imports - {own}:
            counts[own.split("/")[0], other.split("/")[0]] += 1
            if own.startswith("tasks/") and other.startswith("tasks/"):
                circles.append(f"{file.path.relative_to(SOURCE)} imports {other}")
    rooms = sorted({one for pair in counts for one in pair}, key=lambda one: (-sum(n for (a, _), n in counts.items() if a == one), one))
    table(("", *rooms), [(one, *(counts[one, other] or "." for other in rooms)) for one in rooms])
    print("a homework that imports another: " + ("; ".join(circles) or "none"))


def table(head: tuple[str, ...], rows: list[tuple]) -> None:
    """Aligned columns, numbers to the right."""
    cells = [head, *[tuple(f"{cell:,}" if isinstance(cell, int) else cell for cell in row) for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    for first, *rest in cells:
        print("  ".join([first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))]).rstrip())


if __name__ == "__main__":
    main()
