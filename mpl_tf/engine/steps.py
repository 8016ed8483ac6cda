"""Steps on every replica of a strategy, alone or in groups, and what they log."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from mpl_tf.engine import devices
from mpl_tf.engine.batches import class_ids
from mpl_tf.engine.forward import Forward
from mpl_tf.engine.metrics import ClassShares, NamedMeans


class Steps(keras.Model):
    """Abstract: a model whose steps run in replica context and report through Keras metrics.

    A step returns nothing: it calls `self.log`. Build networks
    and optimizers inside the strategy's scope, the trainer outside.

    Args:
      strategy: tf.distribute.Strategy; None is the current one.
      special_metrics: dict of logged name -> class of the keras.metrics.Metric that sums it up over
        steps; all other names are averaged.
      **kwargs: for keras.Model.

    Attributes:
      pseudo_label_shares: metrics.ClassShares of the pseudo labels taught, or None.
      means: metrics.NamedMeans of what steps log.
      forward: forward.Forward, which runs a network in training mode.
    """

    train_function: Any
    test_function: Any
    predict_function: Any

    def __init__(
        self,
        strategy: tf.distribute.Strategy | None,
        special_metrics: dict[str, type[keras.metrics.Metric]] | None = None,
        **kwargs: Any,
    ):
        if devices.inside_scope():
            # Keras would build symbolically from a batch here, which fails on several workers.
            raise RuntimeError(f"Construct {type(self).__name__} outside strategy.scope().")
        super().__init__(**kwargs)
        self._strategy = strategy or devices.current_strategy()
        with self._strategy.scope():
            self.means = NamedMeans("means")
            special = (special_metrics or {}).items()
            self.special_metrics = {name: metric(name=name) for name, metric in special}
            self._special_logged: set[str] = set()
            self.test_metrics: dict[str, list[keras.metrics.Metric]] = {}
        self.pseudo_label_shares: ClassShares | None = None
        self.forward = Forward()
        self._names_of_step = _NamesOfStep()
        self.built = True  # its networks are: nothing is left to build from a first batch

    @property
    def networks(self) -> dict[str, keras.Model]:
        """dict of name -> keras.Model of logits, all that `evaluate` reports on."""
        raise NotImplementedError

    def evaluated_networks(self) -> dict[str, keras.Model]:
        """`networks`, on images of the size at which they are evaluated.

        No property: Keras would save the networks by the name of this one.
        """
        return self.networks

    @property
    def distribute_strategy(self) -> tf.distribute.Strategy:
        return self._strategy

    @property
    def window_metrics(self) -> list[keras.metrics.Metric]:
        """list of the metrics that sum up training steps, since they were reset last."""
        shares = [] if self.pseudo_label_shares is None else [self.pseudo_label_shares]
        return [self.means, *self.special_metrics.values(), *shares]

    @property
    def logged(self) -> set[str]:
        """Names of the training scalars that have a value since the last reset."""
        return {*self.means.names_with_values(), *self._special_logged}

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        tests = (metric for pair in self.test_metrics.values() for metric in pair)
        return [*self.window_metrics, *tests]

    def make_train_function(self, force: bool = False) -> Any:
        if self.train_function is None or force:

            def step(batch):
                self._names_of_step.names = set()
                self.train_step(class_ids(batch, self.networks))
                self._names_of_step.names = None

            if self.jit_compile and not self.forward.compiled and not self.run_eagerly:
                step = tf.function(step, jit_compile=True, autograph=False)

            def step_of(batch):
                step(self.completed(batch))

            self.train_function = self._function(
                step_of, self._train_logs, self.steps_per_execution
            )
        return self.train_function

    def completed(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """A batch with what steps read beside it, and XLA cannot; itself unless a trainer says so.

        Args:
          batch: of a replica, as the data has it.
        """
        return batch

    def make_test_function(self, force: bool = False) -> Any:
        if self.test_function is None or force:
            with self.distribute_strategy.scope():
                for name in self.networks:
                    if name not in self.test_metrics:
                        self.test_metrics[name] = [
                            keras.metrics.SparseCategoricalAccuracy(f"{name}_accuracy"),
                            keras.metrics.SparseCategoricalCrossentropy(
                                f"{name}_cross_entropy", from_logits=True
                            ),
                        ]
            metrics = {m.name: m for pair in self.test_metrics.values() for m in pair}
            once = self._function(
                self.test_step, lambda: {name: m.result() for name, m in metrics.items()}, 1
            )

            def execute(iterator):  # the data may end inside a group of steps
                logs = once(iterator)
                for _ in range(self.steps_per_execution - 1):
                    try:
                        logs = once(iterator)
                    except (tf.errors.OutOfRangeError, StopIteration):
                        break
                return logs

            self.test_function = execute
        return self.test_function

    def _train_logs(self):
        special = self.special_metrics
        return self.means.result() | {name: special[name].result() for name in self._special_logged}

    def _function(self, step, logs, count):
        def execute(iterator):
            def run(done):
                self.distribute_strategy.run(step, args=(next(iterator),))
                return (done + 1,)

            if count == 1:
                run(0)
            elif self.run_eagerly:
                for done in range(count):
                    run(done)
            else:
                tf.while_loop(lambda done: done < count, run, (0,), parallel_iterations=1)
            return logs()

        return execute if self.run_eagerly else tf.function(execute, autograph=False)

    def test_step(self, data: tuple[tf.Tensor, ...]) -> None:
        """Accuracy and cross entropy of every network on a batch.

        Args:
          data: (images [N,H,W,C], label integer [N]) or (images, label, weight [N]); rows of weight
            0 fill up a batch and do not count.
        """
        images, label, *weight = data
        for name, network in self.evaluated_networks().items():
            logits = self.forward.evaluated(network, images)
            for metric in self.test_metrics[name]:
                metric.update_state(label, logits, *weight)

    def log(self, weight: tf.Tensor | float = 1.0, **values: tf.Tensor) -> None:
        """Takes this step's scalars into the means, or other metrics, that bar and files show.

        Args:
          weight: how much they count in means; with 0 the step has no such value.
          **values: the scalars.

        Raises:
          ValueError: the step has logged something by one of these names already.
        """
        names = self._names_of_step.names
        if names is not None and not self._names_of_step.unlogged:
            if repeated := sorted(names & values.keys()):
                raise ValueError(
                    f"a step of {type(self).__name__} logs {', '.join(repeated)} twice, which "
                    "would be averaged into one number. Take another name."
                )
            names.update(values)
        self.add_to_log(weight, **values)

    def add_to_log(self, weight: tf.Tensor | float = 1.0, **values: tf.Tensor) -> None:
        """As `log`, for what may come several times a step and is averaged over them."""
        if self._names_of_step.unlogged:
            return
        plain = {}
        for name, value in values.items():
            if name in self.special_metrics:
                self._special_logged.add(name)
                self.special_metrics[name].update_state(value)
            else:
                plain[name] = value
        if plain:
            self.means.update_state(weight, **plain)

    @contextlib.contextmanager
    def without_log(self) -> Iterator[None]:
        """Inside, what a step logs is left out."""
        self._names_of_step.unlogged = True
        try:
            yield
        finally:
            self._names_of_step.unlogged = False


class _NamesOfStep(threading.local):
    """What the step being traced has logged. Each replica has a thread.

    Attributes:
      names: that were logged; None outside of a step.
      unlogged: whether more is left out.
    """

    names: set[str] | None = None
    unlogged = False
