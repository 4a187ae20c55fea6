"""Weights as a quantized copy of the model would have them: does rounding bring back what was forgotten?

Symmetric round-to-nearest of the projections of every layer, as the common weight-only schemes do it; embeddings and
norms stay. That unlearning by small updates can be undone so: https://arxiv.org/abs/2410.16454.
"""

import math

import jax.numpy as jnp

from rule_jax.models.decoder import Model, Params
from rule_jax.models.lora import KERNEL, kernels
from rule_jax.types import Array

SCHEMES = {"int8": (8, 0), "int4": (4, 64)}  # bits, inputs that share a scale; 0: all of an output


def round_weights(model: Model, params: Params, scheme: str) -> Params:
    """The parameters with each projection rounded as SCHEMES[scheme] says and read back; their dtype stays."""
    bits, group = SCHEMES[scheme]
    layers = {name: dict(part) for name, part in params["layers"].items()}
    for kernel in kernels(model):
        name = kernel.name + KERNEL
        whole = layers[kernel.group][name]
        inputs = math.prod(whole.shape[1 : 1 + kernel.inputs])
        flat = whole.reshape(whole.shape[0], inputs, -1)
        layers[kernel.group][name] = round_to_nearest(flat, bits, group).reshape(whole.shape)
    return {**params, "layers": layers}


def round_to_nearest(weights: Array, bits: int, group: int) -> Array:
    """q * s with s = max |w| / (2^(bits-1) - 1) over `group` inputs of an output and q = round(w / s), in float32.

    weights: [layers, inputs, outputs]. group 0, or one that does not divide the inputs: all inputs of an output.
    """
    layers, inputs, outputs = weights.shape
    size = group if group and inputs % group == 0 else inputs
    parts = weights.astype(jnp.float32).reshape(layers, inputs // size, size, outputs)
    most = 2 ** (bits - 1) - 1
    largest = jnp.max(jnp.abs(parts), axis=2, keepdims=True)
    scale = jnp.where(largest > 0, largest, 1.0) / most
    return (jnp.round(parts / scale) * scale).reshape(weights.shape).astype(weights.dtype)
