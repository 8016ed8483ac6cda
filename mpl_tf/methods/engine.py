"""Keras's own `fit` and `evaluate`, running a step on every replica of a strategy."""

import keras
import tensorflow as tf

from mpl_tf import distribution

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
      pseudo_label_shares: metrics.ClassShares of the pseudo labels taught, or None.
    """

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
        self.weight_decay, self.clip_norm = 0.0, None
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

    def compile(self, *, weight_decay=0.0, clip_norm=None, jit_compile=False, **kwargs):
        """Sets what every update of this engine does to its gradients.

        Args:
          weight_decay: float, at least 0, the L2 term: `weight_decay * w` is added to the gradient
            of kernels and biases, not of normalisation parameters.
          clip_norm: float above 0, gradients of a network are scaled down to this global norm after
            they were averaged over replicas; None never clips.
          jit_compile: bool, whether XLA compiles the training step; on one replica.
          **kwargs: for keras.Model.compile: `run_eagerly`.

        Raises:
          ValueError: a value is out of range.
        """
        if weight_decay < 0 or (clip_norm is not None and clip_norm <= 0):
            raise ValueError(
                "weight_decay must be at least 0 and clip_norm greater than 0 or None; "
                f"received weight_decay={weight_decay!r}, clip_norm={clip_norm!r}."
            )
        if jit_compile and self.distribute_strategy.num_replicas_in_sync > 1:
            raise ValueError("jit_compile works on one replica only.")
        self.weight_decay, self.clip_norm = weight_decay, clip_norm
        with self.distribute_strategy.scope():
            # Without optimizer=None Keras would make an RMSprop that nobody uses.
            super().compile(optimizer=None, jit_compile=jit_compile, **kwargs)

    def prepare_optimizer(self, optimizer, variables, name):
        """Checks an optimizer and makes its slots: made inside a step they crash strategies."""
        if not isinstance(optimizer, keras.optimizers.Optimizer):
            raise ValueError(
                f"{name} must be a keras.optimizers.Optimizer; received {optimizer!r}."
            )
        for option in ("clipnorm", "global_clipnorm", "clipvalue", "use_ema"):
            if getattr(optimizer, option, None):
                raise ValueError(
                    f"{name} has {option} set, which Keras applies to each replica alone; "
                    "use compile(clip_norm=...) and ema_decay instead."
                )
        with self.distribute_strategy.scope():
            optimizer.build(variables)
        return optimizer

    def fit(self, x=None, *args, steps_per_epoch=None, **kwargs):
        """keras.Model.fit; `steps_per_epoch` is required, because training data is infinite."""
        if steps_per_epoch is None:
            raise ValueError(
                "fit needs steps_per_epoch: the unit of training is the step and the data repeats "
                "without end. Example: fit(data, steps_per_epoch=500, epochs=4)."
            )
        self._check_images(getattr(x, "element_spec", None))
        kwargs.setdefault("shuffle", False)  # the data's own order counts
        return super().fit(x, *args, steps_per_epoch=steps_per_epoch, **kwargs)

    def _check_images(self, spec):
        """Raises ValueError if images of a batch do not fit a network."""
        images = spec if isinstance(spec, dict) else {}
        for view in images.keys() & {"labeled", "weak", "strong"}:
            for role, network in self.networks.items():
                shape, wanted = images[view].shape[1:], network.input_shape[1:]
                if not shape.is_compatible_with(wanted):
                    raise ValueError(
                        f"{role} takes images of shape {tuple(wanted)}; received {view} images of "
                        f"shape {tuple(shape)}."
                    )

    def make_train_function(self, force=False):
        if self.train_function is None or force:
            step = self.train_step
            if self.jit_compile and not self.run_eagerly:
                step = tf.function(step, jit_compile=True, autograph=False)
            self.train_function = self._function(step, self.train_metrics, self._logged)
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
            self.test_function = self._function(self.test_step, metrics, metrics.keys())
        return self.test_function

    def _function(self, step, metrics, logged):
        def execute(iterator):
            self.distribute_strategy.run(step, args=(next(iterator),))
            return {name: m.result() for name, m in metrics.items() if name in logged}

        return execute if self.run_eagerly else tf.function(execute, autograph=False)

    def test_step(self, data):
        """Accuracy and cross entropy of every network on a batch (images [N,H,W,C], label [N])."""
        images, label = data
        for name, network in self.networks.items():
            logits = network(images, training=False)
            for metric in self.test_metrics[name]:
                metric.update_state(label, logits)

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
        """One optimizer step: reduce, add L2, clip, apply. Arguments as in `reduce_gradient`."""
        reduced = self.clip(self.reduce_gradient(gradient, variables))
        distribution.apply_reduced(optimizer, reduced, variables)
