"""Every compiled program, with its shardings and donation. This file holds the only `jax.jit` of the project.

A program is made once per run and called every step. Learning rates and loss coefficients are inputs, not constants,
so that a sweep reuses one compilation.
"""

from collections.abc import Mapping
from typing import Any, Callable, Literal, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from rule_jax import moments, sampling, sharding
from rule_jax.algorithms import Algorithm, Metrics, PolicyOutputs
from rule_jax.errors import UserError
from rule_jax.models.decoder import Model, Params
from rule_jax.models.tuning import Tuning
from rule_jax.objectives import Objective
from rule_jax.ops.advantages import zero_variance
from rule_jax.ops.logprobs import token_logprobs
from rule_jax.types import Packed, Prompts, Rollout

Declared = Model | Tuning  # parameters with a start and logical axes: a model's own, or what of it is trained


@flax.struct.dataclass
class TrainState:
    """All that training changes, and the key that its randomness is folded from. step: updates done so far.

    params: what is trained, by its Tuning the model's own parameters or an adapter.
    """

    step: jax.Array
    params: Params
    opt_state: optax.OptState
    key: jax.Array


class Loss(NamedTuple):
    """A loss as make_update takes it.

    prepare(batch) -> a tree with a leading row axis, global normalisers included; its microbatches add up.
    apply(params, reference, prepared, coefficients) -> (scalar, metrics).
    """

    prepare: Callable[[Any], tuple[Any, Metrics]]
    apply: Callable[[Params, Params, Any, Mapping[str, jax.Array]], tuple[jax.Array, Metrics]]


Update = Callable[..., tuple[TrainState, Metrics]]


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


def param_shardings(model: Declared, mesh: Mesh, layout: str = "train") -> Any:
    """Where each parameter lies; a tree like the parameters."""
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    return sharding.param_shardings(model.axes, shapes, mesh, layout)  # type: ignore[arg-type]


def state_shardings(model: Declared, mesh: Mesh, optimizer: optax.GradientTransformation) -> TrainState:
    """Where a TrainState lies: optimizer moments beside their parameters, the rest everywhere."""
    params = param_shardings(model, mesh)
    everywhere = sharding.replicated(mesh)
    abstract = jax.eval_shape(optimizer.init, jax.eval_shape(model.init, jax.random.key(0)))
    opt_state = optax.tree.map_params(
        optimizer, lambda _, where: where, abstract, params, transform_non_params=lambda _: everywhere
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


def make_rollout_params(model: Model, mesh: Mesh, dtype: Any) -> Callable[[Params], Params]:
    """Parameters in the compute dtype and the decoding layout, once per step."""
    return jax.jit(lambda params: cast(params, dtype), out_shardings=param_shardings(model, mesh, "decode"))


def make_merge(
    model: Model, tuning: Tuning, mesh: Mesh, dtype: Any, layout: Literal["train", "decode"]
) -> Callable[[Params, Params], Params]:
    """merge(base, trained) -> plain parameters in a dtype and layout, where an adapter costs no work any more."""
    where = param_shardings(model, mesh, layout)
    return jax.jit(lambda base, trained: tuning.merge(base, trained, dtype), out_shardings=where)


def cast(params: Params, dtype: Any) -> Params:
    """A copy of the tree in another dtype; the one place where compute precision is chosen."""
    return jax.tree.map(lambda x: x.astype(dtype), params)


def make_generate(
    model: Model, mesh: Mesh, *, samples: int, max_new_tokens: int, eos_ids: tuple[int, ...]
) -> Callable[..., Rollout]:
    """generate(params, prompts, key, step, rows_B, temperature) -> Rollout, rows spread over the mesh.

    The random keys are folded from (key, step, row, sample, token), so a batch may be cut or padded in any way.
    """

    def run(
        params: Params, prompts: Prompts, key: jax.Array, step: jax.Array, rows_B: jax.Array, temperature: jax.Array
    ) -> Rollout:
        return sampling.generate(
            model,
            params,
            prompts,
            jax.random.fold_in(key, step),
            rows_B,
            temperature,
            samples=samples,
            max_new_tokens=max_new_tokens,
            eos_ids=eos_ids,
        )

    return jax.jit(run, out_shardings=sharding.rows(mesh))


def response_logprobs(
    model: Model, params: Params, rollout: Rollout, temperature: jax.Array | float, chunk: int | None
) -> tuple[jax.Array, jax.Array]:
    """(logprobs_BGR, entropy_BGR) of a rollout's tokens, teacher-forced over the shared prefix."""
    B, G, R = rollout.response_BGR.shape
    hidden_BGRD = model.response_hidden(params, rollout.prompts, rollout.response_BGR)
    logprobs, entropy = token_logprobs(
        hidden_BGRD.reshape(B, G * R, -1),
        model.head(params),
        rollout.response_BGR.reshape(B, G * R),
        temperature=temperature,
        chunk=chunk,
    )
    return logprobs.reshape(B, G, R), entropy.reshape(B, G, R)


def policy_loss(model: Model, algorithm: Algorithm, *, temperature: float, chunk: int | None, dtype: Any) -> Loss:
    """The loss of an on-policy algorithm on (Rollout, rewards_BG). Policy and reference run in one program."""

    def prepare(batch: tuple[Rollout, jax.Array]) -> tuple[Any, Metrics]:
        rollout, rewards_BG = batch
        metrics = {"zero_variance_groups": jnp.mean(zero_variance(rewards_BG))}
        return (rollout, algorithm.advantages(rollout, rewards_BG)), metrics

    def apply(
        params: Params, reference: Params, prepared: Any, coefficients: Mapping[str, jax.Array]
    ) -> tuple[jax.Array, Metrics]:
        rollout, targets = prepared
        logprobs_BGR, entropy_BGR = response_logprobs(model, cast(params, dtype), rollout, temperature, chunk)
        reference_BGR, _ = response_logprobs(model, cast(reference, dtype), rollout, temperature, chunk)
        outputs = PolicyOutputs(logprobs_BGR, entropy_BGR, jax.lax.stop_gradient(reference_BGR))
        return algorithm.loss(outputs, rollout, targets, coefficients)

    return Loss(prepare, apply)


def packed_loss(model: Model, objective: Objective, *, chunk: int | None, dtype: Any) -> Loss:
    """The loss of an offline objective; batches are Packed. Takes no reference."""

    def apply(
        params: Params, reference: Params, packed: Packed, coefficients: Mapping[str, jax.Array]
    ) -> tuple[jax.Array, Metrics]:
        params = cast(params, dtype)
        hidden_BTD = model.packed_hidden(params, packed)
        logprobs, _ = token_logprobs(hidden_BTD[:, :-1], model.head(params), packed.tokens_BT[:, 1:], chunk=chunk)
        return objective.loss(jnp.pad(logprobs, ((0, 0), (1, 0))), packed, coefficients)

    return Loss(lambda packed: (objective.weigh(packed), {}), apply)


def tuned(loss: Loss, tuning: Tuning) -> Loss:
    """A loss on the model's parameters as one on what is trained. The reference is the base that is read beside it."""
    return loss._replace(apply=lambda trained, base, *rest: loss.apply(tuning.read(base, trained), base, *rest))


def make_update(
    model: Declared, mesh: Mesh, optimizer: optax.GradientTransformation, loss: Loss, *, microbatches: int
) -> Update:
    """update(state, reference, batch, learning_rate, coefficients) -> (state, metrics); donates the state.

    The batch is cut into `microbatches` whose float32 gradients are summed in a scan: since every weight is
    normalised over the whole batch first, the result does not depend on their number. metrics: float32 scalars,
    "loss" and "grad_norm" (before the clip) beside the loss's own. reference: parameters, or () where it has none.
    """

    def update(
        state: TrainState,
        reference: Params,
        batch: Any,
        learning_rate: jax.Array,
        coefficients: Mapping[str, jax.Array],
    ) -> tuple[TrainState, Metrics]:
        prepared, batch_metrics = loss.prepare(batch)
        value_and_grad = jax.value_and_grad(loss.apply, has_aux=True)

        def one(part: Any) -> tuple[Any, Any]:
            (value, metrics), grads = value_and_grad(state.params, reference, part, coefficients)
            return {"loss": value, **metrics}, grads

        if microbatches == 1:
            metrics, grads = one(prepared)
        else:
            parts = jax.tree.map(lambda x: _strided(x, microbatches), prepared)
            zero = jax.tree.map(
                lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(one, jax.tree.map(lambda x: x[0], parts))
            )
            (metrics, grads), _ = jax.lax.scan(
                lambda total, part: (jax.tree.map(jnp.add, total, one(part)), None), zero, parts
            )
        direction, opt_state = optimizer.update(grads, state.opt_state, state.params)  # type: ignore[arg-type]
        params = jax.tree.map(lambda p, d: p - learning_rate * d, state.params, direction)
        metrics = {**metrics, **batch_metrics, "grad_norm": optax.tree.norm(grads)}
        return state.replace(step=state.step + 1, params=params, opt_state=opt_state), metrics  # type: ignore[attr-defined]

    where = state_shardings(model, mesh, optimizer)
    return jax.jit(update, donate_argnums=0, out_shardings=(where, sharding.replicated(mesh)))


def _strided(x: jax.Array, parts: int) -> jax.Array:
    """[B, ...] -> [parts, B / parts, ...] where row b goes to part b % parts, so that a row stays on its device."""
    return x.reshape(x.shape[0] // parts, parts, *x.shape[1:]).swapaxes(0, 1)
