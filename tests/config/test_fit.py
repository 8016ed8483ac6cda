"""What is not set gives way in a small run, and what is set does not."""

import pytest

from mpl_tf import config, data
from mpl_tf.data.dataset import Dataset


@pytest.fixture
def folder(monkeypatch):
    """folder(counts, unlabeled, **settings): the flat configuration of a run on such a folder."""

    def make(counts, unlabeled, **settings):
        sizes = {"num_labeled": 0, "num_validation": len(counts) * (min(counts) // 10)}
        made = Dataset(
            lambda options: pytest.fail("nothing is read"),
            sum(counts),
            sizes,
            class_counts=tuple(counts),
            unlabeled=unlabeled,
        )
        monkeypatch.setattr(data, "find", lambda name, data_dir: made)
        return config.make({"dataset": "folder:x", "network": "small", "steps": 2000, **settings})

    return make


@pytest.mark.parametrize(
    ("counts", "unlabeled", "settings", "batches"),
    [
        ([20, 20], 200, {}, (36, 6)),  # 4 are for validation; all others are in the pool
        ([4] * 10, 200, {}, (40, 6)),
        ([1, 1], 2, {}, (2, 2)),
        ([2, 1, 3], 5, {}, (6, 1)),
        ([90, 4, 10], 150, {}, (104, 2)),
        ([30, 30], 10, {}, (54, 1)),
        ([200, 200], 3000, {}, (128, 7)),
        ([20, 20], 200, {"exclude_labeled": True}, (36, 5)),
        ([20, 20], 10, {"exclude_labeled": True}, (10, 1)),
        ([20, 20], 200, {"unlabeled_ratio": 20}, (11, 20)),
        ([20, 20], 200, {"labeled_batch": 10}, (10, 7)),
        ([20, 20], 200, {"labeled_batch": 36, "unlabeled_ratio": 7}, (36, 7)),  # refused later
        ([20, 20], 200, {"method": "mixmatch"}, (36, 1)),
        ([20, 20], 200, {"accumulate_steps": 8}, (32, 6)),
        ([20, 20], 200, {"strategy": "mirrored", "replicas": 5}, (35, 6)),
    ],
)
def test_batches_fit_the_images(folder, counts, unlabeled, settings, batches):
    run = folder(counts, unlabeled, **settings).run
    assert (run.labeled_batch, run.unlabeled_ratio) == batches


def test_a_method_without_unlabeled_images_takes_all_labels_whatever_the_pool(folder):
    made = folder([20, 20], 0, method="supervised", num_validation=0)
    assert made.run.labeled_batch == made.optimizer.finetune_batch == 40


@pytest.mark.parametrize(
    ("settings", "num_validation"),
    [
        ({}, 4),
        ({"num_labeled": 36}, 4),
        ({"num_labeled": 38}, 2),
        ({"num_labeled": 40}, 0),
        ({"num_labeled": 400}, 0),  # refused later, for what is set
        ({"num_labeled": 40, "num_validation": 4}, 4),
    ],
)
def test_validation_images_leave_the_labeled_ones_that_are_asked_for(
    folder, settings, num_validation
):
    assert folder([20, 20], 200, **settings).data.num_validation == num_validation


@pytest.mark.parametrize(
    ("settings", "finetune_steps"),
    [
        ({"dataset": "stl10", "steps": 2000}, 200),
        ({"dataset": "stl10", "steps": 30_000}, 1000),
        ({"dataset": "stl10", "steps": 5}, 0),
        ({"dataset": "stl10", "steps": 50, "finetune_steps": 70}, 70),
        ({"dataset": "digits"}, 200),
        ({"dataset": "digits", "steps": 500}, 125),
        ({"dataset": "cifar10"}, 1000),
        ({"dataset": "imagenet2012"}, 2000),
        ({"dataset": "fashion_mnist"}, 200),
        ({"dataset": "digits", "method": "mean_teacher"}, 0),
    ],
)
def test_finetuning_is_short_in_a_short_run(settings, finetune_steps):
    made = config.make({"network": "small", **settings})
    assert made.run.finetune_steps == finetune_steps


def test_steps_that_are_not_set_are_multiples_of_an_execution():
    made = config.make({"steps_per_execution": 16}).run  # of 800, 200, 100, 50 on digits
    assert (made.steps, made.finetune_steps, made.eval_every, made.log_every) == (800, 192, 96, 48)
    assert made.checkpoint_every == 0
    assert config.make({"steps_per_execution": 64, "steps": 128}).run.log_every == 64
