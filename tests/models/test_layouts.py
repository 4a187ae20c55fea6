"""models.layouts: stacked and unstacked parameters are the same model, and decoding cuts no layer out of a stack."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from rule_jax import sampling
from rule_jax.models import layouts, lora
from rule_jax.types import Prompts

PROMPTS = Prompts(np.arange(12).reshape(2, 6).astype(np.int32), np.array([6, 4], np.int32))
ROWS = np.arange(2, dtype=np.int32)


def sampled(model):
    return functools.partial(
        sampling.generate,
        model,
        prompts=PROMPTS,
        key=jax.random.key(3),
        rows_B=ROWS,
        temperature=jnp.float32(1.0),
        samples=3,
        max_new_tokens=5,
        eos_ids=(2,),
    )


@pytest.fixture(params=[False, True], ids=["plain", "adapter"])
def drawn(request, tiny):
    model, params = tiny(layers=3)
    if request.param:
        tuning = lora.make(model, rank=2, alpha=4.0, targets=("query", "down"))
        adapter = jax.tree.map(lambda x: 0.3 * jnp.ones_like(x), tuning.init(jax.random.key(0)))
        params = tuning.read(params, adapter)
    return model, params


def test_each_layer_has_what_the_stack_has_of_it(drawn):
    _, params = drawn
    apart = layouts.unstacked(params)
    assert layouts.unstacked(apart) is apart
    assert apart["ends"] is params["ends"]
    for number, layer in enumerate(apart["layers"]):
        assert layer.keys() == layouts.of_layers(params).keys()
        own = jax.tree.map(lambda x: x[number], layouts.of_layers(params))  # noqa: B023
        jax.tree.map(np.testing.assert_array_equal, layer, own)
    assert number == 2


def test_both_forms_answer_alike(drawn):
    model, params = drawn
    program = jax.jit(sampled(model))
    jax.tree.map(np.testing.assert_array_equal, program(params), program(layouts.unstacked(params)))


def test_no_weight_is_cut_out_of_a_stack_for_each_token(tiny):
    model, params = tiny(layers=3)
    stacks = {x.shape for x in jax.tree.leaves(params["layers"])}

    def cut(jaxpr):
        for equation in jaxpr.eqns:
            if equation.primitive.name in ("slice", "dynamic_slice", "gather"):
                yield equation.invars[0].aval.shape
            for inner in jaxprs_in_params(equation.params):
                yield from cut(inner)

    whole = jax.make_jaxpr(sampled(model))(params)
    (loop,) = [equation for equation in whole.eqns if equation.primitive.name == "while"]
    assert stacks & {*cut(whole.jaxpr)}
    assert not stacks & {*cut(loop.params["body_jaxpr"].jaxpr)}


def test_axes_are_those_of_the_form(tiny):
    model, params = tiny(layers=3)
    apart = layouts.unstacked(params)
    assert layouts.axes(model.axes, params, "train") is model.axes
    names = layouts.axes(model.axes, apart, "decode")
    jax.tree.map(lambda x, own: (len(own) == x.ndim) or pytest.fail(str(own)), apart, names)
    assert names["layers"][1]["params"]["mlp"]["down_kernel"] == ("mlp", "embed")
