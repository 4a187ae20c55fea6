"""Stage 1, Rejection Steering: supervised tuning on refusals that name the target gives pi_rej.

Source: https://arxiv.org/abs/2506.07171 section 3.1. The loss is on the refusal and its end, never on the question;
exchanges share rows where that saves work, and see nothing of each other.
"""

import optax

from rule_jax import plugin, preemption, programs, sharding, telemetry, trackers
from rule_jax.checkpoint import Checkpoints
from rule_jax.data import jsonl
from rule_jax.errors import UserError
from rule_jax.models import lora
from rule_jax.objectives import LogProbs, Objective
from rule_jax.stages import Run, Subject, _exchanges, check_divides, check_positive, subject
from rule_jax.stages._dosage import Dosage
from rule_jax.stages._exchanges import Exchange
from rule_jax.stages._training import Reporter, start_or_resume
from rule_jax.stages._weights import before

STAGE = "rejection_steering"
ROWS = 1  # stream of chance: the order of the examples


def check(run: Run) -> None:
    """Raises UserError for settings that cannot train."""
    settings = run.config.rejection_steering
    check_positive(STAGE, settings, "steps", "batch", "max_length", "checkpoint_every", "keep_checkpoints")
    check_divides(run, f"config.{STAGE}.batch", settings.batch, settings.microbatches)
    objective = plugin.make("objectives", {"name": settings.objective, **settings.objective_options})
    if objective.reads != LogProbs():
        raise UserError(
            f"config.{STAGE}.objective={settings.objective!r} reads more than the model's own log-probabilities, which "
            "are all that this stage has; the stage 'baseline' takes it"
        )
    programs.optimizer(**settings.optimizer, moments_dtype=run.config.model.moments_dtype)
    programs.schedule(**settings.schedule, steps=settings.steps)
    trackers.check(**run.config.watch)
    lora.check(**run.config.lora)


def run(run: Run) -> None:
    """Trains until its dosage is enough, at most config.rejection_steering.steps updates; resumes where it stopped."""
    settings = run.config.rejection_steering
    learner = subject(run)
    examples = jsonl.read_examples(run.data_file("rejection"))
    exchanges = [Exchange(example.prompt, (example.response,)) for example in examples]
    batch_of = _exchanges.batches(run, learner, STAGE, "examples", exchanges, ROWS)

    # Programs
    update, objective, optimizer = update_program(run, learner)
    schedule = programs.schedule(**settings.schedule, steps=settings.steps)

    with (
        Checkpoints(run.checkpoints(STAGE), settings.keep_checkpoints) as checkpoints,
        run.log(STAGE) as log,
    ):
        # State. There is no reference; the base stays only where an adapter stands on it.
        base = before(run, learner, STAGE)
        state, _ = start_or_resume(run, learner, optimizer, checkpoints, base)
        base = base if learner.tuning.keeps_base else {}
        done = int(state.step)
        dosage = Dosage(run, learner, settings.dosage) if settings.dosage.refusal_rate else None

        # Steps
        with telemetry.Progress(STAGE, settings.steps, done) as bar:
            reporter = Reporter(run, log, bar, {"loss": "loss"}, done)
            for step in range(done, settings.steps):
                if dosage and dosage.enough(base, state.params, step):
                    reporter.flush()
                    checkpoints.save(step, state)
                    break
                batch = sharding.put_rows(batch_of(step), run.mesh)
                rate = schedule(step)
                state, metrics = update(state, base, batch, rate, objective.coefficients)
                reporter.push(step + 1, {**metrics, "lr": rate}, batch)
                told = preemption.due()
                if told or (step + 1) % settings.checkpoint_every == 0 or step + 1 == settings.steps:
                    reporter.flush()  # a step that diverged must not be saved
                    checkpoints.save(step + 1, state)
                if told:
                    raise preemption.Preempted
            else:
                if dosage:
                    telemetry.info(
                        f"{STAGE}: took all {settings.steps} steps; at no count was every target refused in "
                        f"{settings.dosage.refusal_rate:.2f} of sampled answers. Where stage 2 samples no refusals, "
                        f"raise config.{STAGE}.steps or schedule.peak."
                    )


def update_program(run: Run, learner: Subject) -> tuple[programs.Update, Objective, optax.GradientTransformation]:
    """The stage's update, the objective that it lowers and the optimizer that it does so with."""
    settings = run.config.rejection_steering
    objective = plugin.load("objectives", settings.objective).make(**settings.objective_options)
    optimizer = programs.optimizer(**settings.optimizer, moments_dtype=run.config.model.moments_dtype)
    loss = programs.packed_loss(learner.model, objective, chunk=run.logit_chunk, dtype=run.compute_dtype)
    loss = programs.tuned(loss, learner.tuning)
    update = programs.make_update(learner.tuning, run.mesh, optimizer, loss, microbatches=settings.microbatches)
    return update, objective, optimizer
