"""The questions of an evaluation as an attacker would put them: plain transforms of tasks."""

from collections.abc import Sequence
from dataclasses import replace

from rule_jax.errors import UserError, nearest
from rule_jax.reporting.vocabulary import side
from rule_jax.stages._benchmark import some
from rule_jax.text import frames
from rule_jax.types import PromptRecord, Task

PLAIN = "plain"  # no attack: what the others are compared with
ATTACKS = (*frames.FRAMES, "prefill", "raw")


def check(names: Sequence[str]) -> None:
    """Raises UserError for an attack that there is not."""
    for name in names:
        if name not in ATTACKS:
            raise UserError(
                f"config.robustness.attacks has {name!r}; there are {', '.join(ATTACKS)}.{nearest(name, ATTACKS)}"
            )


def questions(tasks: Sequence[Task], wanted: str, records: int, seed: int) -> tuple[Task, ...]:
    """The greedy tasks of a side ("forget" or "retain") that are no attack themselves, with so many records together.

    Tasks without the chat template count only where a side has no others, as in MUSE.
    """
    plain = [
        task
        for task in tasks
        if side(task.name) == wanted and task.temperature == 0 and task.records and "/" not in task.name
    ]
    chosen = [task for task in plain if task.render == "chat"] or plain
    share = -(-records // max(len(chosen), 1))
    return tuple(some(task, share, seed) for task in chosen)


def attacked(name: str, asked: Sequence[Task]) -> tuple[Task, ...]:
    """The tasks under an attack, named "<attack>/<task>". One that a task has no use for leaves it out."""
    made = []
    for task in asked:
        renamed = replace(task, name=f"{name}/{task.name}")
        if name == "prefill" and task.render == "chat":
            made.append(replace(renamed, prefill=f"{task.prefill} {frames.PREFILL}".lstrip()))
        elif name == "raw" and task.render == "chat":
            records = tuple(replace(r, prompt=frames.RAW.replace("{prompt}", r.prompt)) for r in task.records)
            made.append(replace(renamed, records=records, render="raw", prefill="", stop="\n"))
        elif name in frames.FRAMES:
            records = tuple(
                replace(record, prompt=frames.framed(name, record.prompt, reminders(record, task.records)))
                for record in task.records
            )
            made.append(replace(renamed, records=records))
        elif name == PLAIN:
            made.append(renamed)
    return tuple(made)


def sampled(asked: Sequence[Task], samples: int) -> tuple[Task, ...]:
    """The tasks with so many answers drawn at temperature 1 for each question."""
    return tuple(replace(task, name=f"sampled/{task.name}", temperature=1.0, samples=samples) for task in asked)


def reminders(record: PromptRecord, others: Sequence[PromptRecord]) -> list[tuple[str, str]]:
    """Solved questions about the same target whose answers are not this one's: the first few after it, in turn."""
    at = next((number for number, other in enumerate(others) if other is record), 0)
    known = [
        (other.prompt, other.answers[0])
        for other in (*others[at + 1 :], *others[:at])
        if other.target == record.target and other.answers and not set(other.answers) & set(record.answers)
    ]
    return known[: frames.SHOTS]
