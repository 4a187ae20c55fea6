"""The two forms of a decoder's parameters: layers stacked for training, each by itself for decoding.

A scan over stacked layers compiles one block for all of them. A loop over tokens that cuts a layer out of a stack
copies its weights for every token, on a GPU at least: two fifths of a rollout's time with a model of 1B parameters.
"""

import operator
from typing import Any

import jax

from rule_jax.sharding import Layout


def unstacked(params: Any) -> Any:
    """{"ends", "layers": [variables of each block, its adapter included]}; `params` itself where it is that already."""
    if isinstance(params["layers"], list):
        return params
    stacked = of_layers(params)
    count = len(jax.tree.leaves(stacked)[0])
    return {
        "ends": params["ends"],
        "layers": [jax.tree.map(operator.itemgetter(layer), stacked) for layer in range(count)],
    }


def laid_out(params: Any, layout: Layout) -> Any:
    """Parameters in the form that a layout has them in."""
    return unstacked(params) if layout == "decode" else params


def axes(stacked: Any, laid_out: Any, layout: Layout) -> Any:
    """Logical axes, a tree like the laid out parameters, of axes like the stacked ones."""
    if layout == "train":
        return stacked
    of_layer = jax.tree.map(lambda names: names[1:], stacked["layers"], is_leaf=lambda x: isinstance(x, tuple))
    return {"ends": stacked["ends"], "layers": [{"params": of_layer} for _ in laid_out["layers"]]}


def of_layers(params: Any) -> dict[str, Any]:
    """The variables of the blocks, stacked [L, ...]: their parameters and, where one is on, their adapter."""
    adapter = {"adapter": params["adapter"]} if "adapter" in params else {}
    return {"params": params["layers"], **adapter}
