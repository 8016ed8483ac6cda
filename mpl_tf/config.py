"""The configuration of one run: frozen dataclasses, made from defaults, a recipe and settings."""

import dataclasses

from mpl_tf import options
from mpl_tf.data import DATASETS
from mpl_tf.distribution import STRATEGIES
from mpl_tf.methods import METHODS
from mpl_tf.methods.base import MethodConfig
from mpl_tf.networks import NETWORKS
from mpl_tf.options import ConfigError, option


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """What is trained on what, and for how long."""

    dataset: str = option("digits", "The images.", choices=DATASETS.keys)
    method: str = option(
        "mpl",
        "mpl: Meta Pseudo Labels. pseudo_label: a student of a fixed teacher that has learned the "
        "labels. supervised: the labeled images alone.",
        choices=METHODS.keys,
    )
    network: str = option("small", "Network of teacher and student.", choices=NETWORKS.keys)
    dropout: float = option(0.2, "Dropout before the network's head, in [0, 1).", low=0, below=1)
    seed: int = option(
        0, "Seed of split, initial weights, batches, views and pseudo labels.", low=0, high=2**31
    )
    num_labeled: int = option(
        4000, "Images with labels, the same number of each class; the others lose theirs.", low=1
    )
    labeled_batch: int = option(128, "Labeled images a step (the paper's B).", low=1)
    unlabeled_ratio: int = option(7, "Unlabeled images a labeled one (the paper's mu).", low=1)
    steps: int = option(300_000, "Training steps before finetuning.", low=1)
    finetune_steps: int = option(
        1000, "Steps of finetuning the EMA student on the labeled images; 0 leaves it out.", low=0
    )
    eval_every: int = option(
        500,
        "Steps from one evaluation on the validation images, and checkpoint, to the next.",
        low=1,
    )
    log_every: int = option(50, "Steps that one line of metrics.csv averages.", low=1)
    strategy: str = option(
        "auto", "auto: the first GPU, else the CPU. cpu: the CPU.", choices=STRATEGIES
    )


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """SGD with Nesterov momentum on a schedule: wait, linear warm-up, cosine down to 0."""

    student_learning_rate: float = option(
        0.1, "Peak rate of the student, per 256 labeled images: rate * labeled_batch / 256.", low=0
    )
    student_wait_steps: int = option(
        3000,
        "Steps at rate 0 in which only the teacher learns.",
        low=0,
    )
    student_warmup_steps: int = option(5000, "Steps of the student's warm-up.", low=0)
    teacher_learning_rate: float = option(
        0.1, "Peak rate of the teacher, per 256 labeled images.", low=0
    )
    teacher_warmup_steps: int = option(5000, "Steps of the teacher's warm-up.", low=0)
    momentum: float = option(0.9, "Nesterov momentum, in [0, 1).", low=0, below=1)
    weight_decay: float = option(
        5e-4, "L2 term in the gradient of kernels and biases: weight_decay * w.", low=0
    )
    clip_norm: float = option(
        0.0, "Global norm to which a network's gradient is clipped; 0 never clips.", low=0
    )
    finetune_learning_rate: float = option(
        1e-5, "Constant rate of finetuning (SGD), not scaled by the batch.", low=0
    )
    finetune_batch: int = option(512, "Labeled images a step of finetuning.", low=1)


@dataclasses.dataclass(frozen=True)
class Config:
    """One run. Make it with `make`."""

    run: RunConfig
    optimizer: OptimizerConfig
    method: MethodConfig

    def flat(self):
        """dict of every option name -> value."""
        parts = (self.run, self.optimizer, self.method)
        every = {k: v for part in parts for k, v in dataclasses.asdict(part).items()}
        return {k: v for k, v in every.items() if applies(k, self.run.method)}


# Defaults of these give way in a short run, to a tenth of its steps.
_STRETCHES = (
    "student_wait_steps",
    "student_warmup_steps",
    "teacher_warmup_steps",
    "uda_ramp_steps",
)


def applies(name, method):
    """Whether the option `name` means anything to the method of that name."""
    kind = METHODS[method]
    parts = (RunConfig, OptimizerConfig, kind.Config)
    known = any(name == f.name for part in parts for f in dataclasses.fields(part))
    return known and name not in kind.idle_options


def make(settings):
    """The configuration of a run, checked.

    A value comes from `settings`, else from the dataset's recipe, else from the option's default.
    A default that does not fit what was set is made to: batches never exceed the labeled images,
    and waits, warm-ups and ramps end within a tenth of the steps. A setting is never changed.

    Args:
      settings: dict of option name -> value, those that were set explicitly.

    Returns:
      Config.

    Raises:
      ConfigError: a value is out of range, unknown, or of no use to the method.
    """
    chosen = RunConfig(**{k: settings[k] for k in ("dataset", "method") if k in settings})
    options.check(chosen)
    kind, recipe = METHODS[chosen.method], DATASETS[chosen.dataset].recipe
    idle = [name for name in settings if not applies(name, chosen.method)]
    if idle:
        raise ConfigError(f"method={chosen.method} has no use for {', '.join(sorted(idle))}.")

    parts = (RunConfig, OptimizerConfig, kind.Config)
    values = {f.name: f.default for part in parts for f in dataclasses.fields(part)}
    values |= {k: v for k, v in recipe.items() if k in values} | settings

    def build(part):
        return part(**{f.name: values[f.name] for f in dataclasses.fields(part)})

    options.check(build(RunConfig), build(OptimizerConfig))
    limits = dict.fromkeys(_STRETCHES, values["steps"] // 10)
    limits |= {"eval_every": values["steps"]}
    limits |= dict.fromkeys(("labeled_batch", "finetune_batch"), values["num_labeled"])
    for name, limit in limits.items():
        if name in values and name not in settings:
            values[name] = min(values[name], limit)
    values |= dict.fromkeys(kind.idle_options.intersection(_STRETCHES), 0)
    config = Config(*map(build, parts))
    check_schedule(config)
    return config


def check_schedule(config):
    """Raises ConfigError if a schedule leaves no step to train in."""
    run, optimizer = config.run, config.optimizer
    waits = {
        "student_wait_steps + student_warmup_steps": optimizer.student_wait_steps
        + optimizer.student_warmup_steps,
        "teacher_warmup_steps": optimizer.teacher_warmup_steps,
    }
    for name, total in waits.items():
        if total >= run.steps:
            raise ConfigError(f"{name} must be less than steps={run.steps}; received {total}.")


def check_data(config, train, test):
    """Checks a run's sizes against its dataset's.

    Args:
      config: Config.
      train: data.dataset.Images, all training images.
      test: data.dataset.Images.

    Raises:
      ConfigError: a size does not fit; the message says what would.
    """
    run, dataset = config.run, DATASETS[config.run.dataset]
    classes = len(dataset.class_names)
    available = len(train) - dataset.num_validation
    smallest = min((train.labels == k).sum() for k in range(classes))
    most = (smallest - dataset.num_validation // classes) * classes
    if run.num_labeled % classes or run.num_labeled > most:
        raise ConfigError(
            f"num_labeled must be a multiple of the {classes} classes of {run.dataset}, from "
            f"{classes} to {most}; received {run.num_labeled}."
        )
    for name, batch in (
        ("labeled_batch", run.labeled_batch),
        ("finetune_batch", config.optimizer.finetune_batch),
    ):
        if batch > run.num_labeled:
            raise ConfigError(
                f"{name} must be at most num_labeled={run.num_labeled}; received {batch}."
            )
    unlabeled = available - run.num_labeled
    if METHODS[run.method].unlabeled_views and run.labeled_batch * run.unlabeled_ratio > unlabeled:
        raise ConfigError(
            f"labeled_batch * unlabeled_ratio must be at most the {unlabeled} unlabeled images; "
            f"received {run.labeled_batch} * {run.unlabeled_ratio}."
        )
