"""planning.hlo: the work of compiled programs, against ops.work, XLA's own analysis and figures counted by hand."""

import jax
import jax.numpy as jnp
import pytest

from rule_jax.ops.work import work
from rule_jax.planning.hlo import Cost, Module

A, B = jax.ShapeDtypeStruct((3, 5), jnp.float32), jax.ShapeDtypeStruct((5, 7), jnp.float32)
STACK, X = jax.ShapeDtypeStruct((6, 64, 32, 64), jnp.float32), jax.ShapeDtypeStruct((32, 64), jnp.float32)


def compiled(function, *arguments, **how):
    return jax.jit(function, **how).lower(*arguments).compile()


def cost(function, *arguments, **how):
    return Module(compiled(function, *arguments, **how).as_text()).cost


def layers(x, stack):
    """x through six products and back, each with a weight of its own."""
    return jax.lax.scan(lambda x, w: (jnp.tanh(jnp.einsum("ij,jkl->il", x, w)), None), x, stack)[0].sum()


def looped(x, stack):
    def body(state):
        step, x = state
        return step + 1, jnp.tanh(x @ stack[0].reshape(64, -1)[:, :64] + step)

    return jax.lax.while_loop(lambda state: (state[0] < 9) & (state[1].sum() < 1e6), body, (0, x))[1]


@pytest.mark.parametrize(
    ("function", "arguments", "trips"),
    [
        (lambda a, b: a @ b, (A, B), 1),
        (lambda a, b: jnp.einsum("ij,jk->ki", a, b).sum() + (a * a).sum(), (A, B), 1),
        (layers, (X, STACK), 1),
        (jax.grad(layers, argnums=(0, 1)), (X, STACK), 1),
        (jax.grad(lambda x, s: jax.checkpoint(layers)(x, s) ** 2), (X, STACK), 1),
        (looped, (X, STACK), 9),
    ],
)
def test_products_are_those_of_the_jaxpr_however_often_a_loop_runs(function, arguments, trips):
    expected = work(jax.make_jaxpr(function)(*arguments), trips=trips).flops
    assert cost(function, *arguments).flops == expected > 0


@pytest.mark.parametrize(
    "function",
    [
        lambda x, s: x @ jax.lax.dynamic_index_in_dim(s, 3, 0, keepdims=False)[:, :, 0],
        lambda x, s: jnp.tanh(x) * 2 + x,
        lambda x, s: (x @ x.T, s.sum(axis=(1, 2))),
        lambda x, s: jax.lax.dynamic_update_slice(s, x[None, None], (2, 1, 0, 0)),
    ],
)
def test_bytes_are_those_of_xla_where_nothing_loops(function):
    made = compiled(function, X, STACK)
    theirs = made.cost_analysis()["bytes accessed"]
    assert theirs > 4 * 32 * 64
    assert Module(made.as_text()).cost.bytes == pytest.approx(theirs, abs=16)  # it counts a tuple's two pointers


def test_a_loop_reads_a_slice_of_its_stack_in_each_round_and_no_more():
    per_round = 4 * 64 * 32 * 64
    found = cost(layers, X, STACK).bytes
    assert 6 * per_round < found < 4 * 6 * per_round < 6 * 6 * per_round  # the last: the whole stack each time


def test_what_is_updated_in_place_costs_its_update():
    def fill(cache, x):
        body = lambda step, cache: jax.lax.dynamic_update_index_in_dim(cache, x + step, step, 0)  # noqa: E731
        return jax.lax.fori_loop(0, 1000, body, cache)

    cache, row = jax.ShapeDtypeStruct((1000, 4096), jnp.float32), jax.ShapeDtypeStruct((4096,), jnp.float32)
    whole = 4 * 1000 * 4096
    assert cost(fill, cache, row, donate_argnums=0).bytes < 5 * whole  # and not a thousand times


def test_collectives_by_kind_and_bytes(mesh8):
    """Eight devices, one axis: a product over it is summed, a result that all need is gathered."""
    rows, whole = (jax.NamedSharding(mesh8, jax.P(axis)) for axis in (("data",), None))
    x = jax.ShapeDtypeStruct((64, 16), jnp.float32, sharding=rows)
    of_sum = cost(lambda x: x.T @ x, x, out_shardings=whole)
    size = 4 * 16 * 16
    assert of_sum.collectives == {"all-reduce": (1.0, size)}
    assert of_sum.wire == 2 * 7 / 8 * size
    gathered = cost(lambda x: x + 1, x, out_shardings=whole)
    assert gathered.collectives == {"all-gather": (1.0, 4 * 64 * 16)}
    assert gathered.wire == 7 / 8 * 4 * 64 * 16


# As a TPU's compiler writes: products are convolutions, S(1) is memory on the chip, copies and collectives are begun
# and awaited apart.
TPU = """HloModule jit_f, is_scheduled=true

%fused (p.0: bf16[4,8], p.1: bf16[8,6]) -> bf16[4,6] {
  %p.0 = bf16[4,8]{1,0:T(8,128)(2,1)} parameter(0)
  %p.1 = bf16[8,6]{1,0:T(8,128)(2,1)S(1)} parameter(1)
  ROOT %convolution.1 = bf16[4,6]{1,0:T(8,128)(2,1)} convolution(%p.0, %p.1), dim_labels=bf_io->bf
}

%body (s: (s32[], bf16[4,8])) -> (s32[], bf16[4,8]) {
  %s = (s32[]{:T(128)}, bf16[4,8]{1,0}) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%s), index=0
  %x = bf16[4,8]{1,0} get-tuple-element(%s), index=1
  %start = bf16[4,8]{1,0} all-reduce-start(%x), replica_groups={{0,1,2,3}}, to_apply=%add
  %done = bf16[4,8]{1,0} all-reduce-done(%start)
  ROOT %t = (s32[]{:T(128)}, bf16[4,8]{1,0}) tuple(%i, %done)
}

%condition (s.1: (s32[], bf16[4,8])) -> pred[] {
  %s.1 = (s32[]{:T(128)}, bf16[4,8]{1,0}) parameter(0)
  %i.1 = s32[]{:T(128)} get-tuple-element(%s.1), index=0
  %most = s32[]{:T(128)} constant(5)
  ROOT %lt = pred[]{:T(512)} compare(%i.1, %most), direction=LT
}

ENTRY %main (a: bf16[4,8], b: bf16[8,6]) -> bf16[4,6] {
  %a = bf16[4,8]{1,0:T(8,128)(2,1)} parameter(0)
  %b = bf16[8,6]{1,0:T(8,128)(2,1)} parameter(1)
  %copy-start = (bf16[8,6]{1,0:T(8,128)(2,1)S(1)}, bf16[8,6]{1,0:T(8,128)(2,1)}, u32[]{:S(2)}) copy-start(%b)
  %copy-done = bf16[8,6]{1,0:T(8,128)(2,1)S(1)} copy-done(%copy-start)
  %zero = s32[]{:T(128)} constant(0)
  %begin = (s32[]{:T(128)}, bf16[4,8]{1,0}) tuple(%zero, %a)
  %while = (s32[]{:T(128)}, bf16[4,8]{1,0}) while(%begin), condition=%condition, body=%body
  %gathered = bf16[4,8]{1,0} all-gather(%a), replica_groups=[4,2]<=[8], dimensions={0}
  ROOT %fusion = bf16[4,6]{1,0:T(8,128)(2,1)} fusion(%a, %copy-done), kind=kOutput, calls=%fused
}
"""


def test_what_a_tpus_compiler_writes_is_understood():
    found, x, b, out = Module(TPU).cost, 2 * 4 * 8, 2 * 8 * 6, 2 * 4 * 6
    assert found.flops == 2 * 4 * 8 * 6
    assert found.collectives == {"all-reduce": (5.0, 5 * x), "all-gather": (1.0, x)}
    assert found.wire == 5 * 2 * 3 / 4 * x + x / 2
    in_the_loop = 5 * (x + (4 + 4 + 1))  # an all-reduce; a comparison of two numbers
    assert found.bytes == b + in_the_loop + 2 * x + (x + out)


@pytest.mark.parametrize(
    ("left", "right", "out", "attributes", "pairs"),
    [
        ("6,4", "4,8", "6,8", "dim_labels=bf_io->bf", 6 * 4 * 8),
        # A batch of three products, as pads and holes: each output meets the one input of its own batch.
        (
            "3,6,4", "3,4,8", "3,6,8", "window={size=3 stride=2 pad=0_0 lhs_dilate=3}, dim_labels=0bf_0io->0bf",
            3 * 6 * 4 * 8,
        ),
        # A real one: five outputs, a kernel of three, one pad on either side, which counts nothing.
        ("1,5,4", "3,4,8", "1,5,8", "window={size=3 pad=1_1}, dim_labels=b0f_0io->b0f", (3 * 5 - 2) * 4 * 8),
    ],
)  # fmt: skip
def test_products_written_as_convolutions(left, right, out, attributes, pairs):
    text = f"""HloModule m

ENTRY %main (a: f32[{left}], b: f32[{right}]) -> f32[{out}] {{
  %a = f32[{left}] parameter(0)
  %b = f32[{right}] parameter(1)
  ROOT %c = f32[{out}] convolution(%a, %b), {attributes}
}}
"""
    assert Module(text).cost.flops == 2 * pairs


def test_costs_add_up():
    one = Cost(1.0, 2.0, {"all-gather": (1.0, 8.0)}, 4.0)
    other = Cost(10.0, 20.0, {"all-reduce": (1.0, 3.0)}, 6.0).times(2)
    assert one + other == Cost(21.0, 42.0, {"all-gather": (1.0, 8.0), "all-reduce": (2.0, 6.0)}, 16.0)
