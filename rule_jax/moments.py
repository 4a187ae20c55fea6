"""Adam with its moments kept in bfloat16: half of the optimizer's memory.

Source: https://arxiv.org/abs/1412.6980; stochastic rounding of optimizer state: https://arxiv.org/abs/2010.06192.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from rule_jax.errors import UserError
from rule_jax.ops.rounding import stochastic_bfloat16


def scale_by_adam(*, b1: float, b2: float, eps: float, dtype: str) -> optax.GradientTransformation:
    """Adam's direction m_hat / (sqrt(v_hat) + eps), computed in float32; `dtype` is what m and v are kept in.

    With bfloat16, m is rounded to the nearest (it changes by a tenth a step) and v stochastically: at b2 = 0.999 it
    changes by less than bfloat16 resolves, and to the nearest it would never fall. The chance comes from the step's
    number, so a resumed run repeats it. Raises UserError for another dtype.
    """
    if dtype == "float32":
        return optax.scale_by_adam(b1=b1, b2=b2, eps=eps)
    if dtype != "bfloat16":
        raise UserError(f"optimizer.moments_dtype={dtype!r}: it must be float32 or bfloat16")

    def init(params: Any) -> optax.ScaleByAdamState:
        zeros = optax.tree.zeros_like(params, dtype=jnp.bfloat16)
        return optax.ScaleByAdamState(count=jnp.zeros([], jnp.int32), mu=zeros, nu=jax.tree.map(jnp.copy, zeros))

    def update(grads: Any, state: optax.ScaleByAdamState, params: Any = None) -> tuple[Any, optax.ScaleByAdamState]:
        del params
        count = state.count + 1
        mean = jax.tree.map(lambda m, g: b1 * m.astype(jnp.float32) + (1 - b1) * g, state.mu, grads)
        square = jax.tree.map(lambda v, g: b2 * v.astype(jnp.float32) + (1 - b2) * g * g, state.nu, grads)
        unbias1, unbias2 = 1 - b1**count, 1 - b2**count
        direction = jax.tree.map(lambda m, v: m / unbias1 / (jnp.sqrt(v / unbias2) + eps), mean, square)
        leaves, treedef = jax.tree.flatten(square)
        keys = jax.random.split(jax.random.fold_in(jax.random.key(0), count), len(leaves))
        nu = treedef.unflatten([stochastic_bfloat16(v, key) for v, key in zip(leaves, keys)])
        return direction, optax.ScaleByAdamState(count, jax.tree.map(lambda m: m.astype(jnp.bfloat16), mean), nu)

    return optax.GradientTransformation(init, update)  # type: ignore[arg-type]
