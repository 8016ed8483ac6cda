"""A run on cached features is a run like any other, and leaves backbone and head together."""

import json
import os
import shutil
import subprocess

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from mpl_tf import data
from mpl_tf.engine import stored_teacher
from mpl_tf.evaluation import subject
from mpl_tf.features import cache, compute
from mpl_tf.formulas import calibration
from mpl_tf.networks import parts
from mpl_tf.options import ConfigError
from mpl_tf.runs import callbacks, experiment, head_start, restore
from mpl_tf.serving import loading


def test_a_run_its_folder_and_what_is_made_of_it(run, my_images, tmp_path, weights):
    results = run(head_temperature=0.5)
    path = tmp_path / "run"
    assert results["test_accuracy"]["finetuned"] > 0.6
    about = json.loads((path / "features.json").read_text())
    assert about["directory"] == str(tmp_path / "features")
    kept = [name.partition("-")[0] for name in os.listdir(tmp_path / "features")]
    assert sorted({*kept} - {"readable"}) == ["plain", "strong", "weak"]
    assert len(kept) - kept.count("readable") == 6  # weak and strong of both pools, plain
    for name in ("report.png", "views.png", "metrics.csv", "run.flags", "export/1/saved_model.pb"):
        assert (path / name).exists(), name

    # The export takes image files, and answers as the restored network and as the run measured.
    which, network = restore.restore(restore.find(str(path)))
    assert which == "finetuned"
    assert parts.has_parts(network)
    assert parts.head(network).layers[-1].scale == 2  # 1 / head_temperature
    export = loading.load(str(path / "export"))
    files = sorted((my_images / "test").rglob("*.png"))
    answers = export.signatures["serving_bytes"](
        image_bytes=tf.constant([file.read_bytes() for file in files])
    )
    pixels = np.stack([np.array(PIL.Image.open(file)) for file in files])
    logits = network(pixels, training=False)
    probs = calibration.probabilities(logits, export.calibration_temperature)
    np.testing.assert_allclose(answers["probabilities"], probs, atol=1e-5)
    names = [export.class_names[k] for k in np.argmax(probs, -1)]
    accuracy = np.mean([name == file.parent.name for name, file in zip(names, files, strict=True)])
    assert accuracy == pytest.approx(results["test_accuracy"]["finetuned"])

    measured = subject.of_run(str(path), "ema")
    images = subject.load_images(measured)
    found = subject.probabilities(measured, images, 8)
    accuracy = np.mean(np.argmax(found, -1) == images.labels)
    assert accuracy == pytest.approx(results["test_accuracy"]["ema"])

    # Other weights, or none, are said.
    there = restore.find(str(path))
    weights(seed=1)
    with pytest.raises(ConfigError, match=r"run was trained on features of a backbone with other"):
        restore.restore(there)
    (tmp_path / "pretrained.keras").unlink()
    message = rf"the backbone of the run in {path} cannot be built: .*pretrained\.keras"
    with pytest.raises(ConfigError, match=message):
        restore.restore(there)


@pytest.mark.usefixtures("no_pictures")
def test_an_interrupted_run_ends_as_an_uninterrupted_one(run, tmp_path, monkeypatch):
    """Its heads start from the probe, which is not fitted again."""
    start = {"head_init": "probe", "head_temperature": 0.5}
    whole = run("whole", **start)
    real, count = compute.pixels, 0

    def stopping(*arguments):
        nonlocal count
        for views in real(*arguments):
            count += 1
            if count == 4:
                raise KeyboardInterrupt
            yield views

    monkeypatch.setattr(compute, "pixels", stopping)
    shutil.rmtree(tmp_path / "features")
    with pytest.raises(KeyboardInterrupt):
        run("stopped", **start)
    monkeypatch.setattr(compute, "pixels", real)
    went_on = callbacks.StopOnNonFinite.on_train_batch_end

    def stop(self, batch, logs=None):
        if self.phase == "train" and self.step == 4:
            raise KeyboardInterrupt
        went_on(self, batch, logs)

    monkeypatch.setattr(callbacks.StopOnNonFinite, "on_train_batch_end", stop)
    with pytest.raises(KeyboardInterrupt):
        run("stopped", **start)
    monkeypatch.setattr(callbacks.StopOnNonFinite, "on_train_batch_end", went_on)
    monkeypatch.setattr(head_start, "_fit", None)
    continued = run("stopped", **start)
    assert continued["resumed_at"] == "train step 3"
    assert continued["weights_digest"] == whole["weights_digest"]
    assert continued["test_accuracy"] == whole["test_accuracy"]


@pytest.mark.usefixtures("no_pictures")
def test_runs_share_what_was_computed(run, monkeypatch):
    run()
    monkeypatch.setattr(compute, "fill", None)  # nothing is computed
    run("other_seed", seed=1, method="mean_teacher")
    run("other_head", head="mlp_4", steps=3, finetune_steps=1)


@pytest.mark.usefixtures("no_pictures")
def test_weights_that_changed_while_a_run_was_stopped(run, weights, monkeypatch):
    monkeypatch.setattr("mpl_tf.runs.phases.fit", lambda experiment: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run()
    weights(seed=1)
    with pytest.raises(ConfigError, match=r"other weights than those of file:.* here"):
        run()


@pytest.mark.usefixtures("no_pictures")
def test_two_replicas_train_what_one_does(run, settings, tmp_path, training_program):
    run("one", dropout=0.0)
    flags = [f"--{name}={value}" for name, value in settings.items()]
    flags += ["--dropout=0", "--strategy=mirrored", "--replicas=2", f"--workdir={tmp_path / 'two'}"]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
    subprocess.run([*training_program, *flags], check=True, env=environment, capture_output=True)
    assert_same_heads(tmp_path / "one", tmp_path / "two")


@pytest.mark.slow
@pytest.mark.usefixtures("no_pictures")
def test_two_workers_share_a_cache_and_train_what_one_process_does(
    run, settings, tmp_path, training_program, free_ports
):
    run("one", dropout=0.0, head_init="probe", cache_dir=str(tmp_path / "of_one"))
    flags = [f"--{name}={value}" for name, value in settings.items()]
    flags += ["--dropout=0", "--head_init=probe", f"--workdir={tmp_path / 'two'}"]
    addresses = ",".join(f"localhost:{port}" for port in free_ports(2))
    flags += ["--strategy=multi_worker", f"--workers={addresses}"]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
    workers = [
        subprocess.Popen(
            [*training_program, *flags, f"--worker_index={index}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        for index in range(2)
    ]
    try:
        outputs = [worker.communicate(timeout=300)[0] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    assert [worker.returncode for worker in workers] == [0, 0], outputs
    caches = [path for path in (tmp_path / "features").iterdir() if path.is_dir()]
    assert sorted(path.name.partition("-")[0] for path in caches) == (
        ["plain"] * 4 + ["strong"] * 2 + ["weak"] * 2
    )
    for folder in caches:  # each chunk was computed by one of them
        chunks = [line.split()[0] for line in (folder / "chunks.txt").read_text().splitlines()]
        assert len(chunks) == len({*chunks}) > 0
    assert_same_heads(tmp_path / "one", tmp_path / "two")


def assert_same_heads(*runs):
    """Two runs have trained the same weights."""
    trained = []
    for path in runs:
        _, network = restore.restore(restore.find(str(path)))
        trained.append(parts.head(network).get_weights())
    for one, two in zip(*trained, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"train": "all", "features": "cache"}, r"features=cache is for train=head, .* train=all"),
        (
            {"train": "last_1", "features": "cache"},
            r"features=cache is for train=head, .* train=last_1",
        ),
        (
            {"network": "small", "train": "all", "features": "cache"},
            r"features=cache is for train=head, .* train=all",
        ),
        ({"network": "small", "features": "cache"}, "train=head is for networks that start from"),
        (
            {"features": "off", "cached_weak_views": 3},
            "cached_weak_views has no effect beside features=off",
        ),
        ({"cached_weak_views": 0}, "cached_weak_views must be at least 1"),
        (
            {"method": "mpl", "teacher_network": "small"},
            r"a teacher and a student of one network, .* teacher_network=small\.",
        ),
    ],
)
def test_what_cannot_be_cached_is_refused_before_any_work(run, tmp_path, more, message):
    with pytest.raises(ConfigError, match=message):
        run(**more)
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("no_pictures")
def test_a_full_disk_ends_the_command_in_words(settings, tmp_path, monkeypatch, capsys):
    from mpl_tf import train

    def full(file):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(cache, "_to_disk", full)
    flags = [f"--{name}={value}" for name, value in settings.items()]
    assert train.main([*flags, f"--workdir={tmp_path / 'run'}"]) == 1
    assert "No space left on device. Make room there" in capsys.readouterr().err


def test_stored_predictions_are_of_the_features_of_images_as_they_are(run, tmp_path, monkeypatch):
    """A head that plays the first teacher sees the cached plain view of each unlabeled image."""
    seen = []
    write = stored_teacher.StoredTeacherMethod.write_predictions

    def watched(self, pool, path):
        head = self.pretraining_phases()["teacher"].network
        rows = {int(i): f for features, index in pool for f, i in zip(features, index, strict=True)}
        features = np.stack([rows[i] for i in range(len(rows))])
        seen.append((features, tf.nn.softmax(head(features, training=False))))
        write(self, pool, path)

    monkeypatch.setattr(stored_teacher.StoredTeacherMethod, "write_predictions", watched)
    run(method="reduced_mpl", teacher_learning_rate=10.0)
    ((features, expected),) = seen
    path = tmp_path / "run"
    np.testing.assert_allclose(np.load(path / "predictions.npy"), expected, atol=1e-3)
    settings = restore.find(str(path)).config
    source = data.find(settings.run.dataset, "").load(settings.data)
    split = experiment.make_split(settings, source)
    backbone = parts.backbone(restore.restore(restore.find(str(path)))[1])
    images = split.unlabeled.images
    np.testing.assert_allclose(features, backbone(images, training=False), 2e-3)  # float16
