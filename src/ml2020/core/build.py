"""From a checked config to objects. Only classes and functions of this package and of a short list of torch's are named by `_target_`.

Hydra's own instantiate is not used: it reads interpolations (`${oc.create:...}` makes a config that nobody has checked) and takes any
path that leads somewhere, such as torch.nn.modules.module.torch.os.system.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from ml2020.core.errors import UserError

ALLOWED = ("ml2020.tasks.", "ml2020.data.", "ml2020.nn.", "ml2020.core.optim.", "torch.optim.", "torch.nn.")
_NOT_ARGUMENTS = ("_target_", "_partial_", "brings", "cannot")


def build(config: dict[str, Any]) -> Any:
    """The object that `config["_target_"]` names, made with the rest of `config`; with `_partial_` what makes it later.

    Nothing is made before every target has been checked. Raises UserError for one outside the allowed packages, or with arguments that
    it does not take, and passes on what the class itself says about their values.
    """
    check_targets(config)
    return _made(config)


def check_targets(node: Any) -> None:
    """Refuse a config that would run anything else than the project's own classes. Raises UserError."""
    if isinstance(node, dict):
        if "_target_" in node:
            _named(node["_target_"])
        for value in node.values():
            check_targets(value)
    elif isinstance(node, list):
        for value in node:
            check_targets(value)


def _made(node: Any) -> Any:
    if isinstance(node, list):
        return [_made(value) for value in node]
    if not isinstance(node, dict):
        return node
    if "_target_" not in node:
        return {key: _made(value) for key, value in node.items()}
    target, later = _named(node["_target_"]), node.get("_partial_") is True
    arguments = {key: _made(value) for key, value in node.items() if key not in _NOT_ARGUMENTS}
    signature = inspect.signature(target)
    try:
        (signature.bind_partial if later else signature.bind)(**arguments)
    except TypeError as error:
        raise UserError(f"the config does not fit {node['_target_']}: {error}; it may be another version's") from None
    return partial(target, **arguments) if later else target(**arguments)


def _named(target: Any) -> Callable[..., Any]:
    """The class or function of a dotted name, if it is defined in an allowed package: not merely reachable from one."""
    module, _, name = str(target).rpartition(".")
    if f"{module}.".startswith(ALLOWED) and not name.startswith("_"):
        try:
            found = getattr(importlib.import_module(module), name, None)
        except ImportError:
            found = None
        if (inspect.isclass(found) or inspect.isfunction(found)) and f"{found.__module__}.".startswith(ALLOWED):
            return found
    packages = ", ".join(package.rstrip(".") for package in ALLOWED)
    raise UserError(f"_target_ {target} is not allowed, or not there; a config may name classes and functions of {packages}")
