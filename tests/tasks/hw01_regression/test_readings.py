"""The reader: the course's files in every form they are found in, broken ones, and the cleaning of faults."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from ml2020.core.errors import UserError
from ml2020.tasks.hw01_regression import station
from ml2020.tasks.hw01_regression.readings import clean, faults_in, parse_test, parse_train, read_test, read_train
from ml2020.tasks.hw01_regression.station import MEASUREMENTS, NEGATIVE, OUTAGE, SPIKE

NAMES = {name: i for i, name in enumerate(MEASUREMENTS)}
PM25, PM10 = NAMES["PM2.5"], NAMES["PM10"]
SHARED = Path(os.environ.get("ML2020_SHARED_DATA") or Path(__file__).parents[4] / "shared" / "data") / "hw01"
real = pytest.mark.skipif(not (SHARED / "train.csv").exists(), reason="the course's files are not here")


def value(month: int, day: int, measurement: int, hour: int) -> int:
    """What stands in each cell of the small table: different in every place."""
    return month * 100 + day * 3 + measurement + hour


@cache
def lines() -> tuple[str, ...]:
    rows = ["日期,測站,測項," + ",".join(map(str, range(24)))]
    for month, day in np.ndindex(12, 20):
        for i, name in enumerate(MEASUREMENTS):
            hours = ["NR" if name == "RAINFALL" else str(value(month, day, i, hour)) for hour in range(24)]
            rows.append(f"2014/{month + 1}/{day + 1},豐原,{name}," + ",".join(hours))
    return tuple(rows)


def expected() -> np.ndarray:
    month, day, hour, i = np.ogrid[:12, :20, :24, :18]
    table = (month * 100 + day * 3 + i + hour).astype(float)
    table[..., NAMES["RAINFALL"]] = 0
    return table.reshape(12, 480, 18)


def joined(rows: list[str] | tuple[str, ...], encoding: str = "utf-8", end: str = "\n") -> bytes:
    return (end.join(rows) + end).encode(encoding)


FORMS: dict[str, Callable[[], bytes]] = {
    "Big5 and CRLF": lambda: joined(lines(), "big5", "\r\n"),
    "UTF-8": lambda: joined(lines()),
    "UTF-8 with its mark": lambda: joined(lines(), "utf-8-sig"),
    "no header": lambda: joined(lines()[1:], "big5"),
    "no station": lambda: joined([",".join(row.split(",")[:1] + row.split(",")[2:]) for row in lines()]),
    "no header and no station": lambda: joined([",".join(row.split(",")[:1] + row.split(",")[2:]) for row in lines()[1:]]),
    "rows in another order": lambda: joined([lines()[0], *lines()[:0:-1]]),
    "dates with dashes and noughts": lambda: joined([row.replace("2014/1/", "2014-01-") for row in lines()]),
    "blanks, quotes and commas at the end": lambda: joined([row.replace(",豐原,", ', "豐原", ') + ",," for row in lines()]),
    "empty lines and no line end": lambda: joined(["", *lines(), ",,,"]).rstrip(b"\n"),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_file_gives_the_same_readings(form: str):
    table = parse_train(FORMS[form](), "train.csv")
    assert table.dtype == np.float64 and np.array_equal(table, expected())


def block_lines(count: int = 3) -> list[str]:
    rows = [(b, i, ",".join(str(b * 50 + i + h) for h in range(9))) for b in range(count) for i in range(18)]
    return [f"id_{b},{MEASUREMENTS[i]},{hours}" for b, i, hours in rows]


def test_blocks_come_in_the_order_of_their_numbers_with_or_without_a_header():
    block, hour, i = np.ogrid[:12, :9, :18]
    rows = block_lines(12)
    for text in (joined(rows, "big5", "\r\n"), joined(["id,測項,0,1,2,3,4,5,6,7,8", *rows[::-1]])):
        assert np.array_equal(parse_test(text, "test.csv"), block * 50.0 + i + hour)


def test_the_simulated_stations_text_is_read_back_to_the_last_digit():
    year = station.simulate(3)
    blocks, _ = station.blocks(year, 3)
    assert np.array_equal(parse_train(station.train_text(year), "train.csv"), year.measured[:, :480])
    assert np.array_equal(parse_test(station.blocks_text(blocks), "test.csv"), blocks)


def cell(text: str, row: int = 20, column: int = 7) -> list[str]:
    """The small table with one cell changed; rows and columns count from 1."""
    rows = list(lines())
    cells = rows[row - 1].split(",")
    cells[column - 1] = text
    return [*rows[: row - 1], ",".join(cells), *rows[row:]]


def without(start: str) -> list[str]:
    return [row for row in lines() if not row.startswith(start)]


BROKEN: dict[str, tuple[Callable[[], bytes], str]] = {
    "a word": (lambda: joined(cell("high")), "row 20, column 7: 'high' is no number"),
    "an empty cell": (lambda: joined(cell("")), "row 20, column 7: an empty cell is no number"),
    "nan": (lambda: joined(cell("nan")), "row 20, column 7: 'nan' is no number"),
    "inf": (lambda: joined(cell("-inf")), "row 20, column 7: '-inf' is no number"),
    "an underscore": (lambda: joined(cell("1_0")), "row 20, column 7: '1_0' is no number"),
    "too large": (lambda: joined(cell("1e300")), "row 20, column 7: '1e300' is too large for a reading"),
    "an hour too many": (lambda: joined([*lines()[:5], lines()[5] + ",1", *lines()[6:]]), "row 6 holds 25 hours, not 24"),
    "cut short": (lambda: joined(lines())[:-12], "row 4321 holds 22 hours, not 24"),
    "an unknown measurement": (lambda: joined(cell("PM25", column=3)), "row 20: 'PM25' stands where one of the 18 measurements should"),
    "a measurement missing": (lambda: joined(without("2014/2/3,豐原,O3,")), "O3 of 2014/2/3 is missing"),
    "a day missing": (lambda: joined(without("2014/5/8,")), "month 2014/5 has 19 days, not 20; day 8 is missing"),
    "a month missing": (lambda: joined(without("2014/7/")), "holds 11 months; it must be 12"),
    "a day too many": (lambda: joined([*lines(), *(r.replace("4/1/20,", "4/1/21,") for r in lines()[343:361])]), "2014/1 has a day 21"),
    "a row twice": (lambda: joined([*lines(), lines()[1]]), "row 4322: AMB_TEMP of 2014/1/1 stands in the file twice"),
    "no date": (lambda: joined(cell("1st May", column=1)), "row 20: '1st May' is no date such as 2014/1/1"),
    "a thirteenth month": (lambda: joined(cell("2014/13/1", column=1)), "row 20: '2014/13/1' is no date"),
    "a header alone": (lambda: joined(lines()[:1]), "holds no readings"),
    "nothing": (lambda: b"", "is empty"),
    "blanks": (lambda: b" \n\n ", "is empty"),
    "a picture": (lambda: bytes(range(256)) * 40, "is no text in Big5 or UTF-8"),
    "UTF-16": (lambda: joined(lines(), "utf-16"), "is no text in Big5 or UTF-8"),
    "a web page": (lambda: b"<!DOCTYPE html>\n<html>\n<body>404</body>\n</html>", "row 2: '<html>' stands where one of the 18"),
    "a cell without an end": (lambda: joined(lines()[:3]) + b'"' + b"x" * 200_000, "row 4 cannot be read"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_broken_is_told_in_one_sentence(what: str):
    make, sentence = BROKEN[what]
    with pytest.raises(UserError) as caught:
        parse_train(make(), "my/train.csv")
    said = str(caught.value)
    assert said.startswith("my/train.csv") and sentence in said and "\n" not in said


BROKEN_TESTS: dict[str, tuple[Callable[[], list[str]], str]] = {
    "train.csv in its place": (lambda: list(lines()), "row 2 holds 24 hours, not 9"),
    "a gap": (lambda: [row for row in block_lines() if not row.startswith("id_1,")], "id_1 is missing, though there is an id_2"),
    "no first block": (lambda: block_lines()[18:], "id_0 is missing, though there is an id_2"),
    "a measurement missing": (lambda: block_lines()[:-1], "WS_HR of id_2 is missing"),
    "a block twice": (lambda: [*block_lines(), *block_lines(1)], "row 55: AMB_TEMP of id_0 stands in the file twice"),
    "no id": (lambda: ["x,CH4,1,2,3,4,5,6,7,8,9"], "row 1: 'x' is no block such as id_0"),
}


@pytest.mark.parametrize("what", BROKEN_TESTS)
def test_a_broken_test_file_is_told_in_one_sentence(what: str):
    make, sentence = BROKEN_TESTS[what]
    with pytest.raises(UserError) as caught:
        parse_test(joined(make()), "test.csv")
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_is_not_there_or_a_folder_is_told(tmp_path: Path):
    with pytest.raises(UserError, match=r"there is no file .*train\.csv; set data_dir="):
        read_train(tmp_path / "train.csv")
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        read_test(tmp_path)


# ---- cleaning


def calm(hours: int = 40) -> np.ndarray:
    """(1, hours, 18) of different values, PM2.5 20 and PM10 30."""
    table = np.tile(np.arange(1.0, 19.0), (1, hours, 1))
    table[..., PM25], table[..., PM10] = 20, 30
    return table


def test_a_negative_reading_takes_the_last_good_one_and_a_frost_stays():
    table = calm()
    table[0, 6, NAMES["CO"]] = 7
    table[0, 7:9, NAMES["CO"]] = -1
    table[0, 7, NAMES["AMB_TEMP"]] = -4
    cleaned = clean(table)
    assert cleaned[0, 6:10, NAMES["CO"]].tolist() == [7, 7, 7, NAMES["CO"] + 1]
    assert cleaned[0, 7, NAMES["AMB_TEMP"]] == -4
    assert table[0, 7, NAMES["CO"]] == -1  # the table itself is left alone


def test_a_lone_spike_goes_and_bad_air_stays():
    table = calm()
    table[0, 10, PM25], table[0, 20, PM10] = 150, 200
    table[0, 30, [PM25, PM10]] = 90, 130
    cleaned = clean(table)
    assert cleaned[0, 10, PM25] == 20 and cleaned[0, 20, PM10] == 30
    assert cleaned[0, 30, [PM25, PM10]].tolist() == [90, 130]


def test_an_outage_goes_in_all_measurements_and_an_hour_without_rain_stays():
    table = calm()
    table[..., NAMES["RAINFALL"]] = 0
    table[0, 12:18] = 0
    assert np.array_equal(clean(table), np.where(np.arange(18) == NAMES["RAINFALL"], 0, calm()))


def test_a_fault_at_the_start_takes_what_follows_and_a_column_of_faults_the_others_median():
    table = np.concatenate([calm(9), calm(9)])
    table[0, :2, NAMES["O3"]] = -1
    table[1, :, NAMES["SO2"]] = -1
    assert np.array_equal(clean(table), np.concatenate([calm(9), calm(9)]))
    assert np.array_equal(clean(np.full((1, 9, 18), 0.0)), np.zeros((1, 9, 18)))


def test_only_the_past_decides():
    table = station.simulate(0).measured[:2]
    whole = clean(table)
    for end in (50, 333):
        start = np.flatnonzero(~faults_in(table)[:, :end].any((0, 2)))[0]  # before the first good hour what follows is all there is
        assert np.array_equal(clean(table[:, :end])[:, start:], whole[:, start:end])


@pytest.mark.parametrize("seed", range(3))
def test_the_simulated_faults_are_found_and_nothing_else(seed: int):
    year = station.simulate(seed)
    found = faults_in(year.measured)
    assert found[(year.faults == NEGATIVE) | (year.faults == OUTAGE)].all()
    assert found[year.faults == SPIKE].mean() >= 0.85
    assert found[year.faults == 0].sum() <= 5


def test_a_block_of_nine_hours_is_cleaned_like_the_month_it_comes_from():
    year = station.simulate(0)
    month, blocks = year.measured[:1], np.lib.stride_tricks.sliding_window_view(year.measured[0], 9, 0).transpose(0, 2, 1)
    same = clean(blocks)[:, -1] == clean(month)[0, 8:]
    assert same.mean() > 0.999


# ---- the course's own files


@real
def test_the_courses_table_is_the_one_that_is_described():
    table = read_train(SHARED / "train.csv")
    assert table.shape == (12, 480, 18) and read_test(SHARED / "test.csv").shape == (240, 9, 18)
    assert table[0, 0, :3].tolist() == [14, 1.8, 0.51] and table[0, 1, PM25] == 39
    assert (table < 0).sum() == 113 and (table[..., PM25] < 0).sum() == 52
    assert (SHARED / "train.csv").read_bytes().count(b"NR") == 5388
    assert table[..., PM25].mean() == pytest.approx(21.4, abs=0.05) and table[..., PM25].max() == 112


@real
def test_cleaning_takes_few_readings_of_the_courses_table_for_faults():
    table = read_train(SHARED / "train.csv")
    found = faults_in(table)
    assert found[table < 0].sum() == 113 - 15  # 15 negative temperatures stay
    assert found[table >= 0].sum() < 25
