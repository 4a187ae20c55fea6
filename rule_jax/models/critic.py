"""A critic: the policy's architecture with a head of one row, so that what the head projects to is a value.

It is a Model like any other (init, axes, hidden states, head) with parameters of its own, and is sharded, trained and
saved by the same programs. The vocabulary's head is left out of it; the row that takes its place starts at 0, so that
an untrained critic says 0 everywhere and its first gradient reaches the head alone.
"""

import dataclasses
from typing import Any

import jax
import numpy as np

from rule_jax.models import decoder
from rule_jax.models.decoder import Model, Params
from rule_jax.ops.logprobs import Head


def make(policy: Model) -> Model:
    """The critic's Model for a policy, computed as that is.

    Its parameters are the policy's but for ends/head, and value/head_VD [1, D].
    """
    config = dataclasses.replace(policy.config, tied_embeddings=True)
    headless = decoder.make(config, policy.execution)

    def init(key: jax.Array) -> Params:
        return {**headless.init(key), "value": _value_head(policy.config.width)}

    def head(params: Params) -> Head:
        return Head(params["value"]["head_VD"])

    return headless._replace(init=init, head=head, axes={**headless.axes, "value": {"head_VD": ("value", "embed")}})


def from_policy(policy: Model, params: Params) -> Params:
    """A critic's first parameters: the policy's arrays themselves, and a head of zeros."""
    ends = {name: leaf for name, leaf in params["ends"].items() if name != "head"}
    return {**params, "ends": ends, "value": _value_head(policy.config.width)}


def _value_head(width: int) -> Any:
    return {"head_VD": np.zeros((1, width), np.float32)}
