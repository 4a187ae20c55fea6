"""The stack: a pure function over parameters stacked [L, ...]. `make(config)` is a Model, a tuple of such functions.

Training and scoring scan over the layers, unrolled up to UNROLLED of them; prefill and decoding always unroll, because
a stacked cache in a scan's carry is copied once per layer. Layers that see differently (windows, ropes) are one block
all the same: masks and angles are computed once for each distinct sight and picked by the layer's number.
Parameters: {"ends": {...}, "layers": {... stacked [L, ...]}}, float32 unless the caller casts; activations take the
parameters' dtype. An "adapter" beside them is LoRA's (lora.py). For decoding they are `unstacked`.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Callable, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from rule_jax import sharding
from rule_jax.models.layers import Block, DecoderConfig, Ends, Rotation
from rule_jax.models.layouts import of_layers, unstacked
from rule_jax.ops import kernels, rope
from rule_jax.ops.attention import shared_prefix_attention, within
from rule_jax.ops.logprobs import Head, project
from rule_jax.ops.masked import length_mask
from rule_jax.ops.shapes import check
from rule_jax.types import Packed, Prompts

Params = Mapping[str, Any]

UNROLLED = 4  # the default world's 3 layers, unrolled: compiled in half the time, a step a third faster on a CPU


class Cache(NamedTuple):
    """Keys and values while decoding, one entry per layer.

    prefix: [B, P, K, C] pairs of the prompts, shared by a prompt's samples. suffix: [B, K, G, R, C] pairs: in the order
    in which they are multiplied, or every token would turn round what all before it have left.
    """

    prefix: tuple[tuple[jax.Array, jax.Array], ...]
    suffix: tuple[tuple[jax.Array, jax.Array], ...]


class View(NamedTuple):
    """What layers of one sight work with: the angles of the tokens' positions, and who sees whom."""

    rotation: Rotation
    masks: Any


class Execution(NamedTuple):
    """How a Model is computed, which changes its results by rounding alone.

    remat: each block is computed again in the backward pass, instead of its insides being kept.
    attention: what computes it in all but decoding, a name of ops.kernels.
    """

    remat: bool = False
    attention: str = "einsum"


DEFAULT = Execution()


class Model(NamedTuple):
    """A decoder as pure functions of its parameters.

    init(key) -> params; axes: a tree like params whose leaves are tuples of logical axis names.
    logits(params, tokens_BT, mask_BT=None) -> [B, T, V] float32: causal, pads at either side told by the mask.
    packed_hidden(params, packed, trunk_BT=None, whole_BT=None) -> [B, T, D]: several segments per row, none seeing
        another. trunk_BT: the segment that each token's own goes on from, and sees; its own where it goes on from none.
        whole_BT: how long a rope takes a token's text to be; None: as long as it is there, with what goes on from it.
    packed_states(params, packed, layers) -> [B, T, D]: of the same rows, the residual stream behind so many blocks.
    response_hidden(params, prompts, response_BGR) -> [B, G, R, D]: the states that predict each response token.
    prefill(params, prompts, samples, size) -> ([B, D] last state, Cache with room for `size` suffix tokens).
    decode(params, tokens_BG, index, prompts, cache) -> ([B, G, D], Cache): feeds response token number `index`.
    head(params) -> Head, to be used with ops.logprobs. Like prefill and decode it takes `unstacked` parameters too.
    """

    config: DecoderConfig
    execution: Execution
    axes: Any
    init: Callable[[jax.Array], Params]
    logits: Callable[..., jax.Array]
    packed_hidden: Callable[..., jax.Array]
    packed_states: Callable[[Params, Packed, int], jax.Array]
    response_hidden: Callable[[Params, Prompts, jax.Array], jax.Array]
    prefill: Callable[[Params, Prompts, int, int], tuple[jax.Array, Cache]]
    decode: Callable[[Params, jax.Array, jax.Array, Prompts, Cache], tuple[jax.Array, Cache]]
    head: Callable[[Params], Head]


def make(config: DecoderConfig, execution: Execution = DEFAULT) -> Model:
    """The Model of a configuration."""
    block, ends = Block(config), Ends(config)
    unroll = config.layers if config.layers <= UNROLLED else 1
    sight_of_layer = [config.sights[layer % len(config.sights)] for layer in range(config.layers)]
    sights = tuple(dict.fromkeys(sight_of_layer))
    kind_L = np.array([sights.index(sight) for sight in sight_of_layer], np.int32)
    caps = {"scale": config.attention_scale, "softcap": config.attention_softcap}
    kernel = kernels.make(execution.attention, sharding.per_device)

    def boxed(key: jax.Array) -> dict[str, Any]:
        key_ends, key_layers = jax.random.split(key)
        token = jnp.zeros((1, 1), jnp.int32)
        x = jnp.zeros((1, 1, config.width))
        rotation = rope.rotation_of(sights[0].rope, token, token)

        def one(key: jax.Array) -> Any:
            return block.init(key, x, rotation, lambda q, k, v: q)["params"]

        layers = jax.vmap(one)(jax.random.split(key_layers, config.layers))
        return {"ends": ends.init(key_ends, token)["params"], "layers": layers}

    def init(key: jax.Array) -> Params:
        return nn.meta.unbox(boxed(key))

    def blocks(
        params: Params, x_BND: jax.Array, views: list[View], attend: Callable[..., Any], layers: int
    ) -> tuple[jax.Array, Any]:
        """The first blocks over x. Returns the residual stream and the keys and values, stacked [L, B, N, K, C].

        views: one for each of the distinct sights; attend(masks, q, k, v) gets the masks of its layer's.
        """

        def body(x: jax.Array, scanned: tuple[Params, jax.Array | None]) -> tuple[jax.Array, Any]:
            layer, kind = scanned
            view = views[0] if kind is None else jax.tree.map(lambda *each: jax.lax.select_n(kind, *each), *views)
            return block.apply(layer, x, view.rotation, partial(attend, view.masks))  # type: ignore[return-value]

        body = jax.checkpoint(body) if execution.remat else body
        kinds = jnp.asarray(kind_L) if len(views) > 1 else None
        scanned = of_layers(params), kinds
        if layers < config.layers:
            scanned = jax.tree.map(lambda x: x[:layers], scanned)
        return jax.lax.scan(body, x_BND, scanned, unroll=unroll)

    def stack(params: Params, x_BND: jax.Array, views: list[View], attend: Callable[..., Any]) -> tuple[jax.Array, Any]:
        """All blocks, then the final norm; the rest is as of `blocks`."""
        x_BND, kv = blocks(params, x_BND, views, attend, config.layers)
        return norm(params, x_BND), kv

    def one_by_one(
        params: Params, x_BND: jax.Array, views: list[View], attends: Sequence[Callable[..., Any]]
    ) -> tuple[jax.Array, tuple[tuple[jax.Array, jax.Array], ...]]:
        """As `stack`, unrolled: each layer has an `attend` of its own. Returns keys and values layer by layer."""
        kv = []
        for layer, kind, attend in zip(unstacked(params)["layers"], kind_L, attends):
            view = views[kind]
            x_BND, own = block.apply(layer, x_BND, view.rotation, partial(attend, view.masks))  # type: ignore[misc]
            kv.append(own)
        return norm(params, x_BND), tuple(kv)

    def embed(params: Params, tokens_BN: jax.Array) -> jax.Array:
        return sharding.spread(ends.apply({"params": params["ends"]}, tokens_BN, method="embed"))  # type: ignore[arg-type]

    def norm(params: Params, x_BND: jax.Array) -> jax.Array:
        return ends.apply({"params": params["ends"]}, x_BND, method="norm")  # type: ignore[return-value]

    def head(params: Params) -> Head:
        return ends.apply({"params": params["ends"]}, method="output")  # type: ignore[return-value]

    def in_one_run(
        mask_BTT: jax.Array, position_BT: jax.Array, length_BT: jax.Array
    ) -> tuple[list[View], Callable[..., Any]]:
        """(views, attend) of rows whose tokens stand in one run. mask_BTT: who may see whom, windows not counted."""
        views = [
            View(
                rope.rotation_of(sight.rope, position_BT, length_BT),
                within(mask_BTT, position_BT, position_BT, sight.window),
            )
            for sight in sights
        ]
        return views, lambda mask, q, k, v: kernel.attention(q, k, v, mask, **caps)

    def logits(params: Params, tokens_BT: jax.Array, mask_BT: jax.Array | None = None) -> jax.Array:
        mask_BT = jnp.ones(tokens_BT.shape, bool) if mask_BT is None else mask_BT.astype(bool)
        check(tokens_BT=tokens_BT, mask_BT=mask_BT)
        position_BT = jnp.maximum(jnp.cumsum(mask_BT, axis=1) - 1, 0)
        mask_BTT = _causal(tokens_BT.shape[1]) & mask_BT[:, None, :]
        seen = in_one_run(mask_BTT, position_BT, jnp.sum(mask_BT, axis=1, keepdims=True))
        return project(stack(params, embed(params, tokens_BT), *seen)[0], head(params))

    def of_segments(
        packed: Packed, trunk_BT: jax.Array | None = None, whole_BT: jax.Array | None = None
    ) -> tuple[list[View], Callable[..., Any]]:
        tokens_BT, segment_BT, position_BT = packed.tokens_BT, packed.segment_BT, packed.position_BT
        check(tokens_BT=tokens_BT, segment_BT=segment_BT, position_BT=position_BT)
        seen_BTT = family_BTT = segment_BT[:, :, None] == segment_BT[:, None, :]
        if trunk_BT is not None:
            check(trunk_BT=trunk_BT)
            seen_BTT |= trunk_BT[:, :, None] == segment_BT[:, None, :]
            family_BTT = trunk_BT[:, :, None] == trunk_BT[:, None, :]
        if whole_BT is None:
            whole_BT = 1 + jnp.max(jnp.where(family_BTT, position_BT[:, None, :], 0), axis=2)
        return in_one_run(_causal(tokens_BT.shape[1]) & seen_BTT, position_BT, whole_BT)

    def packed_hidden(
        params: Params, packed: Packed, trunk_BT: jax.Array | None = None, whole_BT: jax.Array | None = None
    ) -> jax.Array:
        return stack(params, embed(params, packed.tokens_BT), *of_segments(packed, trunk_BT, whole_BT))[0]

    def packed_states(params: Params, packed: Packed, layers: int) -> jax.Array:
        return blocks(params, embed(params, packed.tokens_BT), *of_segments(packed), layers)[0]

    def response_hidden(params: Params, prompts: Prompts, response_BGR: jax.Array) -> jax.Array:
        check(tokens_BP=prompts.tokens_BP, length_B=prompts.length_B, response_BGR=response_BGR)
        B, P = prompts.tokens_BP.shape
        G, R = response_BGR.shape[1:]
        fed = R - 1  # the last token predicts nothing that is asked for: below, R axes are this long
        tokens_BN = jnp.concatenate([prompts.tokens_BP, response_BGR[..., :fed].reshape(B, G * fed)], axis=1)
        prompt_BP = jnp.broadcast_to(jnp.arange(P), (B, P))
        own_BR = prompts.length_B[:, None] + jnp.arange(fed)[None]
        position_BN = jnp.concatenate([prompt_BP, jnp.tile(own_BR, (1, G))], axis=1)
        valid_BP, slot_1R = length_mask(prompts.length_B, P), jnp.arange(fed)[None]
        same_for_all = all(sight.window is None for sight in sights)
        of_samples_BRP = jnp.broadcast_to(valid_BP[:, None], (B, 1 if same_for_all else fed, P))
        views = [
            View(
                rope.rotation_of(sight.rope, position_BN, _whole(prompts, max(R, 2))),
                (
                    within(_causal(P) & valid_BP[:, None, :], prompt_BP, prompt_BP, sight.window),
                    within(of_samples_BRP, own_BR, prompt_BP, sight.window),
                    within(_causal(fed), slot_1R, slot_1R, sight.window)[0],
                ),
            )
            for sight in sights
        ]

        def attend(masks: tuple[jax.Array, ...], q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
            def samples(x: jax.Array) -> jax.Array:
                return x[:, P:].reshape(B, G, fed, *x.shape[2:])

            of_prompt = kernel.attention(q[:, :P], k[:, :P], v[:, :P], masks[0], **caps)
            of_samples = kernel.shared_prefix_attention(
                samples(q), (k[:, :P], v[:, :P]), masks[1], (samples(k), samples(v)), masks[2], **caps
            )
            return jnp.concatenate([of_prompt, of_samples.reshape(B, G * fed, *q.shape[2:])], axis=1)

        hidden_BND, _ = stack(params, embed(params, tokens_BN), views, attend)
        last_BD = _last(hidden_BND, prompts.length_B)
        first_BG1D = jnp.broadcast_to(last_BD[:, None, None], (B, G, 1, last_BD.shape[-1]))
        return jnp.concatenate([first_BG1D, hidden_BND[:, P:].reshape(B, G, fed, last_BD.shape[-1])], axis=2)

    def prefill(params: Params, prompts: Prompts, samples: int, size: int) -> tuple[jax.Array, Cache]:
        check(tokens_BP=prompts.tokens_BP, length_B=prompts.length_B)
        B, P = prompts.tokens_BP.shape
        mask_BPP = _causal(P) & length_mask(prompts.length_B, P)[:, None, :]
        position_BP = jnp.broadcast_to(jnp.arange(P), (B, P))
        views, attend = in_one_run(mask_BPP, position_BP, _whole(prompts, size + 1))
        hidden, prefix = one_by_one(params, embed(params, prompts.tokens_BP), views, [attend] * config.layers)
        shape = (B, config.kv_heads, samples, size, config.head_dim)
        empty = tuple((jnp.zeros(shape, k.dtype), jnp.zeros(shape, v.dtype)) for k, v in prefix)
        return _last(hidden, prompts.length_B), Cache(prefix, suffix=empty)

    def decode(
        params: Params, tokens_BG: jax.Array, index: jax.Array, prompts: Prompts, cache: Cache
    ) -> tuple[jax.Array, Cache]:
        B, G = tokens_BG.shape
        P, S = prompts.tokens_BP.shape[1], cache.suffix[0][0].shape[3]
        prompt_BP, slot_1S = jnp.broadcast_to(jnp.arange(P), (B, P)), jnp.arange(S)[None]
        own_B1, index_11 = prompts.length_B[:, None] + index, jnp.reshape(index, (1, 1))
        views = [
            View(
                rope.rotation_of(sight.rope, jnp.broadcast_to(own_B1, (B, G)), _whole(prompts, S + 1)),
                (
                    within(length_mask(prompts.length_B, P)[:, None], own_B1, prompt_BP, sight.window),
                    within((slot_1S <= index)[None], index_11, slot_1S, sight.window)[0],
                ),
            )
            for sight in sights
        ]
        suffixes: list[tuple[jax.Array, jax.Array]] = []

        def over(prefix: Any, past: Any) -> Callable[..., jax.Array]:
            def attend(masks: Any, q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
                suffixes.append((_write(past[0], k, index), _write(past[1], v, index)))
                k_BGSKC, v_BGSKC = (jnp.moveaxis(x, 1, 3) for x in suffixes[-1])
                own = k_BGSKC, v_BGSKC
                found = shared_prefix_attention(q[:, :, None], prefix, masks[0], own, masks[1], **caps)
                return found[:, :, 0]

            return attend

        x_BGD, _ = one_by_one(params, embed(params, tokens_BG), views, [*map(over, cache.prefix, cache.suffix)])
        return x_BGD, cache._replace(suffix=tuple(suffixes))

    return Model(
        config=config,
        execution=execution,
        axes=_logical_axes(jax.eval_shape(boxed, jax.random.key(0))),
        init=init,
        logits=logits,
        packed_hidden=packed_hidden,
        packed_states=packed_states,
        response_hidden=response_hidden,
        prefill=prefill,
        decode=decode,
        head=head,
    )


def _causal(size: int) -> jax.Array:
    """bool [1, size, size]: position t sees s <= t."""
    return jnp.tri(size, dtype=bool)[None]


def _whole(prompts: Prompts, answer: int) -> jax.Array:
    """int32 [B, 1]: the length of a row whose answer takes all the room it has.

    Sampling and scoring count alike, however long the answers turn out to be: a rope that knows lengths must not
    change in the midst of one.
    """
    return prompts.length_B[:, None] + answer


def _last(hidden_BPD: jax.Array, length_B: jax.Array) -> jax.Array:
    """The state of the last valid token of each row, [B, D]."""
    return jnp.take_along_axis(hidden_BPD, (length_B - 1)[:, None, None], axis=1)[:, 0]


def _write(cache_BKGRC: jax.Array, new_BGKC: jax.Array, index: jax.Array) -> jax.Array:
    return jax.lax.dynamic_update_slice_in_dim(cache_BKGRC, new_BGKC.swapaxes(1, 2)[:, :, :, None], index, axis=3)


def _logical_axes(boxed: Mapping[str, Any]) -> Any:
    """Per leaf, the names declared beside it; the stacked axis of the layers is called "layers"."""

    def named(tree: Any, prefix: tuple[str, ...]) -> Any:
        is_box = lambda x: isinstance(x, nn.Partitioned)  # noqa: E731
        return jax.tree.map(lambda box: prefix + tuple(box.names), tree, is_leaf=is_box)

    return {"ends": named(boxed["ends"], ()), "layers": named(boxed["layers"], ("layers",))}
