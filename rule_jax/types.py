"""The dimension key and the records that flow between rooms.

Dimension key. An array's name ends in its axes; every module uses these letters and no others:

    B  prompts (rows) in a batch          V  vocabulary
    G  samples per prompt (a group)       L  layers
    P  prompt tokens, right-padded        H  query heads
    R  response tokens, right-padded      K  key/value heads
    T  tokens of a whole sequence         C  channels of one head
    N  tokens in any flat arrangement     S  key/value slots that are attended to
    D  model width                        F  width of the MLP
    A  alternatives: tokens asked for at one place, wrong answers to one question

A validity mask is always built from lengths, never from token ids: a sampled pad is a token like any other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Callable, Literal, NamedTuple

Array = Any  # jax.Array or numpy.ndarray: this floor imports neither

Kind = Literal["forget", "boundary", "retain"]
Render = Literal["chat", "raw"]


@dataclass(frozen=True, slots=True)
class PromptRecord:
    """One query, as every loader delivers it and every reward and benchmark receives it.

    prompt: the user's words, before any chat template.
    kind: "forget" (is to be refused), "boundary" (the near miss that is to be answered), "retain" (anything else).
    target: the entity to forget; set on forget records, "" elsewhere.
    entity: the entity the query is about; the neighbour on boundary records, "" where it is not known.
    answers: reference answers, best first; on forget records the facts that must not leak; () where unknown.
    source: where the record came from, e.g. "rwku/1_Stephen_King/forget_level2.json:7".
    render: "chat" puts the prompt through the model's chat template; "raw" feeds it as plain text to be continued.
    prefill: text with which the assistant's turn is begun; "" for none.
    """

    prompt: str
    kind: Kind
    target: str = ""
    entity: str = ""
    answers: tuple[str, ...] = ()
    source: str = ""
    render: Render = "chat"
    prefill: str = ""


@dataclass(frozen=True, slots=True)
class SftExample:
    """A prompt (before the chat template) and the response that supervised tuning teaches."""

    prompt: str
    response: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class Passage:
    """Plain text, to be scored as it stands (membership inference, verbatim memory) or learned from."""

    text: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class MultipleChoice:
    """A question with its possible answers, judged by how likely the model finds each.

    correct: which of the choices are right, at least one. group: the field it is from, "" where there is none.
    shots: solved examples that are put before it.
    """

    question: str
    choices: tuple[str, ...]
    correct: tuple[int, ...]
    group: str = ""
    shots: tuple["MultipleChoice", ...] = ()
    source: str = ""


@dataclass(frozen=True, slots=True)
class ReasoningQuestion:
    """A question with the worked examples that are put before it. group: the task that it and they are from."""

    record: PromptRecord
    examples: str
    group: str


@dataclass(frozen=True, slots=True)
class Preference:
    """A prompt with a response to be preferred and one to be avoided."""

    prompt: str
    chosen: str
    rejected: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class AnswerVariants:
    """A question, its true answer (record.answers[0]), other wordings of that, and false answers in its form."""

    record: PromptRecord
    paraphrased: tuple[str, ...]
    perturbed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UnlearningData:
    """All that training needs to forget: who, the refusals to imitate, and the two sides of the boundary.

    targets: the entities to forget.
    rejection: forget questions answered by refusals that name the target (stage 1, Rejection Steering).
    forget, boundary: the prompts of stage 2 (Refusal Boundary Optimization).
    retain: queries that have nothing to do with a target and are to be answered as before; without answers where only
        the base model can say how.
    corpus: a target is the name that a whole corpus goes by, which questions about what stands in it need not say.
    """

    targets: tuple[str, ...]
    rejection: tuple[SftExample, ...]
    forget: tuple[PromptRecord, ...]
    boundary: tuple[PromptRecord, ...]
    retain: tuple[PromptRecord, ...] = ()
    corpus: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said to a prompt. text: outer blanks stripped. finished: it came to its end; False: it was cut."""

    text: str
    finished: bool = True


@dataclass(frozen=True, slots=True)
class Score:
    """A reward and its named parts, so that every part can be logged."""

    total: float
    parts: Mapping[str, float] = field(default_factory=dict)


# Scores in the order of the records. Raises UserError when something that it needs fails on the way (an endpoint).
Reward = Callable[[Sequence[PromptRecord], Sequence[Answer]], list[Score]]


class Prompts(NamedTuple):
    """Right-padded prompt tokens. tokens_BP: int32. length_B: int32, >= 1."""

    tokens_BP: Array
    length_B: Array


class Packing(NamedTuple):
    """Where the tokens of a rollout lie when they are scored in rows that answers fill as far as they are long
    (batching.pack_answers); rows are no prompts here.

    from_BT, next_BT: int32, of the token at each place and of the one after it in its answer, their numbers in the
    rollout: P + G * R of each prompt, its own first. segment_BT, position_BT: as of Packed; a prompt and each of its
    answers are segments. trunk_BT: int32, the prompt's segment. whole_BT: int32, what a prompt and its longest possible
    answer are long together.
    last_B: int32, the place of each prompt's last token, and answer_BGR, R - 1 of each answer: that of the token which
    response token r + 1 follows; both count through all rows. What nobody asks for is 0.
    """

    from_BT: Array
    next_BT: Array
    segment_BT: Array
    position_BT: Array
    trunk_BT: Array
    whole_BT: Array
    last_B: Array
    answer_BGR: Array


class Rollout(NamedTuple):
    """Prompts and G sampled responses each; also what scoring and the update read.

    response_BGR: int32, right-padded. length_BG: int32, valid tokens, EOS included.
    finished_BG: bool, an EOS was sampled (False: cut at R). logprobs_BGR: float32, the sampler's own, at its
    temperature; 0 beyond the length. packing: how it is scored; None: every answer takes R places. forget_B: bool,
    which prompts are forget queries; None before it is told.
    """

    prompts: Prompts
    response_BGR: Array
    length_BG: Array
    finished_BG: Array
    logprobs_BGR: Array
    packing: Packing | None = None
    forget_B: Array | None = None


class Packed(NamedTuple):
    """Rows of whole sequences, possibly several per row, for supervised losses.

    tokens_BT: int32. segment_BT: int32, 1, 2, ... within a row; 0 is padding. position_BT: int32, from 0 in each
    segment. weight_BT: float32, the loss weight of *predicting* tokens_BT[b, t] (0 on prompts, padding and t = 0).
    asked_BA: int32, the places of each row that have a weight, and 0 as often as others have more; None: anywhere.
    """

    tokens_BT: Array
    segment_BT: Array
    position_BT: Array
    weight_BT: Array
    asked_BA: Array | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """A set of queries that yields figures: what is asked, how it is put to the model, how an answer is judged.

    name: unique within a benchmark, e.g. "forget", "neighbor", "forget_raw". Tasks named "parent/child" are also
        counted together as "parent", record by record.
    judge(record, text) -> {metric name: value}; a metric's figure is the mean over records and samples. Shares are in
        [0, 1]; "accuracy" and what ends in "_rate" is one.
    render: "chat" puts the prompt through the model's chat template; "raw" feeds it as plain text to be continued.
    prefill: text with which the assistant's turn is begun ("Answer:"); "" for none.
    temperature, samples: 0 and 1 decode greedily; otherwise that many independent samples per query.
    max_new_tokens: the longest answer. stop: the answer is cut before this text; "" for none.
    cut_references: reference answers are cut after max_new_tokens tokens, as the model's own is.
    """

    name: str
    records: tuple[PromptRecord, ...]
    judge: Callable[[PromptRecord, str], Mapping[str, float]]
    render: Render = "chat"
    prefill: str = ""
    temperature: float = 0.0
    samples: int = 1
    max_new_tokens: int = 24
    stop: str = ""
    cut_references: bool = False


class TokenScores(NamedTuple):
    """What a model makes of the N tokens of a continuation, NumPy arrays [N].

    logprob_N: their log-probability in nats. mean_N, deviation_N: mean and standard deviation of the log-probability of
    a token that the model draws there itself. right_N: bool, the token is the likeliest one.
    """

    logprob_N: Array
    mean_N: Array
    deviation_N: Array
    right_N: Array


@dataclass(frozen=True, slots=True)
class Continuations:
    """A prompt and texts that may follow it, to be scored and not generated. Texts carry the blank they begin with.

    correct: the places of the texts that are right answers; () where that is no question.
    """

    prompt: str
    texts: tuple[str, ...]
    correct: tuple[int, ...] = ()
    source: str = ""


@dataclass(frozen=True, slots=True)
class ScoringTask:
    """A set of queries that yields figures by log-probability: the counterpart of Task where nothing is generated.

    name: unique within a benchmark, scoring tasks and tasks together.
    judge(query, scores of its texts) -> {metric name: value}; NaN for what cannot be computed. A metric's figure is the
        mean over the queries, or null with a reason when one of them is NaN. A name that begins with "_" is no figure,
        but read by the benchmark's summary.
    render: "chat" puts the texts into the assistant's turn, begun with `prefill`; "raw" continues plain text, and with
        an empty prompt the text is scored from its second token on, or from the first where the tokenizer writes a BOS.
    ended: the end of the turn is scored as a last token.
    """

    name: str
    queries: tuple[Continuations, ...]
    judge: Callable[[Continuations, Sequence[TokenScores]], Mapping[str, float]]
    render: Literal["chat", "raw"] = "raw"
    prefill: str = ""
    ended: bool = False


Judged = Mapping[str, Sequence[Mapping[str, float]]]  # by task, what its judge said of each answer or query

# What a benchmark makes of several tasks together: {row: {figure: value, or the reason why there is none; "n": count}}.
Summary = Callable[[Judged], Mapping[str, Mapping[str, float | str]]]
