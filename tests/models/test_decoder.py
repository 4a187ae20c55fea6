"""models.decoder: who sees whom, by gradient and by values; every path through the stack is the same function."""

import dataclasses
import math
import operator
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rule_jax.models import decoder
from rule_jax.models.decoder import UNROLLED, Execution
from rule_jax.models.layers import Block, RMSNorm, Sight
from rule_jax.ops import rope
from rule_jax.ops.attention import attention
from rule_jax.ops.logprobs import project
from rule_jax.ops.rope import Rope
from rule_jax.types import Packed, Prompts

LLAMA3 = (
    ("rope_type", "llama3"),
    ("factor", 4.0),
    ("low_freq_factor", 1.0),
    ("high_freq_factor", 4.0),
    ("original_max_position_embeddings", 32),
)
LONGROPE = (
    ("rope_type", "longrope"),
    ("short_factor", (1.0,)),
    ("long_factor", (3.0,)),
    (
        "original_max_position_embeddings",
        7,
    ),  # rows of 6 and 4 prompt tokens are beyond it with 4 more, that of 1 is not
    ("attention_factor", 1.3),
)
VARIANTS = {
    "tied, biased": {"tied_embeddings": True, "qkv_bias": True, "out_bias": True, "mlp_bias": True, "kv_heads": 4},
    "one key head, llama3": {
        "kv_heads": 1,
        "head_dim": 6,
        "sights": (Sight(Rope(100.0, 6, LLAMA3)),),
    },
    "grouped heads, scanned": {"layers": UNROLLED + 1},
    "two sights, scanned, everything on": {
        "layers": UNROLLED + 1,
        "sights": (Sight(Rope(30.0, 4), window=3), Sight(Rope(100.0, 4))),
        "activation": "gelu_tanh",
        "qkv_bias": True,
        "query_key_norm": True,
        "post_norms": True,
        "norm_offset": 1.0,
        "embedding_scale": 4.0,
        "attention_scale": 0.4,
        "attention_softcap": 2.0,
        "logit_softcap": 3.0,
    },
    "a window for all, longrope on half a head": {"sights": (Sight(Rope(100.0, 2, LONGROPE), window=2),)},
}
RNG = np.random.default_rng(0)
TOKENS = RNG.integers(48, size=(2, 7))
PROMPTS = Prompts(RNG.integers(48, size=(3, 6)).astype(np.int32), np.array([6, 1, 4], np.int32))
RESPONSE = RNG.integers(48, size=(3, 2, 4)).astype(np.int32)


def close(a, b, tol=2e-5):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=tol, atol=tol), a, b)


def close_gradients(a, b, tol=2e-5):
    """Each array to `tol` of its largest entry: an entry near 0 is a sum of large ones, and as exact as they are."""
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=0, atol=tol * np.abs(y).max()), a, b)


@pytest.fixture(params=VARIANTS)
def variant(request, tiny):
    return tiny(**VARIANTS[request.param])


def repeated_prompt_hidden(model, params, prompts, response):
    """The states that predict each response token, every answer written out behind its own copy of its prompt."""
    B, G, R = response.shape
    P = prompts.tokens_BP.shape[1]
    tokens, segment = np.zeros((B * G, P + R), np.int32), np.zeros((B * G, P + R), np.int32)
    for row in range(B * G):
        length = prompts.length_B[row // G]
        tokens[row, :length] = prompts.tokens_BP[row // G, :length]
        tokens[row, length : length + R] = response[row // G, row % G]
        segment[row, : length + R] = 1
    position = np.broadcast_to(np.arange(P + R, dtype=np.int32), tokens.shape)
    hidden = model.packed_hidden(params, Packed(tokens, segment, position, np.zeros(tokens.shape, np.float32)))
    where = np.repeat(prompts.length_B, G)[:, None] - 1 + np.arange(R)
    return jnp.take_along_axis(hidden, jnp.asarray(where)[..., None], axis=1).reshape(B, G, R, -1)


def test_shared_prefix_is_the_repeated_prompt(variant):
    model, params = variant
    weights = RNG.normal(size=(*RESPONSE.shape, model.config.width)).astype(np.float32)

    def value_and_gradient(hidden_of):
        def scalar(params):
            hidden = hidden_of(params, PROMPTS, RESPONSE)
            return jnp.sum(weights * hidden), hidden

        return jax.jit(jax.grad(scalar, has_aux=True))(params)

    shared = value_and_gradient(model.response_hidden)
    repeated = value_and_gradient(lambda *args: repeated_prompt_hidden(model, *args))
    close(shared[1], repeated[1])
    close_gradients(shared[0], repeated[0])
    reached = {jax.tree_util.keystr(path) for path, g in jax.tree_util.tree_leaves_with_path(shared[0]) if g.any()}
    every = {jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)}
    assert reached == every - {"['ends']['head']"}  # the head comes after the hidden states


def test_prefill_and_decode_are_the_full_forward(variant):
    model, params = variant

    def decoded(params):
        last, cache = model.prefill(params, PROMPTS, 2, 5)  # one slot more than is used
        states = [jnp.broadcast_to(last[:, None], (3, 2, last.shape[-1]))]
        for index in range(3):
            hidden, cache = model.decode(params, RESPONSE[..., index], jnp.int32(index), PROMPTS, cache)
            states.append(hidden)
        return jnp.stack(states, axis=2)

    close(jax.jit(decoded)(params), jax.jit(model.response_hidden)(params, PROMPTS, RESPONSE))


def test_a_decoding_step_moves_nothing_as_large_as_its_cache(tiny):
    """In the compiled text: keys and values of answers lie as the products read them, and are written in place."""
    model, params = tiny()
    _, cache = jax.eval_shape(lambda: model.prefill(params, PROMPTS, 2, 61))
    step = jax.jit(model.decode, donate_argnums=4)
    text = step.lower(params, RESPONSE[..., 0], jnp.int32(1), PROMPTS, cache).compile().as_text()
    shapes = re.findall(r"= f32\[([\d,]+)\]\S* (dynamic-update-slice|copy|transpose|slice)\(", text)
    large = [kind for shape, kind in shapes if math.prod(map(int, shape.split(","))) == cache.suffix[0][0].size]
    assert {*large} == {"dynamic-update-slice"}


def test_answers_of_one_token_need_no_suffix(variant):
    model, params = variant
    # Sampling keeps one slot even where none is used, so a row's whole length counts two tokens: longrope asks for it.
    written_out = repeated_prompt_hidden(model, params, PROMPTS, RESPONSE[..., :2])[..., :1, :]
    close(jax.jit(model.response_hidden)(params, PROMPTS, RESPONSE[..., :1]), written_out)


@pytest.mark.parametrize("tied", [True, False])
def test_logits_are_the_head_on_the_hidden_states(tiny, tied):
    model, params = tiny(tied_embeddings=tied)
    ones = np.ones(TOKENS.shape, np.int32)
    packed = Packed(TOKENS, ones, np.broadcast_to(np.arange(7), TOKENS.shape), ones)

    def from_hidden(params):
        return project(model.packed_hidden(params, packed), model.head(params))

    close(jax.jit(model.logits)(params, TOKENS), jax.jit(from_hidden)(params), tol=1e-4)
    assert model.head(params).weight_VD.shape == (48, model.config.width)
    assert (model.head(params).weight_VD is params["ends"]["embedding"]) == tied


def test_a_position_depends_on_itself_and_the_past_alone(tiny):
    # Tokens 0 to 5, each once: the gradient of a position by the embedding's rows tells what it depends on.
    model, params = tiny()
    tokens = np.arange(6)[None]

    def scores(embedding):
        changed = {**params, "ends": {**params["ends"], "embedding": embedding}}
        hidden = model.packed_hidden(changed, Packed(tokens, np.ones((1, 6), np.int32), tokens, np.ones((1, 6))))
        return jnp.sum(hidden[0] ** 3, axis=-1)

    jacobian = np.abs(jax.jit(jax.jacrev(scores))(params["ends"]["embedding"])[:, :6]).sum(-1)
    assert (jacobian[np.triu_indices(6, 1)] == 0).all()
    assert (jacobian[np.tril_indices(6)] > 0).all()


def test_packed_segments_do_not_see_each_other(tiny):
    model, params = tiny()
    tokens = RNG.integers(48, size=(1, 9))
    segment = np.array([[1, 1, 1, 2, 2, 2, 2, 0, 0]])
    position = np.array([[0, 1, 2, 0, 1, 2, 3, 0, 0]])
    hidden = jax.jit(model.packed_hidden)
    got = hidden(params, Packed(tokens, segment, position, np.zeros((1, 9))))
    for span in (slice(0, 3), slice(3, 7)):
        size = span.stop - span.start
        alone = Packed(tokens[:, span], np.ones((1, size), int), np.arange(size)[None], np.zeros((1, size)))
        close(got[:, span], hidden(params, alone))
    other = Packed(np.where(segment == 2, tokens, 5), segment, position, np.zeros((1, 9)))
    np.testing.assert_array_equal(got[:, 3:7], hidden(params, other)[:, 3:7])


@pytest.mark.parametrize("window", [None, 3])
def test_branches_see_their_trunk_and_not_each_other(tiny, window):
    """A row of a trunk of 3 tokens with branches of 2 and 3, and another text: each as if written out by itself."""
    model, params = tiny(sights=(Sight(Rope(100.0, 4), window),))
    tokens = RNG.integers(48, size=(1, 12))
    segment = np.array([[1, 1, 1, 2, 2, 3, 3, 3, 4, 4, 4, 0]])
    trunk = np.array([[1, 1, 1, 1, 1, 1, 1, 1, 4, 4, 4, 0]])
    position = np.array([[0, 1, 2, 3, 4, 3, 4, 5, 0, 1, 2, 0]])
    hidden = jax.jit(model.packed_hidden)
    got = hidden(params, Packed(tokens, segment, position, np.zeros(tokens.shape)), trunk)
    for places in ([0, 1, 2, 3, 4], [0, 1, 2, 5, 6, 7], [8, 9, 10]):
        size = len(places)
        alone = Packed(tokens[:, places], np.ones((1, size), int), np.arange(size)[None], np.zeros((1, size)))
        close(got[:, places], hidden(params, alone))


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing(tiny, side):
    model, params = tiny()
    pads = ((0, 0), (3, 0)) if side == "left" else ((0, 0), (0, 3))
    mask = np.pad(np.ones(TOKENS.shape, bool), pads)
    logits = jax.jit(model.logits)
    plain = logits(params, TOKENS)
    # Two fillings: the pad's own id must not matter either.
    for fill in (0, 17):
        padded = logits(params, np.pad(TOKENS, pads, constant_values=fill), mask)
        close(padded[:, 3:] if side == "left" else padded[:, :7], plain, tol=1e-4)
        assert np.isfinite(padded).all()


def test_rows_of_a_batch_do_not_see_each_other(tiny):
    model, params = tiny()
    both = jax.jit(model.logits)(params, TOKENS)
    close(both[1:], jax.jit(model.logits)(params, TOKENS[1:]), tol=1e-4)


def test_remat_changes_neither_values_nor_gradients(tiny):
    def run(remat):
        model, params = tiny(Execution(remat=remat), layers=1)

        def scalar(params):
            return jnp.sum(jnp.sin(model.response_hidden(params, PROMPTS, RESPONSE)))

        compiled = jax.jit(jax.value_and_grad(scalar))
        return compiled(params), "remat" in str(jax.make_jaxpr(scalar)(params))

    (kept, kept_remats), (recomputed, remats) = run(False), run(True)
    assert (kept_remats, remats) == (False, True)
    close(kept, recomputed)


def test_scanned_layers_are_a_loop_over_blocks(tiny):
    model, params = tiny(layers=UNROLLED + 1)
    angles = rope.rotation(
        jnp.broadcast_to(jnp.arange(7), (2, 7)), rope.inverse_frequencies(model.config.head_dim, 100.0)
    )
    causal = jnp.broadcast_to(jnp.tri(7, dtype=bool), (2, 7, 7))

    def loop(params):
        x, ends = params["ends"]["embedding"][TOKENS], params["ends"]
        for layer in range(UNROLLED + 1):
            weights = jax.tree.map(operator.itemgetter(layer), params["layers"])
            attend = lambda q, k, v: attention(q, k, v, causal)  # noqa: E731
            x, _ = Block(model.config).apply({"params": weights}, x, angles, attend)
        normed = RMSNorm(model.config.norm_eps).apply({"params": ends["final_norm"]}, x)
        return jnp.einsum("btd,vd->btv", normed, ends["head"])

    assert "unroll=1\n" in str(jax.make_jaxpr(model.logits)(params, TOKENS)), "this size is to be scanned"
    close(jax.jit(model.logits)(params, TOKENS), jax.jit(loop)(params), tol=1e-4)


@pytest.mark.parametrize("layers", [0, 2, UNROLLED + 1])
def test_states_are_those_behind_so_many_blocks(variant, layers):
    """As the hidden states of a model of so many layers, but for its last norm."""
    model, params = variant
    layers = min(layers, model.config.layers)
    norm = RMSNorm(model.config.norm_eps, model.config.norm_offset)
    tokens = RNG.integers(48, size=(1, 9))
    segment, position = np.array([[1, 1, 1, 1, 1, 2, 2, 2, 0]]), np.array([[0, 1, 2, 3, 4, 0, 1, 2, 0]])
    packed = Packed(tokens, segment, position, np.zeros((1, 9)))
    got = jax.jit(model.packed_states, static_argnums=2)(params, packed, layers)
    if layers:
        short = decoder.make(dataclasses.replace(model.config, layers=layers))
        cut = {**params, "layers": jax.tree.map(lambda x: x[:layers], params["layers"])}
        wanted = jax.jit(short.packed_hidden)(cut, packed)
        close(norm.apply({"params": params["ends"]["final_norm"]}, got), wanted, tol=1e-4)
    else:
        np.testing.assert_array_equal(got, params["ends"]["embedding"][tokens] * model.config.embedding_scale)


def test_block_by_hand(tiny):
    """One layer in float64 numpy: norms, projections, rope, softmax, the gated MLP."""
    model, params = tiny(layers=1, qkv_bias=True, out_bias=True, mlp_bias=True)
    p = jax.tree.map(lambda x: np.asarray(x, np.float64), params)
    ends, layer = p["ends"], jax.tree.map(lambda x: x[0], p["layers"])

    def norm(x, scale):
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * scale

    def turn(x):
        angle = np.arange(7)[:, None] * np.array([1.0, 0.1])
        first, second = x[..., :2], x[..., 2:]
        cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
        return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)

    a, m = layer["attention"], layer["mlp"]
    for row in range(2):
        x = ends["embedding"][TOKENS[row]]
        h = norm(x, layer["attention_norm"]["scale"])
        q, k, v = (np.einsum("td,dhc->thc", h, a[f"{n}_kernel"]) + a[f"{n}_bias"] for n in ("query", "key", "value"))
        q, k, v = turn(q), np.repeat(turn(k), 2, axis=1), np.repeat(v, 2, axis=1)
        scores = np.einsum("thc,shc->hts", q, k) / 2
        chances = np.exp(scores) * np.tri(7)
        mixed = np.einsum("hts,shc->thc", chances / chances.sum(-1, keepdims=True), v)
        x = x + np.einsum("thc,hcd->td", mixed, a["out_kernel"]) + a["out_bias"]
        h = norm(x, layer["mlp_norm"]["scale"])
        gate, up = (h @ m[f"{n}_kernel"] + m[f"{n}_bias"] for n in ("gate", "up"))
        x = x + (gate / (1 + np.exp(-gate)) * up) @ m["down_kernel"] + m["down_bias"]
        wanted = norm(x, ends["final_norm"]["scale"]) @ ends["head"].T
        close(jax.jit(model.logits)(params, TOKENS)[row], wanted, tol=1e-4)


@pytest.mark.parametrize("biased", [True, False])
def test_axes_name_every_dimension_of_every_parameter(tiny, biased):
    model, params = tiny(tied_embeddings=biased, qkv_bias=biased, out_bias=biased, mlp_bias=biased)
    shapes = jax.tree.map(lambda x: x.shape, params)
    jax.tree.map(
        lambda axes, shape: np.testing.assert_equal(len(axes), len(shape)),
        model.axes,
        shapes,
        is_leaf=lambda x: isinstance(x, tuple),
    )
    sizes = {
        "vocab": 48,
        "embed": 16,
        "norm": 16,
        "heads": 4,
        "kv_heads": model.config.kv_heads,
        "head_dim": 4,
        "mlp": 24,
        "layers": 2,
    }
    named = jax.tree.map(lambda axes: tuple(sizes[a] for a in axes), model.axes, is_leaf=lambda x: isinstance(x, tuple))
    assert named == shapes


def test_parameters_start_at_their_fan_in_and_only_biases_at_zero(tiny):
    model, _ = tiny(width=64, mlp_width=96, head_dim=16, qkv_bias=True, out_bias=True, mlp_bias=True)
    params = jax.jit(model.init)(jax.random.key(3))
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        assert leaf.dtype == jnp.float32
        assert bool((leaf == 0).all()) == ("bias" in jax.tree_util.keystr(path)), path
    layers = params["layers"]
    for kernel, fan_in in (
        (layers["attention"]["query_kernel"], 64),
        (layers["attention"]["out_kernel"], 64),
        (layers["mlp"]["gate_kernel"], 64),
        (layers["mlp"]["down_kernel"], 96),
    ):
        assert np.std(kernel) == pytest.approx(fan_in**-0.5, rel=0.05)
        assert not np.allclose(kernel[0], kernel[1])


def test_activations_take_the_parameters_dtype(tiny):
    model, params = tiny(qkv_bias=True, out_bias=True, mlp_bias=True)
    half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), params)
    hidden = jax.eval_shape(model.response_hidden, half, PROMPTS, RESPONSE)
    assert hidden.dtype == jnp.bfloat16
    assert jax.eval_shape(model.logits, half, TOKENS).dtype == jnp.float32


def test_shapes_are_checked(tiny):
    model, params = tiny()
    with pytest.raises(ValueError, match="axis B"):
        model.response_hidden(params, PROMPTS, RESPONSE[:2])
