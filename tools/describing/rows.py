"""What a network is, and what a step with it costs in each way to take it, as JSON has it."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import keras

from describing.images import Subject
from mpl_tf import config
from mpl_tf.config import Config
from mpl_tf.methods import METHODS
from mpl_tf.networks import stage_passes
from mpl_tf.networks.liveness import Step, over_time
from mpl_tf.networks.passes import Passes
from mpl_tf.networks.programs import Amount, Operation, steps
from mpl_tf.networks.unallocated import unallocated
from mpl_tf.options import ConfigError
from mpl_tf.runs import building, stage_costs, stand_in, step_costs

# What is compared unless it is set.
PRECISIONS = ("float32", "bfloat16")
_MICROBATCHES = 4
_WORDS = {
    stand_in.FORWARD: "forward",
    stand_in.BACKWARD: "backward",
    stand_in.TO_IMAGES: "backward to images",
    stand_in.TWICE: "twice backward",
}
_SMALL = 64 * 2**20  # bytes below which single pieces of memory matter
Shape = tuple[int, int, int]


def describe(
    settings: Mapping[str, Any],
    explicit: Mapping[str, Any],
    subject: Subject,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """A network, and a step of a method with it in each way to take one.

    Args:
      settings: option name -> value, of the options of a run that are set.
      explicit: those that somebody set; what else is in `settings`, the tool sets.
      subject: the images.
      progress: is told what is being counted: the largest networks take minutes.

    Returns:
      What json.dumps takes; the docstring of tools/describe.py says what is in it.

    Raises:
      ConfigError: the options cannot be used, the network cannot be counted, or not all of its
        weights are trained.
    """
    shape, num_classes, assumed = subject
    passes: dict[str, dict[str, Passes]] = {}
    taken = []
    for made in ways(settings):
        precision = made.compute.precision
        built = functools.partial(_built, made, num_classes, shape)
        if precision not in passes:
            passes[precision] = built(Passes)
        progress(f"Counting a step of {made.run.method}: {words(made)} ...")
        step = _of_step(made, num_classes, shape, passes[precision])
        count = made.compute.stages
        if count > 1:
            divided = built(lambda network, count=count: stage_passes.of_network(network, count))
            step |= _of_stages(stage_costs.of_step(made, num_classes, shape, divided))
        taken.append(step | {"caveats": _caveats(step)})
    views = METHODS[made.run.method].unlabeled_views
    sizes = ("labeled_batch", "unlabeled_ratio") if views else ("labeled_batch",)
    students = {precision: of_roles["student"] for precision, of_roles in passes.items()}
    return {
        "network": made.run.network,
        "networks": {role: building.name_of(made, role) for role in _roles(made)},
        "dataset": made.run.dataset,
        "image_shape": list(shape),
        "num_classes": num_classes,
        "assumed": list(assumed),
        **_of_network(next(iter(students.values()))),
        "activation_bytes": {name: _activations(each) for name, each in students.items()},
        "method": made.run.method,
        "labeled_batch": made.run.labeled_batch,
        "defaults": {n: getattr(made.run, n) for n in sizes if n not in explicit},
        "unlabeled_batch": made.run.labeled_batch * made.run.unlabeled_ratio if views else 0,
        "steps": taken,
    }


def words(made: Config) -> str:
    """A way to take a step, as its options are written."""
    compute = made.compute
    parts = [compute.precision]
    if compute.stages > 1:
        parts.append(f"stages={compute.stages}")
    elif compute.recompute:
        parts.append("recompute")
    if compute.accumulate_steps > 1:
        parts.append(f"accumulate_steps={compute.accumulate_steps}")
    return ", ".join(parts)


def ways(settings: Mapping[str, Any]) -> list[Config]:
    """The configurations that are compared: one for each way to take a step.

    Precision, and recomputation or accumulation, are varied unless they are set; with stages, which
    recompute anyway, precision alone.

    Args:
      settings: option name -> value, of the options of a run that are set.

    Raises:
      ConfigError: they cannot be used, or not all weights are trained.
    """
    made = config.make(settings)
    if made.network.train != "all":
        raise ConfigError(
            "a training of all weights is counted: set --train=all; received "
            f"train={made.network.train}."
        )
    precisions = (made.compute.precision,) if "precision" in settings else PRECISIONS
    memory: list[dict[str, Any]] = [{}]
    if made.compute.stages == 1 and not settings.keys() & {"recompute", "accumulate_steps"}:
        memory.append({"recompute": True})
        parts = [n for n in range(2, _MICROBATCHES + 1) if made.run.labeled_batch % n == 0]
        memory += [{"accumulate_steps": n} for n in parts[-1:]]
    return [
        config.make({**settings, "precision": name, **each})
        for name in precisions
        for each in memory
    ]


def _roles(made: Config) -> list[str]:
    """Those of "student" and "teacher" that learn in a method."""
    return sorted(n.removesuffix("_optimizer") for n in METHODS[made.run.method].optimizers)


def _built(
    made: Config, num_classes: int, image_shape: Shape, of_network: Callable[[keras.Model], Any]
) -> dict[str, Any]:
    """Role -> what is made of its network; networks of one name are built once."""
    by_name: dict[str, Any] = {}
    by_role = {}
    for role in _roles(made):
        name = building.name_of(made, role)
        if name not in by_name:
            with unallocated():
                network = building.network(made, num_classes, image_shape, role)
            by_name[name] = of_network(network)
        by_role[role] = by_name[name]
    return by_role


def _of_network(passes: Passes) -> dict[str, Any]:
    return {
        "trainable_parameters": passes.trainable,
        "other_values": passes.other,
        "multiply_adds": sum(each.multiply_adds.of(1) for each in passes.inference),
    }


def _activations(passes: Passes) -> dict[str, int]:
    """Bytes an image: the most in use, and what a pass forward keeps for its gradient.

    Of what grows with the images alone: weights that are cast, or standardised, are left out.
    """
    forward, backward, _ = passes.training.operations
    kept = over_time(_of_images([*forward, *backward]))[len(forward) - 1]
    return {"inference": max(over_time(_of_images(passes.inference))), "kept": kept}


def _of_images(operations: Iterable[Operation]) -> list[Step]:
    """The steps of a program, with what one image more takes."""
    growing = (
        each._replace(bytes=tuple(Amount(size.per_image) for size in each.bytes))
        for each in operations
    )
    return steps(growing, 1)


def _of_step(
    made: Config, num_classes: int, image_shape: Shape, passes: Mapping[str, Passes]
) -> dict[str, Any]:
    compute = made.compute
    if compute.stages > 1:  # what they compute: all passes twice, as with recompute on one device
        on_one = dataclasses.replace(compute, stages=1, recompute=True)
        made = dataclasses.replace(made, compute=on_one)
    costs = step_costs.of_step(made, num_classes, image_shape, passes)
    return {
        "precision": compute.precision,
        "recompute": made.compute.recompute,
        "accumulate_steps": compute.accumulate_steps,
        "passes": [
            {"network": role, "pass": _WORDS[mark], "images": images}
            for (role, mark), images in costs.passes.items()
        ],
        "multiply_adds": costs.multiply_adds,
        "variable_bytes": costs.variables,
        "batch_bytes": costs.batch,
        "working_bytes": costs.working,
        "peak_bytes": costs.peak,
        "passes_wait": costs.passes_wait,
        "stages": [],
    }


def _caveats(step: Mapping[str, Any]) -> list[str]:
    """What is known to be farther off than 15% in a step on one device, or was never measured."""
    if step["stages"]:
        return ["what devices need for stages was measured on none."]
    caveats = []
    if not step["passes_wait"]:
        caveats.append(
            "not all passes wait for those before. TensorFlow runs them in an order of its own, "
            "another one in each run; 0.7 to 0.95 of this peak was measured. --recompute and "
            "--accumulate_steps put them in order."
        )
    if step["accumulate_steps"] > 1:
        caveats.append("microbatches overlap a little; 0.95 to 1.35 of this peak was measured.")
    if step["peak_bytes"] < _SMALL:
        caveats.append(
            "a peak of less than 64 MiB depends on what pieces of memory are free; 0.8 to 1.2 of "
            "it was measured."
        )
    return caveats


def _of_stages(devices: Sequence[stage_costs.StageCosts]) -> dict[str, Any]:
    """What a device needs of each; the peak of the step is that of the one that needs most."""
    return {
        "stages": [
            {
                "trainable_parameters": each.parameters,
                "multiply_adds": each.multiply_adds,
                "variable_bytes": each.variables,
                "batch_bytes": each.batch,
                "kept_bytes": each.kept,
                "working_bytes": each.working,
                "peak_bytes": each.peak,
            }
            for each in devices
        ]
    }
