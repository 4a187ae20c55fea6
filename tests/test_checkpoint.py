"""rule_jax.checkpoint: what was saved comes back bit for bit, on any mesh, and a half-written save does not count."""

import dataclasses
import gc
import resource

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rule_jax import programs, sharding, telemetry
from rule_jax.checkpoint import Checkpoints, Restored, identity, load_params, read_about
from rule_jax.errors import UserError
from tests.faults import damage

# Orbax reads and writes arrays side by side; when one fails, the others are dropped without being awaited.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore:coroutine")

OPTIMIZER = programs.optimizer(b1=0.9, b2=0.95, eps=1e-8, weight_decay=0.1, max_grad_norm=1.0, moments_dtype="float32")


@pytest.fixture(scope="module", autouse=True)
def forgotten():
    """What was dropped is collected here, and not in the midst of another file's test."""
    yield
    gc.collect()


def state_at(model, params, mesh, step):
    """A state whose every part differs from a fresh one: moments, count, step and key."""
    state = programs.init_state(model, mesh, OPTIMIZER, params, jax.random.key(step))
    moved = jax.tree.map(lambda x: x + jnp.asarray(step + 0.25, x.dtype), state.opt_state)
    return dataclasses.replace(state, step=jnp.int32(step), opt_state=moved)


def assert_same(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for (path, a), b in zip(jax.tree.leaves_with_path(found), jax.tree.leaves(expected)):
        assert a.dtype == b.dtype, path
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes(), path


def restored(checkpoints, like, beside=None) -> Restored:
    found = checkpoints.restore(like, beside)
    assert found is not None
    return found


@pytest.fixture
def model_and_params(tiny):
    return tiny()


def test_a_state_comes_back_bit_for_bit(tmp_path, model_and_params, one_device):
    model, params = model_and_params
    state = state_at(model, params, one_device, 3)
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        checkpoints.save(3, state)
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        found = restored(checkpoints, programs.abstract_state(model, one_device, OPTIMIZER)).state
    assert_same(found, state)
    draw = jax.random.normal(found.key, (3,))
    np.testing.assert_array_equal(draw, jax.random.normal(jax.random.key(3), (3,)))


def test_a_state_may_be_donated_once_save_returns(tmp_path, model_and_params, one_device):
    model, params = model_and_params
    state, expected = (state_at(model, params, one_device, 3) for _ in range(2))
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        checkpoints.save(3, state)
        jax.tree.map(lambda x: x.delete(), (state.opt_state, state.params))
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        assert_same(restored(checkpoints, programs.abstract_state(model, one_device, OPTIMIZER)).state, expected)


@pytest.mark.parametrize("sizes", [(1, 4, 2), (8, 1, 1)])
def test_a_run_goes_on_on_another_mesh(tmp_path, model_and_params, one_device, sizes):
    model, params = model_and_params
    state = state_at(model, params, one_device, 5)
    mesh = sharding.make_mesh(**dict(zip(sharding.AXES, sizes)))
    with Checkpoints(tmp_path / "one", keep=2) as checkpoints:
        checkpoints.save(5, state)
    with Checkpoints(tmp_path / "one", keep=2) as checkpoints:
        spread = restored(checkpoints, programs.abstract_state(model, mesh, OPTIMIZER)).state
    assert_same(spread, state)
    where = programs.state_shardings(model, mesh, OPTIMIZER)
    jax.tree.map(lambda x, w: _assert_lies(x, w), spread, where)
    with Checkpoints(tmp_path / "eight", keep=2) as checkpoints:  # and back
        checkpoints.save(5, spread)
    with Checkpoints(tmp_path / "eight", keep=2) as checkpoints:
        assert_same(restored(checkpoints, programs.abstract_state(model, one_device, OPTIMIZER)).state, state)


def _assert_lies(array, where):
    assert array.sharding.is_equivalent_to(where, array.ndim), (array.sharding, where)


def test_parameters_are_read_without_knowing_the_optimizer(tmp_path, model_and_params, one_device, mesh8):
    model, params = model_and_params
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        checkpoints.save(1, state_at(model, jax.tree.map(jnp.zeros_like, params), one_device, 1))
        checkpoints.save(2, state_at(model, params, one_device, 2))
    assert_same(load_params(tmp_path, model, one_device), params)
    assert_same(load_params(tmp_path, model, mesh8), params)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1", "2"]  # reading removes nothing


def test_the_newest_few_are_kept_and_the_newest_is_restored(tmp_path, model_and_params, one_device):
    model, params = model_and_params
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        for step in (2, 9, 10):
            checkpoints.save(step, state_at(model, params, one_device, step))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["10", "9"]
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        found = restored(checkpoints, programs.abstract_state(model, one_device, OPTIMIZER)).state
    assert int(found.step) == 10


def test_nothing_to_restore_is_none(tmp_path, model_and_params, one_device):
    with Checkpoints(tmp_path / "new", keep=1) as checkpoints:
        assert checkpoints.restore(programs.abstract_state(model_and_params[0], one_device, OPTIMIZER)) is None


def test_parameters_that_were_never_saved(tmp_path, model_and_params, one_device):
    with pytest.raises(UserError, match=r"checkpoints holds no checkpoint; run the stage that makes it first"):
        load_params(tmp_path / "checkpoints", model_and_params[0], one_device)


@pytest.mark.parametrize("killed", ["before anything", "between the items", "before the last rename"])
def test_a_save_that_was_killed_does_not_count(tmp_path, model_and_params, one_device, killed):
    model, params = model_and_params
    with Checkpoints(tmp_path, keep=3) as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, state_at(model, params, one_device, step))
    draft = (tmp_path / "2").rename(tmp_path / "2.orbax-checkpoint-tmp")  # the names that Orbax itself writes under
    if killed == "between the items":
        (draft / "rest").rename(draft / "rest.orbax-checkpoint-tmp")
    if killed == "before anything":
        _clear(draft)
    like = programs.abstract_state(model, one_device, OPTIMIZER)
    again = state_at(model, params, one_device, 2)
    with Checkpoints(tmp_path, keep=3) as checkpoints:
        assert_same(restored(checkpoints, like).state, state_at(model, params, one_device, 1))
        checkpoints.save(2, again)
    with Checkpoints(tmp_path, keep=3) as checkpoints:
        assert_same(restored(checkpoints, like).state, again)
    assert_same(load_params(tmp_path, model, one_device), params)


def _clear(folder):
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def test_the_best_is_kept_beside_the_newest_and_is_what_another_stage_reads(tmp_path, model_and_params, one_device):
    model, params = model_and_params
    scores = {1: 0.5, 2: None, 3: 0.75, 4: None, 5: 0.25, 6: None, 7: None}
    for part in ((1, 2, 3, 4), (5, 6, 7)):  # the best outlives the process that saved it
        with Checkpoints(tmp_path, keep=2) as checkpoints:
            for step in part:
                moved = jax.tree.map(lambda x, step=step: x + step, params)
                checkpoints.save(step, state_at(model, moved, one_device, step), score=scores[step])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["3", "6", "7"]
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        assert checkpoints.best() == (3, 0.75)
        found = restored(checkpoints, programs.abstract_state(model, one_device, OPTIMIZER)).state
    assert int(found.step) == 7  # training goes on from the newest
    assert_same(load_params(tmp_path, model, one_device), jax.tree.map(lambda x: x + 3, params))


def test_without_scores_nothing_is_best(tmp_path, model_and_params, one_device):
    model, params = model_and_params
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        assert checkpoints.best() is None
        checkpoints.save(1, state_at(model, params, one_device, 1))
        assert checkpoints.best() is None
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        assert checkpoints.best() is None


DAMAGE = {
    "truncated": damage.truncate,
    "emptied": lambda file: file.write_bytes(b""),
    "gone": lambda file: file.unlink(),
    "bit-flipped": damage.flip_a_bit,
}


VITAL = {"params": "**/*", "rest": "**/*", "beside": "d/*", "about": "metadata", "metrics": "metrics"}


@pytest.mark.parametrize("item", ["params", "rest", "beside", "about", "metrics"])
@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    tmp_path, model_and_params, one_device, caplog, monkeypatch, how, item
):
    """Whatever file of the newest checkpoint is damaged, and however: state and what lies beside are of one step."""
    monkeypatch.setattr(telemetry.LOGGER, "propagate", True)
    caplog.set_level("INFO")
    model, params = model_and_params
    with Checkpoints(tmp_path / "checkpoints", keep=3) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(step, state_at(model, params, one_device, step), {"kl": np.asarray(step, np.float32)})
    DAMAGE[how](damage.largest(tmp_path / "checkpoints" / "3" / item, VITAL[item]))
    like = programs.abstract_state(model, one_device, OPTIMIZER)
    with Checkpoints(tmp_path / "checkpoints", keep=3) as checkpoints:
        found = restored(checkpoints, like, {"kl": np.asarray(0, np.float32)})
        assert_same(found.state, state_at(model, params, one_device, 2))
        assert found.beside["kl"] == 2
        checkpoints.save(
            3, state_at(model, params, one_device, 3), {"kl": np.asarray(3, np.float32)}
        )  # its place is free again
    with Checkpoints(tmp_path / "checkpoints", keep=3) as checkpoints:
        assert_same(
            restored(checkpoints, like, {"kl": np.asarray(0, np.float32)}).state, state_at(model, params, one_device, 3)
        )
    told = [record.getMessage() for record in caplog.records if record.name == "rule_jax"]
    assert len(told) == 1
    assert "the checkpoint of step 3 is damaged (" in told[0]
    assert "\n" not in told[0]
    assert (tmp_path / "damaged" / "3").is_dir()


def test_a_half_deleted_checkpoint_gives_way_and_with_none_left_there_is_none(tmp_path, model_and_params, one_device):
    model, params = model_and_params
    with Checkpoints(tmp_path / "checkpoints", keep=3) as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, state_at(model, params, one_device, step))
    like = programs.abstract_state(model, one_device, OPTIMIZER)
    _clear(tmp_path / "checkpoints" / "2" / "rest")
    (tmp_path / "checkpoints" / "2" / "rest").rmdir()
    with Checkpoints(tmp_path / "checkpoints", keep=3) as checkpoints:
        assert_same(restored(checkpoints, like).state, state_at(model, params, one_device, 1))
    _clear(tmp_path / "checkpoints" / "1" / "params")
    with Checkpoints(tmp_path / "checkpoints", keep=3) as checkpoints:
        assert checkpoints.restore(like) is None


def test_what_a_disk_refuses_is_told_in_its_own_words_and_costs_no_earlier_checkpoint(
    tmp_path, model_and_params, one_device
):
    model, params = model_and_params
    states = [state_at(model, params, one_device, step) for step in (1, 2)]

    def save(step):
        with Checkpoints(tmp_path / "checkpoints", keep=3) as checkpoints:
            checkpoints.save(step, states[step - 1])

    save(1)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(UserError, match=r"checkpoints: a checkpoint cannot be written \(File too large\)\. Those"):
            save(2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with Checkpoints(tmp_path / "checkpoints", keep=3) as checkpoints:
        assert_same(restored(checkpoints, programs.abstract_state(model, one_device, OPTIMIZER)).state, states[0])
    save(2)
    assert_same(load_params(tmp_path / "checkpoints", model, one_device, step=2), params)


def test_a_stage_that_is_done_says_what_to_do_when_its_checkpoint_is_damaged(tmp_path, model_and_params, one_device):
    model, params = model_and_params
    directory = tmp_path / "rejection_steering" / "checkpoints"
    with Checkpoints(directory, keep=2) as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, state_at(model, params, one_device, step))
    damage.flip_a_bit(damage.largest(directory / "2" / "params"))
    with pytest.raises(UserError, match=r"checkpoints/2: the checkpoint is damaged .*done/rejection_steering.json"):
        load_params(directory, model, one_device)
    assert_same(load_params(directory, model, one_device, step=1), params)


def test_a_checkpoint_of_another_model_is_no_damaged_one(tmp_path, model_and_params, one_device, tiny):
    model, params = model_and_params
    with Checkpoints(tmp_path / "checkpoints", keep=2) as checkpoints:
        checkpoints.save(1, state_at(model, params, one_device, 1))
    other, _ = tiny(mlp_width=16)
    with (
        Checkpoints(tmp_path / "checkpoints", keep=2) as checkpoints,
        pytest.raises(UserError, match=r"in the checkpoint and .* in the model that is to read it"),
    ):
        checkpoints.restore(programs.abstract_state(other, one_device, OPTIMIZER))
    assert (tmp_path / "checkpoints" / "1").is_dir()


def test_what_a_checkpoint_says_of_itself(tmp_path, model_and_params, one_device, mesh8):
    """Versions, what the loop adds, and a checksum that is the same on any mesh."""
    model, params = model_and_params
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        checkpoints.about |= {"config": {"seed": 3}}
        checkpoints.save(1, state_at(model, params, one_device, 1))
    about = read_about(tmp_path / "1")
    assert about["config"] == {"seed": 3}
    assert about["versions"]["jax"] == jax.__version__
    where, checksum = identity(tmp_path)
    assert where.name == "1"
    assert checksum == int(programs.checksum(load_params(tmp_path, model, mesh8)))


@pytest.mark.parametrize("mesh", [(8, 1, 1), (2, 2, 2)])
def test_the_checksum_sees_any_bit_and_no_mesh(model_and_params, one_device, mesh):
    model, params = model_and_params
    state = state_at(model, params, one_device, 1)
    expected = int(programs.checksum(state))
    spread = jax.device_put(
        state, programs.state_shardings(model, sharding.make_mesh(**dict(zip(sharding.AXES, mesh))), OPTIMIZER)
    )
    assert int(programs.checksum(spread)) == expected
    leaves, treedef = jax.tree.flatten(params)
    rng = np.random.default_rng(0)
    for _ in range(20):
        number = int(rng.integers(len(leaves)))
        flat = np.asarray(leaves[number]).copy().view(np.uint32)
        flat.reshape(-1)[rng.integers(flat.size)] ^= np.uint32(1 << int(rng.integers(32)))
        changed = [*leaves[:number], jnp.asarray(flat.view(np.float32)), *leaves[number + 1 :]]
        assert int(programs.checksum(jax.tree.unflatten(treedef, changed))) != int(programs.checksum(params))
