"""Networks, optimizers and the compiled method of a run."""

import dataclasses
import zlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpl_tf import config, networks
from mpl_tf.engine import devices
from mpl_tf.engine.label_training import LabelTraining
from mpl_tf.engine.lars import LARS
from mpl_tf.engine.method import Method
from mpl_tf.formulas import schedules
from mpl_tf.methods import METHODS
from mpl_tf.networks import parts
from mpl_tf.runs import footprint


def derived_seed(seed: int, purpose: str) -> int:
    """An independent seed in [0, 2**31) for one purpose of a run's seed."""
    key = np.random.SeedSequence([seed, zlib.crc32(purpose.encode())])
    return int(key.generate_state(1)[0] >> 1)


def name_of(settings: config.Config, role: str) -> str:
    """The name of the network of a role, "teacher" or "student"."""
    return (role == "teacher" and settings.run.teacher_network) or settings.run.network


def network(
    settings: config.Config,
    num_classes: int,
    image_shape: tuple[int, int, int],
    role: str,
    replicas: int = 1,
) -> keras.Model:
    """A freshly initialised network of a run, which gives logits.

    Args:
      settings: of the run.
      num_classes: at least 2.
      image_shape: (height, width, channels).
      role: "teacher" or "student".
      replicas: with several, batch statistics are taken over all of them.

    Raises:
      ConfigError: there is no such network, or it does not take such images.
    """
    run = settings.run
    name = name_of(settings, role)
    options = settings.network
    made_of: dict[str, Any] = {}
    if networks.has_parts(name):
        made_of = {"head": options.head, "head_temperature": options.head_temperature}
    if networks.takes_stem(name):
        made_of["stem"] = options.stem
    if networks.takes_drop_block(name) and options.drop_block:
        made_of["drop_block"] = options.drop_block
        made_of["drop_block_size"] = options.drop_block_size
        # Each microbatch is a pass.
        made_of["drop_block_steps"] = run.steps * settings.compute.accumulate_steps
    if networks.brings_head(name):
        made_of["keep_head"] = options.head_init != "new"
    if networks.takes_weights(name):
        made_of["weights"] = options.network_weights
    with networks.precision(settings.compute.precision):
        made = networks.find(name)(
            num_classes,
            image_shape,
            seed=derived_seed(run.seed, role),
            dropout=run.dropout,
            synchronized=replicas > 1,
            **made_of,
        )
        if networks.is_pretrained(name, options.network_weights):
            networks.set_trained(
                made,
                options.train,
                batch_norm=options.batch_norm == "trained",
                seed=derived_seed(run.seed, f"lora of {role}"),
            )
    return made


def build_method(
    settings: config.Config,
    num_classes: int,
    image_shape: tuple[int, int, int],
    num_unlabeled: int,
    strategy: tf.distribute.Strategy | None = None,
    make_network: Callable[..., keras.Model] = network,
) -> tuple[Method, keras.Model | None]:
    """The compiled method of a run, with fresh networks and optimizers.

    Args:
      settings: of the run.
      num_classes: at least 2.
      image_shape: (height, width, channels).
      num_unlabeled: images in the unlabeled pool; methods that remember each of them need it.
      strategy: None is the one for a single device.
      make_network: what makes the networks; takes what `network` takes.

    Returns:
      (method, backbone): if features are cached, the method's networks are heads, and the backbone
      is what makes features of images; else it is None.

    Raises:
      ConfigError: the networks cannot be computed in the way that was asked for.
    """
    run, compute, rates = settings.run, settings.compute, settings.optimizer
    method_class, strategy = METHODS[run.method], strategy or devices.current_strategy()
    replicas = strategy.num_replicas_in_sync
    scale = run.labeled_batch / 256

    def optimizer(role):
        rate = getattr(rates, f"{role}_learning_rate")
        warmup = getattr(rates, f"{role}_warmup_steps")
        wait = rates.student_wait_steps if role == "student" else 0
        schedule = schedules.WarmupCosine(rate * scale, run.steps, wait=wait, warmup=warmup)
        if rates.optimizer == "lars":
            return LARS(
                schedule, rates.momentum, rates.momentum > 0, weight_decay=rates.weight_decay
            )
        return keras.optimizers.SGD(schedule, momentum=rates.momentum, nesterov=rates.momentum > 0)

    with strategy.scope():
        roles = [name.removesuffix("_optimizer") for name in method_class.optimizers]
        absent = ["teacher"] if settings.data.predictions else []
        built = {}
        for role in roles:
            if role in absent:
                continue
            with footprint.weights_fit(name_of(settings, role)):
                built[role] = make_network(settings, num_classes, image_shape, role, replicas)
        optimizers = {
            f"{role}_optimizer": None if role in absent else optimizer(role) for role in roles
        }
    options = settings.network
    starts: dict[str, Any] = {}
    learned = networks.is_pretrained(run.network, options.network_weights)
    if learned and options.train != "head" and rates.optimizer == "sgd":
        starts["backbone_rate"] = options.backbone_rate
    if options.student_init == "teacher" and method_class.joint_training:
        built["student"].set_weights(built["teacher"].get_weights())
    elif options.student_init == "teacher":
        starts["student_init"] = options.student_init
    backbone = None
    if settings.is_cached:
        backbone = parts.backbone(built["student"])
        built = {role: parts.head(whole) for role, whole in built.items()}
    arguments = dataclasses.asdict(settings.method)
    if method_class.needs_num_unlabeled():
        arguments["num_unlabeled"] = num_unlabeled
    arguments |= {**built, **dict.fromkeys(absent)}
    method = method_class(seed=derived_seed(run.seed, "method"), strategy=strategy, **arguments)
    method.compile(
        **optimizers,
        weight_decay=0.0 if rates.optimizer == "lars" else rates.weight_decay,  # which has its own
        clip_norm=rates.clip_norm or None,
        sam_rho=rates.sam_rho,
        sam_perturbation=rates.sam_perturbation,
        eval_image_size=settings.data.eval_image_size or None,
        jit_compile=compute.jit_compile,
        steps_per_execution=compute.steps_per_execution,
        accumulate_steps=compute.accumulate_steps,
        recompute=compute.recompute,
        stages=compute.stages,
        **starts,
    )
    return method, backbone


def finetuning_phase(settings: config.Config, method: Method) -> LabelTraining:
    """The compiled trainer of a run's last phase, on a copy of the method's `ema`."""
    with method.distribute_strategy.scope():
        optimizer = keras.optimizers.SGD(settings.optimizer.finetune_learning_rate)
    part = settings.run.finetune_part
    if part == "auto":
        part = "classifier" if settings.data.eval_image_size else "all"
    changes = {"weight_decay": 0.0}
    if part == "classifier":  # the batch normalisation of a backbone learns as its head does
        changes["backbone_rate"] = 1.0
    return method.finetuning_phase(optimizer, part, **(method.compile_arguments() | changes))
