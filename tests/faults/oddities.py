"""Worlds in which a run may have to live; each is called with a number in the run's own process, before it begins."""

import random
import resource
import time
from pathlib import Path

import rule_jax.rewards

DAY_S = 86400
EVERY_S = 5


def short_files(size: float) -> None:
    """No file grows beyond so many bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(size), resource.RLIM_INFINITY))


def jumping_clock(seed: float) -> None:
    """Every few seconds the wall clock jumps, back or ahead by up to a day; clocks that measure spans do not."""
    look = time.time

    def jumped() -> float:
        chance = random.Random(f"{seed} {time.monotonic() // EVERY_S}")
        return look() + chance.uniform(-DAY_S, DAY_S)

    time.time = jumped
    time.time_ns = lambda: int(jumped() * 1e9)


def own_rewards(_: float) -> None:
    """The rewards of the folder beside are among those that a config can name, as a user's own would be."""
    rule_jax.rewards.__path__.append(str(Path(__file__).parent / "rewards"))
