"""Offline unlearning: what RULE is compared with in place of its two stages, or what goes before or after them.

config.baseline.terms is the loss, a weighted sum of objectives on parts of the data (see offline.py and PARTS).
Training begins from what the stage before left, which is the reference too; config.baseline.negation goes the opposite
way (task vectors); no terms train nothing, and what stands before the model (_guard.py) is all there is.
"""

import optax

from rule_jax import (
    files,
    hf,
    offline,
    plugin,
    preemption,
    processes,
    programs,
    sharding,
    telemetry,
    trackers,
)
from rule_jax.checkpoint import Checkpoints
from rule_jax.data import jsonl
from rule_jax.errors import UserError
from rule_jax.models import lora
from rule_jax.objectives import States
from rule_jax.offline import Term
from rule_jax.stages import Run, Subject, _exchanges, _guard, check_divides, check_positive, recollection, subject
from rule_jax.stages._exchanges import PARTS
from rule_jax.stages._training import Reporter, start_or_resume
from rule_jax.stages._weights import as_reference, before, check_reference, on_device

STAGE = "baseline"
ROWS = 5  # stream of chance of the first of PARTS: the order of its rows; the others follow


def check(run: Run) -> None:
    """Raises UserError for settings that cannot train, and for a baseline that does nothing at all."""
    settings = run.config.baseline
    _guard.check(run)
    if not (settings.terms or settings.system_prompt or settings.filter):
        raise UserError("config.baseline has no terms, no system_prompt, no filter: the model would stay as it is")
    if settings.negation < 0 or (settings.negation and not settings.terms):
        raise UserError(
            f"config.baseline.negation={settings.negation}: it must not be negative, and without terms there is "
            "nothing to negate"
        )
    if not settings.terms:
        return
    made = terms(run)
    if not made:
        raise UserError("all terms of config.baseline have weight 0, so it would learn nothing; give one a weight")
    recalled = [part for part in read(made) if part in _exchanges.RECALLED]
    if recalled and "recollection" not in run.config.stages:
        raise UserError(
            f'a term of config.baseline reads {recalled[0]!r}, which the stage "recollection" gathers; put it behind '
            '"prepare_data" in config.stages'
        )
    check_positive(STAGE, settings, "steps", "batch", "max_length", "checkpoint_every", "keep_checkpoints")
    check_divides(run, f"config.{STAGE}.batch", settings.batch, settings.microbatches)
    programs.optimizer(**settings.optimizer, moments_dtype=run.config.model.moments_dtype)
    programs.schedule(**settings.schedule, steps=settings.steps)
    trackers.check(**run.config.watch)
    lora.check(**run.config.lora)
    check_reference(run)
    _check_layers(run, made)


def run(run: Run) -> None:
    """Trains for config.baseline.steps updates; resumes from the newest checkpoint. Without terms, nothing is done."""
    settings = run.config.baseline
    if not settings.terms:
        telemetry.info(f"{STAGE}: {settings.name} trains nothing")
        if processes.first() and not run.log_file.exists():
            files.write_text(run.log_file, "")  # a log without steps: the report reads one of every run that unlearns
        return
    learner = subject(run)
    update, made, optimizer = update_program(run, learner)
    schedule = programs.schedule(**settings.schedule, steps=settings.steps)
    examples = jsonl.read_examples(run.data_file("rejection"))
    recalled = run.records(recollection.FILE) if {*read(made)} & {*_exchanges.RECALLED} else ()
    found = _exchanges.parts(examples, recollection.forget(run), run.records("boundary"), recalled)
    _exchanges.check(found, read(made), run.config.data.source)
    batch_of = {
        part: _exchanges.batches(run, learner, STAGE, f"{part} rows", found[part], ROWS + [*PARTS].index(part))
        for part in read(made)
    }

    with (
        Checkpoints(run.checkpoints(STAGE), settings.keep_checkpoints) as checkpoints,
        run.log(STAGE) as log,
    ):
        # State. The reference is what the stage begins from, where a term reads it or an adapter stands on it.
        base = before(run, learner, STAGE)
        state, _ = start_or_resume(run, learner, optimizer, checkpoints, base)
        needed = learner.tuning.keeps_base or offline.reads_reference(made)
        reference = as_reference(run, learner, base) if needed else {}
        del base
        done, numbers = int(state.step), offline.coefficients(made)

        # Steps
        with telemetry.Progress(STAGE, settings.steps, done) as bar:
            reporter = Reporter(run, log, bar, {"loss": "loss", **{f"{name}/loss": name for name in made}}, done)
            for step in range(done, settings.steps):
                batch = sharding.put_rows({part: of(step) for part, of in batch_of.items()}, run.mesh)
                rate = schedule(step)
                state, metrics = update(state, on_device(reference), batch, rate, numbers)
                reporter.push(step + 1, {**metrics, "lr": rate}, batch)
                told = preemption.due()
                if told or (step + 1) % settings.checkpoint_every == 0 or step + 1 == settings.steps:
                    reporter.flush()  # a step that diverged must not be saved
                    checkpoints.save(step + 1, state)
                if told:
                    raise preemption.Preempted


def terms(run: Run) -> dict[str, Term]:
    """The terms of config.baseline, without those of weight 0. Raises UserError for what they cannot be made of."""
    made = {}
    for name, term in run.config.baseline.terms.items():
        where = f"config.baseline.terms.{name}"
        if term.of not in PARTS:
            raise UserError(f"{where}.of={term.of!r}: it must be one of {', '.join(PARTS)}")
        if (term.objective == "dpo") != (term.of == "preference"):
            raise UserError(
                f"{where}: objective={term.objective!r} of={term.of!r}; dpo compares two answers, which the part "
                "'preference' has, and only dpo reads that"
            )
        if not term.weight >= 0:
            raise UserError(f"{where}.weight={term.weight}: it must be positive, or 0 to leave the term out")
        if not term.weight:
            continue
        objective = plugin.make("objectives", {"name": term.objective, **term.options})
        made[name] = Term(objective, term.of, term.weight)
    return made


def read(made: dict[str, Term]) -> list[str]:
    """The parts that terms read, each once, in the order of PARTS."""
    return [part for part in PARTS if any(term.of == part for term in made.values())]


def update_program(run: Run, learner: Subject) -> tuple[programs.Update, dict[str, Term], optax.GradientTransformation]:
    """The stage's update, the terms of the loss that it lowers and the optimizer that it does so with."""
    settings, made = run.config.baseline, terms(run)
    optimizer = programs.optimizer(**settings.optimizer, moments_dtype=run.config.model.moments_dtype)
    loss = offline.loss_of(learner.model, made, chunk=run.logit_chunk, dtype=run.compute_dtype)
    loss = programs.tuned(loss, learner.tuning)
    update = programs.make_update(learner.tuning, run.mesh, optimizer, loss, microbatches=settings.microbatches)
    return update, made, optimizer


def _check_layers(run: Run, made: dict[str, Term]) -> None:
    """Raises UserError for states of a layer that the model has not."""
    path = run.config.model.path
    layers = hf.load_model(path).config.layers if path else run.config.world.layers
    for name, term in made.items():
        if isinstance(term.objective.reads, States) and term.objective.reads.layer > layers:
            raise UserError(
                f"config.baseline.terms.{name}.options.layer={term.objective.reads.layer}: the model has {layers} "
                "layers"
            )
