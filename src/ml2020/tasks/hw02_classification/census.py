"""A generated census: people who never were, in the kind of columns that the course's table has.

Two seeds: the world's (effects, shares) never changes, so that every draw is of the same people at large; the sample's says which rows
are drawn. The label depends on the columns alone: `truth` is exactly P(y=1 | x), and mean(min(truth, 1 - truth)) the least error that
any classifier can have. The columns' sorts and sizes follow the UCI Census-Income table; the shares and effects are made up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

GENERATOR = 1  # goes up whenever the rows of the same seed change
WORLD = 21
ROWS = {"train": 44_000, "test": 10_000}

CONTINUOUS = (
    "age",
    "education years",
    "hours per week",
    "weeks worked in year",
    "capital gains",
    "capital losses",
    "dividends from stocks",
    "years with employer",
    "persons in household",
    "sex male",
    "union member",
)
MARITAL = (
    "Married",
    "Married, armed forces",
    "Married, spouse absent",
    "Divorced",
    "Separated",
    "Widowed",
    "Never married",
)
ROLES = ("Householder", "Spouse", "Child", "Nonfamily householder", "Other relative")
LEVELS = {
    "education": tuple(map(str, range(1, 17))),
    "marital": MARITAL,
    "occupation": tuple(map(str, range(14))),
    "class": tuple(map(str, range(8))),
    "industry": tuple(map(str, range(20))),
    "region": tuple(map(str, range(8))),
    "birth": tuple(map(str, range(10))),
    "role": ROLES,
}

# Chosen so that 24.1 % are above 50,000 dollars and that no classifier can be wrong on fewer than 11.2 % (a million people).
STRENGTH = 1.55 * 0.91  # of the score against the logistic noise
THRESHOLD = 6.87


def columns() -> list[str]:
    """The 99 names: 11 continuous ones, then group, underscore, blank and level, as the course's are written."""
    return [*CONTINUOUS, *(f"{group}_ {level}" for group, levels in LEVELS.items() for level in levels)]


def groups() -> dict[str, list[int]]:
    """The columns of each one-hot group: of them exactly one is 1 in every row."""
    found, start = {}, len(CONTINUOUS)
    for group, levels in LEVELS.items():
        found[group] = list(range(start, start + len(levels)))
        start += len(levels)
    return found


@dataclass(frozen=True)
class World:
    """What holds for everyone: how each level moves income, and who works at what."""

    effects: dict[str, np.ndarray]  # (levels,) by group
    shares: dict[str, np.ndarray]  # (levels,) running, of the groups that hang on nothing else
    by_education: np.ndarray  # (14,) slopes of the occupations' logits
    by_sex: np.ndarray  # (14,)
    by_ability: np.ndarray  # (14,)
    industries: np.ndarray  # (14, 20) running shares, by occupation


def world(seed: int = WORLD) -> World:
    """The fixed effects of a world."""
    rng = np.random.default_rng(seed)
    spread = {"occupation": 0.75, "industry": 0.45, "class": 0.4, "region": 0.2, "birth": 0.15}
    effects = {name: rng.normal(0, sd, len(LEVELS[name])) for name, sd in spread.items()}
    effects["education"] = np.linspace(-1.6, 1.9, 16)
    effects["marital"] = np.array([0.8, 0.4, -0.2, -0.1, -0.4, -0.1, -0.7])
    shares = {name: _cumulative(rng.dirichlet(np.full(len(LEVELS[name]), 1.2))) for name in ("class", "region", "birth")}
    slopes = 1.5 * effects["occupation"] + rng.normal(0, 0.35, 14)
    by_sex = rng.normal(0, 0.6, 14)
    by_ability = rng.normal(0, 0.3, 14)
    industries = np.exp(rng.normal(0, 1.3, (14, 20)))
    return World(effects, shares, slopes, by_sex, by_ability, _cumulative(industries))


def _cumulative(weights: np.ndarray) -> np.ndarray:
    """(..., levels) weights -> running shares; the last is exactly 1, so that no draw falls behind it."""
    running = weights.cumsum(-1)
    return running / running[..., -1:]


def draw(seed: int, split: str, rows: int | None = None) -> dict[str, np.ndarray]:
    """The people of a split, train or test; each has a stream of random numbers of its own.

    `continuous` (n, 11) float32 in years, hours, weeks and dollars; `codes` (n, 8) uint8, the level in each group; `labels` (n,)
    uint8, 1 = above 50,000 dollars; `truth` (n,) float64, P(label = 1).
    """
    rng, everyone = np.random.default_rng([seed, list(ROWS).index(split)]), world()
    people = _people(rng, rows or ROWS[split], everyone)
    truth = 1 / (1 + np.exp(THRESHOLD - STRENGTH * score(people, everyone)))
    return {
        "continuous": np.stack([people[name] for name in CONTINUOUS], 1).astype(np.float32),
        "codes": np.stack([people[name] for name in LEVELS], 1).astype(np.uint8),
        "labels": (rng.random(len(truth)) < truth).astype(np.uint8),
        "truth": truth,
    }


def table(continuous: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """(n, 11) columns and (n, 8) levels -> (n, 99) float64, the levels one-hot."""
    x = np.zeros((len(codes), len(columns())))
    x[:, : len(CONTINUOUS)] = continuous
    starts = np.array([own[0] for own in groups().values()])
    np.put_along_axis(x, starts + codes.astype(np.int64), 1.0, axis=1)
    return x


def score(people: dict[str, np.ndarray], of: World) -> np.ndarray:
    """(n,) what income hangs on, before the threshold and the noise. Columns alone go in: else `truth` would not be P(y | x)."""
    age = (people["age"] - 17) / 20
    own = {name: effect[people[name]] for name, effect in of.effects.items()}
    return (
        1.15 * own["education"]
        + sum(own[name] for name in ("occupation", "class", "industry", "region", "birth"))
        + 1.25 * own["marital"]
        + 1.9 * age
        - 0.42 * age**2
        + 0.04 * (people["hours per week"] - 40)
        + 0.03 * (people["weeks worked in year"] - 45)
        + 0.55 * people["sex male"]
        + 1.1 * np.log1p(people["capital gains"] / 3000)
        + 0.12 * np.log1p(people["dividends from stocks"])
        + 0.03 * people["years with employer"]
        + 0.25 * people["union member"]
        + 0.45 * own["education"] * own["occupation"]
        + 0.6 * (people["marital"] == 0) * (age - 1)
        - 0.9 * (people["age"] > 66)
    )


def _people(rng: np.random.Generator, n: int, of: World) -> dict[str, np.ndarray]:
    """n people, (n,) each: columns by name, and levels by group. The order of the draws is part of the generator."""
    ability = rng.normal(size=n)
    age = np.floor(np.minimum(17 + rng.gamma(3.2, 7, n), 90))
    male = rng.random(n) < 0.52
    education = np.clip(np.rint(8.2 + 2.5 * (0.75 * ability + 0.66 * rng.normal(size=n))), 0, 15).astype(np.int64)
    occupation = _pick(
        rng,
        np.outer(education - 8.2, of.by_education) / 2.5 + np.outer(male - 0.5, of.by_sex) + np.outer(ability, of.by_ability),
    )
    marital = _marital(rng, (age - 17) / 20)
    role = np.select([(marital < 2) & male, marital < 2, (marital == 6) & (age < 26), age > 72], [0, 1, 2, 4], default=3)
    part_time = rng.random(n)
    hours = np.select([part_time < 0.52, part_time < 0.7], [40.0, rng.normal(22, 7, n)], default=rng.normal(47, 8, n))
    return {
        "age": age,
        "education years": education + 1,
        "hours per week": np.clip(np.rint(hours), 1, 99),
        "weeks worked in year": np.where(rng.random(n) < 0.72, 52, rng.integers(0, 52, n)),
        "capital gains": _money(rng, n, 0.08, 8.2, 1.2),
        "capital losses": _money(rng, n, 0.045, 7.3, 0.4),
        "dividends from stocks": _money(rng, n, 0.12, 6.0, 1.8),
        "years with employer": np.floor((age - 17) * rng.random(n) ** 2),
        "persons in household": 1 + (role < 3) + rng.poisson(np.where(role < 3, 1.1, 0.4)),
        "sex male": male,
        "union member": rng.random(n) < 0.12,
        "education": education,
        "marital": marital,
        "occupation": occupation,
        "industry": (rng.random((n, 1)) > of.industries[occupation]).sum(1),
        "role": role,
    } | {name: np.searchsorted(share, rng.random(n)) for name, share in of.shares.items()}


def _marital(rng: np.random.Generator, age: np.ndarray) -> np.ndarray:
    start = np.array([0.4, -3.2, -2.6, -1.8, -2.4, -6.5, 1.6])
    slope = np.array([0.9, -0.2, 0.5, 0.9, 0.5, 2.4, -0.9])
    return _pick(rng, start + np.outer(age, slope))


def _pick(rng: np.random.Generator, logits: np.ndarray) -> np.ndarray:
    """(n,) one level a row, drawn from softmax(logits)."""
    share = np.exp(logits).cumsum(1)
    return (rng.random((len(share), 1)) * share[:, -1:] > share).sum(1)


def _money(rng: np.random.Generator, n: int, share: float, mean: float, sd: float) -> np.ndarray:
    """(n,) whole dollars: 0 for most, log-normal for `share` of the people, cut at 99,999 as in the census."""
    return np.where(rng.random(n) < share, np.minimum(np.rint(rng.lognormal(mean, sd, n)), 99_999), 0)
