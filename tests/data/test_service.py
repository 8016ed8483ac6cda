"""Batches of tf.data's service: a dispatcher and two workers in another process."""

import itertools
import socket
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf import config, data
from mpl_tf.augment import policies
from mpl_tf.data import arrays, pipeline, service, stores
from mpl_tf.data.options import DataConfig
from mpl_tf.data.sources import tfrecord_format
from mpl_tf.images import example
from mpl_tf.options import ConfigError
from mpl_tf.runs.experiment import build, make_split

OF = tf.data.experimental.service
COUNT = 24

WORKER = """
import sys, time
import tensorflow as tf
of = tf.data.experimental.service
worker = of.WorkerServer(of.WorkerConfig(sys.argv[1]))
time.sleep(600)
"""


# They are killed in the end: a server that stops waits for each of its tasks, half a minute in all.
SERVERS = """
import time
import tensorflow as tf
of = tf.data.experimental.service
dispatcher = of.DispatchServer()
address = dispatcher.target.partition("://")[2]
workers = [of.WorkerServer(of.WorkerConfig(address)) for _ in range(2)]
print(address, flush=True)
time.sleep(3600)
"""


@pytest.fixture(scope="module")
def address():
    command = [sys.executable, "-c", SERVERS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            address = process.stdout.readline().strip()
            service.check_answers(address)
            yield address
        finally:
            process.kill()


@pytest.fixture
def free_port():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


def pixels(number):
    return np.random.default_rng(number).integers(0, 256, (4, 4, 3), np.uint8)


IMAGES = np.stack([pixels(number) for number in range(COUNT)])


def of_folder(root):
    for number, image in enumerate(IMAGES):
        part = f"labeled/{'ab'[number % 2]}" if number < 8 else "unlabeled"
        (root / part).mkdir(parents=True, exist_ok=True)
        tf.io.write_file(str(root / part / f"{number:02}.png"), tf.io.encode_png(image))
    return data.folder(str(root), image_size=4)


def of_records(root):
    for part, numbers in {"labeled": range(8), "unlabeled": range(8, COUNT)}.items():
        encoded = [tf.io.encode_png(IMAGES[number]).numpy() for number in numbers]
        examples = [example.serialize(image, k % 2) for k, image in enumerate(encoded)]
        tfrecord_format.write(str(root / f"{part}-00000-of-00001.tfrecord"), examples)
    return data.find(f"tfrecord:{root}").load(DataConfig(image_size=4))


def batches(source, start, count, address=""):
    """So many batches from step `start` on, of the service at an address or of this process."""
    made = pipeline.training_batches(
        source.train,
        source.unlabeled,
        labeled_batch=4,
        unlabeled_batch=8,
        views=("strong", "index"),
        weak=policies.Shift(),
        strong=policies.Crop(),
        seed=0,
        start=start,
        data_service=address,
    )
    assert all(None not in spec.shape for spec in made.element_spec.values())
    return list(itertools.islice(made.as_numpy_iterator(), count))


def key(batch):
    return tuple((name, batch[name].tobytes()) for name in sorted(batch))


@pytest.mark.parametrize(("make", "start"), [(of_folder, 0), (of_records, 7)])
def test_each_batch_is_that_of_its_step_and_comes_once(tmp_path, address, make, start, monkeypatch):
    monkeypatch.setattr(stores, "MEMORY_LIMIT", 0)
    monkeypatch.setattr(service, "_BLOCK", 4)
    source = make(tmp_path)
    steps = {key(batch): start + at for at, batch in enumerate(batches(source, start, 200))}
    assert len(steps) == 200
    made = [steps[key(batch)] for batch in batches(source, start, 20, address)]
    assert len(set(made)) == 20


def test_blocks_are_divided_among_workers_and_steps_come_once(address, monkeypatch):
    monkeypatch.setattr(service, "_BLOCK", 4)

    def steps(first):
        return tf.data.Dataset.range(first, tf.int64.max)

    made = [int(step) for step in itertools.islice(service.in_blocks(steps, 5, address), 400)]
    assert len(set(made)) == 400
    blocks = [[step for step in made if (step - 5) // 4 == block] for block in range(100)]
    assert all(block == sorted(block) for block in blocks)
    assert sum(len(block) for block in blocks) > 350  # none is left behind for long


def test_a_run_has_its_batches_from_the_service(address, monkeypatch):
    asked, in_blocks = [], service.in_blocks

    def told(from_step, start, address):
        asked.append((start, address))
        return in_blocks(from_step, start, address)

    monkeypatch.setattr(service, "in_blocks", told)
    settings = {"dataset": "digits", "method": "supervised", "network": "mlp", "num_labeled": 20}
    made = config.make(settings | {"steps": 20, "data_service": address})
    source = data.find("digits").load(made.data)
    config.check_data(made, source)
    experiment = build(made, make_split(made, source), path="")
    batch = next(iter(experiment.batches("train", 3)))
    assert batch["labeled"].shape[0] == made.run.labeled_batch
    assert asked == [(3, address)]


def test_too_many_images_in_memory_are_refused_and_those_in_files_are_not(tmp_path, monkeypatch):
    held = arrays.arrays(IMAGES, np.arange(COUNT) % 2)
    monkeypatch.setattr(service, "_LARGEST_SENT", IMAGES.nbytes)
    service.check_sources((held, held, None))
    monkeypatch.setattr(service, "_LARGEST_SENT", IMAGES.nbytes - 1)
    with pytest.raises(ConfigError, match=r"at most 0 MiB; .* tfrecord:PATTERN, and folder:PATH"):
        service.check_sources((held, held.take(slice(3))))
    monkeypatch.setattr(stores, "MEMORY_LIMIT", 0)
    source = of_folder(tmp_path)
    service.check_sources((source.train, source.unlabeled))


def test_a_service_that_is_not_there_is_named(free_port):
    with pytest.raises(ConfigError, match=f"data_service=localhost:{free_port} does not answer"):
        service.check_answers(f"localhost:{free_port}")


def test_a_dispatcher_without_workers_is_named(monkeypatch):
    dispatcher = OF.DispatchServer()
    address = dispatcher.target.partition("://")[2]
    monkeypatch.setattr(service, "_ANSWER", 0.5)
    with pytest.raises(ConfigError, match=r"no worker of it answers within"):
        service.check_answers(address)
    monkeypatch.undo()
    # In another process, which is killed: a server that stops waits for the first question's task.
    with subprocess.Popen([sys.executable, "-c", WORKER, address]) as worker:
        try:
            service.check_answers(address)
        finally:
            worker.kill()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"data_service": "grpc://a:5"}, "must be HOST:PORT"),
        ({"data_service": "a:70000"}, "must be HOST:PORT"),
        ({"data_service": "a:5", "deterministic": True}, "exclude each other"),
        ({"data_service": "a:5", "strong": "keras_cv"}, "strong=keras_cv has layers"),
        (
            {"data_service": "a:5", "network": "keras:MobileNetV2", "train": "head"},
            "cached features are read by Python",
        ),
    ],
)
def test_what_a_service_cannot_do_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        config.make({"dataset": "digits", "method": "fixmatch", **settings})
