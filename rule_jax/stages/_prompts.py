"""What stage 2 asks: forget and boundary queries in their forms, in batches that are pure functions of (seed, step)."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from rule_jax import batching, sharding
from rule_jax.errors import UserError, nearest
from rule_jax.stages import Run, Subject, _exchanges, _lengths, recollection
from rule_jax.text.forms import FORMS, put
from rule_jax.types import PromptRecord

STAGE = "boundary_optimization"
OWN_WORDS = "own_words"  # the form whose queries the base model has worded, in the stage recollection
NAMESAKE = "namesake"  # of the boundary alone: asked about nobody who has half a target's name, and no answer is right
KNOWN = (*FORMS, OWN_WORDS, NAMESAKE)
STREAMS = {"forget": 2, "boundary": 3, "retain": 4}  # of chance: the order of prompts; 10 further on for each next form


def check(run: Run) -> None:
    """Raises UserError for a form that there is not, for shares that say nothing, and for a form whose stage is not
    run."""
    settings = run.config.boundary_optimization
    for kind, forms in settings.forms.items():
        where = f"config.boundary_optimization.forms.{kind}"
        for name, share in forms.items():
            if name not in KNOWN:
                raise UserError(f"{where} has {name!r}; there are {', '.join(KNOWN)}.{nearest(name, KNOWN)}")
            if share < 0:
                raise UserError(f"{where}.{name}={share}: a weight cannot be negative")
        if not sum(forms.values()) > 0:
            raise UserError(f"{where} has no weight above 0, so nothing would be asked")
        if kind == "forget" and forms.get(NAMESAKE, 0) > 0:
            raise UserError(
                f"{where}.{NAMESAKE}={forms[NAMESAKE]}: whoever only shares a name with a target is not to be "
                "forgotten; set it to 0, and that of forms.boundary"
            )
    if not 0 <= settings.retain_share < 1:
        raise UserError(
            f"config.boundary_optimization.retain_share={settings.retain_share}: it must be at least 0 and below 1"
        )
    if (_own_words(settings) or settings.retain_share) and "recollection" not in run.config.stages:
        raise UserError(
            "config.boundary_optimization asks in the base model's own words or for what is to be retained, which the "
            'stage "recollection" gathers; put it behind "prepare_data" in config.stages'
        )


class PromptSet:
    """The forget and boundary prompts as tokens, in the forms of config.boundary_optimization.forms.

    Where both sides have a form, it does not tell whether to refuse. Of the boundary's rows, retain_share are queries
    that have nothing to do with a target, in chat. Prompts longer than max_prompt_tokens are left out or cut, and
    counted. Raises UserError when a side that the batch draws from is empty, or has no query that can take a form.
    """

    def __init__(self, run: Run, learner: Subject):
        self.seed, self.mesh = run.config.seed, run.mesh
        # (stream of chance, rows of the batch, prompts to draw from), forget first
        self.drawn: list[tuple[int, int, list[tuple[PromptRecord, list[int]]]]] = []
        for kind, form, rows, records in _wanted(run):
            words = f"{kind} prompts" if form == "chat" else f"{kind} prompts as {form}"
            found = _lengths.prompts(run, learner, f"{STAGE}: {words}", records)
            if not found:
                raise UserError(
                    f"there are no {words}, but config.{STAGE} wants {rows} of them in a batch; give data, or change "
                    f"{kind if kind != 'retain' else 'boundary'}_prompts, forms or retain_share"
                )
            self.drawn.append((STREAMS[kind] + 10 * KNOWN.index(form), rows, found))
        self.length = batching.bucket(max(len(ids) for _, _, found in self.drawn for _, ids in found))

    def batch(self, step: int) -> tuple[list[PromptRecord], Any]:
        """The records of a step, forget first, and their tokens on the mesh."""
        chosen = [
            found[row]
            for stream, rows, found in self.drawn
            for row in batching.batch_rows(self.seed, stream, step, rows, len(found))
        ]
        prompts = batching.pad_prompts([ids for _, ids in chosen], self.length)
        return [record for record, _ in chosen], sharding.put_rows(prompts, self.mesh)


def _wanted(run: Run) -> Iterator[tuple[str, str, int, tuple[PromptRecord, ...]]]:
    """(kind, form, rows of the batch, records in that form)."""
    settings = run.config.boundary_optimization
    retain = round(settings.retain_share * settings.boundary_prompts)
    recalled = run.records(recollection.FILE) if _own_words(settings) or retain else ()
    own = {kind: tuple(record for record in recalled if record.kind == kind) for kind in STREAMS}
    for kind, wanted in (("forget", settings.forget_prompts), ("boundary", settings.boundary_prompts - retain)):
        forget = recollection.forget(run)
        records = forget if kind == "forget" else run.records(kind)
        for form, rows in split(wanted, settings.forms[kind]).items():
            if form == OWN_WORDS:
                yield kind, form, rows, own[kind]
            elif form == NAMESAKE:
                nobody = _exchanges.namesakes(forget, records)
                yield kind, form, rows, tuple(replace(record, answers=()) for record in nobody)
            else:
                yield kind, form, rows, put(form, records)
    if retain:
        yield "retain", "chat", retain, own["retain"]


def _own_words(settings: Any) -> bool:
    return any(forms.get(OWN_WORDS, 0) > 0 for forms in settings.forms.values())


def split(rows: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Rows of a batch by form, in all `rows`: as the shares say, what rounding leaves to the largest remainders. Forms
    that get none are left out."""
    total = sum(shares.values())
    exact = {form: rows * shares[form] / total for form in KNOWN if form in shares}
    whole = {form: int(count) for form, count in exact.items()}
    by_remainder = sorted(exact, key=lambda form: whole[form] - exact[form])
    for form in by_remainder[: rows - sum(whole.values())]:
        whole[form] += 1
    return {form: count for form, count in whole.items() if count}
