"""The configuration of the phase that teaches encoders before a run's method begins."""

import pytest

from mpl_tf import config
from mpl_tf.methods import METHODS, SELF_SUPERVISED
from mpl_tf.options import ConfigError

RUN = {"dataset": "digits", "method": "fixmatch", "steps": 40, "seed": 3, "num_labeled": 30}


def phase(text, **more):
    return config.pretraining(config.make({**RUN, "pretrain": text, **more}))


def test_it_has_the_runs_images_networks_and_seed_and_its_methods_own_defaults():
    run = config.make({**RUN, "pretrain": "byol", "network": "mlp", "precision": "bfloat16"})
    made = config.pretraining(run)
    assert made.run.method == "byol"
    assert made.compute == run.compute
    assert made.network == run.network
    for name in ("network", "seed", "steps", "labeled_batch", "eval_every"):
        assert getattr(made.run, name) == getattr(run.run, name), name
    for name in ("num_labeled", "num_validation", "image_size", "exclude_labeled"):
        assert getattr(made.data, name) == getattr(run.data, name), name
    alone = config.make({**RUN, "method": "byol"})
    assert made.method == alone.method
    assert made.data == alone.data
    assert made.optimizer == alone.optimizer
    assert made.run.finetune_steps == 0


def test_its_own_options_come_after_colons():
    made = phase("moco_v2:steps=90:target_momentum=0.5:optimizer=lars:strong=byol_pair:flip=true")
    assert made.run.steps == 90
    assert made.method.target_momentum == 0.5
    assert made.optimizer.optimizer == "lars"
    assert made.data.strong == "byol_pair"
    assert made.data.flip


def test_a_method_without_unlabeled_images_may_start_from_one_that_has_them():
    made = phase("simclr", method="finetune")
    assert made.run.unlabeled_ratio > 1
    assert made.data.strong == "affine"  # of the recipe of digits


def test_only_self_supervised_methods_teach_encoders():
    assert set(SELF_SUPERVISED) == {"simclr", "moco_v2", "byol", "pirl", "pcl"} < METHODS.keys()
    assert config.make(RUN).run.pretrain == ""


@pytest.mark.parametrize(
    ("text", "more", "message"),
    [
        ("fixmatch", {}, "pretrain must begin with one of .*simclr.*; received 'fixmatch'"),
        ("simcl", {}, "Did you mean simclr"),
        ("simclr:5000", {}, "takes options as simclr:steps=5000; received '5000'"),
        ("simclr:stepz=5", {}, "Did you mean steps"),
        ("simclr:queue=5", {}, "received 'queue=5'"),
        ("simclr:steps=many", {}, "steps must be of type int; received 'many'"),
        ("simclr:temperature=0", {}, "temperature must be greater than 0"),
        ("simclr:seed=5", {}, "seed is that of the run: give it as --seed"),
        ("simclr:network=mlp", {}, "network is that of the run"),
        ("simclr", {"method": "mpl", "teacher_network": "mlp"}, "one encoder to all networks"),
        ("simclr:steps=30:student_warmup_steps=50", {}, "student_wait_steps"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(text, more, message):
    with pytest.raises(ConfigError, match=message):
        config.make({**RUN, "pretrain": text, **more})


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"pretrain": "simclr:steps=5:steps=6"}, "pretrain=simclr has steps twice"),
        ({"pretrain": "simclr:steps=0"}, "pretrain=simclr:steps=0: steps must be at least 1"),
        ({"pretrain": "simclr:steps=5.5"}, "pretrain=simclr:steps=5.5: steps must be of type int"),
        ({"pretrain": "pirl:strong=affine"}, "strong is jigsaw with method=pirl"),
        ({"method": "pirl", "strong": "none"}, "strong is jigsaw with method=pirl"),
        ({"class_weight": "balanced", "balance_labels": True}, "no effect beside balance_labels"),
        ({"logit_adjustment": 1.0, "balance_labels": True}, "no effect beside balance_labels"),
    ],
)
def test_settings_without_effect_or_said_twice_are_refused(more, message):
    with pytest.raises(ConfigError, match=message):
        config.make({**RUN, **more})


def test_lars_has_rates_of_its_own_unless_they_are_set():
    sgd, lars = (
        config.make({**RUN, "method": "simclr", "optimizer": each}) for each in ("sgd", "lars")
    )
    assert lars.optimizer.student_learning_rate == 100 * sgd.optimizer.student_learning_rate
    made = config.make({**lars.flat(), "student_learning_rate": 0.5})
    assert made.optimizer.student_learning_rate == 0.5
    assert config.make(lars.flat()) == lars
    assert phase("pirl").data.strong == "jigsaw"  # though digits have affine
