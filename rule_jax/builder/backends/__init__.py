"""Who writes the queries: `make(desk, **options) -> Backend`, one file each.

openai: an endpoint over HTTP. policy: the model that is to forget itself; nothing leaves the machine. table: entities
and rules; offline and deterministic.
"""

from typing import NamedTuple

from rule_jax.builder.base_model import BaseModel
from rule_jax.builder.wording import Wording
from rule_jax.journal import Journal
from rule_jax.stages import Run


class Desk(NamedTuple):
    """What a backend works with: the run, the prompts, where answers are kept, and the model that is to forget (None
    where config.model.path is empty)."""

    run: Run
    wording: Wording
    journal: Journal
    base: BaseModel | None
