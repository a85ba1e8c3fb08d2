"""gymnasium's environments by name, and what can be wrong with one."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from ml2020.core.errors import TypedError, UserError, suggestion
from ml2020.data.packages import versions


def make(name: str, **options: Any) -> Any:
    """The environment `name`, a gymnasium.Env whose observations are vectors; `options` as gymnasium.make's.

    Observations that are no vectors (a state's number, grids, pairs) are made one by gymnasium's FlattenObservation, numbers one-hot.
    Raises TypedError for a name that is not there or continuous actions, and UserError for packages that are missing.
    """
    versions(["gymnasium"], "the environments of homework 15")
    import gymnasium

    if ":" in name:  # gymnasium would import what stands before it
        raise TypedError(f"data.env takes the name of an environment of gymnasium, such as LunarLander-v3, not {name}")
    try:
        env = gymnasium.make(name, disable_env_checker=True, **options)
    except gymnasium.error.Error as error:
        raise _told(name, error, gymnasium) from None
    if not isinstance(env.action_space, gymnasium.spaces.Discrete):
        kind = "continuous" if isinstance(env.action_space, gymnasium.spaces.Box) else type(env.action_space).__name__
        raise TypedError(f"data.env={name} has {kind} actions; homework 15 chooses one of a few: type data.env=LunarLander-v3, for one")
    space = env.observation_space
    return env if isinstance(space, gymnasium.spaces.Box) and len(space.shape) == 1 else gymnasium.wrappers.FlattenObservation(env)


def _told(name: str, error: Exception, gymnasium: Any) -> UserError:
    """The sentence for an environment that gymnasium does not make."""
    if isinstance(error, gymnasium.error.DependencyNotInstalled):
        extra = re.search(r"gymnasium\[([\w-]+)\]", str(error))
        line = f"pip install 'gymnasium[{extra[1] if extra else 'all'}]'"
        return UserError(f"data.env={name} needs packages that are not installed; type {line}")
    return TypedError(f"there is no environment data.env={name}{suggestion(name, list(gymnasium.registry))}")


def facts(env: Any) -> dict[str, Any]:
    """Plain data about an environment: its name, numbers in an observation, actions, limit of steps, return from which it is solved."""
    spec = env.spec
    return {
        "env": spec.id,
        "observation": int(np.prod(env.observation_space.shape)),
        "actions": int(env.action_space.n),
        "limit": spec.max_episode_steps,
        "solved": None if spec.reward_threshold is None else float(spec.reward_threshold),
    }
