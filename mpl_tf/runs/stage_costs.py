"""What one step of a method needs on each device of networks in stages, without taking it.

The method's own step is traced with stand-ins, as for one device (`step_costs`). Its weights, and
what it computes of them, are those of a stage; a pass is that of a microbatch through the stage.
"""

import dataclasses
from collections.abc import Mapping, Sequence

from mpl_tf import config
from mpl_tf.networks.allocation import Pieces
from mpl_tf.networks.liveness import over_time
from mpl_tf.networks.programs import Amount, Program, steps
from mpl_tf.networks.stage_passes import ONCE, StagePasses
from mpl_tf.networks.stage_passes import TWICE as ORDER_TWICE
from mpl_tf.runs import stand_in, step_costs
from mpl_tf.runs.stand_in import BACKWARD, FORWARD, TWICE


@dataclasses.dataclass(frozen=True)
class StageCosts:
    """The device of one stage.

    Attributes:
      parameters: trainable values of the stages of all networks.
      multiply_adds: of the student's stage forward, for an image.
      variables: bytes of their weights, averages, what optimizers keep, and batch statistics.
      batch: bytes of the images and labels that the step is handed, on the first device.
      kept: bytes of what has entered the stage, held until its gradient is computed.
      working: bytes of gradients and of all else beside them, where the step holds most.
    """

    parameters: int
    multiply_adds: int
    variables: int
    batch: int
    kept: int
    working: int

    @property
    def peak(self) -> int:
        """Bytes that are held where the step holds most."""
        return self.variables + self.batch + self.kept + self.working


def of_step(
    settings: config.Config,
    num_classes: int,
    image_shape: tuple[int, int, int],
    stages: Mapping[str, Sequence[StagePasses]],
) -> list[StageCosts]:
    """What a step of a run needs on each device.

    Of each network what enters a stage is counted as held for all images that are differentiated
    in the step, and the largest gradient of a microbatch beside the most that the step holds
    between passes: so the sum is too large where these do not meet.

    Args:
      settings: of the run, with as many stages.
      num_classes: K.
      image_shape: (height, width, channels).
      stages: role -> passes of the stages of its network.
    """
    whole = dataclasses.replace(settings.compute, stages=1, recompute=True)
    on_one = dataclasses.replace(settings, compute=whole)
    method, batch, marked = step_costs.traced(on_one, num_classes, image_shape)
    passes = _backward(marked, stages)
    batch_bytes = sum(spec.shape.num_elements() * spec.dtype.size for spec in batch.values())
    sizes = step_costs.sizes_of_variables(method)
    costs = []
    for place in range(settings.compute.stages):
        here = {role: of_role[place] for role, of_role in stages.items()}
        factors = {}
        for role, each in here.items():
            trainable, other = stand_in.SIZES[role]
            factors[trainable] = each.trainable / (trainable * stand_in.PARTS)
            factors[other] = each.other / other
        # What is no weight, such as images, is on the first device.
        scale = _Scale(factors, 0.0 if place else 1.0)
        kept = sum(here[role].taken * images for role, mark, images in passes if mark != TWICE)
        largest = max(
            (
                here[role].peak(ORDER_TWICE if mark == TWICE else ONCE, images)
                for role, mark, images in set(passes)
            ),
            default=0,
        )
        costs.append(
            StageCosts(
                parameters=sum(each.trainable for each in here.values()),
                multiply_adds=here["student"].multiply_adds,
                variables=sum(round(scale(n) * n * size) for n, size in sizes),
                batch=0 if place else batch_bytes,
                kept=kept,
                working=largest + _between(marked, scale),
            )
        )
    return costs


class _Scale:
    """By what a tensor of a stand-in is too small, known by its size."""

    def __init__(self, factors: Mapping[int, float], others: float):
        self._factors, self._others = factors, others

    def __call__(self, values: int) -> float:
        return next((f for size, f in self._factors.items() if values % size == 0), self._others)


def _backward(marked: Program, roles: Mapping[str, object]) -> list[tuple[str, str, int]]:
    """(role, mark, images of a microbatch) of each pass backward of a step."""
    role_of = {stand_in.SIZES[role][0]: role for role in roles}
    begun: dict[int, tuple[str, int]] = {}
    passes = []
    for each in marked.operations:
        mark = stand_in.mark_of(each.source)
        if mark == FORWARD:
            images, kernel, *_ = each.source.inputs
            begun[each.outputs[1]] = role_of[kernel.shape[0]], images.shape[0]
        elif mark is not None:
            role, images = begun[marked.number_of[id(each.source.inputs[0])]]
            passes.append((role, TWICE if mark == TWICE else BACKWARD, images))
    return passes


def _between(marked: Program, scale: _Scale) -> int:
    """Bytes that a step holds at most of what is no pass: gradients, weights between updates."""
    sequence = []
    for each in marked.operations:
        made = step_costs.made(each)
        sizes = [
            Amount(0, round(scale(tensor.shape.num_elements() or 1) * size.constant))
            for tensor, size in zip(made, each.bytes, strict=True)
        ]
        sequence.append(each._replace(bytes=tuple(sizes)))
    return max(over_time(steps(sequence, 0), memory=Pieces()), default=0)
