"""What a rollout does to the policy and, where the algorithm has one, to the critic."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rule_jax import batching, microbatches, programs, sharding
from rule_jax.algorithms import Algorithm, Metrics, Targets
from rule_jax.checkpoint import Checkpoints
from rule_jax.models import critic as critics
from rule_jax.models.decoder import Params
from rule_jax.programs import TrainState
from rule_jax.stages import Run, Subject, _selection
from rule_jax.stages import _replay as replay
from rule_jax.stages._replay import Buffer
from rule_jax.stages._training import start_or_resume
from rule_jax.stages._weights import on_device
from rule_jax.types import PromptRecord, Rollout

STREAM = 4  # of chance: the order of a batch's rows in its minibatches


class Training(NamedTuple):
    """All that the loop changes. critic: None without one. kl_coef: float32 in value. buffer: None without replay."""

    policy: TrainState
    critic: TrainState | None
    kl_coef: float
    buffer: Buffer | None

    def beside(self) -> dict[str, Any]:
        """What a checkpoint keeps beside the policy."""
        return kept_beside(self.critic, self.kl_coef, self.buffer)


def kept_beside(critic: TrainState | None, kl_coef: float, buffer: Buffer | None) -> dict[str, Any]:
    """The tree of what a checkpoint keeps beside the policy; critic: a state, or its shapes."""
    kept = {"kl_coef": np.asarray(kl_coef, np.float32), "critic": critic, "buffer": buffer}
    return {name: value for name, value in kept.items() if value is not None}


class Lengths(NamedTuple):
    """Tokens of a batch's prompts and answers, int32, on every process. prompt_B; answer_BG."""

    prompt_B: np.ndarray
    answer_BG: np.ndarray


class Updates:
    """The programs that a rollout passes through: the targets once, then policy and critic, update after update.

    per_rollout: how many updates of the policy that is.
    """

    def __init__(self, run: Run, learner: Subject, algorithm: Algorithm):
        settings = run.config.boundary_optimization
        if run.config.model.reference_memory == "host":
            # It is read once, before the update, and must not lie beside the update's gradients.
            algorithm = algorithm._replace(scored=True)
        self.run, self.learner, self.algorithm, self.replay = run, learner, algorithm, settings.replay
        self.per_rollout = algorithm.epochs * algorithm.minibatches
        self.critic = critics.make(learner.model) if algorithm.value_loss else None
        self.optimizer = programs.optimizer(**settings.optimizer, moments_dtype=run.config.model.moments_dtype)
        self.rate = programs.schedule(**settings.schedule, steps=settings.steps)
        shared = {"temperature": settings.temperature, "chunk": run.logit_chunk, "dtype": run.compute_dtype}
        self.targets = programs.make_targets(
            learner.model,
            learner.tuning,
            self.critic,
            run.mesh,
            algorithm,
            **shared,
            microbatches=settings.microbatches,
        )
        self.take = programs.make_take(run.mesh)
        policy_loss = programs.tuned(programs.policy_loss(learner.model, algorithm, **shared), learner.tuning)
        self.update = programs.make_update(
            learner.tuning, run.mesh, self.optimizer, policy_loss, microbatches=settings.microbatches
        )
        if self.critic:
            self.critic_optimizer = programs.optimizer(
                **settings.critic.optimizer, moments_dtype=run.config.model.moments_dtype
            )
            self.critic_rate = programs.schedule(**settings.critic.schedule, steps=settings.steps)
            value_loss = programs.value_loss(self.critic, algorithm, dtype=run.compute_dtype)
            self.update_critic = programs.make_update(
                self.critic, run.mesh, self.critic_optimizer, value_loss, microbatches=settings.microbatches
            )

    def start(self, checkpoints: Checkpoints, base: Params, buffer: Buffer | None) -> Training:
        """The newest checkpoint, else policy and critic from the base (pi_rej), and the given empty buffer.

        The critic is trained whole, in float32, also where an adapter of the policy is all that is trained of that.
        """
        run, model, mesh = self.run, self.learner.model, self.run.mesh
        kl_coef = float(np.float32(self.algorithm.coefficients.get("kl_coef", 0.0)))
        abstract = self.critic and programs.abstract_state(self.critic, mesh, self.critic_optimizer)
        beside = kept_beside(abstract, kl_coef, buffer)
        policy, found = start_or_resume(run, self.learner, self.optimizer, checkpoints, base, beside)
        if found is not None:
            return Training(policy, found.get("critic"), float(found["kl_coef"]), found.get("buffer"))
        critic = None
        if self.critic:
            first = programs.cast(critics.from_policy(model, base), jnp.float32)
            key = jax.random.key(run.config.seed)
            critic = programs.init_state(self.critic, mesh, self.critic_optimizer, first, key)
        return Training(policy, critic, kl_coef, buffer)

    def apply(
        self, training: Training, reference: Params, fresh: tuple[Rollout, jax.Array], step: int
    ) -> tuple[Training, dict[str, Any], Targets]:
        """(training after the updates of a step, metrics, the targets of the batch), given a rollout and its rewards.

        Metrics are those of `over_updates`; "places" is the share of the batch's rectangle that is computed, 1 where
        its answers are not packed.
        """
        algorithm, (policy, critic, kl_coef, buffer) = self.algorithm, training
        coefficients = {**algorithm.coefficients, "kl_coef": kl_coef}
        replayed = replay.draw(buffer, self.replay, self.run.config.seed, step)
        lengths = lengths_of(fresh[0], replayed and replayed[0])
        replayed = replayed and sharding.put_rows(replayed, self.run.mesh)
        packed = self.packed(fresh[0], lengths), fresh[1]
        critic_params = critic.params if critic else None
        batch, metrics = self.targets(
            policy.params, on_device(reference), critic_params, packed, replayed, coefficients
        )
        updates: list[Metrics] = []
        reference = self.read_by_update(reference)
        for epoch in range(algorithm.epochs):
            for part in self._parts(batch, lengths, step, epoch):
                policy, of_policy = self.update(policy, reference, part, self.rate(step), coefficients)
                updates.append(of_policy)
                if critic:
                    critic, of_critic = self.update_critic(critic, (), part, self.critic_rate(step), coefficients)
                    updates[-1] |= {f"value/{name}": value for name, value in of_critic.items()}
        metrics |= over_updates(updates)
        metrics |= {"kl_coef": kl_coef, "lr": self.rate(step), "places": _places(packed[0], len(lengths.prompt_B))}
        kl_coef = float(np.float32(algorithm.adapt(kl_coef, float(metrics["kl"]))))
        buffer = replay.store(buffer, self.replay, fresh, step)
        return Training(policy, critic, kl_coef, buffer), {**metrics, **replay.facts(buffer, step)}, batch[1]

    def told(self, rollout: Rollout, records: Sequence[PromptRecord]) -> Rollout:
        """The rollout, told which of its groups are of forget queries; records: its prompts."""
        forget_B = np.asarray([record.kind == "forget" for record in records])
        return rollout._replace(forget_B=sharding.put_rows(forget_B, self.run.mesh))

    def chosen(self, fresh: tuple[Rollout, jax.Array], step: int) -> tuple[tuple[Rollout, jax.Array], np.ndarray]:
        """What is learnt from of a rollout and its rewards, and which rows that are, the same on every process."""
        settings, count = self.run.config.boundary_optimization, len(fresh[1])
        if not settings.kept_prompts:
            return fresh, np.arange(count)
        rows = _selection.kept(sharding.whole(fresh[1]), settings.kept_prompts, self.run.config.seed, step)
        return self.take(fresh, rows), rows

    def read_by_model(self, reference: Params) -> Params:
        """What of the reference the policy itself reads: the base of an adapter, or nothing."""
        return reference if self.learner.tuning.keeps_base else {}

    def read_by_update(self, reference: Params) -> Params:
        """What of the reference an update reads: nothing where the targets tell what it thinks of the batch."""
        return self.read_by_model(reference) if self.algorithm.scored else reference

    def _parts(self, batch: tuple[Rollout, Targets], lengths: Lengths, step: int, epoch: int) -> Iterator[Any]:
        parts, count = self.algorithm.minibatches, len(batch[0].length_BG)
        if parts == 1:
            yield batch
            return
        unpacked = batch[0]._replace(packing=None), batch[1]
        for rows in batching.minibatch_rows(self.run.config.seed, STREAM, step, epoch, parts, count):
            rollout, targets = self.take(unpacked, rows)
            yield self.packed(rollout, Lengths(*(x[rows] for x in lengths))), targets

    def packed(self, rollout: Rollout, lengths: Lengths) -> Rollout:
        """The rollout with the packing of rows of these lengths, where one saves work."""
        P, R = rollout.prompts.tokens_BP.shape[1], rollout.response_BGR.shape[2]
        sizes = (*lengths.answer_BG.shape, P, R)
        by_size = microbatches.of_answers(self.learner.model.config, sizes, self.run.mesh, packed=True)
        packing = batching.pack_answers(
            *lengths,
            (P, R),
            parts=self.run.config.boundary_optimization.microbatches or by_size,
            ways=sharding.row_shards(self.run.mesh),
        )
        return rollout._replace(packing=packing and sharding.put_rows(packing, self.run.mesh))


def lengths_of(fresh: Rollout, replayed: Rollout | None = None) -> Lengths:
    """Of a batch: what was sampled for it, then what is replayed, host arrays."""
    lengths = Lengths(sharding.whole(fresh.prompts.length_B), sharding.whole(fresh.length_BG))
    if replayed is None:
        return lengths
    older = replayed.prompts.length_B, replayed.length_BG
    return Lengths(*(np.concatenate(both) for both in zip(lengths, older)))


def _places(rollout: Rollout, rows: int) -> float:
    if rollout.packing is None:
        return 1.0
    (_, G, R), P = rollout.response_BGR.shape, rollout.prompts.tokens_BP.shape[1]
    return rollout.packing.from_BT.size / (rows * (P + G * (R - 1)))


def over_updates(updates: list[Metrics]) -> dict[str, np.ndarray]:
    """The metrics of several updates as one: means, but the least and the greatest of names in /min and /max, and how
    far sampler and scorer disagree of the first, since later ones find a policy that has moved."""
    kinds = {"min": np.min, "max": np.max, "sampler_gap": lambda of_updates: of_updates[0]}
    here = jax.device_get(updates)  # at once: each waits for the device by itself otherwise
    return {name: kinds.get(name.rpartition("/")[2], np.mean)([update[name] for update in here]) for name in updates[0]}
