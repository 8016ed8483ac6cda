"""Networks divided over devices: each stage on its own, and microbatches that flow through them.

    device 2              F0 F1 F2 B2 B1 B0
    device 1           F0 F1 F2       B2 B1 B0
    device 0        F0 F1 F2             B2 B1 B0        time ->

A device computes one pass (F forward, B backward) of a microbatch through its stage at a time, in
the order in which they are written, and begins it once its inputs are there: TensorFlow's executor
then has several devices work at once. Of a pass forward only the inputs of the stage are kept; its
gradient computes it anew. Huang et al. 2019 (GPipe), arXiv 1811.06965.

Gradients are functions of the same form, on the same device, and so can be differentiated.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import keras
import tensorflow as tf

from mpl_tf.engine import devices
from mpl_tf.engine.batch_statistics import averaging
from mpl_tf.engine.turns import Tensors, Turns, in_turn
from mpl_tf.networks.stages import Stage, split
from mpl_tf.options import ConfigError


class Pipeline:
    """The stages of networks, and the devices that they are on.

    Args:
      devices: names of TensorFlow devices, one for each stage.
    """

    def __init__(self, devices: Sequence[str]):
        self.devices = tuple(devices)
        self._stages: dict[int, list[Stage]] = {}

    def place(self, network: keras.Model) -> None:
        """Divides a network, and moves its variables to the devices of their stages.

        Optimizers that are built afterwards have their slots there, too.

        Raises:
          ConfigError: it cannot be divided into as many stages.
        """
        stages = split(network, len(self.devices))
        self._stages[id(network)] = stages
        for stage, device in zip(stages, self.devices, strict=True):
            for variable in (*stage.trainable, *stage.state):
                _move(variable, device)

    def follow(self, network: keras.Model, placed: keras.Model) -> None:
        """Has `evaluated` take a network of the layers of one that is placed by its stages."""
        self._stages[id(network)] = self._stages[id(placed)]

    def holds(self, network: keras.Model) -> bool:
        """Whether a network is placed."""
        return id(network) in self._stages

    def check_holds(self, network: keras.Model, trainer: str) -> None:
        """Raises ConfigError unless a network, which `trainer` trains, is placed."""
        if not self.holds(network):
            raise ConfigError(
                f"{trainer} trains {network.name}, which is neither the teacher nor the student of "
                "its steps, and stages divide these alone. Leave stages out, or take "
                "accumulate_steps and recompute."
            )

    def __call__(
        self,
        network: keras.Model,
        weights: Tensors,
        state: Tensors,
        batches: Sequence[tf.Tensor],
        passes: tf.Tensor | None = None,
    ) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """Passes of microbatches in training mode, which can be differentiated twice.

        Args:
          network: one that is placed.
          weights: values for its trainable variables.
          state: values for its other variables; each microbatch has those that the one before
            leaves.
          batches: images [N_j,H,W,C].
          passes: for `batch_statistics.averaging`: the passes before the first.

        Returns:
          (logits [N_j, K] of each, the state that the last one leaves).
        """
        stages, turns = self._stages[id(network)], Turns()
        of_stages = [_select(network.trainable_variables, weights, s.trainable) for s in stages]
        states = [_select(network.non_trainable_variables, state, s.state) for s in stages]
        logits = []
        for number, images in enumerate(batches):
            tensors = [tf.cast(images, network.inputs[0].dtype)]
            last = number == len(batches) - 1
            with averaging(network, None if passes is None else passes + number):
                for place, (stage, device) in enumerate(zip(stages, self.devices, strict=True)):
                    tensors, of_stages[place], states[place] = _pass(
                        stage, device, turns, of_stages[place], states[place], tensors, last
                    )
            logits += tensors
        left = {
            id(variable): value
            for stage, values in zip(stages, states, strict=True)
            for variable, value in zip(stage.state, values, strict=True)
        }
        return logits, [left[id(variable)] for variable in network.non_trainable_variables]

    def evaluated(self, network: keras.Model, images: tf.Tensor) -> tf.Tensor:
        """Logits [N, K] of images [N,H,W,C] without training."""
        tensors = [tf.cast(images, network.inputs[0].dtype)]
        for stage, device in zip(self._stages[id(network)], self.devices, strict=True):
            with tf.device(device):
                weights, state = (
                    [tf.convert_to_tensor(v) for v in variables]
                    for variables in (stage.trainable, stage.state)
                )
                tensors, _ = stage(weights, state, tensors, training=False)
        return tensors[0]


def divided(
    networks: Mapping[str, keras.Model],
    stages: int,
    strategy: tf.distribute.Strategy,
    jit_compile: bool,
) -> Pipeline | None:
    """Networks in stages, their variables moved to the devices; None of one stage, the first.

    Args:
      networks: of a trainer, by role.
      stages: at least 1.
      strategy: of the trainer.
      jit_compile: whether XLA is to compile its steps.

    Raises:
      ConfigError: there are several replicas, XLA is to compile, there are fewer devices, or a
        network cannot be divided.
    """
    if stages > 1 and strategy.num_replicas_in_sync > 1:
        raise ConfigError(
            f"stages={stages} divides the networks of one replica over devices; received "
            f"{strategy.num_replicas_in_sync} replicas. Leave stages out, or take one replica."
        )
    if stages > 1 and jit_compile:
        raise ConfigError(
            f"XLA compiles a step for one device, and stages={stages} has it on several. Leave "
            "jit_compile or stages out."
        )
    pipeline = Pipeline(devices.of_stages(stages))
    for network in networks.values():
        pipeline.place(network)
    return pipeline if stages > 1 else None


def beside(variable: keras.Variable | tf.Variable) -> AbstractContextManager[Any]:
    """Operations inside are on the device of a variable."""
    return tf.device((variable.value if isinstance(variable, keras.Variable) else variable).device)


def update_beside(optimizer: keras.optimizers.Optimizer) -> None:
    """Has an optimizer of one replica compute each variable's update on the variable's device."""
    update = optimizer.update_step

    def update_step(gradient, variable, learning_rate):
        with beside(variable):
            update(gradient, variable, learning_rate)

    optimizer.update_step = update_step


def _move(variable: keras.Variable, device: str) -> None:
    """Has a variable live on a device."""
    with tf.init_scope(), tf.device(device):
        variable._initialize(tf.identity(variable.value))


def _select(variables, values, chosen):
    """The values of the chosen ones of variables."""
    of = dict(zip(map(id, variables), values, strict=True))
    return [of[id(variable)] for variable in chosen]


def _pass(
    stage: Stage,
    device: str,
    turns: Turns,
    weights: Tensors,
    state: Tensors,
    tensors: Tensors,
    last: bool,
) -> tuple[list[tf.Tensor], list[tf.Tensor], list[tf.Tensor]]:
    """The pass of a microbatch through a stage.

    Returns:
      (the tensors for the next stage, the weights and the state for the next microbatch). Through
      the weights gradients of microbatches are added up on the device, one after the other.
    """
    count, left = len(tensors), list[tf.Tensor]()

    def compute(*inputs):
        outputs, after = stage(inputs[count:], state, inputs[:count], training=True)
        if not left:  # later calls compute it anew
            pairs = zip(state, after, strict=True)
            left.extend(a if a is b else tf.stop_gradient(a) for b, a in pairs)
        return [*outputs, *([] if last else map(tf.identity, inputs[count:]))]

    written = len(stage.writes)
    outputs = in_turn(
        compute,
        [*tensors, *weights],
        device,
        turns,
        waiting=range(count),
        given=written,
        slowest=count,  # the weight of the first layer
    )
    return outputs[:written], outputs[written:], left
