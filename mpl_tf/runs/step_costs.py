"""What one step of a method costs: passes, multiply-adds and memory, without taking it.

The method's own step is traced with stand-ins for its networks (`stand_in`). Each mark in it is
replaced by the operations of the pass that it stands for, as the network's own trace has them
(`networks.passes`), and the memory of all is followed from one operation to the next.
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence

import tensorflow as tf

from mpl_tf import config
from mpl_tf.engine.method import Method
from mpl_tf.networks.allocation import Pieces
from mpl_tf.networks.liveness import over_time
from mpl_tf.networks.passes import Passes, Traced
from mpl_tf.networks.programs import Amount, Operation, Program, needed, program, steps
from mpl_tf.options import ConfigError
from mpl_tf.runs import building, stand_in
from mpl_tf.runs.stand_in import BACKWARD, FORWARD, TO_IMAGES, TWICE


@dataclasses.dataclass(frozen=True)
class StepCosts:
    """One step of a method.

    Attributes:
      passes: (role, pass) -> images that go through the role's network so; passes are those of
        `stand_in.MARKS`.
      multiply_adds: of all passes.
      variables: bytes of weights, averages, what optimizers keep, and counters.
      batch: bytes of the images and labels that the step is handed.
      working: bytes beside them, where the step holds most.
      passes_wait: whether each pass backward waits for all passes that the step begins before it.
        If not, TensorFlow runs passes in an order of its own, and holds more or less than that.
    """

    passes: Mapping[tuple[str, str], int]
    multiply_adds: int
    variables: int
    batch: int
    working: int
    passes_wait: bool

    @property
    def peak(self) -> int:
        """Bytes that are held where the step holds most."""
        return self.variables + self.batch + self.working


def of_step(
    settings: config.Config,
    num_classes: int,
    image_shape: tuple[int, int, int],
    passes: Mapping[str, Passes],
) -> StepCosts:
    """What a step of a run costs.

    Args:
      settings: of the run.
      num_classes: K.
      image_shape: (height, width, channels).
      passes: role -> passes of its network, "student" and, if the method has one, "teacher".

    Raises:
      ConfigError: the step holds an operation whose multiply-adds are not known, or a pass that
        goes backward in two ways.
    """
    method, batch, marked = traced(settings, num_classes, image_shape)
    splicing = _Splicing(marked, passes)
    operations = needed(splicing.operations, ())
    lives = over_time(steps(operations, 0), memory=Pieces())  # all is constant
    factor = splicing.factor
    return StepCosts(
        passes=splicing.counts,
        multiply_adds=sum(each.multiply_adds.constant for each in operations),
        variables=sum(round(factor(n) * n * size) for n, size in sizes_of_variables(method)),
        batch=sum(spec.shape.num_elements() * spec.dtype.size for spec in batch.values()),
        working=max(lives, default=0),
        passes_wait=splicing.passes_wait(),
    )


def traced(
    settings: config.Config, num_classes: int, image_shape: tuple[int, int, int]
) -> tuple[Method, dict[str, tf.TensorSpec], Program]:
    """(method, its batch, its step) of a run, with stand-ins for its networks."""
    run = settings.run
    unlabeled = run.labeled_batch * run.unlabeled_ratio
    method, _ = building.build_method(
        settings, num_classes, image_shape, unlabeled, make_network=_stand_in
    )
    batch = {"label": tf.TensorSpec([run.labeled_batch], tf.int64)}
    for view in ("labeled", *method.unlabeled_views):
        count = run.labeled_batch if view == "labeled" else unlabeled
        images = tf.TensorSpec([count, *image_shape], tf.uint8)
        batch[view] = tf.TensorSpec([count], tf.int64) if view == "index" else images
    # What is read beside the data comes with the batch, too.
    completed = tf.function(method.completed, autograph=False).get_concrete_function(batch)
    batch = {
        name: tf.TensorSpec(t.shape, t.dtype) for name, t in completed.structured_outputs.items()
    }
    function = tf.function(method.train_step, autograph=False).get_concrete_function(batch)
    graph, keep = function.graph, frozenset([stand_in.OPERATION])
    return method, batch, program(graph, graph.outputs, rows=None, keep=keep)


def _stand_in(settings, num_classes, image_shape, role, replicas=1):
    return stand_in.build(num_classes, image_shape, role)


def sizes_of_variables(method: Method) -> list[tuple[int, int]]:
    """(values, bytes of one) of the variables of a method and of its optimizers, each once."""
    optimizers = method.own_optimizers.values()
    variables = {id(v): v for owner in (method, *optimizers) for v in owner.variables}.values()
    return [(v.shape.num_elements(), tf.as_dtype(v.dtype).size) for v in variables]


class _Splicing:
    """A step in which marks are replaced by the operations of passes, for its numbers of images.

    Args:
      marked: the step, traced with stand-ins.
      passes: role -> passes of its network.

    Attributes:
      operations: of the step.
      counts: (role, mark) -> images.
    """

    def __init__(self, marked: Program, passes: Mapping[str, Passes]):
        self._marked, self._passes = marked, passes
        self._roles = {stand_in.SIZES[role][0]: role for role in passes}
        self._factors: dict[int, float] = {}
        for role in passes:
            trainable, other = stand_in.SIZES[role]
            self._factors[trainable] = passes[role].trainable / (trainable * stand_in.PARTS)
            self._factors[other] = passes[role].other / other
        self.operations: list[Operation] = []
        self.counts: Counter[tuple[str, str]] = Counter()
        self._begun: dict[int, _Pass] = {}
        self._next = 1 + max(
            (n for each in marked.operations for n in (*each.inputs, *each.outputs)), default=0
        )
        marks = [(each, stand_in.mark_of(each.source)) for each in marked.operations]
        self._marks_of: dict[int, set[str]] = {}
        self._twice: set[str] = set()
        for each, mark in marks:
            if mark == TWICE:
                self._twice.add(self._roles[each.source.inputs[2].shape[0]])
            if mark is not None and mark != FORWARD:
                self._marks_of.setdefault(self._number(each.source.inputs[0]), set()).add(mark)
        for each, mark in marks:
            if mark is None:
                sizes = tuple(
                    self._scaled(t, b) for t, b in zip(made(each), each.bytes, strict=True)
                )
                self.operations.append(each._replace(bytes=sizes))
            elif mark == FORWARD:
                self._begin(each)
            else:
                self._go_on(each, mark)

    def factor(self, values: int) -> float:
        """By what a tensor of the weights of a stand-in is too small; 1 of any other tensor."""
        return next((f for size, f in self._factors.items() if values % size == 0), 1.0)

    def passes_wait(self) -> bool:
        """See StepCosts."""
        begun: set[int] = set()  # numbers of the passes forward
        before: dict[int, set[int]] = {}  # number of a tensor -> passes that it waits for
        of_weights: set[int] = set()  # passes that the weights wait for
        for each in self._marked.operations:
            waits = set().union(*(before.get(number, ()) for number in each.inputs))
            mark = stand_in.mark_of(each.source)
            if mark == FORWARD:
                waits |= of_weights | {each.outputs[1]}
                begun.add(each.outputs[1])
            elif mark is not None and not begun <= waits:
                return False
            if each.changes and self.factor(each.source.inputs[-1].shape.num_elements() or 1) != 1:
                of_weights |= waits
            before |= dict.fromkeys(each.outputs, waits)
        return True

    def _scaled(self, tensor: tf.Tensor, size: Amount) -> Amount:
        values = tensor.shape.num_elements() or 1
        return Amount(0, round(self.factor(values) * size.constant))

    def _number(self, tensor: tf.Tensor) -> int:
        number = self._marked.number_of.get(id(tensor))
        if number is None:  # a constant
            number, self._next = self._next, self._next + 1
        return number

    def _begin(self, each: Operation) -> None:
        images, kernel, *_ = each.source.inputs
        role, count = self._roles[kernel.shape[0]], images.shape[0]
        logits, token = each.outputs
        backward = self._marks_of.get(token, set())
        if TO_IMAGES in backward and len(backward) > 1:
            raise ConfigError(
                f"a pass of {count} images goes backward to images and to weights, which cannot be "
                "counted as one."
            )
        network = self._passes[role]
        if TO_IMAGES in backward:
            traced = network.by_images
        else:  # what goes backward once is in the trace of what does so twice
            traced = network.by_weights_twice if role in self._twice else network.by_weights
        begun = self._begun[token] = _Pass(traced, role, count, self._next)
        self._next += 1 + traced.most
        begun.bind(traced.images, self._number(images))
        begun.bind(traced.logits, logits)
        self._run(begun, FORWARD, 0)

    def _go_on(self, each: Operation, mark: str) -> None:
        token, upstream, *others = each.source.inputs
        begun = self._begun[self._number(token)]
        traced = begun.traced
        begun.bind(traced.upstream, self._number(upstream))
        if mark == TO_IMAGES:
            begun.bind(traced.gradient[0], each.outputs[0])
        elif mark == TWICE:
            if BACKWARD not in begun.done:  # what it reads of it is left by `needed`
                self._run(begun, BACKWARD, 1, counted=False)
            parts = [self._number(each) for each in others]
            for index, number in enumerate(traced.directions):
                begun.bind(number, parts[index * len(parts) // len(traced.directions)])
            begun.bind(traced.credit, each.outputs[0])
            self._run(begun, TWICE, 2)
            return
        self._run(begun, mark, 1)
        if mark == BACKWARD:
            whole = tuple(begun.number(n) for n in traced.gradient if n is not None)
            sizes = tuple(self._scaled(t, b) for t, b in zip(made(each), each.bytes, strict=True))
            self.operations.append(Operation(whole, each.outputs, sizes, False, Amount(), None))

    def _run(self, begun: "_Pass", mark: str, part: int, counted: bool = True) -> None:
        begun.done.add(mark)
        self.operations += map(begun.placed, begun.traced.operations[part])
        if counted:
            self.counts[begun.role, mark] += begun.count


def made(operation: Operation) -> Sequence[tf.Tensor]:
    """The tensors whose sizes are those of an operation's outputs."""
    return operation.source.inputs[-1:] if operation.changes else operation.source.outputs


class _Pass:
    """A pass of a network in a step: its operations with numbers of the step."""

    def __init__(self, traced: Traced, role: str, count: int, start: int):
        self.traced, self.role, self.count, self._start = traced, role, count, start
        self.done: set[str] = set()
        self._bound: dict[int, int] = {}

    def bind(self, number: int | None, of_step: int) -> None:
        if number is not None:
            self._bound[number] = of_step

    def number(self, number: int) -> int:
        return self._bound.get(number, self._start + number)

    def placed(self, operation: Operation) -> Operation:
        return operation._replace(
            inputs=tuple(map(self.number, operation.inputs)),
            outputs=tuple(map(self.number, operation.outputs)),
            bytes=tuple(Amount(0, size.of(self.count)) for size in operation.bytes),
            multiply_adds=Amount(0, operation.multiply_adds.of(self.count)),
        )
