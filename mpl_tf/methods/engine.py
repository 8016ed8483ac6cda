"""Keras's own `fit` and `evaluate`, running a step on every replica of a strategy."""

import keras
import tensorflow as tf

from mpl_tf import distribution
from mpl_tf.methods import loss_scaling
from mpl_tf.methods.passes import Passes
from mpl_tf.options import ConfigError

# Parameters of normalisation layers, by the names Keras gives them: no weight decay.
_NORMALISATION = {"gamma", "beta", "scale"}


class Engine(keras.Model):
    """Abstract: a model whose steps run in replica context and report through Keras metrics.

    Only public hooks of Keras are used. A step returns nothing: it calls `self.log`. Build networks
    and optimizers inside the strategy's scope, the engine outside. Training data is infinite; `fit`
    therefore needs `steps_per_epoch`.

    Args:
      strategy: tf.distribute.Strategy; None is the current one.
      train_logs: the scalars that `train_step` may log: names, or a dict of name -> class of the
        keras.metrics.Metric that sums them up over steps; a name alone means keras.metrics.Mean.
      **kwargs: for keras.Model.

    Attributes:
      unlabeled_views: tuple of str, the unlabeled views in a batch (see methods.base.Method).
      pseudo_label_shares: metrics.ClassShares of the pseudo labels taught, or None.
    """

    unlabeled_views = ()

    def __init__(self, strategy, train_logs, **kwargs):
        if distribution.inside_scope():
            # Keras would build symbolically from a batch here, which fails on several workers.
            raise RuntimeError(f"Construct {type(self).__name__} outside strategy.scope().")
        super().__init__(**kwargs)
        self._strategy = strategy or distribution.current_strategy()
        with self._strategy.scope():
            kinds = train_logs
            if not isinstance(kinds, dict):
                kinds = dict.fromkeys(kinds, keras.metrics.Mean)
            self.train_metrics = {name: kind(name=name) for name, kind in kinds.items()}
            self.test_metrics = {}
        self._logged = set()  # names that the step turned out to log, known when it is traced
        self.pseudo_label_shares = None
        self.weight_decay, self.clip_norm, self.passes = 0.0, None, Passes()
        self.built = True  # its networks are: nothing is left to build from a first batch

    @property
    def networks(self):
        """dict of name -> keras.Model of logits, all that `evaluate` reports on."""
        raise NotImplementedError

    @property
    def distribute_strategy(self):
        return self._strategy

    @property
    def window_metrics(self):
        """list of the metrics that sum up training steps, since they were reset last."""
        shares = [] if self.pseudo_label_shares is None else [self.pseudo_label_shares]
        return [*self.train_metrics.values(), *shares]

    @property
    def metrics(self):
        tests = (metric for pair in self.test_metrics.values() for metric in pair)
        return [*self.window_metrics, *tests]

    def compile(
        self,
        *,
        weight_decay=0.0,
        clip_norm=None,
        jit_compile=False,
        steps_per_execution=1,
        accumulate_steps=1,
        recompute=False,
        **kwargs,
    ):
        """Sets how every step of this engine runs and what its updates do to gradients.

        Args:
          weight_decay: float, at least 0, the L2 term: `weight_decay * w` is added to the gradient
            of kernels and biases, not of normalisation parameters.
          clip_norm: float above 0, gradients of a network are scaled down to this global norm after
            they were averaged over replicas; None never clips.
          jit_compile: bool, whether XLA compiles the training step; on several replicas, each pass
            of a network by itself.
          steps_per_execution: int, at least 1, steps between two returns to Python.
          accumulate_steps: int, at least 1, microbatches that a batch is cut into (see `Passes`).
          recompute: bool, whether forward passes are computed again for their gradients, which
            needs less memory.
          **kwargs: for keras.Model.compile: `run_eagerly`.

        Raises:
          ValueError: a value is out of range, or the combination cannot work.
        """
        if weight_decay < 0 or (clip_norm is not None and clip_norm <= 0):
            raise ValueError(
                "weight_decay must be at least 0 and clip_norm greater than 0 or None; "
                f"received weight_decay={weight_decay!r}, clip_norm={clip_norm!r}."
            )
        if min(accumulate_steps, steps_per_execution) < 1:
            raise ValueError(
                "accumulate_steps and steps_per_execution must be at least 1; received "
                f"{accumulate_steps!r}, {steps_per_execution!r}."
            )
        several = self.distribute_strategy.num_replicas_in_sync > 1
        joined = [name for name, network in self.networks.items() if _has_synchronized(network)]
        if jit_compile and several and joined:
            raise ConfigError(
                "jit_compile on several replicas works without synchronised batch normalisation "
                f"only, because XLA cannot compile its collectives here; {', '.join(joined)} has "
                "it. Leave jit_compile out, or take a network without batch normalisation."
            )
        self.weight_decay, self.clip_norm = weight_decay, clip_norm
        self.passes = Passes(accumulate_steps, recompute, compiled=jit_compile and several)
        with self.distribute_strategy.scope():
            # Without optimizer=None Keras would make an RMSprop that nobody uses.
            super().compile(
                optimizer=None,
                jit_compile=jit_compile,
                steps_per_execution=steps_per_execution,
                **kwargs,
            )

    def how_compiled(self):
        """dict of the arguments of `compile`, for another engine that is to run alike."""
        return {
            "weight_decay": self.weight_decay,
            "clip_norm": self.clip_norm,
            "jit_compile": self.jit_compile,
            "steps_per_execution": self.steps_per_execution,
            "accumulate_steps": self.passes.accumulate_steps,
            "recompute": self.passes.recompute,
        }

    def prepare_optimizer(self, optimizer, network, name):
        """Checks the optimizer of a network and makes its slots: made inside a step they crash.

        A network that computes in float16 gets a keras.optimizers.LossScaleOptimizer around it.

        Args:
          optimizer: keras.optimizers.Optimizer.
          network: keras.Model whose trainable variables it will update.
          name: str, for messages.

        Returns:
          keras.optimizers.Optimizer, built.
        """
        if not isinstance(optimizer, keras.optimizers.Optimizer):
            raise ValueError(
                f"{name} must be a keras.optimizers.Optimizer; received {optimizer!r}."
            )
        for option in ("clipnorm", "global_clipnorm", "clipvalue", "use_ema"):
            if getattr(loss_scaling.inner(optimizer), option, None):
                raise ValueError(
                    f"{name} has {option} set, which Keras applies to each replica alone; "
                    "use compile(clip_norm=...) and ema_decay instead."
                )
        with self.distribute_strategy.scope():
            optimizer = loss_scaling.wrapped(optimizer, network)
            optimizer.build(network.trainable_variables)
        return optimizer

    def fit(self, x=None, *args, steps_per_epoch=None, **kwargs):
        """keras.Model.fit; `steps_per_epoch` is required, because training data is infinite."""
        if steps_per_epoch is None:
            raise ValueError(
                "fit needs steps_per_epoch: the unit of training is the step and the data repeats "
                "without end. Example: fit(data, steps_per_epoch=500, epochs=4)."
            )
        if steps_per_epoch % self.steps_per_execution:
            raise ValueError(
                f"steps_per_epoch must be a multiple of steps_per_execution="
                f"{self.steps_per_execution}; received {steps_per_epoch}."
            )
        if isinstance(x, tf.data.Dataset):
            self._check_batch(x.element_spec)
        kwargs.setdefault("shuffle", False)  # the data's own order counts
        return super().fit(x, *args, steps_per_epoch=steps_per_epoch, **kwargs)

    def _check_batch(self, spec):
        """Raises ValueError if a batch does not fit the networks, the replicas or the passes."""
        images = spec if isinstance(spec, dict) else {}
        equal_parts = self.distribute_strategy.num_replicas_in_sync * self.passes.accumulate_steps
        for view in images:
            if view != "labeled" and not view.startswith(("weak", "strong")):
                continue
            for role, network in self.networks.items():
                shape, wanted = images[view].shape[1:], network.input_shape[1:]
                if not shape.is_compatible_with(wanted):
                    raise ValueError(
                        f"{role} takes images of shape {tuple(wanted)}; received {view} images of "
                        f"shape {tuple(shape)}."
                    )
            if (images[view].shape[0] or 0) % equal_parts:
                raise ValueError(
                    f"{view} images must divide into {equal_parts} equal parts (replicas times "
                    f"accumulate_steps); received {images[view].shape[0]} a batch."
                )

    def make_train_function(self, force=False):
        if self.train_function is None or force:
            step = self.train_step
            if self.jit_compile and not self.passes.compiled and not self.run_eagerly:
                step = tf.function(step, jit_compile=True, autograph=False)
            self.train_function = self._function(
                step, self.train_metrics, self._logged, self.steps_per_execution
            )
        return self.train_function

    def make_test_function(self, force=False):
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
            once = self._function(self.test_step, metrics, metrics.keys(), 1)

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

    def _function(self, step, metrics, logged, count):
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
            return {name: m.result() for name, m in metrics.items() if name in logged}

        return execute if self.run_eagerly else tf.function(execute, autograph=False)

    def test_step(self, data):
        """Accuracy and cross entropy of every network on a batch.

        Args:
          data: (images [N,H,W,C], label integer [N]) or (images, label, weight [N]); rows of weight
            0 fill up a batch and do not count.
        """
        images, label, *weight = data
        for name, network in self.networks.items():
            logits = network(images, training=False)
            for metric in self.test_metrics[name]:
                metric.update_state(label, logits, *weight)

    def log(self, **values):
        """Adds this step's scalars to the metrics that the bar and the files show."""
        for name, value in values.items():
            self._logged.add(name)
            self.train_metrics[name].update_state(value)

    def reduce_gradient(self, gradient, variables):
        """Mean over replicas plus the L2 term: the gradient before clipping.

        Args:
          gradient: list of tensors or None, this replica's gradient.
          variables: list of the variables it belongs to.

        Returns:
          List of tensors, the same on every replica.
        """
        gradient = [
            tf.zeros_like(v) if g is None else tf.convert_to_tensor(g)
            for g, v in zip(gradient, variables, strict=True)
        ]
        gradient = distribution.mean_over_replicas(gradient)
        if not self.weight_decay:
            return gradient
        return [
            g if v.name in _NORMALISATION else g + self.weight_decay * tf.cast(v, g.dtype)
            for g, v in zip(gradient, variables, strict=True)
        ]

    def clip(self, gradient):
        """`gradient` scaled down to the global norm `clip_norm`, if it is longer."""
        if self.clip_norm is None:
            return gradient
        return tf.clip_by_global_norm(gradient, self.clip_norm)[0]

    def update(self, optimizer, gradient, variables):
        """One optimizer step: unscale, reduce, add L2, clip, apply.

        Args:
          optimizer: keras.optimizers.Optimizer, as `prepare_optimizer` returned it.
          gradient: list of tensors or None, this replica's, of the loss that was scaled up by
            `loss_scaling.scale_of(optimizer)`.
          variables: list of the variables it belongs to.
        """
        gradient = loss_scaling.down(gradient, loss_scaling.scale_of(optimizer))
        self.apply(optimizer, self.clip(self.reduce_gradient(gradient, variables)), variables)

    @staticmethod
    def apply(optimizer, gradient, variables):
        """Applies a gradient that is the same on every replica; float16 skips what overflowed."""
        gradient = loss_scaling.up(gradient, loss_scaling.scale_of(optimizer))
        distribution.apply_reduced(optimizer, gradient, variables)


def _has_synchronized(network):
    """Whether a network has batch normalisation over all replicas, in nested models too."""
    return any(
        getattr(layer, "synchronized", False) or _has_synchronized(layer)
        for layer in getattr(network, "layers", ())
    )
