"""ops.work: products counted by hand."""

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P

from rule_jax import sharding
from rule_jax.ops import kernels
from rule_jax.ops.work import Work, work

A, B = jax.ShapeDtypeStruct((3, 5), jnp.float32), jax.ShapeDtypeStruct((5, 7), jnp.float32)
ONE = Work(2 * 3 * 5 * 7, 4 * (15 + 35 + 21))


def count(function, *arguments, trips=1):
    return work(jax.make_jaxpr(function)(*arguments), trips=trips)


def test_a_product_and_what_adds_none():
    assert count(lambda a, b: jnp.exp(a @ b).sum() + a.sum(), A, B) == ONE
    assert count(lambda a, b: a.astype(jnp.bfloat16) @ b.astype(jnp.bfloat16), A, B) == Work(210, 142)


def test_a_batch_of_products():
    batch = jax.ShapeDtypeStruct((4, 3, 5), jnp.float32)
    assert count(lambda a, b: jnp.einsum("nij,jk->nik", a, b), batch, B).flops == 4 * 210


def test_loops_count_as_often_as_they_run():
    def scanned(a, b):
        return jax.lax.scan(lambda total, _: (total + a @ b, None), jnp.zeros((3, 7)), None, length=6)[0]

    def looped(a, b):
        return jax.lax.while_loop(lambda c: c[0] < 9, lambda c: (c[0] + 1, c[1] + a @ b), (0, jnp.zeros((3, 7))))

    assert count(scanned, A, B) == ONE.times(6)
    assert count(looped, A, B, trips=9) == ONE.times(9)


def test_calls_and_branches_are_looked_into():
    def branched(a, b):
        return jax.lax.cond(a.sum() > 0, lambda: a @ b + (2 * a) @ b, lambda: a @ b)

    assert count(jax.jit(lambda a, b: jax.checkpoint(jnp.matmul)(a, b)), A, B) == ONE
    assert count(branched, A, B) == ONE.times(2)


def test_a_gradient_is_twice_the_forward_pass_and_remat_once_more():
    def loss(a, b):
        return jnp.tanh(a @ b).sum()

    forward_and_back = count(jax.value_and_grad(loss, argnums=(0, 1)), A, B)
    assert forward_and_back.flops == 3 * ONE.flops
    again = count(jax.value_and_grad(jax.checkpoint(loss), argnums=(0, 1)), A, B)
    assert again.flops == 4 * ONE.flops


def test_what_each_device_does_counts_for_all_of_them(eight_devices):
    mesh = sharding.make_mesh(data=8, fsdp=1, tensor=1)
    rows = jax.ShapeDtypeStruct((24, 5), jnp.float32)
    local = jax.shard_map(jnp.matmul, mesh=mesh, in_specs=(P("data"), P()), out_specs=P("data"))
    assert count(local, rows, B) == ONE.times(8)


def test_a_kernel_of_blocks_counts_all_of_them():
    """Splash on two rows, four heads, two by two blocks of 512: two products forward; backward seven, and one of each
    row with itself."""
    q, mask = jax.ShapeDtypeStruct((2, 1024, 4, 128), jnp.float32), jax.ShapeDtypeStruct((2, 1024, 1024), bool)
    attend, pairs = kernels.make("splash").attention, 2 * 4 * 1024 * 1024
    assert count(lambda q, mask: attend(q, q, q, mask), q, mask).flops == 2 * 2 * 128 * pairs
    gradient = jax.grad(lambda q, mask: attend(q, q, q, mask).sum())
    assert count(gradient, q, mask).flops == 2 * 128 * (9 * pairs + 2 * 4 * 1024)
