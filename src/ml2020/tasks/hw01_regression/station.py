"""A simulated year of an air station, and its text in the layout of the course's files.

Nothing here is real air. The constants are one fixed world; the seed draws a sample of it. Hours are kept as (months, hours,
measurements) = (12, 720, 18): days 1 to 20 of each month become train.csv, days 21 to 30 the blocks of test.csv.

Why nine hours predict better than one: ozone acts after 6 hours, the industrial plume after 4, and the traffic of 7 hours before
comes back when the wind is weak. Why degree 2 predicts better than 1: wind times particles, ozone times humidity, sector times SO2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

Array = NDArray[np.float64]

GENERATOR = 1  # goes up whenever the readings of the same seed change
MEASUREMENTS = (
    *("AMB_TEMP", "CH4", "CO", "NMHC", "NO", "NO2", "NOx", "O3", "PM10", "PM2.5", "RAINFALL", "RH", "SO2", "THC"),
    *("WD_HR", "WIND_DIREC", "WIND_SPEED", "WS_HR"),
)
STATION = "模擬站"  # "simulated station", where the course's files name theirs
DECIMALS = (1, 1, 2, 2, 1, 1, 1, 1, 0, 0, 1, 0, 1, 1, 1, 1, 1, 1)  # as in the course's table
NEGATIVE, SPIKE, OUTAGE = 1, 2, 3  # kinds of fault in Year.faults

_PM10, _PM25 = MEASUREMENTS.index("PM10"), MEASUREMENTS.index("PM2.5")
_CAN_FAIL = [MEASUREMENTS.index(name) for name in ("CO", "NO", "NO2", "NOx", "O3", "PM10", "PM2.5", "SO2")]
_MONTHS, _DAYS, _TRAIN_DAYS = 12, 30, 20
_WARM = 240  # hours before the year, for the stores to fill


@dataclass(frozen=True)
class Year:
    """One sample: `measured` and `truth` (the same readings without faults), both (12, 720, 18) float64; `faults`, the same shape,
    int8, 0 or the kind of fault; `state` (12, 720), the particles in the air, which no instrument sees without noise."""

    measured: Array
    truth: Array
    faults: NDArray[np.int8]
    state: Array

    def fault_list(self) -> list[tuple[int, int, str, int]]:
        """Every fault as (month from 0, hour of the month from 0, measurement, kind)."""
        return [(int(m), int(h), MEASUREMENTS[c], int(self.faults[m, h, c])) for m, h, c in np.argwhere(self.faults)]


def simulate(seed: int) -> Year:
    """A year of readings, drawn by `seed`."""
    rng = np.random.default_rng([2020, 1, seed])
    weather = _weather(rng)
    gases = _gases(rng, weather)
    state = _particles(rng, weather, gases)
    truth = _instruments(rng, weather, gases, state)
    measured, faults = _faults(rng, truth)
    return Year(measured, truth, faults, state[_WARM:].reshape(_MONTHS, _DAYS * 24))


def _ar(rng: np.random.Generator, phi: float, sd: float, count: int) -> Array:
    """(count,) of a first-order autoregression whose stationary spread is `sd`."""
    noise = rng.standard_normal(count) * sd * np.sqrt(1 - phi * phi)
    noise[0] = rng.standard_normal() * sd
    return lfilter([1.0], [1.0, -phi], noise)


def _lag(values: Array, hours: int) -> Array:
    return np.concatenate([np.repeat(values[:1], hours), values[:-hours]])


def _toward(direction: Array, centre: float, width: float) -> Array:
    """How much the wind comes from around `centre` degrees: 1 there, falling to both sides (a von Mises bump)."""
    return np.exp((np.cos(np.radians(direction - centre)) - 1) / width)


def _weather(rng: np.random.Generator) -> dict[str, Array]:
    count = _WARM + _MONTHS * _DAYS * 24
    time = np.arange(-_WARM, count - _WARM)
    hour, day = time % 24, time // 24
    season = 2 * np.pi * day / 360
    sun = np.maximum(0, np.sin((hour - 6) / 12 * np.pi)) * (1 - 0.25 * np.cos(season))
    warmth = np.sin((hour - 9) / 12 * np.pi)  # the day's course of temperature and wind, highest at three
    cloud = 1 / (1 + np.exp(-(_ar(rng, 0.95, 1.5, count) + 1)))
    wet, rain = _rain(rng, season)
    swing = _ar(rng, 0.985, 2.0, count)
    temperature = 23 - 6.5 * np.cos(season - 0.35) + 3.2 * warmth * (1 - 0.5 * cloud) + swing - 1.5 * wet
    near = temperature - (23 - 6.5 * np.cos(season - 0.35))
    humidity = np.clip(72 - 2.6 * near + 8 * wet + _ar(rng, 0.97, 6.0, count), 30, 100)
    wind = np.exp(0.45 + 0.25 * warmth + 0.18 * np.cos(season) + _ar(rng, 0.93, 0.45, count))
    summer = (1 - np.cos(season)) / 2
    direction = (40 + summer * (185 + 50 * warmth) + _ar(rng, 0.93, 70.0, count)) % 360
    made = {"hour": hour, "day": day, "season": season, "sun": sun, "cloud": cloud, "wet": wet, "rain": rain, "wind": wind}
    return made | {"temperature": temperature, "humidity": humidity, "direction": direction}


def _rain(rng: np.random.Generator, season: Array) -> tuple[Array, Array]:
    """Whether it rains, and millimetres an hour: a chain of two states, wetter in summer."""
    start, draws = 0.011 - 0.005 * np.cos(season), rng.random(len(season))
    wet = np.zeros(len(season))
    for t in range(1, len(season)):
        wet[t] = draws[t] >= 0.22 if wet[t - 1] else draws[t] < start[t]
    return wet, wet * rng.gamma(0.8, 3.0, len(season))


def _gases(rng: np.random.Generator, w: dict[str, Array]) -> dict[str, Array]:
    hour, count = w["hour"], len(w["hour"])
    peaks = 0.12 + 0.9 * np.exp(-((hour - 8) ** 2) / 6) + np.exp(-((hour - 18.5) ** 2) / 9)
    traffic = peaks * np.where(w["day"] % 7 >= 5, 0.7, 1.0) * np.exp(_ar(rng, 0.7, 0.2, count))
    air = 1 / (0.35 + 0.5 * w["wind"])
    lid = np.exp(-0.9 * w["sun"] + 0.25)
    nox = lfilter([1.0], [1.0, -0.55], 16 * traffic * air * lid)
    o3 = np.empty(count)
    o3[0] = 30
    source = 17 * w["sun"] * (1 - 0.6 * w["cloud"]) - 0.10 * nox + 7.5
    for t in range(1, count):
        o3[t] = max(0.5, 0.72 * o3[t - 1] + source[t])
    share = 0.3 * np.exp(-0.5 * w["sun"] - o3 / 60) + 0.05
    sector = _toward(w["direction"], 230, 0.5)
    so2 = 1.6 + 4 * sector * np.exp(_ar(rng, 0.95, 0.4, count)) * air + 0.25 * traffic * air
    regional = np.exp(_ar(rng, 0.993, 0.4, count)) * (1 + 0.35 * np.cos(w["season"]))
    co = 0.16 + 0.012 * nox + 0.05 * regional
    ch4 = 1.62 + 0.05 * regional + 0.004 * nox + _ar(rng, 0.97, 0.05, count)
    nmhc = 0.03 + 0.007 * nox + np.abs(_ar(rng, 0.8, 0.03, count))
    made = {"traffic": traffic, "air": air, "lid": lid, "nox": nox, "o3": o3, "share": share, "sector": sector, "so2": so2}
    return made | {"regional": regional, "co": co, "ch4": ch4, "nmhc": nmhc}


def _particles(rng: np.random.Generator, w: dict[str, Array], g: dict[str, Array]) -> Array:
    """The state: what was in the air, less what wind and rain take away, plus the sources of now and of hours before."""
    north = np.maximum(0, np.cos(np.radians(w["direction"] - 20)))
    carried = g["traffic"] * g["air"] * g["lid"]
    sources = (
        0.9 * carried
        + 0.015 * _lag(g["o3"], 6) * np.maximum(0, (w["humidity"] - 45) / 30) ** 1.5 * g["air"]
        + 0.8 * g["regional"] * (0.25 + 1.4 * north)
        + 0.6 * _lag(g["sector"] * g["air"] * g["so2"], 4)
        # Sources come back, never the state: a state fed back from hours before runs away.
        + 2.0 * _lag(carried, 7) * (w["wind"] < 2.2)
    )
    kept = 1 - 0.03 - 0.08 * w["wind"] - 0.30 * w["wet"] * np.minimum(1, w["rain"] / 3)
    noise = 0.4 * rng.standard_normal(len(sources))
    state = np.empty(len(sources))
    p = 20.0
    for t in range(len(sources)):
        p = max(0.0, p * max(0.2, kept[t]) + sources[t] + noise[t] * (p / 20) ** 0.5)
        state[t] = p
    return state


def _instruments(rng: np.random.Generator, w: dict[str, Array], g: dict[str, Array], state: Array) -> Array:
    """(12, 720, 18): each quantity with its instrument's noise, rounded as in the course's table."""
    noise = rng.standard_normal((len(MEASUREMENTS), len(state)))
    dust = 9 * np.exp(_ar(rng, 0.95, 0.5, len(state)))
    no, no2 = g["share"] * g["nox"] + 0.8 + 0.15 * noise[4], (1 - g["share"]) * g["nox"] + 0.3 * noise[5]
    no, no2 = np.maximum(no, 0), np.maximum(no2, 0.2)
    ch4, nmhc = g["ch4"], np.maximum(0, g["nmhc"])
    pm25 = state + (3.3 + 0.04 * state) * noise[9]
    pm10 = 1.25 * state + dust + 4 * noise[8]
    ws = np.maximum(0.1, 0.8 * w["wind"] + 0.15 * noise[17])
    columns = [
        *(w["temperature"], ch4, np.maximum(0.05, g["co"] + 0.03 * noise[2]), nmhc, no, no2, no + no2),
        *(np.maximum(0.2, g["o3"] + noise[7]), np.maximum(0, pm10), np.maximum(0, pm25), w["rain"]),
        *(np.clip(w["humidity"], 30, 100), np.maximum(0.1, g["so2"] + 0.3 * noise[12]), ch4 + nmhc),
        *((w["direction"] + 8 * noise[14]) % 360, (w["direction"] + 20 * noise[15]) % 360),
        *(np.maximum(0.1, w["wind"] * np.exp(0.08 * noise[16])), ws),
    ]
    readings = np.stack([np.round(c, d) for c, d in zip(columns, DECIMALS, strict=True)], 1)
    return readings[_WARM:].reshape(_MONTHS, _DAYS * 24, len(MEASUREMENTS)) + 0.0  # no minus zero


def _faults(rng: np.random.Generator, truth: Array) -> tuple[Array, NDArray[np.int8]]:
    """Readings with faults and what is wrong where: -1, spikes of the particles, and hours in which the whole station gives 0."""
    flat = truth.reshape(-1, len(MEASUREMENTS)).copy()
    faults = np.zeros(flat.shape, np.int8)
    for column in _CAN_FAIL:
        faults[rng.random(len(flat)) < 0.004, column] = NEGATIVE
    flat[faults == NEGATIVE] = -1
    for column in (_PM10, _PM25):
        hit = (rng.random(len(flat)) < 0.0012) & (faults[:, column] == 0)
        flat[hit, column] = np.round(flat[hit, column] * rng.uniform(4, 9, hit.sum()))
        faults[hit, column] = SPIKE
    for start, hours in zip(rng.integers(0, len(flat) - 8, 14), rng.integers(3, 9, 14), strict=True):
        flat[start : start + hours] = 0
        faults[start : start + hours] = OUTAGE
    return flat.reshape(truth.shape), faults.reshape(truth.shape)


def block_starts(seed: int) -> NDArray[np.int64]:
    """(12, 20) first hours of the test blocks, counted within the month: nine hours and the answer's, in days 21 to 30, apart."""
    rng = np.random.default_rng([2020, 2, seed])
    room = (_DAYS - _TRAIN_DAYS) * 24 - 9 * 20  # ten hours each, of which one is drawn and nine follow it
    places = np.stack([np.sort(rng.choice(room, 20, replace=False)) for _ in range(_MONTHS)])
    return places + 9 * np.arange(20) + _TRAIN_DAYS * 24


def blocks(year: Year, seed: int) -> tuple[Array, Array]:
    """(240, 9, 18) readings as measured, and (240,) answers: PM2.5 of the tenth hour without faults."""
    starts = block_starts(seed)
    months = np.arange(_MONTHS)[:, None]
    readings = year.measured[months[..., None], starts[..., None] + np.arange(9)]
    return readings.reshape(-1, 9, len(MEASUREMENTS)), year.truth[months, starts + 9, _PM25].ravel()


def train_text(year: Year) -> bytes:
    """train.csv in the course's layout: Big5, a row a day and measurement, days 1 to 20 of each month, `NR` for no rain."""
    rows = ["日期,測站,測項," + ",".join(map(str, range(24)))]
    days = year.measured[:, : _TRAIN_DAYS * 24].reshape(_MONTHS, _TRAIN_DAYS, 24, -1)
    for month, day in np.ndindex(_MONTHS, _TRAIN_DAYS):
        date = f"2014/{month + 1}/{day + 1},{STATION}"
        rows += [f"{date},{name},{_cells(name, days[month, day, :, i])}" for i, name in enumerate(MEASUREMENTS)]
    return ("\r\n".join(rows) + "\r\n").encode("big5")


def blocks_text(windows: Array) -> bytes:
    """test.csv in the course's layout: no header, 18 rows a block of (n, 9, 18), named id_0 to id_(n-1)."""
    rows = [f"id_{b},{name},{_cells(name, block[:, i])}" for b, block in enumerate(windows) for i, name in enumerate(MEASUREMENTS)]
    return ("\r\n".join(rows) + "\r\n").encode("big5")


def _cells(name: str, values: Array) -> str:
    return ",".join("NR" if name == "RAINFALL" and v == 0 else f"{v:g}" for v in values.tolist())
