"""data.batching: which rows, how long, and where each token of a packed row lies."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rule_jax import batching
from rule_jax.types import Packed


def rows(step, *, seed=1, stream=0, size=4, count=10):
    return batching.batch_rows(seed, stream, step, size, count)


def test_a_batch_is_a_pure_function_of_seed_stream_and_step():
    later = rows(7)
    for step in range(7):
        rows(step)
    np.testing.assert_array_equal(rows(7), later)
    run = np.concatenate([rows(step) for step in range(5)])
    assert run.dtype == np.int64
    for changed in ({"seed": 2}, {"stream": 1}):
        assert (np.concatenate([rows(step, **changed) for step in range(5)]) != run).any()


@pytest.mark.parametrize(("size", "count"), [(4, 10), (3, 3), (7, 3), (1, 5), (5, 1)])
def test_epochs_are_exact_permutations_without_a_gap(size, count):
    run = np.concatenate([rows(step, size=size, count=count) for step in range(3 * count)])
    epochs = run.reshape(-1, count)
    assert len(epochs) == 3 * size
    np.testing.assert_array_equal(np.sort(epochs, axis=1), np.broadcast_to(np.arange(count), epochs.shape))
    if count > 4:
        assert (epochs[0] != epochs[1]).any()
        assert (epochs[0] != np.arange(count)).any()


def test_a_larger_batch_reads_the_same_sequence():
    small = np.concatenate([rows(step, size=2) for step in range(6)])
    large = np.concatenate([rows(step, size=6) for step in range(2)])
    np.testing.assert_array_equal(small, large)


@pytest.mark.parametrize(
    ("length", "size"),
    [(1, 16), (16, 16), (17, 24), (24, 24), (25, 32), (33, 48), (48, 48), (49, 64), (65, 96), (97, 128), (1000, 1024)],
)
def test_bucket_values(length, size):
    assert batching.bucket(length) == size


def test_bucket_never_wastes_more_than_half_and_keeps_few_sizes():
    sizes = [batching.bucket(length) for length in range(17, 2049)]
    assert all(length <= size <= 1.5 * length for length, size in zip(range(17, 2049), sizes))
    assert len(set(sizes)) == 14
    assert [batching.bucket(n, 32) for n in (1, 32, 33)] == [32, 32, 48]


def test_prompts_are_padded_at_the_right():
    prompts = batching.pad_prompts([[5, 6], [7], [1, 2, 3]], 4)
    np.testing.assert_array_equal(prompts.tokens_BP, [[5, 6, 0, 0], [7, 0, 0, 0], [1, 2, 3, 0]])
    np.testing.assert_array_equal(prompts.length_B, [2, 1, 3])
    assert prompts.tokens_BP.dtype == prompts.length_B.dtype == np.int32
    with pytest.raises(ValueError):
        batching.pad_prompts([[1, 2, 3, 4, 5]], 4)


SEQUENCES = [([1, 2, 3], [0.5, 1, 1]), ([4, 5, 6, 7], [0, 0, 2, 1]), ([8, 9], [1, 1]), ([10, 11, 12], [1, 1, 1])]


def test_pack_fills_rows_first_fit():
    packed = batching.pack(SEQUENCES, 5, share_rows=True)
    # 3 + 2 share the first row though another sequence lies between them; 4 and 3 have rows of their own.
    np.testing.assert_array_equal(packed.tokens_BT, [[1, 2, 3, 8, 9], [4, 5, 6, 7, 0], [10, 11, 12, 0, 0]])
    np.testing.assert_array_equal(packed.segment_BT, [[1, 1, 1, 2, 2], [1, 1, 1, 1, 0], [1, 1, 1, 0, 0]])
    np.testing.assert_array_equal(packed.position_BT, [[0, 1, 2, 0, 1], [0, 1, 2, 3, 0], [0, 1, 2, 0, 0]])
    # Nothing in its own segment predicts a first token, whatever weight it came with.
    np.testing.assert_array_equal(packed.weight_BT, [[0, 1, 1, 0, 1], [0, 0, 2, 1, 0], [0, 1, 1, 0, 0]])
    assert [x.dtype for x in packed[:4]] == [np.int32, np.int32, np.int32, np.float32]


def test_pack_without_sharing_is_one_row_each_in_order():
    packed = batching.pack(SEQUENCES, 5, share_rows=False)
    np.testing.assert_array_equal(packed.tokens_BT[:, 0], [1, 4, 8, 10])
    assert packed.segment_BT.max() == 1
    np.testing.assert_array_equal((packed.segment_BT > 0).sum(1), [3, 4, 2, 3])


@pytest.mark.parametrize("share_rows", [True, False])
def test_long_sequences_are_cut_at_the_end(share_rows):
    packed = batching.pack([([1, 2, 3, 4, 5, 6], [1] * 6), ([7, 8], [1, 1])], 4, share_rows=share_rows)
    np.testing.assert_array_equal(packed.tokens_BT, [[1, 2, 3, 4], [7, 8, 0, 0]])
    np.testing.assert_array_equal(packed.weight_BT, [[0, 1, 1, 1], [0, 1, 0, 0]])


def test_pack_loses_and_doubles_no_token():
    rng = np.random.default_rng(0)
    numbers = iter(range(1, 10_000))
    sequences = [[next(numbers) for _ in range(size)] for size in rng.integers(1, 20, 200)]
    packed = batching.pack([(s, [1.0] * len(s)) for s in sequences], 32, share_rows=True)
    found = {}
    for row in range(len(packed.tokens_BT)):
        for segment in range(1, packed.segment_BT[row].max() + 1):
            where = packed.segment_BT[row] == segment
            tokens = list(packed.tokens_BT[row, where])
            found[tokens[0]] = tokens
            np.testing.assert_array_equal(packed.position_BT[row, where], np.arange(len(tokens)))
    assert found == {s[0]: s for s in sequences}
    assert (packed.tokens_BT[packed.segment_BT == 0] == 0).all()
    assert packed.weight_BT.sum() == sum(len(s) - 1 for s in sequences)
    assert (packed.segment_BT > 0).mean() > 0.9


def test_places_that_are_asked_for_are_those_with_a_weight():
    answer = [0.0] * 20 + [1.0] * 3
    rows = batching.pack([(range(23), answer), (range(5), [0.0] * 4 + [1.0])], 32, share_rows=False)
    asked = batching.asking(rows)
    np.testing.assert_array_equal(asked.asked_BA, [[20, 21, 22, 0, 0, 0, 0, 0], [4, 0, 0, 0, 0, 0, 0, 0]])
    np.testing.assert_array_equal(batching.take(asked, np.array([1])).asked_BA, [[4, 0, 0, 0, 0, 0, 0, 0]])
    most = batching.pack([(range(32), [0.0] * 6 + [1.0] * 26)], 32, share_rows=False)
    assert batching.asking(most).asked_BA is None  # nearly all places: all of them are looked at
    assert batching.take(rows, np.array([0])).asked_BA is None


def exchange(number, length, answered):
    """Tokens that tell which sequence they are of."""
    return [100 * number + place for place in range(length)], [0.0] * (length - answered) + [1.0] * answered


def test_sequences_share_rows_in_batches_of_one_shape():
    lengths = [30, 9, 14, 21, 5, 17, 26, 11, 8, 19, 24, 13]
    packed = batching.pack([exchange(n, length, 4) for n, length in enumerate(lengths)], 32, share_rows=False)
    drawn = np.stack([batching.batch_rows(0, 1, step, 6, len(lengths)) for step in range(9)])
    batch = batching.sharing(packed, drawn, multiple=2)
    shapes = {tuple(x.shape for x in batch(step)) for step in range(9)}
    ((rows, size),) = {shape[0] for shape in shapes}
    assert len(shapes) == 1
    assert (size, rows % 2) == (64, 0)
    assert rows * size < 6 * 32
    for step in range(9):
        found, seen = batch(step), []
        for row in range(rows):
            for segment in range(1, found.segment_BT[row].max() + 1):
                own = found.segment_BT[row] == segment
                number = int(found.tokens_BT[row][own][0]) // 100
                seen.append(number)
                tokens, weights = exchange(number, lengths[number], 4)
                np.testing.assert_array_equal(found.tokens_BT[row][own], tokens)
                np.testing.assert_array_equal(found.weight_BT[row][own], weights)
                np.testing.assert_array_equal(found.position_BT[row][own], np.arange(len(tokens)))
            asked = found.asked_BA[row]
            assert {*asked[asked > 0]} == {*np.flatnonzero(found.weight_BT[row])}
        assert sorted(seen) == sorted(drawn[step])


def test_long_sequences_share_the_rows_that_one_of_them_fills():
    lengths = [200, 60, 70, 50, 90, 100]
    packed = batching.pack([exchange(n, length, 2) for n, length in enumerate(lengths)], 256, share_rows=False)
    assert batching.sharing(packed, np.arange(6)[None], multiple=1)(0).tokens_BT.shape == (3, 256)


def test_equal_sequences_stay_in_rows_of_their_own():
    packed = batching.asking(batching.pack([exchange(n, 31, 4) for n in range(8)], 32, share_rows=False))
    batch = batching.sharing(packed, np.array([[3, 1, 6, 0]]), multiple=1)
    for x, y in zip(batch(0), batching.take(packed, np.array([3, 1, 6, 0]))):
        np.testing.assert_array_equal(x, y)


def test_rows_that_hold_several_sequences_stay_whole():
    packed = batching.pack([exchange(n, 5, 2) for n in range(24)], 32, share_rows=True)
    assert packed.segment_BT.max() == 6
    batch = batching.sharing(packed, np.array([[3, 1], [0, 2]]), multiple=1)
    np.testing.assert_array_equal(batch(1).tokens_BT, packed.tokens_BT[[0, 2]])


def test_take_picks_rows_of_every_part():
    packed = batching.pack(SEQUENCES, 5, share_rows=False)
    got = batching.take(packed, np.array([2, 0]))
    assert isinstance(got, Packed)
    for part, whole in zip(got[:4], packed[:4]):
        np.testing.assert_array_equal(part, whole[[2, 0]])


def test_fine_buckets_are_few_and_near():
    lengths = range(1, 4097)
    padded = [batching.fine_bucket(length) for length in lengths]
    assert padded == sorted(padded)
    assert all(length <= size for length, size in zip(lengths, padded))
    assert all(size <= length * 9 / 8 + 1 for length, size in zip(lengths, padded) if length > 64)
    assert len(set(padded)) < 60


@given(
    st.lists(st.integers(1, 400), max_size=60).map(sorted),
    st.sampled_from([(8, 1), (16, 2), (24, 8)]),
    st.integers(0, 2000),
)
def test_a_plan_has_every_row_once_in_batches_that_the_devices_divide(lengths, sizes, overhead):
    most, ways = sizes
    found = batching.plan(lengths, most, ways=ways, overhead=overhead)
    assert [row for start, stop, _ in found for row in range(start, stop)] == list(range(len(lengths)))
    for start, stop, rows in found:
        assert stop - start <= rows <= most
        assert rows % ways == 0


def test_short_and_long_prompts_share_a_batch_only_where_another_costs_more():
    lengths = [24] * 32 + [256] * 32
    assert batching.plan(lengths, 64, ways=1, overhead=100) == [(0, 32, 32), (32, 64, 32)]
    saved = 32 * (256 - 24)
    assert len(batching.plan(lengths, 64, ways=1, overhead=saved - 1)) == 2
    assert batching.plan(lengths, 64, ways=1, overhead=saved + 1) == [(0, 64, 64)]


def test_a_batch_that_is_nearly_full_is_filled_rather_than_compiled_apart():
    assert [rows for _, _, rows in batching.plan([16] * 56, 32, ways=1, overhead=0)] == [32, 32]
    assert [rows for _, _, rows in batching.plan([16] * 24, 32, ways=1, overhead=0)] == [24]


LENGTHS = np.array([[4, 1, 4], [2, 1, 1], [3, 1, 2], [1, 1, 1]] * 2)  # of 8 prompts' answers, of 4 tokens at most
PROMPTS = np.array([3, 2, 1, 3] * 2)


def unpacked(packing, lengths, prompts, sizes, parts=1):
    """Reads a packing back, place by place: {(prompt, answer): numbers of the tokens that its last one sees}."""
    (P, R), (B, G) = sizes, lengths.shape
    found = {}
    for part in range(parts):
        own = type(packing)(*(x[part::parts] for x in packing))
        flat = {name: getattr(own, name).reshape(-1) for name in own._fields[:6]}
        T = own.from_BT.shape[1]
        for i, b in enumerate(range(part, B, parts)):
            base = i * (P + G * R)
            for g in range(G):
                last, seen = int(own.last_B[i]), []
                for r in range(lengths[b, g] - 1):
                    place = int(own.answer_BGR[i, g, r])
                    assert flat["from_BT"][place] == base + P + g * R + r
                    assert flat["next_BT"][place] == base + P + g * R + r + 1
                    assert flat["position_BT"][place] == prompts[b] + r
                    assert flat["whole_BT"][place] == prompts[b] + R
                    row = slice(place // T * T, place + 1)
                    visible = (flat["segment_BT"][row] == flat["segment_BT"][place]) | (
                        flat["segment_BT"][row] == flat["trunk_BT"][place]
                    )
                    seen = (flat["from_BT"][row][visible] - base).tolist()
                    assert seen == [*range(prompts[b]), *(P + g * R + k for k in range(r + 1))]
                assert flat["from_BT"][last] == base + prompts[b] - 1
                assert flat["segment_BT"][last] == flat["trunk_BT"][last] != 0
                found[b, g] = seen
    return found


def test_packed_answers_see_their_prompt_and_themselves_alone():
    """In half the places, where each token lies once."""
    sizes = (3, 4)
    packing = batching.pack_answers(PROMPTS, LENGTHS, sizes)
    assert packing.from_BT.shape == (
        3,
        16,
    )  # of 8 (3 + 3 * 3) places half; a prompt with all its answers takes 12 of 16
    assert len(unpacked(packing, LENGTHS, PROMPTS, sizes)) == 24
    filled = (packing.segment_BT > 0).sum()
    assert filled == PROMPTS.sum() + (LENGTHS - 1).sum()
    assert (packing.next_BT > 0).sum() == (LENGTHS - 1).sum()


@pytest.mark.parametrize("parts", [1, 2])
def test_a_packing_is_one_of_few_shapes_and_each_microbatch_has_its_own(parts):
    rng = np.random.default_rng(0)
    shapes = set()
    for limit in (2, 3, 5, 9, 17, 33):
        lengths, prompts = rng.integers(1, limit, (8, 6)), rng.integers(1, 9, 8)
        packing = batching.pack_answers(prompts, lengths, (8, 32), parts=parts, ways=2)
        if packing is not None:
            unpacked(packing, lengths, prompts, (8, 32), parts)
            assert packing.from_BT.shape[0] % (2 * parts) == 0
        shapes.add(packing and packing.from_BT.shape)
    assert None in shapes  # answers of all lengths up to 32 fill more than half
    assert 2 <= len(shapes) <= 4


def test_answers_that_fill_their_places_are_not_packed():
    assert batching.pack_answers(np.full(4, 8), np.full((4, 6), 32), (8, 32)) is None
    assert batching.pack_answers(np.full(4, 8), np.full((4, 6), 1), (8, 1)) is None


def test_a_group_that_is_too_long_for_a_row_stands_behind_its_prompt_again(monkeypatch):
    monkeypatch.setattr(batching, "SIGHT", 0)  # as for rows so long that what sees what would fill the memory
    lengths = np.array([[30, 30, 30, 1], *[[1, 2, 1, 1]] * 7])
    prompts = np.full(8, 4)
    packing = batching.pack_answers(prompts, lengths, (4, 32))
    assert packing.from_BT.shape[1] < 4 + 3 * 29
    unpacked(packing, lengths, prompts, (4, 32))
    assert (packing.segment_BT > 0).sum() > prompts.sum() + (lengths - 1).sum()
