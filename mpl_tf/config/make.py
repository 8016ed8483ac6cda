"""The configuration of one run: frozen dataclasses, made from defaults, a recipe and settings."""

import dataclasses
import os

from mpl_tf import data, networks, options
from mpl_tf.config.checks import check_compute, check_schedule
from mpl_tf.config.groups import ComputeConfig, OptimizerConfig, RunConfig
from mpl_tf.data import splits
from mpl_tf.data.options import DataConfig
from mpl_tf.engine.devices import check_name
from mpl_tf.engine.method import MethodConfig
from mpl_tf.methods import METHODS
from mpl_tf.options import ConfigError


@dataclasses.dataclass(frozen=True)
class Config:
    """One run. Make it with `make`."""

    run: RunConfig
    data: DataConfig
    compute: ComputeConfig
    optimizer: OptimizerConfig
    method: MethodConfig

    def flat(self):
        """dict of every option name -> value."""
        parts = (self.run, self.data, self.compute, self.optimizer, self.method)
        every = {k: v for part in parts for k, v in dataclasses.asdict(part).items()}
        return {k: v for k, v in every.items() if applies(k, self.run.method)}


# Defaults of these give way in a short run, to a tenth of its steps.
_STRETCHES = (
    "student_wait_steps",
    "student_warmup_steps",
    "teacher_warmup_steps",
    "uda_ramp_steps",
    "ramp_steps",
)
# Defaults of these, to the steps.
_WHOLE = ("eval_every", "signal_annealing_steps")


def applies(name, method):
    """Whether the option `name` means anything to the method of that name."""
    kind = METHODS[method]
    parts = (RunConfig, DataConfig, ComputeConfig, OptimizerConfig, kind.Config)
    known = any(name == f.name for part in parts for f in dataclasses.fields(part))
    return known and name not in unused_options(kind)


def unused_options(kind):
    """set of str, options of runs, data and optimizers that mean nothing to a method's class."""
    unused = set()
    if "teacher_optimizer" not in kind.optimizers:
        unused |= {"teacher_learning_rate", "teacher_warmup_steps", "teacher_network"}
    if not kind.joint_training:
        unused.add("student_wait_steps")
    if not kind.unlabeled_views:
        unused |= {"unlabeled_ratio", "exclude_labeled", "extra"}
    if not any(view.startswith("strong") for view in kind.unlabeled_views):
        unused |= {
            "strong",
            "randaugment_layers",
            "randaugment_magnitude",
            "autoaugment_policy",
            "cutout",
        }
    return unused


def make(settings):
    """The configuration of a run, checked.

    A value comes from `settings`, else from the dataset's recipe, else from the method's
    `defaults`, else from the option's default. No recipe turns on what a method leaves out, a
    default of 0 or False of its own: recipes say how much of a thing suits the images, not what a
    method is. A default that does not fit what was set is made to: batches never exceed the labeled
    images, waits, warm-ups and ramps end within a tenth of the steps, or the share that a recipe
    gives them, and annealing ends with the steps. A setting is never changed.

    Args:
      settings: dict of option name -> value, those that were set explicitly.

    Returns:
      Config.

    Raises:
      ConfigError: a value is out of range, unknown, or of no use to the method.
    """
    chosen = RunConfig(**{k: settings[k] for k in ("dataset", "method") if k in settings})
    options.check(chosen)
    kind, dataset = METHODS[chosen.method], data.find(chosen.dataset, settings.get("data_dir", ""))
    idle = [name for name in settings if not applies(name, chosen.method)]
    if idle:
        raise ConfigError(f"method={chosen.method} has no use for {', '.join(sorted(idle))}.")

    parts = (RunConfig, DataConfig, ComputeConfig, OptimizerConfig, kind.Config)
    values = {f.name: f.default for part in parts for f in dataclasses.fields(part)}
    own = {f.name: f.default for f in dataclasses.fields(kind.Config)} | kind.defaults
    left_out = {name: value for name, value in own.items() if not value}
    recipe = {name: value for name, value in dataset.recipe.items() if name in values}
    values |= kind.defaults | recipe | left_out | settings

    def build(part):
        return part(**{f.name: values[f.name] for f in dataclasses.fields(part)})

    options.check(*map(build, (RunConfig, DataConfig, ComputeConfig, OptimizerConfig)))
    check_name(values["strategy"])
    for name in {values["network"], values["teacher_network"] or values["network"]}:
        networks.find(name)
    _check_weights(values)
    if values["split_file"]:
        _follow_split_file(values, settings)
    share = values["steps"] / dataset.recipe.get("steps", values["steps"])
    limits = {
        name: max(values["steps"] // 10, int(dataset.recipe.get(name, 0) * share))
        for name in _STRETCHES
    }
    limits |= dict.fromkeys(_WHOLE, values["steps"])
    labels = values["num_labeled"] or (dataset.available or 0) - values["num_validation"]
    if labels > 0:
        limits |= dict.fromkeys(("labeled_batch", "finetune_batch"), labels)
    for name, limit in limits.items():
        if name in values and name not in settings:
            values[name] = min(values[name], limit)
    values |= dict.fromkeys(unused_options(kind).intersection(_STRETCHES), 0)
    config = Config(*map(build, parts))
    check_schedule(config)
    check_compute(config)
    return config


def _check_weights(values):
    """Refuses a file of weights that is not there, or that no network would read."""
    weights = values["network_weights"]
    names = values["network"], values["teacher_network"]
    if weights and not any(name.lower().startswith("keras:") for name in names):
        raise ConfigError(
            f"network_weights are for networks of keras.applications (keras:NAME); received "
            f"network={values['network']}."
        )
    if weights and not os.path.isfile(weights):
        raise ConfigError(f"network_weights {weights} is no file.")


def _follow_split_file(values, settings):
    """The numbers of images are those of the file."""
    found = splits.read_ids(values["split_file"])
    for name, part in (("num_labeled", "labeled"), ("num_validation", "validation")):
        if name in settings and settings[name] != len(found[part]):
            raise ConfigError(
                f"split_file {values['split_file']} has {len(found[part])} {part} images; received "
                f"{name}={settings[name]}. Leave {name} out."
            )
        values[name] = len(found[part])
