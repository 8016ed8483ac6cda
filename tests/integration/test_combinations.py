"""Every way of computing on every strategy: it works, or it is refused before training.

Slow; `pytest -m slow tests/integration/test_combinations.py` fills the table of docs/engine.md.
"""

import json
import os
import subprocess
import sys

import pytest

RUN = (
    "--dataset=digits --steps=10 --finetune_steps=10 --eval_every=10 --log_every=5 "
    "--labeled_batch=8 --finetune_batch=8 --unlabeled_ratio=2"
)
STRATEGIES = {
    "one": "--strategy=cpu",
    "mirrored": "--strategy=mirrored --replicas=2",
    "workers": "--strategy=multi_worker",
}
# small_8 has batch normalisation, which is synchronised on several replicas; mlp has none.
OPTIONS = {
    "plain": "--network=small_8",
    "jit_compile": "--network=mlp --jit_compile",
    "jit_compile, batch norm": "--network=small_8 --jit_compile",
    "bfloat16": "--network=small_8 --precision=bfloat16",
    "float16": "--network=small_8 --precision=float16",
    "steps_per_execution": "--network=small_8 --steps_per_execution=5",
    "accumulate_steps": "--network=small_8 --accumulate_steps=2",
    "recompute": "--network=small_8 --recompute",
    "deterministic": "--network=small_8 --deterministic",
    "all": "--network=mlp --jit_compile --precision=bfloat16 --accumulate_steps=2 "
    "--steps_per_execution=5",
}
REFUSED = {(s, "jit_compile, batch norm") for s in ("mirrored", "workers")}


@pytest.mark.slow
@pytest.mark.parametrize("feedback", ["exact", "sampled"])
@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_combination(strategy, option, feedback, tmp_path, free_ports):
    workdir = tmp_path / "run"
    command = [sys.executable, "-m", "mpl_tf.train", f"--workdir={workdir}"]
    command += [f"--feedback={feedback}"]
    command += f"{RUN} {STRATEGIES[strategy]} {OPTIONS[option]}".split()
    each = [[]]
    if strategy == "workers":
        workers = ",".join(f"localhost:{port}" for port in free_ports(2))
        each = [[f"--workers={workers}", f"--worker_index={index}"] for index in range(2)]
    processes = [
        subprocess.Popen(
            [*command, *more],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        )
        for more in each
    ]
    said = [process.communicate(timeout=600)[0] for process in processes]
    codes = [process.returncode for process in processes]
    if (strategy, option) in REFUSED:
        assert set(codes) == {2}, said[0][-2000:]
        assert "without synchronised batch normalisation only" in said[0]
        assert not workdir.exists()
    else:
        assert set(codes) == {0}, "\n".join(text[-2000:] for text in said)
        assert json.loads((workdir / "results.json").read_text())["test_accuracy"]["finetuned"] > 0
