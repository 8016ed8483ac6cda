"""How settings, recipes and defaults become a configuration, and which are refused."""

import dataclasses
import json
import os

import numpy as np
import pytest

from mpl_tf import config, options
from mpl_tf.config.recipes import RECIPES
from mpl_tf.data import DATASETS
from mpl_tf.data.options import DataConfig
from mpl_tf.images import decode
from mpl_tf.methods import METHODS

PARTS = (
    config.RunConfig,
    config.NetworkConfig,
    DataConfig,
    config.ComputeConfig,
    config.OptimizerConfig,
)


def test_a_setting_is_never_changed():
    """Not even where a default of the same size would give way, or a method leaves it out."""
    settings = {
        "steps": 50,
        "student_wait_steps": 30,
        "uda_ramp_steps": 45,
        "eval_every": 80,
        "num_labeled": 20,
        "labeled_batch": 30,
        "finetune_batch": 40,
    }
    assert settings.items() <= config.make(settings).flat().items()
    assert METHODS["mean_teacher"].defaults["finetune_steps"] == 0
    assert config.make({"method": "mean_teacher", "finetune_steps": 3}).run.finetune_steps == 3


def test_a_recipe_comes_before_a_methods_default_and_that_before_an_options(monkeypatch):
    recipe = RECIPES["digits"]
    defaults = {"momentum": 0.5, "student_learning_rate": 0.12, "finetune_steps": 0, "flip": False}
    monkeypatch.setattr(METHODS["supervised"], "defaults", defaults)
    monkeypatch.setitem(recipe, "flip", True)
    made = config.make({"method": "supervised"}).flat()
    assert made["student_learning_rate"] == recipe["student_learning_rate"] != 0.12
    assert made["momentum"] == 0.5 != config.OptimizerConfig().momentum
    assert made["weight_decay"] == config.OptimizerConfig().weight_decay
    # Unless the method's default is 0 or False.
    assert made["finetune_steps"] == 0 < recipe["finetune_steps"]
    assert made["flip"] is False


def test_what_is_not_set_gives_way_in_a_small_run():
    short = config.make({"steps": 50})
    assert short.optimizer.student_wait_steps == 5
    assert short.method.uda_ramp_steps == 5
    assert short.run.eval_every == 50
    few = config.make({"num_labeled": 20})
    assert few.run.labeled_batch == 20
    assert few.optimizer.finetune_batch == 20


@pytest.mark.parametrize(("steps", "ramp_steps"), [(800, 400), (50, 25), (4000, 400), (1, 0)])
def test_a_number_of_steps_keeps_the_share_that_the_recipe_gives_it(steps, ramp_steps):
    """On digits 400 of 800, which is more than the tenth of `share_of_steps`."""
    made = config.make({"method": "mean_teacher", "steps": steps})
    assert made.method.ramp_steps == ramp_steps


def test_steps_that_a_method_has_no_use_for_are_0():
    made = config.make({"method": "supervised"})
    assert made.optimizer.student_wait_steps == made.optimizer.teacher_warmup_steps == 0


def test_batches_that_are_set_are_not_fitted_but_refused():
    source = DATASETS["digits"].load()
    with pytest.raises(options.ConfigError, match="at most num_labeled=20; received 30"):
        config.check_data(config.make({"num_labeled": 20, "labeled_batch": 30}), source)


def test_defaults_of_methods_are_options_that_apply_to_them():
    for name, method in METHODS.items():
        hyperparameters = {f.name for f in dataclasses.fields(method.Config)}
        for option in method.defaults:
            assert config.applies(option, name) and option not in hyperparameters, (name, option)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dataset": "moon"}, "'moon'"),
        ({"dataset": "cifar_10"}, "received 'cifar_10'. Did you mean cifar10"),
        ({"dataset": "fodler:x"}, "Did you mean folder:PATH?"),
        ({"method": "flexmach"}, "received 'flexmach'. Did you mean flexmatch or fixmatch?"),
        ({"network": "keras:resnet51"}, "Did you mean ResNet50"),
        ({"network": "smal_16"}, "Did you mean small"),
        ({"step": 3}, "no use for step. Did you mean steps"),
        (
            {"method": "linear_probe", "network": "keras:VGG16", "head": "mlp_16"},
            "head is linear with method=linear_probe, and nothing else; received mlp_16",
        ),
        (
            {"method": "linear_probe", "dropout": 0.5},
            "dropout is 0.0 with method=linear_probe, and nothing else; received 0.5",
        ),
        (
            {"method": "linear_probe", "network": "resnet_18", "drop_block": 0.1},
            "drop_block is 0.0 with method=linear_probe",
        ),
        (
            {"method": "magic"},
            f"method must be one of {', '.join(sorted(METHODS))}; received 'magic'",
        ),
        ({"network": "vgg"}, "'vgg'"),
        ({"feedback": "up"}, "feedback must be one of dot, exact, none, sampled"),
        ({"network": "wide_resnet_27_2"}, "6n + 4"),
        ({"network_weights": "w.h5"}, "received network=small"),
        ({"head": "mlp"}, "head must be linear; mlp_WIDTH: a hidden layer"),
        ({"head": "mlp_64"}, "head=mlp_64 is for networks of a backbone and a head, which all "),
        ({"stem": "tiny"}, "stem must be one of auto, large, small; received 'tiny'"),
        (
            {"stem": "small"},
            "stem=small is for networks with a stem for small images and another for large ones: "
            "resnet_DEPTH, ",
        ),
        (
            {"head_temperature": 0.5},
            "head_temperature=0.5 is for networks of a backbone and a head",
        ),
        (
            {"network": "keras:VGG16", "head_temperature": 0.0},
            "head_temperature must be at most 1,000 and greater than 0; received 0.0",
        ),
        ({"head_init": "zeros"}, "head_init must be one of new, probe, seed; received 'zeros'"),
        ({"head_init": "probe"}, "head_init=probe is for networks that start from learned weights"),
        (
            {"network": "keras:VGG16", "head_init": "probe"},
            "head_init=probe is for networks that start from learned weights: keras:NAME with --n",
        ),
        ({"train": "most"}, "train must be all; head; last_N, the head and"),
        ({"train": "head"}, "train=head is for networks that start from learned weights: keras:"),
        (
            {"network": "keras:VGG16", "train": "lora_4"},
            "train=lora_4 is for networks that start from learned weights: keras:NAME with --netw",
        ),
        ({"batch_norm": "frozen"}, "batch_norm=frozen is for networks that start from learned"),
        ({"backbone_rate": 0.5}, "backbone_rate=0.5 is for networks that start from learned"),
        ({"backbone_rate": 0.0}, "backbone_rate must be at most 1,000 and greater than 0; rec"),
        ({"student_init": "teacher", "method": "fixmatch"}, "fixmatch has no use for student_init"),
        (
            {"student_init": "teacher", "teacher_network": "small_16"},
            "student_init=teacher is for a student of the teacher's layers; received network=small",
        ),
        ({"network": "file:no.keras"}, f"network=file:{os.path.abspath('no.keras')} is no file"),
        (
            {"network": "file:no.tar"},
            f"ending in .keras or .h5; received '{os.path.abspath('no.tar')}'",
        ),
        (
            {"network": "keras:ResNet50", "network_weights": "no.h5"},
            f"must be imagenet or a file; {os.path.abspath('no.h5')} is no file",
        ),
        ({"strong": "loud"}, "strong must be one of affine, autoaugment"),
        ({"split_file": "/no/file"}, "split_file /no/file cannot be read"),
        ({"strategy": "horovod"}, "strategy must be one of auto, cpu, gpu, mirrored"),
        ({"strategy": "mirrored:2"}, "or tpu:NAME; received 'mirrored:2'"),
        ({"strategy": "tpu:"}, "received 'tpu:'"),
        ({"strategy": "tpu", "precision": "float16"}, "precision=float16 does not work on TPUs"),
        ({"strategy": "tpu", "jit_compile": True}, "TPUs compile every step anyway"),
        ({"jit_compile": True, "deterministic": True}, "exclude each other"),
        ({"stages": 2, "jit_compile": True}, "XLA compiles a step for one device, and stages=2"),
        ({"stages": 2, "strategy": "mirrored"}, "auto, cpu or gpu; received strategy=mirrored."),
        ({"stages": 2, "strategy": "tpu:a"}, "auto, cpu or gpu; received strategy=tpu:a."),
        ({"stages": 0}, "stages must be at least 1 and at most 1,024; received 0"),
        (
            {"steps": 100, "eval_every": 50, "log_every": 5, "steps_per_execution": 25},
            "multiples of steps_per_execution=25: log_every=5.",
        ),
        ({"precision": "float64"}, "precision must be one of bfloat16, float16, float32"),
        ({"steps": 0}, "steps must be at least 1; received 0"),
        ({"steps": 10**20}, "steps must be at most 100,000,000; received 100000000000000000000."),
        ({"randaugment_layers": 1000, "strong": "randaugment"}, "be at least 1 and at most 32"),
        ({"method": "noisy_student", "rounds": 1000}, "rounds must be at least 1 and at most 20"),
        (
            {"method": "remixmatch", "strong_views": 1000},
            "strong_views must be at least 1 and at most 64",
        ),
        (
            {"method": "vat", "power_iterations": 3000},
            "power_iterations must be at least 1 and at most 100",
        ),
        ({"weight_decay": 1e30}, "weight_decay must be at most 100,000,000.0"),
        ({"image_size": 1}, "image_size must be 0, or at least 4 and at most 4,096; received 1"),
        ({"image_size": 100_000}, "at most 4,096; received 100000"),
        (
            {"cutout": 0.3},
            "cutout has no effect beside strong=affine; it has with strong one of randaugment, "
            "autoaugment, keras_cv. Leave it out, or set strong, too.",
        ),
        ({"strong": "none", "randaugment_layers": 3}, "no effect beside strong=none"),
        ({"eval_image_size": 2}, "eval_image_size must be 0, or at least 4 and at most 4,096; rec"),
        ({"finetune_part": "head"}, "finetune_part must be one of all, auto, classifier; received"),
        (
            {"finetune_steps": 0, "finetune_part": "classifier"},
            "finetune_part has no effect beside finetune_steps=0; it has with finetune_steps above",
        ),
        ({"finetune_steps": 0, "finetune_weak": "crop"}, "no effect beside finetune_steps=0"),
        ({"strong": "autoaugment", "randaugment_magnitude": 5.0}, "beside strong=autoaugment"),
        ({"strong": "keras_cv", "autoaugment_policy": "svhn"}, "beside strong=keras_cv"),
        ({"feedback": "none", "feedback_weight": 2.0}, "no effect beside feedback=none"),
        ({"feedback": "exact", "baseline_decay": 0.5}, "no effect beside feedback=exact"),
        (
            {"finetune_steps": 0, "finetune_batch": 40},
            "finetune_batch has no effect beside finetune_steps=0; it has with finetune_steps ab",
        ),
        ({"method": "uda", "finetune_learning_rate": 0.1}, "no effect beside finetune_steps=0"),
        ({"steps": -3}, "steps must be at least 1; received -3"),
        ({"steps": 2.5}, "steps must be of type int; received 2.5"),
        ({"steps": True}, "steps must be of type int"),
        ({"labeled_batch": 0}, "labeled_batch must be at least 1"),
        ({"unlabeled_ratio": 0}, "unlabeled_ratio must be at least 1"),
        ({"eval_every": 0}, "eval_every must be at least 1"),
        ({"momentum": 1.0}, "momentum must be at least 0 and less than 1"),
        ({"ema_decay": 1.0}, "ema_decay must be at least 0 and less than 1"),
        ({"uda_temperature": 0}, "uda_temperature must be greater than 0"),
        ({"weight_decay": float("inf")}, "weight_decay must be finite"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"steps": 100, "student_wait_steps": 100}, "must be less than steps=100"),
        ({"steps": 100, "teacher_warmup_steps": 200}, "teacher_warmup_steps must be less"),
        ({"method": "supervised", "feedback": "dot"}, "method=supervised has no use for feedback"),
        ({"method": "supervised", "unlabeled_ratio": 3}, "has no use for unlabeled_ratio"),
        ({"stepz": 3}, "no use for stepz"),
    ],
)
def test_wrong_settings_are_refused_in_words(settings, message):
    with pytest.raises(options.ConfigError) as error:
        config.make(settings)
    assert message in str(error.value)


def test_a_setting_beside_which_others_count_may_come_with_them():
    settings = {"strong": "randaugment", "cutout": 0.3, "randaugment_layers": 3}
    assert settings.items() <= config.make(settings).flat().items()
    config.make({"cutout": 0.0})  # what it is anyway
    config.make({"finetune_steps": 0, "finetune_batch": 50, "num_labeled": 50})  # fitted to these


@pytest.mark.parametrize(("size", "side"), [(0, 8), (8, 8), (5, 5), (12, 12)])
def test_digits_come_in_any_size(size, side):
    source = DATASETS["digits"].load(config.make({"image_size": size}).data)
    assert source.train.shape == source.test.shape == (side, side, 1)
    plain = DATASETS["digits"].load()
    for read, image in zip(source.test.images[:3], plain.test.images[:3], strict=True):
        np.testing.assert_array_equal(read, decode.fit(image, side))
    for part in ("train", "test"):  # the same images, whatever their size
        assert not getattr(plain, part).contents().differences(getattr(source, part).contents())


def test_all_faults_are_named_at_once():
    with pytest.raises(options.ConfigError, match=r"seed.*steps|steps.*seed"):
        config.make({"steps": 0, "seed": -1})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"num_labeled": 5},
            "multiple of the 10 classes of digits, from 10 to 1040 (without the 200",
        ),
        ({"num_labeled": 55}, "multiple of the 10 classes"),
        ({"num_labeled": 2000}, "of num_validation), or 0 for all; received 2000"),
        ({"labeled_batch": 51}, "labeled_batch must be at most num_labeled=50; received 51"),
        ({"finetune_batch": 60}, "finetune_batch must be at most num_labeled=50"),
        (
            {"labeled_batch": 32, "unlabeled_ratio": 40},
            "at most the 1047 unlabeled images; received 32 * 40. --labeled_batch=32 "
            "--unlabeled_ratio=32 would do, or leave one of them out.",
        ),
    ],
)
def test_sizes_that_do_not_fit_the_data_are_refused(settings, message):
    source = DATASETS["digits"].load()
    with pytest.raises(options.ConfigError) as error:
        config.check_data(config.make(settings), source)
    assert message in str(error.value)


def test_a_split_file_may_name_any_number_of_each_class(tmp_path):
    source = DATASETS["digits"].load()
    ids = source.train.ids.tolist()
    path = tmp_path / "split.json"
    path.write_text(json.dumps({"labeled": ids[13:34], "validation": ids[:13]}))
    made = config.make({"split_file": str(path), "labeled_batch": 7, "finetune_batch": 7})
    assert (made.data.num_labeled, made.data.num_validation) == (21, 13)
    config.check_data(made, source)


def test_a_batch_of_finetuning_counts_where_there_is_finetuning_alone():
    source = DATASETS["digits"].load()
    made = config.make({"finetune_batch": 61, "finetune_steps": 4, "accumulate_steps": 2})
    without = dataclasses.replace(made, run=dataclasses.replace(made.run, finetune_steps=0))
    config.check_data(without, source)
    config.check_replicas(without, 1)
    with pytest.raises(options.ConfigError, match="finetune_batch must be at most"):
        config.check_data(made, source)
    with pytest.raises(options.ConfigError, match="finetune_batch=61"):
        config.check_replicas(made, 1)


def test_the_largest_number_of_labels_stated_is_possible():
    from mpl_tf.data import splits

    assert len(splits.split(DATASETS["digits"].load(), 1040, 200, seed=0).labeled) == 1040


def _fields(part):
    return dataclasses.fields(part)


def test_every_option_has_a_help_text_that_is_a_sentence():
    parts = [*PARTS, *(m.Config for m in METHODS.values())]
    for field in (f for part in parts for f in _fields(part)):
        assert field.metadata["help"].endswith("."), field.name


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_configuration_rebuilds_itself(method):
    made = config.make({"method": method, "steps": 77})
    assert config.make(made.flat()) == made
    assert config.Config.from_flat(made.flat()).flat() == made.flat()


def test_a_configuration_comes_back_where_its_data_is_gone():
    flat = config.make({}).flat() | {"dataset": "folder:/no/such/folder", "of_another_version": 1}
    assert config.Config.from_flat(flat).run.dataset == "folder:/no/such/folder"
    with pytest.raises(options.ConfigError, match=r"method must be one of .* received magic"):
        config.Config.from_flat({"method": "magic"})


def test_batches_that_replicas_cannot_share_are_refused():
    made = config.make({"labeled_batch": 10, "finetune_batch": 12, "accumulate_steps": 2})
    config.check_replicas(made, 1)
    with pytest.raises(options.ConfigError, match=r"4 equal parts \(2 replicas times .*batch=10"):
        config.check_replicas(made, 2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train": "head", "batch_norm": "trained"}, "batch_norm=trained has no effect beside tra"),
        (
            {"head_init": "probe", "head": "mlp_8"},
            "head_init=probe is for head=linear, .* head=mlp_8",
        ),
        ({"train": "head", "backbone_rate": 0.5}, "backbone_rate=0.5 has no effect beside train="),
        *(
            (
                {"method": "linear_probe", "train": train},
                f"train={train} has no effect beside method=linear_probe, which trains the last",
            )
            for train in ("last_2", "lora_4")
        ),
        *(
            (
                {"method": "linear_probe", name: value},
                f"{name}={value} has no effect beside method=linear_probe, which leaves",
            )
            for name, value in (("batch_norm", "trained"), ("backbone_rate", 0.5))
        ),
        ({"train": "head", "eval_image_size": 40}, r"eval_image_size=40 is for .*--features=off\."),
        ({"train": "head", "finetune_weak": "none"}, "finetune_weak=none is for networks that see"),
        (
            {"teacher_network": "keras:VGG16"},
            "must all start from learned weights, or none; .* of which keras:VGG16 does not",
        ),
    ],
)
def test_options_of_networks_in_files_that_have_no_effect_are_refused(settings, message, tmp_path):
    path = tmp_path / "model.keras"
    path.write_text("looked at when it is read")
    with pytest.raises(options.ConfigError, match=message):
        config.make({"network": f"file:{path}", **settings})
    for train in ("all", "head"):
        config.make({"network": f"file:{path}", "train": train, "method": "linear_probe"})
    made = config.make({"network": f"file:{path}", "train": "head"})
    assert (made.network.train, made.network.backbone_rate) == ("head", 0.01)
