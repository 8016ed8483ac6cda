"""Two workers from the command line: one dies, the other stops, both continue.

Over TFRecord files, which TensorFlow looks at for their recipe: workers are joined before that.
"""

import os
import signal
import time

import pytest
import tensorflow as tf

from mpl_tf.data.sources import tfrecord_format
from mpl_tf.images import example

FLAGS = (
    *("--image_size=8", "--network=mlp", "--steps=90", "--finetune_steps=6", "--eval_every=30"),
    *("--log_every=10", "--labeled_batch=10", "--finetune_batch=10", "--unlabeled_ratio=2"),
)


@pytest.fixture
def ended():
    """Processes that are to be gone at the end, whatever happens."""
    processes = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def dataset(tmp_path, rng):
    """A folder of 40 labeled and 80 unlabeled TFRecords, as `--dataset` takes it."""
    images = rng.integers(0, 256, (120, 8, 8, 1), "uint8")
    encoded = [tf.io.encode_png(image).numpy() for image in images]
    for part, held in (("labeled", encoded[:40]), ("unlabeled", encoded[40:])):
        records = [example.serialize(image, number % 4) for number, image in enumerate(held)]
        tfrecord_format.write(str(tmp_path / f"{part}-00000-of-00001.tfrecord"), records)
    return f"tfrecord:{tmp_path}"


def test_a_dead_worker_stops_the_other_and_both_continue(
    tmp_path, dataset, ended, free_ports, smoke
):
    workdir, flags = tmp_path / "run", (*FLAGS, f"--dataset={dataset}")
    chief, other = smoke.start_workers(free_ports(2), *flags, f"--workdir={workdir}")
    ended += [chief, other]
    first = workdir / "checkpoints" / "train" / "step-30"
    patience = time.monotonic() + 200
    while not first.exists() and chief.poll() is None and time.monotonic() < patience:
        time.sleep(0.1)
    assert first.exists(), chief.communicate()[0][-2000:] if chief.poll() is not None else ""
    os.kill(other.pid, signal.SIGKILL)
    output, _ = chief.communicate(timeout=60)
    assert chief.returncode == 1, output[-2000:]
    assert "another worker is gone" in output
    assert "Traceback" not in output

    chief, other = smoke.start_workers(free_ports(2), *flags, f"--workdir={workdir}")
    ended += [chief, other]
    output, of_other = chief.communicate(timeout=300)[0], other.communicate(timeout=300)[0]
    assert (chief.returncode, other.returncode) == (0, 0), output[-2000:] + of_other[-2000:]
    assert smoke.results(workdir)["resumed_at"].startswith("train step")
    assert "steps 1 to" not in of_other  # the chief speaks for all
    assert "results.json" in output and "results.json" not in of_other
