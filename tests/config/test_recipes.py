"""The recipes of the datasets."""

import dataclasses

import pytest

from mpl_tf import config
from mpl_tf.config.config import fields
from mpl_tf.config.recipes import DEEPER_HEAD_OF, HEAD, HEAD_OF, PRETRAINED, RECIPES
from mpl_tf.data import DATASETS
from mpl_tf.methods import METHODS, SELF_SUPERVISED


def test_recipes_name_options():
    groups = [
        config.RunConfig,
        config.NetworkConfig,
        config.DataConfig,
        config.ComputeConfig,
        config.OptimizerConfig,
    ]
    groups += [method.Config for method in METHODS.values()]
    names = {field.name for group in groups for field in dataclasses.fields(group)}
    assert RECIPES.keys() <= DATASETS.keys()
    own = [*RECIPES.values(), *HEAD_OF.values(), *DEEPER_HEAD_OF.values(), HEAD, PRETRAINED]
    for recipe in own:
        assert recipe.keys() <= names
    assert HEAD_OF.keys() | DEEPER_HEAD_OF.keys() <= METHODS.keys()


@pytest.mark.parametrize("dataset", sorted(DATASETS))
@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_recipe_is_valid_with_every_method(dataset, method):
    made = config.make({"dataset": dataset, "method": method})
    assert made.run.dataset == dataset


@pytest.mark.parametrize("method", sorted(METHODS.keys() - set(SELF_SUPERVISED)))
def test_pretrained_networks_have_recipes_of_their_own(method):
    network = {"network": "keras:MobileNetV3Small", "network_weights": __file__}
    made = config.make({"dataset": "fashion_mnist", "method": method, "train": "head", **network})
    assert made.run.steps == HEAD["steps"] != RECIPES["fashion_mnist"]["steps"]
    expected = {**HEAD, **HEAD_OF.get(method, {})}
    expected = {name: value for name, value in expected.items() if config.applies(name, method)}
    left_out = {name for name, value in METHODS[method].defaults.items() if not value}
    expected = {name: value for name, value in expected.items() if name not in left_out}
    assert expected.items() <= made.flat().items()
    assert made.data.weak == RECIPES["fashion_mnist"]["weak"]  # views are the dataset's
    whole = config.make({"dataset": "fashion_mnist", "method": method, "train": "all", **network})
    assert whole.run.steps == PRETRAINED["steps"]
    random = {"network": "keras:MobileNetV3Small", "image_size": 32}
    made = config.make({"dataset": "fashion_mnist", "method": method, **random})
    assert made.run.steps == RECIPES["fashion_mnist"]["steps"]


@pytest.mark.parametrize("dataset", sorted(RECIPES))
def test_no_ramp_is_longer_than_the_run(dataset):
    """Not even that of a dataset's recipe where pretrained networks have fewer steps."""
    pretrained = {"network": "keras:MobileNetV3Small", "network_weights": __file__}
    starts = ({}, {**pretrained, "train": "head"}, {**pretrained, "train": "all"})
    for method in METHODS.keys() - set(SELF_SUPERVISED):
        counted = {f.name for f in fields(METHODS[method]) if f.metadata["share_of_steps"]}
        for start in starts:
            made = config.make({"dataset": dataset, "method": method, **start}).flat()
            longer = {name for name in counted & made.keys() if made[name] > made["steps"]}
            assert not longer, (method, start)


@pytest.mark.parametrize(
    ("method", "name", "share"),
    [("mean_teacher", "ramp_steps", 1.0), ("mpl", "uda_ramp_steps", 600 / 1600)],
)
def test_ramps_of_a_dataset_keep_their_share_with_pretrained_networks(method, name, share):
    network = {"network": "keras:MobileNetV3Small", "network_weights": __file__}
    for settings in ({"train": "head"}, {"train": "all"}, {"train": "head", "steps": 40}):
        settings |= {"dataset": "fashion_mnist", "method": method, **network}
        made = config.make(settings).flat()
        assert made[name] == share * made["steps"]


@pytest.mark.parametrize("head", ["mlp_128", "spinal"])
def test_deeper_heads_have_rates_of_their_own(head):
    network = {"network": "keras:MobileNetV3Small", "network_weights": __file__, "train": "head"}
    for method, rates in DEEPER_HEAD_OF.items():
        settings = {"dataset": "fashion_mnist", "method": method, **network}
        linear, deeper = (
            config.make(settings | {"head": each}).flat() for each in ("linear", head)
        )
        assert rates.items() <= deeper.items()
        differ = {name for name in deeper if deeper[name] != linear[name]}
        assert differ == {"head", *rates}
        set_by_hand = config.make(settings | {"head": head, "student_learning_rate": 0.5})
        assert set_by_hand.optimizer.student_learning_rate == 0.5


# Pham et al. 2021, appendix, column by column; what is blank there is not here.
PAPER = {
    "cifar10": {
        "num_labeled": 4000, "network": "wide_resnet_28_2", "labeled_batch": 128,
        "unlabeled_ratio": 7, "steps": 300_000, "student_learning_rate": 0.1,
        "student_wait_steps": 3000, "student_warmup_steps": 5000, "teacher_learning_rate": 0.1,
        "teacher_warmup_steps": 5000, "label_smoothing": 0.15, "weight_decay": 5e-4,
        "dropout": 0.2, "ema_decay": 0.995, "uda_temperature": 0.7, "uda_threshold": 0.6,
        "uda_weight": 8.0, "uda_ramp_steps": 5000, "clip_norm": 0.0, "randaugment_layers": 2,
        "randaugment_magnitude": 16.0, "finetune_learning_rate": 1e-5, "finetune_batch": 512,
        "finetune_steps": 1000, "momentum": 0.9,
    },
    "svhn_cropped": {
        "num_labeled": 1000, "network": "wide_resnet_28_2", "finetune_learning_rate": 1e-5,
        "finetune_batch": 512, "finetune_steps": 1000,
    },
    "imagenet2012": {
        "num_labeled": 128_000, "image_size": 224, "network": "keras:ResNet50",
        "labeled_batch": 1024, "unlabeled_ratio": 15, "steps": 700_000,
        "student_learning_rate": 0.1, "student_wait_steps": 20_000, "student_warmup_steps": 5000,
        "teacher_learning_rate": 0.15, "teacher_warmup_steps": 5000, "label_smoothing": 0.1,
        "weight_decay": 1e-4, "dropout": 0.1, "ema_decay": 0.999, "uda_temperature": 0.5,
        "uda_threshold": 0.6, "uda_weight": 20.0, "uda_ramp_steps": 50_000, "clip_norm": 5.0,
        "randaugment_layers": 2, "randaugment_magnitude": 17.0, "finetune_learning_rate": 1e-5,
        "finetune_batch": 512, "finetune_steps": 2000,
    },
}  # fmt: skip


@pytest.mark.parametrize("dataset", PAPER)
def test_recipes_are_the_papers(dataset):
    made = config.make({"dataset": dataset}).flat()
    assert {name: made[name] for name in PAPER[dataset]} == PAPER[dataset]
