"""Which rows make up a batch, and how token lists become arrays; batches are pure functions of (seed, step)."""

from collections.abc import Callable, Sequence

import numpy as np

from rule_jax.types import Packed, Packing, Prompts

OPEN_ROWS = 32
SHORT = 128  # tokens of the longest sequence, up to which rows that are shared are twice as long
SIGHT = 2**20  # pairs of tokens of which one may see the other, in the rows of a device: not worth saving below


def batch_rows(seed: int, stream: int, step: int, size: int, count: int) -> np.ndarray:
    """int64 [size]: the rows of `count` that batch `step` consists of.

    Epochs are permutations drawn from (seed, stream, epoch); batches run through them without a gap, so that each row
    is used equally often, whatever the sizes.
    """
    position = np.arange(step * size, (step + 1) * size)
    orders = {
        epoch: np.random.default_rng([seed, stream, epoch]).permutation(count) for epoch in np.unique(position // count)
    }
    return np.asarray([orders[p // count][p % count] for p in position])


def minibatch_rows(seed: int, stream: int, step: int, epoch: int, parts: int, count: int) -> np.ndarray:
    """int64 [parts, count / parts]: the rows of a batch of `count` in the order in which an epoch's updates see them.

    One part is the batch as it stands: its order changes nothing. Otherwise (seed, stream, step, epoch) shuffle it.
    """
    if parts == 1:
        return np.arange(count)[None]
    return np.random.default_rng([seed, stream, step, epoch]).permutation(count).reshape(parts, -1)


def bucket(length: int, smallest: int = 16) -> int:
    """The padded length for `length`: powers of two and one and a half times those, so that few shapes compile."""
    size = smallest
    while size < length:
        size = size * 3 // 2 if size & (size - 1) == 0 else size // 3 * 4
    return size


def fine_bucket(length: int, smallest: int = 16) -> int:
    """The padded length for `length`: in steps of 8, from 128 on of an eighth of the power of two below. More shapes
    than `bucket` has, a third of its padding."""
    step = max(8, 1 << max(0, (length - 1).bit_length() - 4))
    return max(smallest, -(-length // step) * step)


def plan(lengths: Sequence[int], most: int, *, ways: int, overhead: int) -> list[tuple[int, int, int]]:
    """(start, stop, rows) of batches over ascending lengths: those that cost least.

    A batch costs its rows times the padded length of its longest, and `overhead` besides. rows: a multiple of `ways`,
    at most `most`, which `ways` divides; those beyond stop - start are left over. Where not all fit into one batch, one
    that is not full is a shape of its own to compile, which costs 8 * most more.
    """
    total = len(lengths)
    widths_N = np.asarray([fine_bucket(length) for length in lengths], np.int64)
    rows_N = np.asarray([0, *(min(most, ways * fine_bucket(-(-n // ways), 8)) for n in range(1, min(most, total) + 1))])
    fixed_N = overhead + 8 * most * ((rows_N < most) & (total > most))
    best_N, since_N = np.zeros(total + 1, np.int64), np.zeros(total + 1, np.int64)
    for stop in range(1, total + 1):
        starts = np.arange(max(0, stop - most), stop)
        costs = best_N[starts] + rows_N[stop - starts] * widths_N[stop - 1] + fixed_N[stop - starts]
        since_N[stop], best_N[stop] = starts[np.argmin(costs)], costs.min()
    batches, stop = [], total
    while stop:
        start = int(since_N[stop])
        batches.append((start, stop, int(rows_N[stop - start])))
        stop = start
    return batches[::-1]


def pad_prompts(ids: Sequence[Sequence[int]], length: int) -> Prompts:
    """Right-padded prompts [B, length]; none may be longer."""
    tokens_BP = np.zeros((len(ids), length), np.int32)
    for row, tokens in enumerate(ids):
        tokens_BP[row, : len(tokens)] = tokens
    return Prompts(tokens_BP, np.asarray([len(tokens) for tokens in ids], np.int32))


def pack(sequences: Sequence[tuple[Sequence[int], Sequence[float]]], length: int, *, share_rows: bool) -> Packed:
    """(tokens, loss weights) of each sequence as rows of `length`, cut at the end where longer.

    share_rows: fill rows first-fit in the given order, several segments each; otherwise one row per sequence.
    """
    cut = [(tokens[:length], weights[:length]) for tokens, weights in sequences]
    places = fit([len(tokens) for tokens, _ in cut], length, open_rows=OPEN_ROWS if share_rows else 0)
    return lay(cut, places, (1 + max((row for row, _ in places), default=-1), length))


def fit(lengths: Sequence[int], size: int, *, open_rows: int = OPEN_ROWS) -> list[tuple[int, int]]:
    """(row, start) of each of the lengths, first-fit into rows of `size`, looking only at the newest `open_rows`: older
    rows are as good as full, and packing stays linear. No length may be above `size`."""
    room: list[int] = []
    places = []
    for length in lengths:
        newest = range(max(0, len(room) - open_rows), len(room)) if open_rows else range(0)
        row = next((r for r in newest if room[r] >= length), len(room))
        if row == len(room):
            room.append(size)
        places.append((row, size - room[row]))
        room[row] -= length
    return places


def lay(
    sequences: Sequence[tuple[Sequence[int], Sequence[float]]],
    places: Sequence[tuple[int, int]],
    shape: tuple[int, int],
) -> Packed:
    """(tokens, loss weights) at their (row, start), as rows of a Packed of that shape."""
    packed = Packed(*(np.zeros(shape, d) for d in (np.int32, np.int32, np.int32, np.float32)))
    segments = np.zeros(shape[0], np.int32)
    for (tokens, weights), (row, at) in zip(sequences, places):
        span = slice(at, at + len(tokens))
        segments[row] += 1
        packed.tokens_BT[row, span] = tokens
        packed.segment_BT[row, span] = segments[row]
        packed.position_BT[row, span] = np.arange(len(tokens))
        packed.weight_BT[row, span] = weights
        packed.weight_BT[row, at] = 0  # nothing in its segment predicts the first token
    return packed


def asking(packed: Packed, most: int | None = None) -> Packed:
    """The rows with the places that are asked for, so that no other has logits; as they are where that is nearly all.

    How many that are is a shape: of rows that are drawn from again and again that of all of them; otherwise `most` says
    how many a row of any batch has.
    """
    places = [np.flatnonzero(weights) for weights in packed.weight_BT]
    size = fine_bucket(max(map(len, places), default=0) if most is None else most, 8)
    if size > packed.weight_BT.shape[1] * 3 // 4:
        return packed
    asked_BA = np.zeros((len(places), size), np.int32)
    for row, found in zip(asked_BA, places):
        row[: len(found)] = found
    return packed._replace(asked_BA=asked_BA)


def sharing(packed: Packed, drawn: np.ndarray, *, multiple: int) -> Callable[[int], Packed]:
    """batch(step) -> the sequences drawn[step], several in a row where that takes fewer places than one in each.

    Rows that hold several sequences, which belong together, stay as they are. drawn: int [steps, batch]. All batches
    have one shape, that of the step which wants most rows, a multiple of `multiple`; so one program is compiled for
    them.
    """
    if packed.segment_BT.max() > 1:
        return lambda step: take(packed, drawn[step])
    lengths_N, weighted_N = (np.sum(x > 0, axis=1) for x in (packed.segment_BT, packed.weight_BT))
    alone = packed.tokens_BT.shape[1]
    size = 2 * alone if alone <= SHORT else alone  # in longer rows less is left over

    def layout(rows: np.ndarray) -> tuple[np.ndarray, list[tuple[int, int]]]:
        longest_first = rows[np.argsort(-lengths_N[rows], kind="stable")]
        return longest_first, fit(lengths_N[longest_first].tolist(), size, open_rows=len(rows))

    layouts = [layout(rows) for rows in drawn]
    count = -(-max(1 + row for _, places in layouts for row, _ in places) // multiple) * multiple
    if count * size >= drawn.shape[1] * alone:
        return lambda step: take(packed, drawn[step])
    weighted = (np.bincount([row for row, _ in places], weighted_N[rows]).max() for rows, places in layouts)
    most = fine_bucket(int(max(weighted)), 8)

    def batch(step: int) -> Packed:
        rows, places = layouts[step]
        sequences = [(packed.tokens_BT[r, : lengths_N[r]], packed.weight_BT[r, : lengths_N[r]]) for r in rows]
        return asking(lay(sequences, places, (count, size)), most)  # type: ignore[arg-type]

    return batch


def take(packed: Packed, rows: np.ndarray) -> Packed:
    """Some rows of a packed set."""
    return Packed(*(None if x is None else x[rows] for x in packed))


def pack_answers(
    prompt_B: np.ndarray, length_BG: np.ndarray, sizes: tuple[int, int], *, parts: int = 1, ways: int = 1
) -> Packing | None:
    """The Packing of a batch in half, a quarter, an eighth ... of the places that its rectangle has, as few as hold it;
    None where half are too few.

    Few shapes compile, and which one a batch has depends on its lengths alone. A prompt whose answers do not fit into
    one row stands in several. prompt_B, length_BG: tokens of prompts and answers, int. sizes: (P, R), what both are
    padded to. parts: microbatches, of which each packs its own rows (b, b + parts, ...). ways: its rows are a multiple.
    """
    (B, G), (P, R) = length_BG.shape, sizes
    found = _rectangle(B // parts, G, P, R, ways)
    if found is None:
        return None
    rows, size = found
    groups = [_in_rows(prompt_B[part::parts], length_BG[part::parts] - 1, size) for part in range(parts)]
    needed = max(1 + row for placed in groups for row, *_ in placed)
    if needed > rows:
        return None
    while rows // 2 // ways * ways >= max(needed, ways):
        rows = rows // 2 // ways * ways
    cells = [
        _packing(prompt_B[part::parts], length_BG[part::parts] - 1, placed, (rows, size), sizes)
        for part, placed in enumerate(groups)
    ]
    return Packing(*(np.stack(arrays, axis=1).reshape(-1, *arrays[0].shape[1:]) for arrays in zip(*cells)))


def _rectangle(B: int, G: int, P: int, R: int, ways: int) -> tuple[int, int] | None:
    """(rows, size) of half the places of B prompts with G answers; None where they make no rows of any size.

    A row has room for a prompt with all its answers, or with half, a quarter ... of them where that made too few rows
    or let many more tokens see one another.
    """
    places, pairs = B * (P + G * (R - 1)), B * (P * P + G * (R - 1) * (P + R - 1))
    for k in range(G.bit_length()):
        size = -(-(P + -(-G // 2**k) * (R - 1)) // 8) * 8
        rows = places // (2 * size) // ways * ways
        if rows and rows * size * size <= max(pairs, SIGHT * ways):
            return rows, size
    return None


def _in_rows(prompt_B: np.ndarray, after_BG: np.ndarray, size: int) -> list[tuple[int, int, int, range]]:
    """(row, start, prompt, its answers) of every stretch: a prompt and as many of its answers as a row has room for."""
    stretches: list[tuple[int, int, range]] = []
    for b, prompt in enumerate(prompt_B.tolist()):
        used, first = prompt, 0
        for g, after in enumerate(after_BG[b].tolist()):
            if used + after > size:
                stretches.append((used, b, range(first, g)))
                used, first = prompt, g
            used += after
        stretches.append((used, b, range(first, after_BG.shape[1])))
    stretches.sort(key=lambda stretch: -stretch[0])  # what is long first: the short ones fill what is left
    places = fit([used for used, *_ in stretches], size, open_rows=len(stretches))
    return [(*place, b, answers) for place, (_, b, answers) in zip(places, stretches)]


def _packing(
    prompt_B: np.ndarray,
    after_BG: np.ndarray,
    placed: Sequence[tuple[int, int, int, range]],
    shape: tuple[int, int],
    sizes: tuple[int, int],
) -> Packing:
    """after_BG: of each answer, the tokens that one follows."""
    (B, G), (P, R) = after_BG.shape, sizes
    each = P + G * R
    names = ("from_BT", "next_BT", "segment_BT", "position_BT", "trunk_BT", "whole_BT")
    made = {name: np.zeros(shape, np.int32) for name in names}
    from_N, next_N, segment_N, position_N, trunk_N, whole_N = (made[name].reshape(-1) for name in names)
    last_B, of_token_N = np.zeros(B, np.int32), np.zeros(B * each, np.int32)
    segments = 0
    for row, start, b, answers in placed:
        at, prompt = row * shape[1] + start, int(prompt_B[b])
        trunk = segments + 1
        last_B[b] = at + prompt - 1
        stretches = [(b * each, prompt, 0), *((b * each + P + g * R, int(after_BG[b, g]), prompt) for g in answers)]
        for source, length, position in stretches:
            span, own = slice(at, at + length), np.arange(length)
            segments += 1
            segment_N[span], trunk_N[span], whole_N[span] = segments, trunk, prompt + max(R, 2)
            from_N[span], position_N[span] = source + own, position + own
            if position:
                next_N[span], of_token_N[source + own] = source + own + 1, at + own
            at += length
    answer_BGR = of_token_N.reshape(B, each)[:, P:].reshape(B, G, R)[..., : R - 1]
    return Packing(**made, last_B=last_B, answer_BGR=answer_BGR)
