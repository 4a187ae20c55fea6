"""The main command as a user starts it: real processes, a tiny world, killed and resumed."""

import json
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from safetensors.numpy import load_file

from rule_jax import batching, hf, programs, sharding
from rule_jax.checkpoint import Checkpoints
from rule_jax.text import chat
from tests.fake_llm import KEY, FakeLLM
from tests.runs import ROOT, TINY, cache_in, environment


def command(workdir: Path, cache: Path, *more: str, recipe: str = "grpo") -> list[str]:
    flags = [f"--config=configs/{recipe}.py", f"--workdir={workdir}", f"--cache_dir={cache}"]
    return [sys.executable, "-m", "rule_jax.main", *flags, *TINY, *more]


def run(*args, recipe: str = "grpo", **kw) -> subprocess.CompletedProcess:
    line = command(*args, recipe=recipe)
    return subprocess.run(line, cwd=ROOT, env=environment(), capture_output=True, text=True, **kw)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, Path, str]:
    """(workdir, cache, log) of a run that nothing interrupted."""
    place = tmp_path_factory.mktemp("whole")
    cache = cache_in(place)
    done = run(place / "run", cache)
    assert done.returncode == 0, done.stderr
    return place / "run", cache, done.stderr


def test_every_stage_leaves_its_result(finished):
    workdir, _, log = finished
    report = json.loads((workdir / "report" / "metrics.json").read_text())
    assert report["schema"] == 1
    assert list(report["stages"]) == ["base", "rejection_steering", "boundary_optimization"]
    for stage in report["stages"].values():
        assert {"refusal_rate", "leak_rate", "names_target_rate", "n"} <= stage["forget"].keys()
        assert {"accuracy", "over_refusal_rate", "n"} <= stage["neighbor"].keys()
    assert report["stages"]["base"]["forget"]["n"] == 2 * 6 * 2
    assert report["time_s"]["boundary_optimization"] > 0
    assert report["peak_rss_bytes"] > 1e8
    assert (workdir / "report" / "report.html").stat().st_size > 10_000
    assert "evaluate: done" in log
    assert "peak memory" in log


def test_training_log_has_what_a_user_watches(finished):
    lines = [json.loads(line) for line in (finished[0] / "logs" / "metrics.jsonl").read_text().splitlines()]
    ours = [line for line in lines if line["stage"] == "boundary_optimization"]
    steps = [line for line in ours if "loss" in line]
    assert [line["step"] for line in ours if "validation/score" in line] == [0, 5, 10]
    assert [line["step"] for line in steps] == list(range(1, 13))
    watched = "reward/forget reward/boundary refusal_rate/forget refusal_rate/boundary zero_variance_groups kl entropy"
    assert set(watched.split()) | {"grad_norm", "lr", "truncated", "time/rollout_s"} <= steps[0].keys()
    assert steps[0]["kl"] == pytest.approx(0, abs=1e-6)  # the first step is taken at pi_rej itself
    assert all(line["sampler_gap"] < 1e-4 for line in steps)
    assert {"response_length/max", "reward/max", "gibberish", "empty", "tokens_per_s/update"} <= steps[0].keys()
    assert len(list((finished[0] / "logs" / "tensorboard" / "boundary_optimization").iterdir())) == 1
    rows = [json.loads(line) for line in (finished[0] / "rollouts" / "step_00012.jsonl").read_text().splitlines()]
    assert len(rows) == 8 * 4
    for group in (rows[at : at + 4] for at in range(0, len(rows), 4)):
        assert len({row["prompt"] for row in group}) == 1
        assert sum(row["advantage"] for row in group) == pytest.approx(0, abs=1e-4)
    assert "boundary_optimization: answers of step 12" in finished[2]


def test_the_export_answers_as_it_was_evaluated(finished):
    workdir = finished[0]
    export = workdir / "export"
    model, params = hf.load(export)
    mesh = sharding.make_mesh(data=-1, fsdp=1, tensor=1)
    tokenizer = chat.load_tokenizer(export)
    rows = [
        json.loads(x) for x in (workdir / "evaluate/boundary_optimization/generations.jsonl").read_text().splitlines()
    ]
    asked = [row for row in rows if row["task"] == "neighbor"][:8]
    ids = chat.encode_chat(tokenizer, [row["prompt"] for row in asked])
    generate = programs.make_generate(model, mesh, samples=1, max_new_tokens=24, eos_ids=hf.eos_ids(export))
    rollout = generate(
        jax.device_put(params, sharding.replicated(mesh)),
        sharding.put_rows(batching.pad_prompts(ids, batching.bucket(max(map(len, ids)))), mesh),
        jax.random.key(0),
        np.int32(0),
        sharding.put_rows(np.arange(8, dtype=np.int32), mesh),
        np.float32(0),
    )
    response, length = np.asarray(rollout.response_BGR), np.asarray(rollout.length_BG)
    texts = chat.decode(tokenizer, [response[b, 0, : length[b, 0]] for b in range(8)])
    assert [text.strip() for text in texts] == [row["text"] for row in asked]


def test_the_card_tells_whence_how_and_with_what(finished):
    workdir = finished[0]
    card = (workdir / "export" / "README.md").read_text()
    begun_from = json.loads((workdir / "data" / "model.json").read_text())
    figures = json.loads((workdir / "evaluate/boundary_optimization/metrics.json").read_text())
    assert f"* Forgotten: {', '.join(begun_from['targets'])}\n" in card
    assert f"* Base model: `{begun_from['path']}`\n" in card
    assert "stages rejection_steering, boundary_optimization, algorithm grpo\n" in card
    assert f"jax {jax.__version__}," in card
    for task in ("forget", "neighbor", "forget_raw"):
        (row,) = [line for line in card.splitlines() if line.startswith(f"| {task} |")]
        shown = figures[task]["refusal_rate" if task != "neighbor" else "accuracy"]
        assert f" {shown:.3f}," in row
        assert row.endswith(f"| {figures[task]['n']} |")
    config = json.loads(card.partition("```json\n")[2].partition("```")[0])
    assert config == json.loads((workdir / "config.json").read_text())


def test_the_run_was_attacked_and_its_record_holds(finished):
    workdir, _, _ = finished
    found = {
        model: json.loads((workdir / "robustness" / model / "metrics.json").read_text())
        for model in ("base", "boundary_optimization")
    }
    attacks = ["plain", "role_play", "prefix", "suffix", "reminder", "prefill", "raw", "int8", "int4"]
    for table in found.values():
        assert list(table["attacks"]) == attacks
        assert all(0 <= row["leak_rate"] <= 1 and row["n"] == 12 for row in table["attacks"].values())
        assert 0 <= table["attacks"]["int4"]["kept_accuracy"] <= 1
    assert found["base"]["drift"]["kl"] == 0
    assert found["boundary_optimization"]["drift"]["kl"] > 0
    assert found["boundary_optimization"]["drift"]["n"] >= 8
    assert not found["base"]["relearning"]
    curve = found["boundary_optimization"]["relearning"]["4 facts"]
    assert [point["step"] for point in curve] == [0, 2]
    assert json.loads((workdir / "report" / "metrics.json").read_text())["robustness"] == found
    line = [sys.executable, "-m", "rule_jax.report", "--verify", str(workdir)]
    verified = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
    assert verified.returncode == 0, verified.stderr


def test_a_model_is_evaluated_alone(finished, tmp_path):
    """The export of a run, asked the same questions, gives the same answers; nothing is trained or exported."""
    workdir, cache, _ = finished
    more = (f"--config.model.path={workdir / 'export'}", "--config.stages=('evaluate','naturalness','report')")
    done = run(tmp_path / "alone", cache, *more, recipe="evaluate")
    assert done.returncode == 0, done.stderr
    alone, whole = (
        (place / "generations.jsonl").read_text()
        for place in (tmp_path / "alone/evaluate/model", workdir / "evaluate/boundary_optimization")
    )
    assert alone == whole
    assert not (tmp_path / "alone" / "export").exists()
    told = json.loads((tmp_path / "alone" / "naturalness" / "model.json").read_text())
    assert all(row["perplexity_original"] >= 1 for row in told.values())
    assert "No verdict" in (tmp_path / "alone" / "report" / "report.html").read_text()


def test_the_same_command_again_has_nothing_to_do(finished):
    workdir, cache, _ = finished
    before = (workdir / "export" / "model.safetensors").stat().st_mtime_ns
    again = run(workdir, cache)
    assert again.returncode == 0
    assert "all stages" in again.stderr
    assert (workdir / "export" / "model.safetensors").stat().st_mtime_ns == before


def kill_after(step: int, workdir: Path, log: Path, started: list[str]) -> None:
    """Starts a run and kills it once stage 2 has saved a step; there are more to come, each waiting for the last."""
    saved = workdir / "boundary_optimization" / "checkpoints" / str(step)
    with log.open("w") as stderr:
        process = subprocess.Popen(started, cwd=ROOT, env=environment(), stderr=stderr)
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline and process.poll() is None and not saved.exists():
            time.sleep(0.02)
        process.kill()  # SIGKILL; nothing when it has ended by itself
        process.wait()
    assert saved.exists(), log.read_text()
    assert not (workdir / "done" / "boundary_optimization.json").exists(), "the run ended before it could be killed"


def test_a_killed_run_resumes_to_the_same_bits(finished, tmp_path):
    whole, cache, _ = finished
    workdir = tmp_path / "killed"
    kill_after(2, workdir, tmp_path / "stderr", command(workdir, cache))
    resumed = run(workdir, cache)
    assert resumed.returncode == 0, resumed.stderr
    assert "boundary_optimization: resuming after step" in resumed.stderr
    assert_same_bits(*(place / "export" / "model.safetensors" for place in (workdir, whole)))


def assert_same_bits(one: Path, other: Path) -> None:
    ours, theirs = load_file(one), load_file(other)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        np.testing.assert_array_equal(ours[name], value, err_msg=name)


@pytest.mark.slow
def test_a_lora_run_is_small_resumes_to_the_same_bits_and_its_adapter_is_its_export(finished, tmp_path):
    whole, cache, _ = finished
    stages = "'prepare_data','rejection_steering','boundary_optimization','export'"
    more = "--config.lora.rank=4", f"--config.stages=({stages})"
    done = run(tmp_path / "lora", cache, *more)
    assert done.returncode == 0, done.stderr
    killed = tmp_path / "killed"
    kill_after(2, killed, tmp_path / "stderr", command(killed, cache, *more))
    resumed = run(killed, cache, *more)
    assert resumed.returncode == 0, resumed.stderr
    assert "boundary_optimization: resuming after step" in resumed.stderr
    for file in ("export/model.safetensors", "export_adapter/adapter_model.safetensors"):
        assert_same_bits(killed / file, tmp_path / "lora" / file)

    # The adapter of both stages, of rank 4 + 4, on the model that the run began from.
    about = json.loads((tmp_path / "lora" / "data" / "model.json").read_text())
    base = load_file(Path(about["path"]) / "model.safetensors")
    merged = load_file(tmp_path / "lora" / "export" / "model.safetensors")
    adapter = load_file(tmp_path / "lora" / "export_adapter" / "adapter_model.safetensors")
    scale = 32.0 / 4
    for name in base:
        module = f"base_model.model.{name.removesuffix('.weight')}"
        if f"{module}.lora_A.weight" in adapter:
            a, b = (adapter[f"{module}.lora_{part}.weight"] for part in "AB")
            assert a.shape[0] == b.shape[1] == 8
            assert np.abs(b[:, :4]).max() > 0, "rejection steering moved nothing"
            assert np.abs(b[:, 4:]).max() > 0, "boundary optimization moved nothing"
            np.testing.assert_allclose(merged[name], base[name] + scale * b @ a, atol=1e-5)
        else:
            np.testing.assert_array_equal(merged[name], base[name])

    # A checkpoint holds the adapter and its two moments, and beside Orbax's own records no copy of the base.
    size = checkpoint_bytes(tmp_path / "lora" / "boundary_optimization")
    trained = sum(x.size for x in adapter.values()) // 2  # of one stage
    everything = sum(x.size for x in base.values())
    assert size - 3 * 4 * trained < 0.8 * 4 * everything
    assert checkpoint_bytes(whole / "boundary_optimization") - 3 * 4 * everything > -0.2 * 4 * everything


def checkpoint_bytes(stage: Path) -> int:
    newest = max((stage / "checkpoints").iterdir(), key=lambda place: int(place.name))
    return sum(file.stat().st_size for file in newest.rglob("*") if file.is_file())


@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "groups"), [("ppo", 4), ("grpo_replay", 2)], ids=["ppo", "replay"])
def test_critic_coefficient_and_replayed_groups_come_back_too(finished, tmp_path, recipe, groups):
    """Killed while groups are replayed: policy, critic, adaptive KL coefficient and buffer end with the same bits."""
    _, cache, _ = finished
    options = [
        "--config.stages=('prepare_data','rejection_steering','boundary_optimization')",
        f"--config.boundary_optimization.replay.groups={groups}",
        "--config.boundary_optimization.replay.store_steps=4",
        "--config.algorithm.kl.target=0.01",
        "--config.boundary_optimization.steps=30",  # a step is short: there must be many left when the kill comes
    ]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    first = run(whole, cache, *options, recipe=recipe)
    assert first.returncode == 0, first.stderr
    kill_after(6, killed, tmp_path / "stderr", command(killed, cache, *options, recipe=recipe))
    resumed = run(killed, cache, *options, recipe=recipe)
    assert resumed.returncode == 0, resumed.stderr
    assert "boundary_optimization: resuming after step" in resumed.stderr
    ours, theirs = (last_checkpoint(place / "boundary_optimization" / "checkpoints") for place in (killed, whole))
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    assert {"kl_coef", "buffer"} <= ours["beside"].keys()
    assert ours["beside"]["kl_coef"] != np.float32(0.01)
    steps = [json.loads(line) for line in (whole / "logs" / "metrics.jsonl").read_text().splitlines()]
    last: dict = {}  # the step's line and that of the validation after it
    for line in steps:
        last |= line if (line["stage"], line["step"]) == ("boundary_optimization", 30) else {}
    assert last["replay/stored"] >= groups
    assert last["ratio/max"] > 1.001  # of a replayed group the old policy is an older one
    if recipe == "ppo":
        head = ours["beside"]["critic"]["params"]["value"]["head_VD"]
        assert np.abs(head).max() > 0
        assert {"value/explained_variance", "value/loss", "value/grad_norm"} <= last.keys()


def last_checkpoint(folder: Path) -> dict:
    """Parameters and what lies beside them in the newest checkpoint, as plain arrays."""
    with Checkpoints(folder, keep=2, create=False) as checkpoints:
        items = {"params": ocp.args.StandardRestore(), "beside": ocp.args.StandardRestore()}
        found = checkpoints.manager.restore(checkpoints.manager.latest_step(), args=ocp.args.Composite(**items))
    plain = {"params": found["params"], "beside": found["beside"]}
    return jax.tree.map(
        lambda x: jax.random.key_data(x) if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x, plain
    )


def test_another_config_is_refused_and_nothing_is_lost(finished):
    workdir, cache, _ = finished
    refused = run(workdir, cache, "--config.reward.tau=0.4")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error:")
    assert "config.reward.tau: 0.3 there, 0.4 now" in refused.stderr
    assert (workdir / "report" / "report.html").exists()


def test_rejection_steering_stops_when_its_dosage_is_enough(finished, tmp_path):
    """A rate below zero is reached at the first count; a rate above one never is."""
    _, cache, _ = finished
    stages = "--config.stages=('prepare_data','rejection_steering')"
    for rate, last in (("-1.0", 2), ("1.1", 4)):
        workdir = tmp_path / rate
        dosage = (
            f"--config.rejection_steering.dosage.refusal_rate={rate}",
            "--config.rejection_steering.dosage.every=2",
        )
        done = run(workdir, cache, stages, *dosage)
        assert done.returncode == 0, done.stderr
        assert "after step 2" in done.stderr
        assert ("took all 4 steps" in done.stderr) == (last == 4)
        steps = sorted(int(p.name) for p in (workdir / "rejection_steering" / "checkpoints").iterdir())
        assert steps[-1] == last


@pytest.mark.slow
def test_a_later_request_starts_from_the_export_and_keeps_an_eye_on_the_earlier_one(finished, tmp_path):
    """Two new targets at once, from a user's own files; the world's people were forgotten by the run before."""
    workdir, cache, _ = finished
    first = [json.loads(line) for line in (workdir / "data" / "forget.jsonl").read_text().splitlines()]
    boundary = [json.loads(line) for line in (workdir / "data" / "boundary.jsonl").read_text().splitlines()]
    names = list(dict.fromkeys(row["entity"] for row in boundary))[:2]
    (tmp_path / "earlier.jsonl").write_text("".join(json.dumps(row) + "\n" for row in first[:12]))
    for name in names:
        asked = [{**row, "kind": "forget", "target": name} for row in boundary if row["entity"] == name]
        beside = [row for row in boundary if row["entity"] not in names][: len(asked)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in (*asked, *beside)))
    done = run(
        tmp_path / "later",
        cache,
        "--config.stages=('prepare_data','rejection_steering','evaluate')",
        f"--config.model.path={workdir / 'export'}",
        "--config.data.source=jsonl",
        f"--config.data.path={tmp_path / names[0]}.jsonl",
        f"--config.data.more_paths={(f'{tmp_path / names[1]}.jsonl',)!r}",
        f"--config.data.earlier={(str(tmp_path / 'earlier.jsonl'),)!r}",
        "--config.rejection_steering.steps=2",
    )
    assert done.returncode == 0, done.stderr
    table = json.loads((tmp_path / "later" / "evaluate" / "rejection_steering" / "metrics.json").read_text())
    assert set(table["forget"]["per_target"]) == set(names)
    assert set(table["forget_earlier"]["per_target"]) == {row["target"] for row in first[:12]}
    assert table["forget_earlier"]["n"] == 12
    assert "boundary_earlier" not in table
    trained = [json.loads(line) for line in (tmp_path / "later" / "data" / "forget.jsonl").read_text().splitlines()]
    assert {row["target"] for row in trained[:3]} == set(names)  # interleaved


@pytest.mark.slow
def test_a_judge_that_is_lost_on_the_way_costs_no_update_and_no_reply(finished, tmp_path, monkeypatch):
    """The endpoint breaks in the middle of a step: one line, the state saved; the same command asks only the rest."""
    _, cache, _ = finished
    monkeypatch.setenv("FAKE_KEY", KEY)
    stages = "--config.stages=('prepare_data','rejection_steering','boundary_optimization')"
    with FakeLLM(lambda body: '{"rating": 5}', lambda number, body: "ok" if number < 40 else "unknown") as server:
        judge = (
            f"--config.reward.terms.judge.llm.base_url={server.base_url}",
            "--config.reward.terms.judge.llm.api_key_env=FAKE_KEY",
            "--config.reward.terms.judge.llm.budget.money=0.0",
            f"--config.reward.terms.judge.journal={tmp_path / 'judge.jsonl'}",
            "--config.boundary_optimization.checkpoint_every=100",
        )
        ask = command(tmp_path / "run", cache, stages, *judge, recipe="grpo_judge")
        lost = subprocess.run(ask, cwd=ROOT, env=environment(), capture_output=True, text=True)
        assert lost.returncode == 2, lost.stderr
        assert "replies are kept" in lost.stderr.splitlines()[-1]
        saved = max(int(p.name) for p in (tmp_path / "run" / "boundary_optimization" / "checkpoints").iterdir())
        assert saved >= 1
        server.mischief = lambda number, body: "ok"
        resumed = subprocess.run(ask, cwd=ROOT, env=environment(), capture_output=True, text=True)
        assert resumed.returncode == 0, resumed.stderr
        assert f"resuming after step {saved}" in resumed.stderr
        assert max(server.paid.values()) == 1
    lines = [json.loads(line) for line in (tmp_path / "run" / "logs" / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if line["stage"] == "boundary_optimization" and "loss" in line]
    assert [line["step"] for line in steps] == list(range(1, 13))
    assert {"reward/forget/judge/rating", "reward/boundary/rule/refusal", "reward/forget/quality"} <= steps[0].keys()


@pytest.mark.slow
def test_early_stopping_keeps_the_best_checkpoint_and_goes_no_further_when_resumed(finished, tmp_path):
    """A learning rate of next to nothing: no validation is better than the first, so the second of them is the last."""
    _, cache, _ = finished
    options = (
        "--config.stages=('prepare_data','rejection_steering','boundary_optimization')",
        "--config.boundary_optimization.schedule.peak=1e-12",
        "--config.boundary_optimization.validation.every=3",
        "--config.boundary_optimization.validation.patience=2",
    )
    stopped = run(tmp_path / "run", cache, *options)
    assert stopped.returncode == 0, stopped.stderr
    assert "training ends after 6 updates; the best were 0" in stopped.stderr
    checkpoints = tmp_path / "run" / "boundary_optimization" / "checkpoints"
    assert {int(path.name) for path in checkpoints.iterdir()} == {0, 4, 6}
    (tmp_path / "run" / "done" / "boundary_optimization.json").unlink()  # as if killed before it was written
    again = run(tmp_path / "run", cache, *options)
    assert again.returncode == 0, again.stderr
    assert "training ends after 6 updates; the best were 0" in again.stderr
    assert {int(path.name) for path in checkpoints.iterdir()} == {0, 4, 6}
