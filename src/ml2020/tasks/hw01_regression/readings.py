"""One reader for the course's files, the simulated station's and anybody's in their layout; and the cleaning of faults.

train.csv: a row a day and measurement (date, station, measurement, 24 hours), days 1 to 20 of twelve months. test.csv: a row a block
and measurement (id_0, measurement, 9 hours). Big5 or UTF-8, with a header or without, with the station or without, rows in any order;
`NR` (no rain) is 0.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml2020.core.errors import UserError
from ml2020.tasks.hw01_regression.station import MEASUREMENTS

Array = NDArray[np.float64]
Row = tuple[int, list[str], int, list[float]]  # line, cells before the measurement, its index, the hours

MONTHS, DAYS, HOURS, BLOCK = 12, 20, 24, 9
_INDEX = {name.upper(): i for i, name in enumerate(MEASUREMENTS)}
_LARGEST = 1e6  # no quantity of the table comes near; sums of squares stay finite

_PM10, _PM25 = MEASUREMENTS.index("PM10"), MEASUREMENTS.index("PM2.5")
_PAST = 5  # hours of the running median
_JUMP = np.array([3.0, 2.5])  # a spike of PM10, PM2.5 is more than so many times the median of the hours before
_RISE = np.array([50.0, 20.0])  # and so many ug/m3 above it
_DEAD = 9  # of 18 readings at 0: the station was off


def read_train(path: str | Path) -> Array:
    """(12, 480, 18) float64 of a train.csv. Raises UserError for a file that is missing, broken or incomplete."""
    return parse_train(_bytes(path), str(path))


def read_test(path: str | Path) -> Array:
    """(n, 9, 18) float64 of a test.csv, block id_0 first. Raises UserError for a file that is missing, broken or incomplete."""
    return parse_test(_bytes(path), str(path))


def parse_train(raw: bytes, name: str) -> Array:
    """(12, 480, 18) float64 of the bytes of a train.csv, called `name` in what is raised."""
    days: dict[tuple[int, int, int], Array] = {}
    for line, before, measurement, hours in _rows(raw, name, HOURS):
        found = re.fullmatch(r"(\d{4})[/-](\d{1,2})[/-](\d{1,2})", before[0])
        if not found or not 1 <= int(found[2]) <= 12:
            raise UserError(f"{name}, row {line}: {_shown(before[0])} is no date such as 2014/1/1")
        key = (int(found[1]), int(found[2]), int(found[3]))
        _put(days, key, measurement, hours, f"{name}, row {line}", before[0])
    _all_measured(days, name, lambda key: "{}/{}/{}".format(*key))
    months = sorted({key[:2] for key in days})
    if len(months) != MONTHS:
        raise UserError(f"{name} holds {len(months)} {_plural('month', len(months))}; it must be {MONTHS}, of {DAYS} days each")
    for year, month in months:
        own = {key[2] for key in days if key[:2] == (year, month)}
        if strange := sorted(own - set(range(1, DAYS + 1))):
            raise UserError(f"{name}: {year}/{month} has a day {strange[0]}; the file holds days 1 to {DAYS} of each month")
        if missing := sorted(set(range(1, DAYS + 1)) - own):
            raise UserError(f"{name}: month {year}/{month} has {len(own)} days, not {DAYS}; day {missing[0]} is missing")
    return np.stack([days[key] for key in sorted(days)]).reshape(MONTHS, DAYS * HOURS, len(MEASUREMENTS))


def parse_test(raw: bytes, name: str) -> Array:
    """(n, 9, 18) float64 of the bytes of a test.csv, called `name` in what is raised."""
    found: dict[int, Array] = {}
    for line, before, measurement, hours in _rows(raw, name, BLOCK):
        number = re.fullmatch(r"id_(\d{1,9})", before[0])
        if not number:
            raise UserError(f"{name}, row {line}: {_shown(before[0])} is no block such as id_0")
        _put(found, int(number[1]), measurement, hours, f"{name}, row {line}", before[0])
    _all_measured(found, name, lambda key: f"id_{key}")
    if missing := [i for i in range(len(found)) if i not in found]:
        raise UserError(f"{name}: id_{missing[0]} is missing, though there is an id_{max(found)}")
    return np.stack([found[i] for i in range(len(found))])


def _put(table: dict[Any, Array], key: Hashable, measurement: int, hours: list[float], where: str, said: str) -> None:
    """Write a row's hours into the (hours, 18) table of its day or block. Raises UserError for a second row of the same."""
    own = table.setdefault(key, np.full((len(hours), len(MEASUREMENTS)), np.nan))
    if not np.isnan(own[0, measurement]):
        raise UserError(f"{where}: {MEASUREMENTS[measurement]} of {said} stands in the file twice")
    own[:, measurement] = hours


def _all_measured(table: dict[Any, Array], name: str, said: Callable[[Any], str]) -> None:
    """Raise UserError for the first day or block that lacks one of the 18."""
    if not table:
        raise UserError(f"{name} holds no readings")
    for key, readings in table.items():
        missing = np.flatnonzero(np.isnan(readings[0]))
        if len(missing):
            raise UserError(f"{name}: {MEASUREMENTS[missing[0]]} of {said(key)} is missing")


def _bytes(path: str | Path) -> bytes:
    try:
        return Path(path).expanduser().read_bytes()
    except FileNotFoundError:
        raise UserError(f"there is no file {path}; set data_dir=, or data.path= to the folder of train.csv and test.csv") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error


def _text(raw: bytes, name: str) -> str:
    if not raw.strip():
        raise UserError(f"{name} is empty")
    for encoding in ("utf-8-sig", "big5", "cp950"):
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise UserError(f"{name} is no text in Big5 or UTF-8")


def _rows(raw: bytes, name: str, hours: int) -> Iterator[Row]:
    """The rows with readings; the first row may be a header, empty rows are passed over."""
    reader = csv.reader(io.StringIO(_text(raw, name), newline=""))
    first = True
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            if not any(cells):
                continue
            place = next((i for i in (1, 2) if i < len(cells) and cells[i].upper() in _INDEX), None)
            if place is not None:
                numbers = _numbers(cells, place + 1, hours, name, reader.line_num)
                yield reader.line_num, cells[:place], _INDEX[cells[place].upper()], numbers
            elif not first:
                said = cells[min(len(cells), 3) - 1 if hours == HOURS else min(len(cells), 2) - 1]
                raise UserError(f"{name}, row {reader.line_num}: {_shown(said)} stands where one of the 18 measurements should")
            first = False
    except csv.Error as error:
        raise UserError(f"{name}, row {reader.line_num} cannot be read: {error}") from error


def _numbers(cells: list[str], start: int, hours: int, name: str, line: int) -> list[float]:
    """The row's readings as numbers. Raises UserError with the row and column of a cell that is none."""
    values = cells[start:]
    while len(values) > hours and not values[-1]:  # commas at the end of a line, as spreadsheets write them
        values.pop()
    if len(values) != hours:
        raise UserError(f"{name}, row {line} holds {len(values)} {_plural('hour', len(values))}, not {hours}")
    numbers = []
    for column, cell in enumerate(values, start + 1):
        try:
            number = 0.0 if cell.upper() == "NR" else float(cell)
        except ValueError:
            number = math.nan
        if not abs(number) <= _LARGEST or "_" in cell:
            raise UserError(f"{name}, row {line}, column {column}: {_shown(cell)} {_fault(number)}")
        numbers.append(number)
    return numbers


def _fault(number: float) -> str:
    return "is too large for a reading" if _LARGEST < abs(number) < math.inf else "is no number"


def _shown(cell: str) -> str:
    return f"'{cell[:40]}'" if cell else "an empty cell"


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"


def clean(hours: Array) -> Array:
    """A copy of (n, hours, 18) readings in which each fault has the value of the last good hour.

    Only hours before a reading decide about it, so a month and a block of nine hours are cleaned alike as far as the past reaches. A
    fault with no good hour before it takes the next good one of its row, or where there is none the median of its column.
    """
    good = ~faults_in(hours)
    index = np.where(good, np.arange(hours.shape[1])[:, None], -1)
    last = np.maximum.accumulate(index, 1)
    first = good.argmax(1)[:, None]
    filled = np.take_along_axis(hours, np.where(last < 0, first, last), 1)
    none = ~good.any(1)
    if none.any():
        middle = np.array([np.median(hours[..., c][good[..., c]]) if good[..., c].any() else 0.0 for c in range(hours.shape[2])])
        filled = np.where(none[:, None], middle, filled)
    return filled


def faults_in(hours: Array) -> NDArray[np.bool_]:
    """Which of (n, hours, 18) readings are faults: below 0 where that cannot be, at 0 with half the station, or a lone spike."""
    bad = hours < 0
    bad[..., MEASUREMENTS.index("AMB_TEMP")] = False
    bad |= ((hours == 0).sum(-1) >= _DEAD)[..., None]
    particles = np.where(bad, np.nan, hours)[..., [_PM10, _PM25]]
    before = _running_median(particles)
    ratio = particles / np.maximum(before, 4.0)
    with np.errstate(invalid="ignore"):
        jumped = (ratio > _JUMP) & (particles - before > _RISE)
        # Bad air raises both. PM10 contains PM2.5, so that PM2.5 above it cannot be; PM10 alone may be dust, up to a point.
        lone = [~(2 * ratio[..., 1] > ratio[..., 0]), ~(1.5 * particles[..., 0] > particles[..., 1])]
    bad[..., [_PM10, _PM25]] |= jumped & np.stack(lone, -1)
    return bad


def _running_median(values: Array) -> Array:
    """(n, hours, k): the median of the hours before each, at most `_PAST` of them; nan where there is none that counts."""
    padded = np.concatenate([np.full((len(values), _PAST, values.shape[2]), np.nan), values], 1)
    windows = np.sort(np.lib.stride_tricks.sliding_window_view(padded[:, :-1], _PAST, 1), -1)  # nan last
    count = (~np.isnan(windows)).sum(-1, keepdims=True)
    low, high = (np.take_along_axis(windows, np.maximum(i, 0), -1)[..., 0] for i in ((count - 1) // 2, count // 2))
    return np.where(count[..., 0] > 0, (low + high) / 2, np.nan)
