"""What requests may cost and how fast they may go."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from rule_jax.errors import UserError


@dataclass(frozen=True, slots=True)
class Usage:
    """What replies have cost: requests answered, tokens in and out, and money in the currency of the price table."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    money: float = 0.0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    def within(self, budget: Mapping[str, float]) -> bool:
        spent = {"requests": self.requests, "tokens": self.input_tokens + self.output_tokens, "money": self.money}
        return all(not limit or spent[name] <= limit for name, limit in budget.items())


class Pace:
    """So much a minute, evenly; 0 is any amount."""

    def __init__(self, per_minute: float, clock: Callable[[], float] | None = None):
        self.interval = 60 / per_minute if per_minute else 0.0
        self.clock = clock or (lambda: asyncio.get_running_loop().time())
        self.free = float("-inf")

    def wait(self, amount: float = 1) -> float:
        """Seconds until `amount` more may go; it counts as gone."""
        now = self.clock()
        start = max(now, self.free)
        self.free = start + amount * self.interval
        return start - now


class Purse:
    """Keeps what is spent, with all that is in flight at its longest, within a budget: {"requests", "tokens", "money"},
    where 0 is no limit. It belongs to one event loop."""

    def __init__(self, budget: Mapping[str, float], spent: Usage):
        self.budget, self.spent = budget, spent
        self._held: list[Usage] = []
        self._settled = asyncio.Condition()

    @asynccontextmanager
    async def holding(self, most: Usage):
        """Waits until the budget has room for `most`. Raises UserError when it will never have."""

        def fits() -> bool:
            return sum(self._held, self.spent + most).within(self.budget)

        async with self._settled:
            await self._settled.wait_for(lambda: fits() or not self._held)
            if not fits():
                raise UserError(self._exhausted())
            self._held.append(most)
        try:
            yield
        finally:
            self._held.remove(most)
            async with self._settled:
                self._settled.notify_all()

    def _exhausted(self) -> str:
        limits = ", ".join(
            f"{name} {self.budget[name]:g}" for name in ("requests", "tokens", "money") if self.budget[name]
        )
        tokens = self.spent.input_tokens + self.spent.output_tokens
        return (
            f"the budget (config.llm.budget: {limits}) has no room for another request after {self.spent.requests} "
            f"requests, {tokens} tokens and {self.spent.money:.4f} in money. What was answered is kept: raise the "
            "budget, and the same command goes on from there."
        )
