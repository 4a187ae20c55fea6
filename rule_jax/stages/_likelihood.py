"""Log-probabilities of given texts, for scoring tasks: everything of any length is packed into full rows of few sizes.

Texts are cut nowhere. Those that differ in their last token only (the letters of a multiple choice) are computed once,
and texts that stand in several tasks too. Texts that begin alike (examples, a question with several answers) are the
branches of a tree: what they share is computed once. Rows come in sizes four times apart. The longest trees are placed
first, in the longest rows, and shorter ones fill what these leave; so padding is little more than the end of the last
batch.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from rule_jax import batching, preemption, programs, sharding, telemetry
from rule_jax.models.decoder import Params
from rule_jax.stages import Run, Subject
from rule_jax.stages._lengths import TooLong
from rule_jax.text import chat
from rule_jax.types import Packed, ScoringTask, TokenScores

SMALLEST = 1024  # tokens of the shortest rows, unless all texts together are less: short rows pack badly
ALTERNATIVES = 4  # last tokens that are asked for at one place; more make a second text
WORTHWHILE = 16  # tokens that texts must share to become one tree


@dataclass
class _Text:
    """Tokens that are fed together, and the last tokens that may follow them."""

    fed: tuple[int, ...]
    last: list[int] = field(default_factory=list)


@dataclass
class _Tree:
    """Texts whose first `shared` tokens are the same: these are fed once, and behind them what each has of its own.

    Of a text by itself nothing is shared. Each has a token of its own at least, so that what follows the shared ones is
    the same in all.
    """

    texts: list[_Text]
    shared: int = 0

    def __len__(self) -> int:
        return self.shared + sum(len(text.fed) - self.shared for text in self.texts)

    def parts(self, at: int) -> list[tuple[tuple[int, ...], int, int]]:
        """(tokens, where they are laid in a row, position of the first) where the tree begins at `at`: what is shared,
        then of each text the rest."""
        first = self.texts[0].fed[: self.shared]
        laid = [(first, at, 0)] if self.shared else []
        at += self.shared
        for text in self.texts:
            laid.append((text.fed[self.shared :], at, self.shared))
            at += len(text.fed) - self.shared
        return laid


@dataclass(frozen=True)
class _Batch:
    """Trees, the (row, start) of each, and how many rows of how many tokens that makes."""

    trees: list[_Tree]
    places: list[tuple[int, int]]
    shape: tuple[int, int]


@dataclass
class Padding:
    """Slots that were computed, and those of them that held a token."""

    slots: int = 0
    used: int = 0

    @property
    def waste(self) -> float:
        """The share of slots without a token; 0 where nothing was computed."""
        return 1 - self.used / self.slots if self.slots else 0.0

    def __add__(self, other: "Padding") -> "Padding":
        return Padding(self.slots + other.slots, self.used + other.used)


class Scorer:
    """Scores tasks with any parameters of one architecture; a program per row size serves all of them.

    padding: of all calls so far. too_long: by task, where `fitting` found texts that were.
    """

    def __init__(self, run: Run, examined: Subject):
        self.run, self.examined = run, examined
        self.cast = programs.make_cast(examined.model, run.mesh, run.compute_dtype, "train")
        self.score = programs.make_score(examined.model, run.mesh, chunk=run.logit_chunk)
        self.padding = Padding()
        self.too_long: dict[str, TooLong] = {}
        self.encoded: dict[tuple[ScoringTask, str], list[tuple[int, list[int], int]]] = {}

    def __call__(
        self, params: Params, tasks: Sequence[ScoringTask], label: str, system: str | None = None
    ) -> dict[str, list[list[TokenScores]]]:
        """scores[task name][query][text]. system: the system prompt of chat turns; None: the run's own."""
        texts: dict[tuple[int, ...], list[_Text]] = {}
        asked: list[tuple[str, int, int, _Text, int]] = []  # task, query, first scored token, text, which last token
        for task in tasks:
            for query, ids, start in self._encode(task, system):
                text, which = _enter(texts, ids)
                asked.append((task.name, query, start, text, which))
        fed = [text for group in texts.values() for text in group if text.fed]
        found = self._compute(self.cast(params), _trees(fed), label)
        scores: dict[str, list[list[TokenScores]]] = {task.name: [[] for _ in task.queries] for task in tasks}
        for name, query, start, text, which in asked:
            scores[name][query].append(_scores(found.get(id(text)), text, start, which))
        return scores

    def fitting(self, tasks: Sequence[ScoringTask], system: str | None = None) -> tuple[ScoringTask, ...]:
        """The tasks without the queries of which a text is longer than the model's positions; told, when there are."""
        limit = self.examined.model.config.max_positions
        made = []
        for task in tasks:
            long = {query for query, ids, _ in self._encode(task, system) if len(ids) - 1 > limit}
            if long:
                self.too_long[task.name] = TooLong(len(long), 0, len(task.queries), limit)
                telemetry.info(
                    f"evaluate: {task.name}: {len(long)} of {len(task.queries)} longer than {limit} tokens: left out"
                )
            made.append(replace(task, queries=tuple(q for n, q in enumerate(task.queries) if n not in long)))
        return tuple(made)

    def _encode(self, task: ScoringTask, system: str | None) -> list[tuple[int, list[int], int]]:
        """(query, token ids, first scored token) of each text of a task; several models are asked, the texts encoded
        once."""
        words: str = self.run.config.model.system_prompt if system is None else system
        if (task, words) not in self.encoded:
            self.encoded[task, words] = list(self._encoded(task, words))
        return self.encoded[task, words]

    def _encoded(self, task: ScoringTask, system: str) -> Iterator[tuple[int, list[int], int]]:
        pairs = [(query.prompt, text) for query in task.queries for text in query.texts]
        owner = [number for number, query in enumerate(task.queries) for _ in query.texts]
        encoded = chat.encode_continuations(
            self.examined.tokenizer,
            pairs,
            chat=task.render == "chat",
            system=system,
            prefill=task.prefill,
        )
        end = [self.examined.eos_ids[0]] if task.ended else []
        for number, (ids, start) in zip(owner, encoded):
            yield number, [*ids, *end], start

    def _compute(self, params: Params, trees: Sequence[_Tree], label: str) -> dict[int, Mapping[str, np.ndarray]]:
        """The program's outputs for each text, by the text's id."""
        batches = self._batches(trees)
        found: dict[int, Mapping[str, np.ndarray]] = {}
        with telemetry.Progress(f"score {label}", len(batches), unit="batches") as bar:
            for batch in batches:
                preemption.stop()
                packed, trunk_BT = _laid(batch)
                asked_BTA = np.zeros((*batch.shape, ALTERNATIVES), np.int32)
                slots = list(_slots(batch))
                for text, row, slot in slots:
                    asked_BTA[row, slot[:-1], 0] = text.fed[1:]
                    asked_BTA[row, slot[-1], : len(text.last)] = text.last
                out = self.score(params, *sharding.put_rows((packed, trunk_BT, asked_BTA), self.run.mesh))
                out = {name: sharding.whole(value) for name, value in out._asdict().items()}
                for text, row, slot in slots:
                    found[id(text)] = {name: value[row, slot] for name, value in out.items()}
                self.padding.slots += batch.shape[0] * batch.shape[1]
                self.padding.used += sum(map(len, batch.trees))
                bar.advance()
        return found

    def _batches(self, trees: Sequence[_Tree]) -> list[_Batch]:
        """Everything, the longest rows first. All batches of one row size have one shape."""
        waiting = sorted(trees, key=len, reverse=True)
        made: list[_Batch] = []
        sizes = _sizes(len(waiting[0]), sum(map(len, waiting))) if waiting else []
        for size, smaller in zip(sizes, [*sizes[1:], 0]):
            room: list[int] = []
            placed = [_place(tree, room, size) for tree in waiting if len(tree) > smaller]
            batches, rows = cut(self.run, len(room), size)
            room += [size] * (batches * rows - len(room))
            placed += [_place(tree, room, size, grow=False) for tree in waiting if len(tree) <= smaller]
            spots = [(tree, spot) for tree, spot in zip(waiting, placed) if spot is not None]
            for first in range(0, batches * rows, max(rows, 1)):
                own = [(tree, (row - first, at)) for tree, (row, at) in spots if first <= row < first + rows]
                made.append(_Batch([tree for tree, _ in own], [spot for _, spot in own], (rows, size)))
            done = {id(tree) for tree, _ in spots}
            waiting = [tree for tree in waiting if id(tree) not in done]
        return made


def rows_at_once(run: Run, size: int) -> int:
    """How many rows of a size are scored at once: at most config.evaluate.score_tokens tokens, a row on each device."""
    ways = sharding.row_shards(run.mesh)
    return max(1, run.config.evaluate.score_tokens // (size * ways)) * ways


def cut(run: Run, rows: int, size: int) -> tuple[int, int]:
    """(batches, rows in each) for rows of a size; equal batches, so that the last is not mostly empty."""
    ways, batches = sharding.row_shards(run.mesh), -(-rows // rows_at_once(run, size))
    return batches, -(-rows // (max(batches, 1) * ways)) * ways


def _trees(texts: Sequence[_Text]) -> list[_Tree]:
    """The texts in trees of at most SMALLEST tokens, or of one text. In the order of their tokens those that begin
    alike are neighbours; one joins the last tree where that saves WORTHWHILE tokens, though the tree share less."""
    made: list[_Tree] = []
    for text in sorted(texts, key=lambda text: text.fed):
        if made:
            last = made[-1]
            shared = _alike(last.texts[0].fed, text.fed) - 1
            shared = min(shared, last.shared) if len(last.texts) > 1 else shared
            joined = _Tree([*last.texts, text], max(shared, 0))
            if len(joined) <= min(SMALLEST, len(last) + len(text.fed) - WORTHWHILE):
                made[-1] = joined
                continue
        made.append(_Tree([text]))
    return made


def _alike(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens both begin with."""
    return next((at for at, (a, b) in enumerate(zip(one, other)) if a != b), min(len(one), len(other)))


def _laid(batch: _Batch) -> tuple[Packed, np.ndarray]:
    """The trees as rows, each part a segment, and trunk_BT."""
    trees = [(row, tree.parts(at)) for tree, (row, at) in zip(batch.trees, batch.places)]
    parts = [(row, *part) for row, of_tree in trees for part in of_tree]
    texts = [(tokens, [0.0] * len(tokens)) for _, tokens, _, _ in parts]
    packed = batching.lay(texts, [(row, at) for row, _, at, _ in parts], batch.shape)
    trunk_BT = packed.segment_BT.copy()
    for row, of_tree in trees:
        trunk = packed.segment_BT[row, of_tree[0][1]]
        for tokens, at, position in of_tree:
            span = slice(at, at + len(tokens))
            packed.position_BT[row, span] += position
            trunk_BT[row, span] = trunk if position else trunk_BT[row, span]
    return packed, trunk_BT


def _slots(batch: _Batch) -> Iterator[tuple[_Text, int, np.ndarray]]:
    """(text, row, the slot of each of its tokens)."""
    for tree, (row, start) in zip(batch.trees, batch.places):
        rest = [(at, len(tokens)) for tokens, at, position in tree.parts(start) if position == tree.shared]
        for text, (at, length) in zip(tree.texts, rest):
            yield text, row, np.concatenate([np.arange(start, start + tree.shared), np.arange(at, at + length)])


def _sizes(longest: int, total: int) -> list[int]:
    """Row sizes for trees of up to `longest` tokens, `total` together, largest first, each a quarter of the last."""
    sizes = [batching.bucket(max(longest, min(SMALLEST, total)))]
    while sizes[-1] >= 2 * SMALLEST:
        sizes.append(max(SMALLEST, sizes[-1] // 4))
    return sizes


def _place(tree: _Tree, room: list[int], size: int, *, grow: bool = True) -> tuple[int, int] | None:
    """(row, start) in the first row with room for the tree, in a new one where none has; None if none may be added."""
    need = len(tree)
    row = next((row for row, free in enumerate(room) if free >= need), len(room))
    if row == len(room):
        if not grow:
            return None
        room.append(size)
    room[row] -= need
    return row, size - room[row] - need


def _enter(texts: dict[tuple[int, ...], list[_Text]], ids: Sequence[int]) -> tuple[_Text, int]:
    """The text that feeds all ids but the last, and which of its last tokens that is; both made where they lack."""
    *fed, last = ids
    group = texts.setdefault(tuple(fed), [])
    for text in group:
        if last in text.last:
            return text, text.last.index(last)
    if not group or len(group[-1].last) == ALTERNATIVES:
        group.append(_Text(tuple(fed)))
    group[-1].last.append(last)
    return group[-1], len(group[-1].last) - 1


def _scores(found: Mapping[str, np.ndarray] | None, text: _Text, start: int, which: int) -> TokenScores:
    """The scored part of a text: tokens from number `start` on, the last of them the chosen one."""
    if found is None:  # a single token, which nothing predicts
        none = np.zeros(0, np.float32)
        return TokenScores(none, none, none, np.zeros(0, bool))
    logprob_N = found["logprob_BNA"][:, 0].copy()
    logprob_N[-1] = found["logprob_BNA"][-1, which]
    tokens = np.asarray([*text.fed[1:], text.last[which]])
    span = slice(start - 1, None)
    right_N = found["top_BN"] == tokens
    return TokenScores(logprob_N[span], found["mean_BN"][span], found["deviation_BN"][span], right_N[span])
