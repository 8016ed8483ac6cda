"""Work in turn: what begins after other work, on which device, and gradients that do likewise."""

import threading
from collections.abc import Callable, Sequence

import tensorflow as tf

Tensors = Sequence[tf.Tensor]


def run_after(tensors: Tensors, images: tf.Tensor) -> tf.Tensor:
    """`images`, available only when `tensors` are computed.

    The dependency goes through the numbers, because XLA and graph optimisers drop others; it also
    keeps them from seeing that a pass is computed twice.
    """
    if not tensors:
        return images
    probes = [tf.reduce_max(tf.reshape(t, [-1])[:1]) for t in tensors]
    probe = tf.add_n([tf.cast(p, tf.float32) for p in probes])
    zero = tf.where(tf.math.is_nan(probe), tf.ones_like(probe), tf.zeros_like(probe))
    return images + tf.cast(zero, images.dtype)


class Line(threading.local):
    """The passes of a step, one after the other, where a graph would have several at once.

    Passes that do not wait for each other's numbers would otherwise run side by side, and need
    memory at once. Each thread, and so each replica, has a line of its own in a graph.
    """

    def __init__(self) -> None:
        self._graph: tf.Graph | None = None
        self._last: Tensors = ()
        self._backward: list[object] = []

    def backward(self, of_pass: object) -> None:
        """A pass begins to go backward.

        A second time it does not wait: what it gave the first time, with all before it, may be for
        nothing, and would be computed for the order alone.
        """
        self._see_graph()
        if of_pass in self._backward:
            self._last, self._backward = (), []
        self._backward.append(of_pass)

    def after(self, images: tf.Tensor, *tensors: tf.Tensor) -> tf.Tensor:
        """`images`, available when `tensors` are computed and the pass before is done."""
        self._see_graph()
        return run_after([*tensors, *self._last], images)

    def done(self, results: Tensors) -> None:
        """The next pass waits for `results`."""
        self._see_graph()
        if self._graph is not None:
            self._last = tuple(results)

    def _see_graph(self) -> None:
        """Begins anew in another graph, and where operations run as they are called."""
        graph = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
        if graph is None or graph is not self._graph:
            self._graph, self._last, self._backward = graph, (), []


class Turns:
    """The order of work on devices: on each as it is written, one after the other."""

    def __init__(self) -> None:
        self._last: dict[str, tf.Tensor] = {}

    def wait(self, device: str, tensors: Tensors, others: Tensors) -> list[tf.Tensor]:
        """`tensors`, as soon as the device's work before is done, and `others` are there."""
        before = [*others, *([self._last[device]] if device in self._last else [])]
        return [run_after(before, tensor) for tensor in tensors]

    def done(self, device: str, result: tf.Tensor) -> None:
        """The next work on a device waits for `result`."""
        self._last[device] = result


def in_turn(
    function: Callable[..., Tensors],
    inputs: Tensors,
    device: str,
    turns: Turns,
    *,
    waiting: Sequence[int],
    given: int,
    slowest: int,
    result: int = 0,
    others: Tensors = (),
    orders: int = 2,
) -> list[tf.Tensor]:
    """A function of tensors, computed on a device in its turn.

    Nothing is kept for its gradient but its inputs: that is computed on the device in its turn as
    well, from the function anew, and likewise the gradient of the gradient.

    Args:
      function: of floating tensors -> list of floating tensors; it changes nothing.
      inputs: what it is called with.
      device: name of a TensorFlow device.
      turns: of the step.
      waiting: numbers of the inputs that are not used before it is the function's turn.
      given: how many of the first outputs go on to other work; the others are sums that grow.
      slowest: number of the input by which the gradient is there last.
      result: number of the output that is there when the work is done.
      others: tensors that are waited for, too.
      orders: how often it can be differentiated.

    Returns:
      What the function gives.
    """

    def work(*inputs):
        ready = turns.wait(device, [inputs[number] for number in waiting], others)
        replaced = dict(zip(waiting, ready, strict=True))
        outputs = function(*(replaced.get(number, each) for number, each in enumerate(inputs)))
        turns.done(device, outputs[result])
        return outputs

    def differentiable(*inputs):
        count = len(inputs)

        def backward(*upstream):
            def gradient(*both):
                sources = both[:count]
                with tf.GradientTape(watch_accessed_variables=False) as tape:
                    tape.watch(sources)
                    targets = function(*sources)
                return tape.gradient(targets, sources, both[count:], unconnected_gradients="zero")

            return in_turn(
                gradient,
                [*inputs, *upstream],
                device,
                turns,
                waiting=[*waiting, *range(count, count + given)],
                given=len(waiting),
                slowest=count,  # the gradient of a gradient flows forward, and ends at `upstream`
                result=min(slowest, count - 1),
                others=(upstream[0], upstream[-1]),
                orders=orders - 1,
            )

        return work(*inputs), backward

    with tf.device(device):
        return list(tf.custom_gradient(differentiable)(*inputs) if orders else work(*inputs))
