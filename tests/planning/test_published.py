"""Published models on the slices that they must fit, compiled by the TPU's own compiler; and how such modules look.

    pytest -m slow tests/planning/test_published.py [-k 1B]

needs libtpu (extra `tpu`) and takes minutes a case. What the checks look for is first seen on a small model on fake
devices, where it is broken on purpose.
"""

import math
import time

import jax
import jax.numpy as jnp
import pytest

from configs import grpo
from rule_jax import files, sharding
from rule_jax.planning import machines
from rule_jax.planning.hlo import Module, size
from rule_jax.planning.needs import need_of
from rule_jax.planning.shapes import Shapes, programs_of, shard_bytes
from tests.planning import published
from tests.test_plan import CONFIG, path, run_of  # noqa: F401 (a fixture)


def inside(module, name):
    """The instructions of a computation and of all that it calls."""
    for line in module.computations[name].values():
        yield line
        for attribute in ("calls", "body", "condition", "to_apply"):
            if line.called(attribute):
                yield from inside(module, line.called(attribute))


def gathered_in_loops(module):
    """Bytes of the largest array that is gathered inside any loop."""
    loops = [line for lines in module.computations.values() for line in lines.values() if line.op == "while"]
    assert loops
    gathers = [
        size(shape)
        for loop in loops
        for line in inside(module, loop.called("body"))
        if line.op.startswith("all-gather")
        for shape in line.shapes
    ]
    return max(gathers, default=0)


def smallest_weight(params):
    """Bytes on a device of the smallest matrix of one layer."""
    kernels = [
        x
        for where, x in jax.tree_util.tree_leaves_with_path(params["layers"])
        if "_kernel" in jax.tree_util.keystr(where)
    ]
    return min(shard_bytes(x) // x.shape[0] for x in kernels)


def logits_built(module, vocabulary):
    """How many logits the largest array has that goes along the vocabulary or a device's share of it."""
    found = [
        math.prod(shape[1]) // vocabulary
        for lines in module.computations.values()
        for line in lines.values()
        for shape in line.shapes
        if vocabulary in shape[1] and shape[0] == "f32" and len(shape[1]) > 2
    ]
    return max(found, default=0)


def compiled(program):
    return program.function.lower(*program.arguments).compile()


TWO_PARTS = {"boundary_optimization.microbatches": 2}


def small(path, **changes):  # noqa: F811
    run = run_of(str(path), (1, 2, 2), recipe=grpo, **{**TWO_PARTS, **changes})
    return run, {program.name: program for program in programs_of(run)}


def test_decoding_gathers_no_weights(path):  # noqa: F811
    run, made = small(path)
    module = Module(compiled(made["rollout"]).as_text())
    assert gathered_in_loops(module) < smallest_weight(Shapes(run).copy)


def test_a_weight_that_a_loop_gathers_is_seen():
    mesh = sharding.make_mesh(data=1, fsdp=4, tensor=2, devices=jax.devices())

    def loop(weight, x):
        def body(_, carried):
            weight, x = carried  # the weight changes, or its gathering would be moved out of the loop
            whole = jax.lax.with_sharding_constraint(weight, sharding.replicated(mesh))
            return weight + 1, x @ whole

        return jax.lax.fori_loop(0, 3, body, (weight, x))

    shape = jax.ShapeDtypeStruct((32, 32), jnp.float32, sharding=sharding.rows(mesh))
    assert gathered_in_loops(Module(jax.jit(loop).lower(shape, shape).compile().as_text())) >= 32 * 32 * 4


def test_the_update_builds_no_more_logits_than_a_chunk_has(tmp_path):
    ways, chunk, vocabulary = 2, 4, 202  # of which a half is no other size of this model
    rows = 8 // ways // 2
    files.write_json(tmp_path / "config.json", {**CONFIG, "vocab_size": vocabulary})
    run, made = small(tmp_path, **{"model.logit_chunk": chunk})
    assert run.mesh.shape["tensor"] == 2
    assert logits_built(Module(compiled(made["update"]).as_text()), vocabulary // 2) <= rows * chunk
    assert logits_built(Module(compiled(small(tmp_path)[1]["update"]).as_text()), vocabulary // 2) > rows * chunk


@pytest.mark.parametrize(("mesh", "places"), [((1, 1, 1), 1), ((1, 2, 2), 4)])
def test_a_large_head_is_cut_by_what_the_devices_hold(tmp_path, mesh, places):
    vocabulary = 2**26  # of 2**28 logits on a device
    files.write_json(tmp_path / "config.json", {**CONFIG, "vocab_size": vocabulary})
    made = {program.name: program for program in programs_of(run_of(str(tmp_path), mesh, grpo, **TWO_PARTS))}
    text = made["update"].function.lower(*made["update"].arguments).as_text()
    rows, samples, answer = 8 // 2, 2, 4
    assert f"tensor<{rows}x{places}x{vocabulary}xf32>" in text
    assert f"tensor<{rows}x{samples * answer}x{vocabulary}xf32>" not in text


def test_the_state_is_given_up_for_the_new_one(path):  # noqa: F811
    _, made = small(path)
    program = made["update"]
    state = {"trained": program.given["trained"], "optimizer": program.given["optimizer"]}
    assert compiled(program).memory_analysis().alias_size_in_bytes >= shard_bytes(state)


def test_activations_are_spread_by_rows(path):  # noqa: F811
    """Each device works at its own rows: it never holds keys and values of the whole batch."""
    _, made = small(path)
    rows = 8 // 2  # of a microbatch
    text = compiled(made["update"]).as_text()
    assert f"f32[{rows // 2}," in text
    everyones = [
        line
        for lines in Module(text).computations.values()
        for line in lines.values()
        for shape in line.shapes
        if shape[1][:1] == (rows,) and len(shape[1]) == 4
    ]
    assert everyones == []


@pytest.mark.slow
@pytest.mark.parametrize("case", published.CASES)
def test_a_published_model_fits_its_slice(case, tmp_path):
    pytest.importorskip("libtpu", reason="the TPU's compiler is not here: pip install 'rule_jax[tpu]'")
    run = published.run_of(tmp_path, *published.CASES[case])
    device, shapes = run.mesh.devices.flat[0], Shapes(run)
    chip = machines.chip(device, run.compute_dtype)
    made = {program.name: program for program in programs_of(run)}
    for name in ("rollout", "update"):
        program, began = made[name], time.monotonic()
        done = compiled(program)
        need, module = need_of(program, done, time.monotonic() - began, device, chip), Module(done.as_text())
        assert need.fits, need
        if name == "rollout":
            assert gathered_in_loops(module) < smallest_weight(shapes.copy)
            continue
        settings, vocabulary = run.config.boundary_optimization, shapes.model.config.vocab_size
        share = vocabulary // run.mesh.shape["tensor"]
        assert logits_built(module, share) <= run.logit_chunk < settings.samples * settings.max_new_tokens / 8
        state = {kind: program.given[kind] for kind in ("trained", "optimizer")}
        assert done.memory_analysis().alias_size_in_bytes >= shard_bytes(state)
