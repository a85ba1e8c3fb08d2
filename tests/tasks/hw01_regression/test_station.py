"""The simulated station: what its readings look like, its faults, and the course's layout."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from ml2020.tasks.hw01_regression import station
from ml2020.tasks.hw01_regression.station import MEASUREMENTS, NEGATIVE, OUTAGE, SPIKE, Year

PM25, PM10 = MEASUREMENTS.index("PM2.5"), MEASUREMENTS.index("PM10")


@cache
def year(seed: int = 0) -> Year:
    return station.simulate(seed)


def column(name: str) -> np.ndarray:
    return year().truth[..., MEASUREMENTS.index(name)]


def test_a_seed_gives_one_year_and_another_seed_another():
    assert np.array_equal(station.simulate(0).measured, year().measured)
    assert not np.array_equal(year(1).measured, year().measured)
    assert year().measured.shape == year().truth.shape == year().faults.shape == (12, 720, 18)


def test_the_generator_is_frozen():
    # If this fails, the readings of a seed have changed: raise GENERATOR and measure every recorded figure again.
    assert [column("PM2.5").mean(), column("O3").mean(), column("AMB_TEMP").std()] == pytest.approx(FROZEN, abs=0.005)


FROZEN = [18.788, 32.604, 5.197]


def test_an_autoregression_has_the_spread_and_the_memory_that_it_is_given():
    values = station._ar(np.random.default_rng(0), 0.9, 3.0, 200_000)
    assert values.std() == pytest.approx(3, rel=0.02)
    assert np.corrcoef(values[1:], values[:-1])[0, 1] == pytest.approx(0.9, abs=0.01)


def test_sums_hold_as_far_as_rounding_allows():
    assert np.abs(column("NO") + column("NO2") - column("NOx")).max() < 0.16  # three roundings of 0.05 each
    assert np.abs(column("CH4") + column("NMHC") - column("THC")).max() < 0.106  # 0.05 + 0.005 + 0.05


def test_the_instrument_adds_the_noise_that_it_should():
    state = year().state
    inside = state > 20  # readings below 0 are cut off
    noise = (column("PM2.5") - state)[inside] / (3.3 + 0.04 * state[inside])
    assert noise.mean() == pytest.approx(0, abs=0.05) and noise.std() == pytest.approx(1, abs=0.05)


def test_summer_is_warm_and_winter_wind_comes_from_the_north_east():
    temperature = column("AMB_TEMP").mean(1)
    assert temperature[6] > temperature[0] + 8
    angle = np.radians(column("WD_HR"))
    mean = [np.degrees(np.arctan2(np.sin(angle[m]).mean(), np.cos(angle[m]).mean())) % 360 for m in (0, 6)]
    assert mean[0] < 90 and 180 < mean[1] < 280


def test_faults_are_where_the_two_tables_differ_and_as_many_as_was_said():
    years = [year(seed) for seed in range(3)]
    for own in years:
        assert (own.faults[own.measured != own.truth] > 0).all() and (own.truth >= 0).all()
        assert (own.measured[own.faults == NEGATIVE] == -1).all() and (own.measured[own.faults == OUTAGE] == 0).all()
        ratio = (own.measured / np.maximum(own.truth, 1))[(own.faults == SPIKE) & (own.truth > 10)]
        assert ratio.min() > 3.9 and ratio.max() < 9.1
    assert np.mean([(own.faults == NEGATIVE).sum() for own in years]) == pytest.approx(8 * 8640 * 0.004, rel=0.1)
    assert np.mean([(own.faults == SPIKE).sum() for own in years]) == pytest.approx(2 * 8640 * 0.0012, rel=0.3)
    assert np.mean([(own.faults == OUTAGE).all(2).sum() for own in years]) == pytest.approx(14 * 5.5, rel=0.2)


def test_the_list_of_faults_tells_the_same_as_the_mask():
    listed = year().fault_list()
    assert len(listed) == (year().faults > 0).sum()
    month, hour, name, kind = listed[0]
    assert year().faults[month, hour, MEASUREMENTS.index(name)] == kind


@pytest.mark.parametrize("seed", range(5))
def test_test_blocks_lie_apart_in_the_last_ten_days(seed: int):
    starts = station.block_starts(seed)
    assert starts.shape == (12, 20) and starts.min() >= 480 and starts.max() + 10 <= 720
    assert np.diff(starts, axis=1).min() >= 10


def test_a_block_is_nine_hours_as_measured_and_its_answer_has_no_fault():
    blocks, answers = station.blocks(year(), 0)
    start = station.block_starts(0)[3, 7]
    assert blocks.shape == (240, 9, 18) and answers.shape == (240,)
    assert np.array_equal(blocks[67], year().measured[3, start : start + 9])
    assert answers[67] == year().truth[3, start + 9, PM25]


def test_the_text_has_the_courses_layout_and_says_that_it_is_simulated():
    lines = station.train_text(year()).decode("big5").split("\r\n")
    assert lines[0] == "日期,測站,測項,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23"
    assert len(lines) == 1 + 4320 + 1 and lines[-1] == ""
    assert lines[1].startswith("2014/1/1,模擬站,AMB_TEMP,") and lines[-2].startswith("2014/12/20,模擬站,WS_HR,")
    dry = (year().measured[:, :480, MEASUREMENTS.index("RAINFALL")] == 0).sum()
    assert sum(line.split(",").count("NR") for line in lines) == dry
    day = year().measured[1, 24:48, PM10]
    assert lines[1 + 18 * 21 + PM10] == "2014/2/2,模擬站,PM10," + ",".join(str(int(v)) for v in day)


def test_the_text_of_the_test_has_no_header_and_eighteen_rows_a_block():
    lines = station.blocks_text(station.blocks(year(), 0)[0]).decode("big5").split("\r\n")
    assert len(lines) == 4320 + 1 and lines[0].startswith("id_0,AMB_TEMP,") and lines[-2].startswith("id_239,WS_HR,")
    assert {len(line.split(",")) for line in lines[:-1]} == {11}
