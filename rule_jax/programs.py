"""Every compiled program, with its shardings and donation. This file holds the only `jax.jit` of the project.

A program is made once per run and called every step. Learning rates and loss coefficients are inputs, not constants,
so that a sweep reuses one compilation.
"""

import functools
from collections.abc import Sequence
from typing import Any, Callable, Literal, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from rule_jax import microbatches as cuts
from rule_jax import moments, sampling, scoring, sharding
from rule_jax.algorithms import Algorithm, Coefficients, Experience, Metrics, PolicyOutputs, Targets
from rule_jax.errors import UserError
from rule_jax.models import layouts
from rule_jax.models.decoder import Model, Params
from rule_jax.models.tuning import Tuning, full
from rule_jax.objectives import Objective
from rule_jax.ops import checksums
from rule_jax.ops.token_statistics import TokenStatistics, token_statistics
from rule_jax.types import Packed, Prompts, Rollout

Declared = Model | Tuning  # parameters with a start and logical axes: a model's own, or what of it is trained
checksum = jax.jit(checksums.checksum)  # checksum(tree) -> uint32, computed where the arrays lie


@flax.struct.dataclass
class TrainState:
    """All that training changes, and the key that its randomness is folded from. step: updates done so far; params:
    what is trained, by its Tuning the model's own parameters or an adapter."""

    step: jax.Array
    params: Params
    opt_state: optax.OptState
    key: jax.Array


class Loss(NamedTuple):
    """A loss as make_update takes it.

    prepare(batch) -> a tree with a leading row axis, global normalisers included; its microbatches add up.
    apply(params, reference, prepared, coefficients) -> (scalar, metrics); see Algorithm.loss for names of metrics.
    parts(prepared, mesh): how many microbatches that are, where it is left to their size.
    """

    prepare: Callable[[Any], Any]
    apply: Callable[[Params, Params, Any, Coefficients], tuple[jax.Array, Metrics]]
    parts: Callable[[Any, Mesh], int]


Update = Callable[..., tuple[TrainState, Metrics]]

REDUCE = {"min": jnp.min, "max": jnp.max}  # of metrics over microbatches, by the end of their names; others are summed


def optimizer(
    *, b1: float, b2: float, eps: float, weight_decay: float, max_grad_norm: float, moments_dtype: str
) -> optax.GradientTransformation:
    """AdamW behind a global-norm clip, without its learning rate: make_update multiplies that in as an input.

    moments_dtype: float32, or bfloat16 for half of their memory (see moments.py).
    """
    return optax.chain(
        optax.clip_by_global_norm(max_grad_norm),
        moments.scale_by_adam(b1=b1, b2=b2, eps=eps, dtype=moments_dtype),
        optax.add_decayed_weights(weight_decay),
    )


def schedule(
    *, peak: float, warmup_steps: int, decay: Literal["cosine", "linear", "constant"], steps: int
) -> Callable[[int], float]:
    """Learning rate of update number `step` (from 0): linear warm-up to the peak, then down to 0 at `steps`, or not.

    Raises UserError for an unknown decay and for a warm-up longer than the run.
    """
    if warmup_steps > steps:
        raise UserError(f"warmup_steps={warmup_steps} is longer than the {steps} steps of the stage")
    rest = max(steps - warmup_steps, 1)
    kinds = {
        "cosine": optax.cosine_decay_schedule(peak, rest),
        "linear": optax.linear_schedule(peak, 0.0, rest),
        "constant": optax.constant_schedule(peak),
    }
    if decay not in kinds:
        raise UserError(f"schedule.decay={decay!r}: it must be one of {', '.join(kinds)}")
    # Update 0 already moves: a warm-up of w steps takes the rates peak/w, 2 peak/w, ..., peak.
    warmup = optax.linear_schedule(peak / max(warmup_steps, 1), peak, max(warmup_steps - 1, 1))
    joined = optax.join_schedules([warmup, kinds[decay]], [warmup_steps])
    return lambda step: float(joined(step))  # type: ignore[arg-type]


def init_params(model: Declared, mesh: Mesh, key: jax.Array) -> Params:
    """Fresh parameters, born in their shards."""
    return jax.jit(model.init, out_shardings=param_shardings(model, mesh))(key)


def param_shardings(model: Declared, mesh: Mesh, layout: sharding.Layout = "train") -> Any:
    """Where each parameter lies; a tree like the parameters, which for decoding are unstacked."""
    shapes = jax.eval_shape(lambda key: layouts.laid_out(model.init(key), layout), jax.random.key(0))
    return sharding.param_shardings(layouts.axes(model.axes, shapes, layout), shapes, mesh, layout)


def state_shardings(model: Declared, mesh: Mesh, optimizer: optax.GradientTransformation) -> TrainState:
    """Where a TrainState lies: optimizer moments beside their parameters, the rest everywhere."""
    params = param_shardings(model, mesh)
    everywhere = sharding.replicated(mesh)
    abstract = jax.eval_shape(optimizer.init, jax.eval_shape(model.init, jax.random.key(0)))

    def masked(leaf: Any) -> bool:  # a parameter that this part of the optimizer leaves to another one
        return isinstance(leaf, optax.MaskedNode)

    opt_state = optax.tree.map_params(
        optimizer,
        lambda leaf, where: leaf if masked(leaf) else where,
        abstract,
        params,
        transform_non_params=lambda _: everywhere,
        is_leaf=masked,
    )
    return TrainState(step=everywhere, params=params, opt_state=opt_state, key=everywhere)  # type: ignore[arg-type]


def init_state(
    model: Declared, mesh: Mesh, optimizer: optax.GradientTransformation, params: Params, key: jax.Array
) -> TrainState:
    """Step 0 from a copy of the parameters, which stay the caller's: they may be the reference."""

    def start(params: Params, key: jax.Array) -> TrainState:
        return TrainState(jnp.int32(0), jax.tree.map(jnp.copy, params), optimizer.init(params), key)

    return jax.jit(start, out_shardings=state_shardings(model, mesh, optimizer))(params, key)


def abstract_state(model: Declared, mesh: Mesh, optimizer: optax.GradientTransformation) -> TrainState:
    """The shapes, dtypes and shardings of a TrainState, for restoring one; allocates nothing."""

    def start(key: jax.Array) -> TrainState:
        params = model.init(key)
        return TrainState(jnp.int32(0), params, optimizer.init(params), key)

    shapes = jax.eval_shape(start, jax.random.key(0))
    where = state_shardings(model, mesh, optimizer)
    return jax.tree.map(lambda s, w: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=w), shapes, where)


def make_cast(model: Model, mesh: Mesh, dtype: Any, layout: sharding.Layout) -> Callable[[Params], Params]:
    """cast(params) -> a copy in a dtype and layout."""
    return functools.partial(make_merge(model, full(model), mesh, dtype, layout), {})


def make_merge(
    model: Model, tuning: Tuning, mesh: Mesh, dtype: Any, layout: sharding.Layout
) -> Callable[[Params, Params], Params]:
    """merge(base, trained) -> plain parameters in a dtype and layout, where an adapter costs no work any more."""
    where = param_shardings(model, mesh, layout)
    return jax.jit(lambda base, own: layouts.laid_out(tuning.merge(base, own, dtype), layout), out_shardings=where)


@functools.partial(jax.jit, donate_argnums=0)
def write_part(whole: jax.Array, part: jax.Array, start: Sequence[Any]) -> jax.Array:
    """`whole`, which is given up, with `part` put at `start`: an array is filled without a second one beside it."""
    return jax.lax.dynamic_update_slice(whole, part, start)


def cast(params: Any, dtype: Any) -> Any:
    """A copy of the tree in another dtype; the one place where compute precision is chosen."""
    return jax.tree.map(lambda x: x.astype(dtype), params)


def make_generate(
    model: Model, mesh: Mesh, *, samples: int, max_new_tokens: int, eos_ids: tuple[int, ...], parts: int = 1
) -> Callable[..., Rollout]:
    """generate(params, prompts, key, step, rows_B, temperature) -> Rollout, rows spread over the mesh.

    The random keys are folded from (key, step, row, sample, token), so a batch may be cut or padded in any way. parts:
    how many of it are sampled one after the other; only one has its caches at a time.
    """

    def run(
        params: Params, prompts: Prompts, key: jax.Array, step: jax.Array, rows_B: jax.Array, temperature: jax.Array
    ) -> Rollout:
        def answer(part: tuple[Prompts, jax.Array]) -> Rollout:
            return sampling.generate(
                model,
                params,
                part[0],
                jax.random.fold_in(key, step),
                part[1],
                temperature,
                samples=samples,
                max_new_tokens=max_new_tokens,
                eos_ids=eos_ids,
            )

        return _by_rows(answer, (prompts, rows_B), parts)

    return jax.jit(sharding.traced_on(mesh, run), out_shardings=sharding.rows(mesh))


def make_score(model: Model, mesh: Mesh, *, chunk: int | None) -> Callable[..., TokenStatistics]:
    """score(params, rows, trunk_BT, asked_BTA) -> TokenStatistics of the token after each of theirs, rows spread over
    the mesh. trunk_BT: as of packed_hidden. asked_BTA: the tokens whose log-probability is wanted at each place."""

    def run(params: Params, rows: Packed, trunk_BT: jax.Array, asked_BTA: jax.Array) -> TokenStatistics:
        return token_statistics(model.packed_hidden(params, rows, trunk_BT), model.head(params), asked_BTA, chunk=chunk)

    return jax.jit(sharding.traced_on(mesh, run), out_shardings=sharding.rows(mesh))


def make_targets(
    model: Model,
    tuning: Tuning,
    critic: Model | None,
    mesh: Mesh,
    algorithm: Algorithm,
    *,
    temperature: float,
    chunk: int | None,
    dtype: Any,
    microbatches: int,
) -> Callable[..., tuple[tuple[Rollout, Targets], Metrics]]:
    """targets(params, reference, critic_params, fresh, replayed, coefficients) -> (batch of make_update, metrics).

    fresh, replayed: (Rollout, rewards_BG) each, the latter None where nothing is replayed; the batch has the rows of
    both, and the packing of fresh is that of the batch. Only for algorithms that are `scored` are policy, reference and
    critic run, in so many microbatches; 0 as for make_update.
    """

    def score(params: Any, rollout: Rollout) -> tuple[PolicyOutputs, jax.Array | None]:
        policy, reference, critic_params = params
        logprobs_BGR, entropy_BGR = scoring.logprobs(model, policy, rollout, temperature, chunk)
        reference_BGR, _ = scoring.logprobs(model, reference, rollout, temperature, chunk)
        values_BGR = None if critic is None else scoring.values(critic, critic_params, rollout)
        return PolicyOutputs(logprobs_BGR, entropy_BGR, reference_BGR), values_BGR

    def run(
        params: Params,
        reference: Params,
        critic_params: Params | None,
        fresh: tuple[Rollout, jax.Array],
        replayed: tuple[Rollout, jax.Array] | None,
        coefficients: Coefficients,
    ) -> tuple[tuple[Rollout, Targets], Metrics]:
        (rollout, rewards_BG), replayed_B = fresh, None
        if replayed is not None:
            unpacked = rollout._replace(packing=None), rewards_BG
            both, rewards_BG = jax.tree.map(lambda *rows: jnp.concatenate(rows), unpacked, replayed)
            rollout = both._replace(packing=rollout.packing)
            replayed_B = jnp.arange(len(rewards_BG)) >= len(fresh[1])
        outputs = values_BGR = None
        if algorithm.scored:
            cast_params = cast((tuning.read(reference, params), reference, critic_params), dtype)
            parts = microbatches or cuts.of_rollout(model.config, rollout, mesh)
            outputs, values_BGR = _by_rows(lambda rows: score(cast_params, rows), rollout, parts)
        targets, metrics = algorithm.targets(
            Experience(rollout, rewards_BG, replayed_B, outputs, values_BGR), coefficients
        )
        return (rollout, targets), metrics

    return jax.jit(sharding.traced_on(mesh, run), out_shardings=(sharding.rows(mesh), sharding.replicated(mesh)))


def make_take(mesh: Mesh) -> Callable[[Any, Any], Any]:
    """take(tree, rows) -> those rows of every array, spread over the mesh: a minibatch of a batch."""
    return jax.jit(
        lambda tree, rows: jax.tree.map(lambda x: jnp.take(x, rows, axis=0), tree), out_shardings=sharding.rows(mesh)
    )


def policy_loss(model: Model, algorithm: Algorithm, *, temperature: float, chunk: int | None, dtype: Any) -> Loss:
    """The policy's loss of an on-policy algorithm on (Rollout, Targets), the reference in the same program.

    The reference is not run where the targets have its log-probabilities.
    """

    def apply(
        params: Params, reference: Params, batch: tuple[Rollout, Targets], coefficients: Coefficients
    ) -> tuple[jax.Array, Metrics]:
        rollout, targets = batch
        logprobs_BGR, entropy_BGR = scoring.logprobs(model, cast(params, dtype), rollout, temperature, chunk)
        reference_BGR = targets.reference_BGR
        if reference_BGR is None:
            reference_BGR, _ = scoring.logprobs(model, cast(reference, dtype), rollout, temperature, chunk)
        outputs = PolicyOutputs(logprobs_BGR, entropy_BGR, jax.lax.stop_gradient(reference_BGR))
        return algorithm.loss(outputs, rollout, targets, coefficients)

    return Loss(lambda batch: (batch[0], algorithm.weigh(batch[1])), apply, _parts_of_rollout(model))


def value_loss(critic: Model, algorithm: Algorithm, *, dtype: Any) -> Loss:
    """The critic's loss of an algorithm that has one, on (Rollout, Targets). Takes no reference."""
    assert algorithm.value_loss is not None
    of_values = algorithm.value_loss

    def apply(
        params: Params, reference: Params, batch: tuple[Rollout, Targets], coefficients: Coefficients
    ) -> tuple[jax.Array, Metrics]:
        rollout, targets = batch
        return of_values(scoring.values(critic, cast(params, dtype), rollout), rollout, targets, coefficients)

    return Loss(lambda batch: (batch[0], algorithm.weigh(batch[1])), apply, _parts_of_rollout(critic))


def _parts_of_rollout(model: Model) -> Callable[[tuple[Rollout, Targets], Mesh], int]:
    """Loss.parts of (Rollout, Targets): the same for a policy and its critic, who read one packing."""
    return lambda prepared, mesh: cuts.of_rollout(model.config, prepared[0], mesh)


def packed_loss(model: Model, objective: Objective, *, chunk: int | None, dtype: Any) -> Loss:
    """The loss of an offline objective; batches are Packed. Takes no reference."""

    def apply(
        params: Params, reference: Params, packed: Packed, coefficients: Coefficients
    ) -> tuple[jax.Array, Metrics]:
        logprobs_BT = scoring.sequence_logprobs(model, cast(params, dtype), packed, chunk)
        return objective.loss(logprobs_BT, packed, coefficients)

    return Loss(objective.weigh, apply, functools.partial(cuts.of_packed, model.config))


def tuned(loss: Loss, tuning: Tuning) -> Loss:
    """A loss on the model's parameters as one on what is trained. The reference is the base that is read beside it."""
    return loss._replace(apply=lambda trained, base, *rest: loss.apply(tuning.read(base, trained), base, *rest))


def make_update(
    model: Declared, mesh: Mesh, optimizer: optax.GradientTransformation, loss: Loss, *, microbatches: int
) -> Update:
    """update(state, reference, batch, learning_rate, coefficients) -> (state, metrics); donates the state.

    The batch is cut into `microbatches` whose float32 gradients are summed in a scan: since every weight is
    normalised over the whole batch first, the result does not depend on their number; 0 leaves it to the size of the
    batch (microbatches.py). metrics: float32 scalars, "loss" and "grad_norm" (before the clip) beside the loss's own.
    reference: parameters, or () where it has none.
    """

    def update(
        state: TrainState,
        reference: Params,
        batch: Any,
        learning_rate: jax.Array,
        coefficients: Coefficients,
    ) -> tuple[TrainState, Metrics]:
        prepared = loss.prepare(batch)
        value_and_grad = jax.value_and_grad(loss.apply, has_aux=True)

        def one(part: Any) -> tuple[Any, Any]:
            (value, metrics), grads = value_and_grad(state.params, reference, part, coefficients)
            return grads, {"loss": value, **metrics}

        count = microbatches or loss.parts(prepared, mesh)
        if count == 1:
            grads, metrics = one(prepared)
        else:
            parts = jax.tree.map(lambda x: _strided(x, count), prepared)

            def add(total: Any, part: Any) -> tuple[Any, Metrics]:
                grads, metrics = one(part)
                return jax.tree.map(jnp.add, total, grads), metrics

            grads, by_part = jax.lax.scan(add, jax.tree.map(jnp.zeros_like, state.params), parts)
            metrics = {name: REDUCE.get(name.rpartition("/")[2], jnp.sum)(x, axis=0) for name, x in by_part.items()}
        direction, opt_state = optimizer.update(grads, state.opt_state, state.params)  # type: ignore[arg-type]
        params = jax.tree.map(lambda p, d: p - learning_rate * d, state.params, direction)
        metrics = {**metrics, "grad_norm": optax.tree.norm(grads)}
        return state.replace(step=state.step + 1, params=params, opt_state=opt_state), metrics  # type: ignore[attr-defined]

    where = state_shardings(model, mesh, optimizer)
    return jax.jit(sharding.traced_on(mesh, update), donate_argnums=0, out_shardings=(where, sharding.replicated(mesh)))


def _strided(x: jax.Array, parts: int) -> jax.Array:
    """[B, ...] -> [parts, B / parts, ...] where row b goes to part b % parts, so that a row stays on its device."""
    return x.reshape(x.shape[0] // parts, parts, *x.shape[1:]).swapaxes(0, 1)


def _by_rows(f: Callable[[Any], Any], tree: Any, parts: int) -> Any:
    """f of a tree of rows, computed one part of the rows after the other."""
    if parts == 1:
        return f(tree)
    found = jax.lax.map(f, jax.tree.map(lambda x: _strided(x, parts), tree))
    return jax.tree.map(lambda x: x.swapaxes(0, 1).reshape(-1, *x.shape[2:]), found)
