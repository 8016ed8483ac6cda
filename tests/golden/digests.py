"""Whether a change of the code has changed a number: digests of the weights of short runs.

    python tests/golden/digests.py record before.json      at the commit to compare with
    python tests/golden/digests.py compare before.json     after the change

It is run by hand; pytest does not collect it. Each run is a whole one by the command line,
`--deterministic`: the smoke flag files, every method on digits, some of them in further ways, and
two methods on two replicas. Digests are those of one machine: other processors round differently,
so that no table of them is kept here. It takes about three minutes on two cores.
"""

import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parent.parent.parent
# Long enough for ramps, the EMA and two evaluations; short enough for all methods.
SHORT = [
    "--network=small_8",
    "--num_labeled=20",
    "--labeled_batch=10",
    "--unlabeled_ratio=2",
    "--steps=8",
    "--finetune_steps=2",
    "--eval_every=5",
    "--log_every=4",
]
# Thresholds that some unlabeled images of an untrained network pass.
MORE = {
    "fixmatch": ["--threshold=0.13"],
    "flexmatch": ["--threshold=0.13"],
    "mpl": ["--uda_threshold=0.13"],
    "noisy_student": ["--pseudo_label_threshold=0.11", "--rounds=2"],
    "pseudo_label": ["--pseudo_label_threshold=0.11"],
    "uda": ["--threshold=0.13", "--signal_annealing=log"],
}
# Further ways to compute a step: name -> (method, flags).
VARIANTS = {
    "sampled feedback": ("mpl", ["--feedback=sampled"]),
    "dot feedback": ("mpl", ["--feedback=dot", "--nojoint_views", "--clip_norm=0.5"]),
    "exact feedback in microbatches": ("mpl", ["--accumulate_steps=2"]),
    "without feedback": ("mpl", ["--feedback=none"]),
    "float16": ("fixmatch", ["--precision=float16"]),
    "replicas/mpl": ("mpl", ["--strategy=mirrored", "--replicas=2"]),
    "replicas/flexmatch": ("flexmatch", ["--strategy=mirrored", "--replicas=2"]),
}


def runs():
    """dict of a run's name -> its flags."""
    sys.path.insert(0, str(ROOT))
    from mpl_tf.methods import METHODS

    smoke = sorted((ROOT / "flags" / "smoke").glob("*.flags"))
    flags = {f"smoke/{path.stem}": [f"--flagfile={path}"] for path in smoke}
    for name in METHODS:
        short = [flag for flag in SHORT if name != "supervised" or "unlabeled" not in flag]
        flags[f"digits/{name}"] = [f"--method={name}", *short, *MORE.get(name, [])]
    for name, (method, more) in VARIANTS.items():
        flags[name] = [*flags[f"digits/{method}"], *more]
    return flags


def digest(flags):
    """The digest of the weights of a run and its accuracies, or why it failed; a str."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "mpl_tf.train", *flags, "--deterministic"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "-1"}
        done = subprocess.run(
            [*command, f"--workdir={folder}/run"],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            return f"failed: {done.stderr[-300:]}"
        results = json.loads(pathlib.Path(folder, "run", "results.json").read_text())
    return f"{results['weights_digest']} {results['test_accuracy']}"


def main(action, path):
    """Records all digests in a JSON file, or compares them with it.

    Returns:
      The number of runs that failed or differ.
    """
    flags = runs()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        digests = dict(zip(flags, pool.map(digest, flags.values()), strict=True))
    failed = [name for name, value in digests.items() if value.startswith("failed")]
    for name in failed:
        print(f"{name}: {digests[name]}")
    if action == "record":
        pathlib.Path(path).write_text(json.dumps(digests, indent=2) + "\n")
        print(f"{len(digests)} runs, {len(failed)} failed")
        return len(failed)
    before = json.loads(pathlib.Path(path).read_text())
    changed = [name for name in {**before, **digests} if before.get(name) != digests.get(name)]
    for name in changed:
        print(f"{name}:\n  before {before.get(name)}\n  after  {digests.get(name)}")
    print(f"{len(digests) - len(changed)} of {len(digests)} runs as before")
    return len(changed) + len(failed)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("record", "compare"):
        sys.exit(__doc__)
    sys.exit(min(main(*sys.argv[1:]), 1))
