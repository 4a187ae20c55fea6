"""Stage 2, Refusal Boundary Optimization (ReBO): on-policy RL on both sides of the boundary gives pi_rule.

Source: https://arxiv.org/abs/2506.07171 section 3.2. Each step samples a group of answers to each prompt, scores them
on the host with a verifiable reward, and updates policy and critic as the algorithm says (_updates.py). The reference
of the KL is pi_rej, the result of stage 1. Hard groups of early steps may be replayed later (_replay.py).
"""

import jax
import numpy as np

from rule_jax import plugin, preemption, processes, programs, sharding, telemetry, trackers
from rule_jax.algorithms import Algorithm, Targets
from rule_jax.checkpoint import Checkpoints
from rule_jax.errors import UserError
from rule_jax.models import lora
from rule_jax.stages import Run, _prompts, _validation, check_divides, check_positive, subject
from rule_jax.stages import _answers as answers
from rule_jax.stages import _replay as replay
from rule_jax.stages._prompts import PromptSet
from rule_jax.stages._scoring import Scored, facts, score
from rule_jax.stages._training import Reporter
from rule_jax.stages._updates import Updates
from rule_jax.stages._validation import EarlyStopping, Validation
from rule_jax.stages._weights import as_reference, before, check_reference
from rule_jax.types import Reward, Rollout

STAGE = "boundary_optimization"
SAMPLING = 1  # folded into the state's key for the sampler


def check(run: Run) -> None:
    """Raises UserError for settings that cannot train."""
    settings = run.config.boundary_optimization
    check_positive(
        STAGE,
        settings,
        "steps",
        "max_new_tokens",
        "max_prompt_tokens",
        "temperature",
        "checkpoint_every",
        "keep_checkpoints",
    )
    chosen, replayed = algorithm(run), settings.replay.groups
    prompts = settings.forget_prompts + settings.boundary_prompts
    parts = (settings.microbatches or 1) * chosen.minibatches
    what = f"config.{STAGE}.forget_prompts + boundary_prompts"
    if settings.kept_prompts:
        if not 0 < settings.kept_prompts <= prompts:
            raise UserError(
                f"config.{STAGE}.kept_prompts={settings.kept_prompts}: of {prompts} that are sampled, it must be 1 to "
                f"{prompts}, or 0 for all"
            )
        check_divides(run, f"config.{STAGE}.kept_prompts", settings.kept_prompts, parts)
    else:
        check_divides(run, what, prompts, parts)
    check_divides(run, what, prompts, settings.rollout_parts, "rollout_parts")
    if replayed:
        check_positive(f"{STAGE}.replay", settings.replay, "groups", "capacity", "store_steps")
        check_divides(run, f"config.{STAGE}.replay.groups", replayed, parts)
        if settings.replay.capacity < replayed:
            raise UserError(
                f"config.{STAGE}.replay.capacity={settings.replay.capacity} is less than replay.groups={replayed}: "
                "nothing would ever be replayed"
            )
    if settings.samples < chosen.min_samples:
        raise UserError(
            f"config.{STAGE}.samples={settings.samples}: {run.config.algorithm.name} compares answers to one prompt "
            f"and needs at least {chosen.min_samples} of them"
        )
    _prompts.check(run)
    _reward(run)
    for section in (settings, settings.critic):
        programs.optimizer(**section.optimizer, moments_dtype=run.config.model.moments_dtype)
        programs.schedule(**section.schedule, steps=settings.steps)
    _validation.check(run, settings.validation)
    trackers.check(**run.config.watch)
    lora.check(**run.config.lora)
    check_reference(run)


def run(run: Run) -> None:
    """Trains for config.boundary_optimization.steps updates; resumes from the newest checkpoint."""
    settings = run.config.boundary_optimization
    learner = subject(run)
    reward = _reward(run)
    prompts = PromptSet(run, learner)

    # Programs
    updates = Updates(run, learner, algorithm(run))
    rollout_params = programs.make_merge(learner.model, learner.tuning, run.mesh, run.compute_dtype, "decode")
    generate = programs.make_generate(
        learner.model,
        run.mesh,
        samples=settings.samples,
        max_new_tokens=settings.max_new_tokens,
        eos_ids=learner.eos_ids,
        parts=settings.rollout_parts,
    )

    with (
        Checkpoints(run.checkpoints(STAGE), settings.keep_checkpoints) as checkpoints,
        run.log(STAGE) as log,
    ):
        # State. The reference is what the stage begins from (pi_rej, or the base model in a
        # cold start), whatever the policy has become since.
        base = before(run, learner, STAGE)
        training = updates.start(checkpoints, base, replay.empty(settings, prompts.length))
        reference = as_reference(run, learner, base)
        del base
        done = int(training.policy.step) // updates.per_rollout

        # Steps
        with telemetry.Progress(STAGE, settings.steps, done) as bar:
            shown = {"reward": "reward", "forget refused": "refusal_rate/forget", "boundary": "refusal_rate/boundary"}
            reporter = Reporter(run, log, bar, {**shown, "kl": "kl"}, done)
            validation = Validation(run, learner, log, settings.validation)
            stopping = EarlyStopping.of(settings.validation, processes.agreed(checkpoints.best()))
            for step in range(done, settings.steps + 1):  # so many updates are done
                params = rollout_params(updates.read_by_model(reference), training.policy.params)
                if validation.due(step) and (step > done or step == 0):
                    reporter.flush()
                    stopping.see(step, validation(params, step))
                best, last = stopping.best_at(step), step == settings.steps or stopping.exhausted(step)
                told = preemption.due()
                if told or best is not None or (step > done and (last or step % settings.checkpoint_every == 0)):
                    reporter.flush()  # a step that diverged must not be saved
                    checkpoints.save(step, training.policy, training.beside(), best)
                if told:
                    raise preemption.Preempted
                if last:
                    stopping.tell(step)
                    break

                clock = telemetry.Stopwatch()
                records, batch = prompts.batch(step)
                key = jax.random.fold_in(training.policy.key, SAMPLING)
                rows_B = sharding.put_rows(np.arange(len(records), dtype=np.int32), run.mesh)
                rollout = generate(params, batch, key, np.int32(step), rows_B, np.float32(settings.temperature))
                jax.block_until_ready(rollout)
                del params  # the update needs the room
                clock.lap("rollout")
                try:
                    scored = processes.together(score, rollout, records, learner.tokenizer, reward)
                except UserError:  # an endpoint that is lost costs no update
                    reporter.flush()
                    checkpoints.save(step, training.policy, training.beside())
                    raise
                seen = facts(scored)
                clock.lap("reward")
                rewards_BG = sharding.put_rows(scored.rewards_BG, run.mesh)
                rollout = updates.told(rollout, records)
                fresh, rows = updates.chosen((rollout, rewards_BG), step)
                training, metrics, targets = updates.apply(training, reference, fresh, step)
                jax.block_until_ready(metrics)
                clock.lap("update")
                batch = {"rollout": rollout, "rewards_BG": rewards_BG}
                reporter.push(step + 1, {**seen, **clock.facts(seen["tokens"]), **metrics}, batch)
                if settings.answers_every and (step + 1) % settings.answers_every == 0:
                    _show(run, step + 1, scored, rollout, targets, rows)


def _show(run: Run, step: int, scored: Scored, rollout: Rollout, targets: Targets, rows: np.ndarray) -> None:
    """Writes the answers of a step, and a few of them to the log. rows: of the rollout, which targets are of."""
    advantages_BG = answers.advantages(rollout, targets.advantages_BGR, rows)
    answers.save(run.workdir / "rollouts", step, scored, advantages_BG)
    for line in (f"{STAGE}: answers of step {step}", *answers.table(scored, advantages_BG)):
        telemetry.info(line)


def algorithm(run: Run) -> Algorithm:
    """What config.algorithm describes."""
    return plugin.make("algorithms", run.config.algorithm.to_dict())


def _reward(run: Run) -> Reward:
    return plugin.make("rewards", run.config.reward.to_dict())
