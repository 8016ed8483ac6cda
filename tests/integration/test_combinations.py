"""Every way of computing on every strategy: it trains as one device does, or is refused before.

Slow; `pytest -m slow tests/integration/test_combinations.py` fills the table of docs/engine.md.
"""

import functools

import numpy as np
import pytest
import tensorflow as tf

FLAGS = (
    # Without dropout: replicas draw the same mask.
    *("--dataset=digits", "--steps=10", "--finetune_steps=10", "--labeled_batch=8", "--dropout=0"),
    *("--finetune_batch=8", "--unlabeled_ratio=2", "--log_every=5", "--eval_every=5"),
    *("--checkpoint_every=5", "--keep_checkpoints=2", "--student_wait_steps=0"),
)
STRATEGIES = {
    "one": ["--strategy=cpu"],
    "mirrored": ["--strategy=mirrored", "--replicas=2"],
    "workers": [],
}
# small_8 has batch normalisation, which is synchronised on several replicas; mlp has none.
OPTIONS = {
    "plain": ["--network=small_8"],
    "jit_compile": ["--network=mlp", "--jit_compile"],
    "jit_compile, batch norm": ["--network=small_8", "--jit_compile"],
    "bfloat16": ["--network=small_8", "--precision=bfloat16"],
    "float16": ["--network=small_8", "--precision=float16"],
    "steps_per_execution": ["--network=small_8", "--steps_per_execution=5"],
    "accumulate_steps": ["--network=small_8", "--accumulate_steps=2"],
    "recompute": ["--network=small_8", "--recompute"],
    "deterministic": ["--network=small_8", "--deterministic"],
    "all": [
        *("--network=mlp", "--jit_compile", "--precision=bfloat16", "--accumulate_steps=2"),
        "--steps_per_execution=5",
    ],
}
REFUSED = {(s, "jit_compile, batch norm") for s in ("mirrored", "workers")}
# What few digits, and other microbatches, may change of a movement; rounding alone is 1e-3.
TOLERANCE = {"bfloat16": 0.2, "float16": 0.2, "all": 0.2}


@pytest.fixture(scope="module")
def train(smoke, free_ports, tmp_path_factory):
    """train(strategy, option, feedback): (exit statuses, output of the chief, run folder)."""

    @functools.cache
    def run(strategy, option, feedback):
        path = tmp_path_factory.mktemp("combinations") / "run"
        flags = [*FLAGS, *OPTIONS[option], f"--feedback={feedback}", f"--workdir={path}"]
        if strategy == "workers":
            processes = smoke.start_workers(free_ports(2), *flags)
        else:
            processes = [smoke.start(*flags, *STRATEGIES[strategy])]
        outputs = [process.communicate(timeout=600)[0] for process in processes]
        return [process.returncode for process in processes], outputs[0], path

    return run


def movement(path, network):
    """What the last five steps change of a network's trainable variables, one vector."""
    steps = [tf.train.load_checkpoint(str(path / f"step-{step}" / "state")) for step in (5, 10)]
    names = sorted(
        name
        for name in steps[0].get_variable_to_shape_map()
        if f"{network}_optimizer/" in name and "_trainable_variables/" in name
    )
    first, second = (
        np.concatenate([np.ravel(reader.get_tensor(name)) for name in names]) for reader in steps
    )
    return second - first


@pytest.mark.slow
@pytest.mark.parametrize("feedback", ["exact", "sampled"])
@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_combination(strategy, option, feedback, train):
    statuses, output, path = train(strategy, option, feedback)
    if (strategy, option) in REFUSED:
        assert set(statuses) == {2}, output[-2000:]
        assert "without synchronised batch normalisation only" in output
        assert not path.exists()
        return
    assert set(statuses) == {0}, output[-2000:]
    one = train("one", option, feedback)[2]
    for network in ("teacher", "student"):
        actual, expected = (
            movement(each / "checkpoints" / "train", network) for each in (path, one)
        )
        length = np.linalg.norm(expected)
        assert 0 < length < np.inf
        difference = np.linalg.norm(actual - expected) / length
        assert difference < TOLERANCE.get(option, 1e-3)
