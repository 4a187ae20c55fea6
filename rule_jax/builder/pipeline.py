"""From a name to a folder that `config.data.source=jsonl` reads: the steps of `python -m rule_jax.build`, in order.

What costs time or money (an endpoint's replies, the base model's answers) is in answers.jsonl before it is used, and
each row is in the draft as soon as it is accepted. Everything else is a function of those and of the config: a rerun
does again what it must and no more, and makes the same files.
"""

import datetime
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from rule_jax import data as sources
from rule_jax import files, plugin, telemetry
from rule_jax.builder import Backend, Opinion, Target, audit, audit_report, boundary, queries, targets
from rule_jax.builder.backends import Desk
from rule_jax.builder.base_model import BaseModel, Known
from rule_jax.builder.draft import Draft
from rule_jax.builder.wording import Wording
from rule_jax.data import jsonl
from rule_jax.data._refusals import dealt
from rule_jax.errors import UserError
from rule_jax.journal import Journal, key_of
from rule_jax.stages import Run, check_positive
from rule_jax.text import templates
from rule_jax.types import PromptRecord, SftExample, UnlearningData

SURPLUS = 1.3  # facts asked for, per query that is wanted: some are the same, some are not known
BLANK = "___"


def check(run: Run, *, audit_only: bool) -> None:
    """Raises UserError for a config that makes no sense, before anything is asked or written."""
    config = run.config
    audit.check_actions(config.audit.actions)
    _benchmark(run)
    if config.audit.second_opinion not in ("never", "build", "always"):
        raise UserError(f"config.audit.second_opinion={config.audit.second_opinion!r}: never, build or always")
    if audit_only and not config.data.source:
        raise UserError("--audit_only judges the records of config.data: set config.data.source and config.data.path")
    if audit_only:
        return
    if config.data.source:
        raise UserError("config.data.source is set, but a build makes its own records; --audit_only judges others")
    targets.read(run.config)
    known = plugin.names("builder.backends")
    if config.backend not in known:
        raise UserError(f"config.backend={config.backend!r}; backends are {', '.join(known)}")
    if config.answers not in ("base", "backend"):
        raise UserError(f"config.answers={config.answers!r}: it must be base or backend")
    if config.queries < 1:
        raise UserError(f"config.queries={config.queries}: it must be positive")
    check_positive("neighbours", config.neighbours, "count", "attempts")
    check_positive("consistency", config.consistency, "samples", "temperature", "agreement", "max_new_tokens")
    Wording(config.prompts)


def build(run: Run) -> None:
    """Writes forget.jsonl, boundary.jsonl, rejection.jsonl, set_aside.jsonl, audit.json, audit.md, provenance.json; of
    several targets each in a folder of its own.

    Raises UserError for a backend that gives nothing of use, and for a set that the audit refuses.
    """
    benchmark = _benchmark(run)
    wanted = targets.read(run.config)
    folders = [run.workdir / name for name in targets.folders(wanted)]
    with Journal(run.workdir / "answers.jsonl") as journal:
        desk = _desk(run, journal)
        backend = _backend(desk)
        for target, folder in zip(wanted, folders):
            with Draft(folder) as draft:
                _steps(desk._replace(run=replace(run, workdir=folder)), backend, target, benchmark, draft)
    _tell_use(folders)


def _steps(desk: Desk, backend: Backend, target: Target, benchmark: "_Benchmark", draft: Draft) -> None:
    run, config = desk.run, desk.run.config

    # 1. Forget queries: named, diverse, and known to the base model.
    replies = backend.facts(target, round(SURPLUS * config.queries))
    items = draft.usable("queries", queries.distinct(replies, target, config.audit.similarity))
    asked = queries.asked(items, target, config.backend)
    if desk.base:
        asked = draft.usable("unknown", _known(desk, list(asked)))
    candidates = []
    for query in asked:
        draft.kept(query.records)
        candidates.append(query)
    picked = queries.chosen(candidates, config.queries)
    forget = [record for query in picked for record in query.records]
    _require(run, forget, "forget query", draft)
    telemetry.info(
        f"{target.name}: {len(forget)} forget queries on {len(picked)} facts (config.queries={config.queries}) of "
        f"{len({query.item.relation for query in picked})} kinds"
    )

    # 2. The same queries about neighbours.
    names = list(config.neighbours.names) or backend.neighbours(target, config.neighbours.count)
    names, unfit = boundary.fit_neighbours(backend, target, names)
    for name in unfit:
        draft.set_aside("neighbours", name)
    _require(run, names, "neighbour", draft)
    made = boundary.rewrite(
        backend,
        target,
        [query.item for query in picked],
        names,
        attempts=config.neighbours.attempts,
        seed=config.seed,
    )
    rewritten = boundary.records(draft.usable("rewriting", made), target, config.backend)

    # 3. Their answers: what the base model says where it is steady, else the backend's.
    if desk.base and config.answers == "base":
        settled = list(rewritten)
        knowledge = _knowledge(desk, settled, "boundary queries")
        rewritten = boundary.answered(settled, knowledge, config.consistency.agreement)
    near = draft.kept(rewritten)
    _require(run, near, "boundary query", draft)
    telemetry.info(f"{len(near)} boundary queries about {len({record.entity for record in near})} neighbours")

    # 4. Audit, and 5. refusals: one for each forget question.
    found = UnlearningData((target.name,), _refusals(forget, config.seed), tuple(forget), tuple(near))
    case = replace(_case(run, found, target.aliases, benchmark), others=target.others)
    if config.audit.second_opinion != "never":
        case = replace(case, opinions=_opinions(backend, near))
    kept = _mended(run, case)
    _write(run, kept)
    wording = {name: key_of(text) for name, text in desk.wording.texts.items()}
    model = {"path": config.model.path, "identity": desk.base.identity} if desk.base else None
    _write_provenance(
        run, kept, {"target": asdict(target), "prompts": wording, "base": model, "spent": backend.spent()}
    )


def audit_only(run: Run) -> None:
    """Audits the records of config.data instead of building any; writes the report, and the set as it is repaired."""
    config = run.config
    paths = (config.data.path, *config.data.more_paths)
    data = sources.load(config.data.source, paths, seed=config.seed, options=config.data[config.data.source])
    case = _case(run, data, tuple(config.aliases), _benchmark(run))
    if config.audit.second_opinion == "always":
        with Journal(run.workdir / "answers.jsonl") as journal:
            backend = _backend(_desk(run, journal))
            entities = sorted({record.entity for record in data.boundary} - {""})
            target = Target(" and ".join(data.targets), tuple(config.aliases), config.intro)
            unfit = dict(zip(entities, backend.unfit(target, entities))) if entities else {}
            case = replace(case, opinions=_opinions(backend, data.boundary), unfit=unfit)
    data = _mended(run, case)
    _write(run, data)
    _write_provenance(run, data, {"target": list(data.targets), "source": config.data.source})
    _tell_use([run.workdir])


def _desk(run: Run, journal: Journal) -> Desk:
    base = BaseModel(run, journal) if run.config.model.path else None
    return Desk(run, Wording(run.config.prompts), journal, base)


def _backend(desk: Desk) -> Backend:
    name = desk.run.config.backend
    return plugin.load("builder.backends", name).make(desk, **desk.run.config[name])


class _Benchmark(NamedTuple):
    """What training must leave alone: the probes, and the neighbours that they measure."""

    probes: tuple[PromptRecord, ...] = ()
    neighbours: frozenset[str] = frozenset()


def _benchmark(run: Run) -> _Benchmark:
    """The probes of config.benchmark; none where none is named."""
    settings = run.config.benchmark
    if not settings.name:
        return _Benchmark()
    benchmark = plugin.load("benchmarks", settings.name)
    data = run.config.data[settings.name].to_dict() if settings.name in run.config.data else {}
    tasks = benchmark.tasks(settings.path, seed=run.config.seed, data=data)
    neighbours = {record.entity for task in tasks if task.name.startswith("neighbor") for record in task.records}
    return _Benchmark(tuple(record for task in tasks for record in task.records), frozenset(neighbours - {""}))


def _known(desk: Desk, asked: Sequence[queries.Query]) -> Iterator[Any]:
    """The queries that the base model answers steadily. All are there before it says anything: it takes its time, and
    requests to an endpoint would wait."""
    knowledge = _knowledge(desk, [record for query in asked for record in query.records], "forget queries")
    return queries.known(asked, knowledge, desk.run.config.consistency.agreement)


def _knowledge(desk: Desk, records: Sequence[PromptRecord], what: str) -> Iterator[Known]:
    """What the base model says to each record, as it says it."""
    assert desk.base is not None
    prompts = [desk.wording.fill("answer", query=record.prompt) for record in records]
    settings = {name: value for name, value in desk.run.config.consistency.items() if name != "agreement"}
    return desk.base.knows(prompts, what=what, **settings)


def _refusals(forget: Sequence[PromptRecord], seed: int) -> tuple[SftExample, ...]:
    """Stage 1's examples: every question (not the fill-in-the-blanks), refused in each register in turn."""
    return dealt([record for record in forget if BLANK not in record.prompt] or forget, seed)


def _opinions(backend: Backend, records: Sequence[PromptRecord]) -> list[Opinion]:
    opinions = backend.opinions(records)
    silent = sum(opinion.sound and opinion.reason != "" for opinion in opinions)
    if silent:
        telemetry.info(f"no second opinion was given on {silent} boundary queries; they pass for sound")
    return opinions


def _case(run: Run, data: UnlearningData, aliases: Sequence[str], benchmark: _Benchmark) -> audit.Case:
    settings = run.config.audit
    return audit.Case(
        data,
        aliases=aliases,
        probes=benchmark.probes,
        reserved=benchmark.neighbours,
        max_answer_share=settings.max_answer_share,
        similarity=settings.similarity,
        language=settings.language,
        prompt_words=tuple(settings.prompt_words),
        answer_words=tuple(settings.answer_words),
    )


def _mended(run: Run, case: audit.Case) -> UnlearningData:
    """The data after repair; the report is written first, so that a refusal can be read up."""
    actions = audit.fitting(run.config.audit.actions, case.data)
    findings = audit.audit(case)
    _write_report(run, audit_report.summary(case.data, findings, actions))
    kept = audit.mend(case, findings, actions)
    report = audit_report.summary(case.data, findings, actions, kept)
    _write_report(run, report)
    for part in ("forget", "boundary"):
        if getattr(case.data, part) and not getattr(kept, part):
            raise UserError(f"the audit leaves no {part} row; {run.workdir / 'audit.md'} says why")
    told = {name: sum(check["rows"].values()) for name, check in report["checks"].items()}
    found = ", ".join(f"{name} {count}" for name, count in told.items() if count)
    telemetry.info(f"audit: {found}; {run.workdir / 'audit.md'} has examples" if found else "audit: nothing found")
    return kept


def _require(run: Run, found: Sequence[Any], what: str, draft: Draft) -> None:
    """Raises UserError when there is not one, with the last reason that was given on the way."""
    if found:
        return
    last = draft.last
    told = (
        f"The last: {last.asked[:80]!r}: {last.reason[:200]}. {draft.aside_file} has all." if last else "It gave none."
    )
    raise UserError(f"the backend {run.config.backend!r} gave no {what} of use. {told}")


def _write_report(run: Run, report: dict[str, Any]) -> None:
    files.write_json(run.workdir / "audit.json", report)
    files.write_text(run.workdir / "audit.md", audit_report.markdown(report))


def _write(run: Run, data: UnlearningData) -> None:
    for part in ("forget", "boundary", "rejection"):
        jsonl.write(run.workdir / f"{part}.jsonl", getattr(data, part))
    telemetry.info(
        f"wrote {len(data.forget)} forget, {len(data.boundary)} boundary and {len(data.rejection)} rejection rows to "
        f"{run.workdir}"
    )


def _tell_use(folders: Sequence[Path]) -> None:
    more = f' --config.data.more_paths="{tuple(map(str, folders[1:]))!r}"' if len(folders) > 1 else ""
    telemetry.info(f"use with --config.data.source=jsonl --config.data.path={folders[0]}{more}")


def _write_provenance(run: Run, data: UnlearningData, more: dict[str, Any]) -> None:
    files.write_json(
        run.workdir / "provenance.json",
        {
            "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "rule_jax": metadata.version("rule_jax"),
            **more,
            "rows": {part: len(getattr(data, part)) for part in ("forget", "boundary", "rejection")},
            "refusal_templates": len(templates.REFUSALS),
            "config": json.loads(json.dumps(run.config.to_dict(), default=list)),
        },
    )
