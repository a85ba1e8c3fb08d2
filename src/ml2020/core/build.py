"""From a checked config to objects. Only classes of this package and a short list of torch's may be named by `_target_`."""

from __future__ import annotations

from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from ml2020.core.errors import TypedError, UserError

ALLOWED = ("ml2020.", "torch.optim.", "torch.nn.")


def build(config: dict[str, Any], **extra: Any) -> Any:
    """The object that `config["_target_"]` names, made with the rest of `config`.

    Raises TypedError for a target outside the allowed packages, and passes on what the class itself says about its arguments.
    """
    config = {key: value for key, value in config.items() if key not in ("brings", "cannot")}
    check_targets(config)
    try:
        return instantiate(config, **extra, _convert_="all")
    except InstantiationException as error:
        cause = error.__cause__
        while cause is not None and not isinstance(cause, UserError):
            cause = cause.__cause__
        if cause is not None:
            raise cause from None
        raise


def check_targets(node: Any) -> None:
    """Refuse a config that would run anything else than the project's own classes."""
    if isinstance(node, dict):
        target = node.get("_target_")
        if target is not None and not (isinstance(target, str) and target.startswith(ALLOWED)):
            raise TypedError(
                f"_target_ {target} is not allowed; a config may name classes of {', '.join(a.rstrip('.') for a in ALLOWED)}"
            )
        for value in node.values():
            check_targets(value)
    elif isinstance(node, list):
        for value in node:
            check_targets(value)
