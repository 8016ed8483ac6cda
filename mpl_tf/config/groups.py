"""The options of a run that belong to no dataset and no method."""

import dataclasses

from mpl_tf import data, networks
from mpl_tf.engine import delivery
from mpl_tf.engine.sharpness import PERTURBATIONS
from mpl_tf.methods import METHODS, SELF_SUPERVISED
from mpl_tf.options import option

# A run with stored predictions has no teacher of its own.
_OWN_TEACHER = ("predictions", ("",))


def _first_line(docstring: str | None) -> str:
    return (docstring or "").partition("\n")[0]


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """What is trained on what, and for how long."""

    dataset: str = option(
        "digits",
        f"The images: {', '.join(data.DATASETS)}, any other image classification set of TensorFlow "
        "Datasets, folder:PATH (labeled/<class>/*, unlabeled/**), or tfrecord:PATTERN.",
    )
    method: str = option(
        "mpl",
        "How a run learns.\n"
        + "\n".join(f"{name}: {_first_line(method.__doc__)}" for name, method in METHODS.items()),
        choices=METHODS.keys,
    )
    pretrain: str = option(
        "",
        "A self-supervised method that teaches the encoder of all networks before the run's method "
        "begins, by the method's own defaults, with options of its own after colons: "
        f"simclr:steps=5000:temperature=0.2. It takes the run's steps if it has none. One of "
        f"{', '.join(SELF_SUPERVISED)}.",
    )
    network: str = option(
        "wide_resnet_28_2",
        f"Network of teacher and student.\n{networks.HELP}",
    )
    teacher_network: str = option(
        "",
        "Network of the teacher, if it is another one.",
        needs="teacher_optimizer",
        beside=_OWN_TEACHER,
    )
    dropout: float = option(0.2, "Dropout before the network's head, in [0, 1).", low=0, below=1)
    seed: int = option(
        0, "Seed of split, initial weights, batches, views and pseudo labels.", low=0, high=2**31
    )
    labeled_batch: int = option(128, "Labeled images a step (the paper's B).", low=1, high=10**6)
    unlabeled_ratio: int = option(
        7, "Unlabeled images a labeled one (the paper's mu).", low=1, high=10_000, needs="unlabeled"
    )
    steps: int = option(300_000, "Training steps before finetuning.", low=1)
    finetune_steps: int = option(
        1000,
        "Steps of finetuning the EMA student on the labeled images; 0 leaves it out.",
        low=0,
        share_of_steps=0.1,
    )
    finetune_part: str = option(
        "auto",
        "What finetuning trains. all: what training trains. classifier: the head, or the last "
        "layer, and the batch normalisation before it, whose statistics start anew; all else is as "
        "in use (FixRes). auto: classifier with eval_image_size, else all.",
        choices=("auto", *delivery.PARTS),
        beside=("finetune_steps", ()),
    )
    deliver: str = option(
        "student",
        "The network that a run exports. student: the EMA student, finetuned if the run finetunes. "
        "best: of that, the EMA student before finetuning and the teacher the one that gets most "
        "validation images right.",
        choices=("student", "best"),
    )
    eval_every: int = option(
        500,
        "Steps from one evaluation on the validation images to the next.",
        low=1,
        share_of_steps=1.0,
    )
    checkpoint_every: int = option(
        0, "Steps from one checkpoint to the next; 0 writes one after every evaluation.", low=0
    )
    keep_checkpoints: int = option(2, "How many of the newest checkpoints are kept a phase.", low=1)
    log_every: int = option(50, "Steps that one line of metrics.csv averages.", low=1)
    deterministic: bool = option(
        False,
        "Only operations that give the same bits every time on the same device and software; "
        "slower on a GPU. CPUs were seen to do so without it, but do not promise it.",
    )


@dataclasses.dataclass(frozen=True)
class ComputeConfig:
    """On what a run is computed, and how; batches and steps mean the same everywhere.

    Only with `data_service` batches come in no certain order.
    """

    strategy: str = option(
        "auto",
        "auto: the first GPU, else the CPU. cpu. gpu: the first. mirrored: all GPUs of the "
        "machine. multi_worker: several processes, by --workers or TF_CONFIG. tpu, or tpu:NAME.",
    )
    replicas: int = option(
        0,
        "How many GPUs strategy=mirrored takes, 0 for all; without a GPU, into how many devices it "
        "splits the CPU.",
        low=0,
        high=4096,
    )
    precision: str = option(
        "float32",
        "What layers compute in; weights, losses and updates are float32. float16 scales losses.",
        choices=("float32", "bfloat16", "float16"),
    )
    jit_compile: bool = option(
        False, "Compile steps with XLA; on several replicas networks without batch norm only."
    )
    steps_per_execution: int = option(
        1,
        "Steps between two returns to Python; steps, finetune_steps, eval_every, checkpoint_every "
        "and log_every must be multiples of it.",
        low=1,
        high=10**6,
    )
    accumulate_steps: int = option(
        1,
        "Microbatches into which a step's images are cut, to save memory; each has its own batch "
        "statistics. Every pass is computed twice.",
        low=1,
        high=10_000,
    )
    recompute: bool = option(
        False, "Compute every pass a second time for its gradient instead of keeping it in memory."
    )
    stages: int = option(
        1,
        "Consecutive parts of each network, each on a GPU of its own; without a GPU the CPU is "
        "split. Microbatches flow through them: take accumulate_steps of at least 4 * stages.",
        low=1,
        high=1024,
    )
    data_service: str = option(
        "",
        "HOST:PORT of the dispatcher of tf.data's service (tools/data_service.py), whose workers "
        "read, decode and augment in place of this machine. Batches come as they are ready: which "
        "one a step has is no function of (seed, step) then.",
    )


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """An optimizer with Nesterov momentum on a schedule: wait, linear warm-up, cosine down to 0."""

    student_learning_rate: float = option(
        0.1, "Peak rate of the student, per 256 labeled images: rate * labeled_batch / 256.", low=0
    )
    student_wait_steps: int = option(
        3000,
        "Steps at rate 0 in which only the teacher learns.",
        low=0,
        share_of_steps=0.1,
        needs="joint_training",
    )
    student_warmup_steps: int = option(
        5000, "Steps of the student's warm-up.", low=0, share_of_steps=0.1
    )
    teacher_learning_rate: float = option(
        0.1,
        "Peak rate of the teacher, per 256 labeled images.",
        low=0,
        needs="teacher_optimizer",
        beside=_OWN_TEACHER,
    )
    teacher_warmup_steps: int = option(
        5000,
        "Steps of the teacher's warm-up.",
        low=0,
        share_of_steps=0.1,
        needs="teacher_optimizer",
        beside=_OWN_TEACHER,
    )
    optimizer: str = option(
        "sgd",
        "How steps follow gradients. sgd: with Nesterov momentum. lars: the same, each layer at a "
        "rate in proportion to its weights over its gradient, for large batches of self-supervised "
        "learning; weight_decay leaves out biases, and rates that are not set are 100 times "
        "those of sgd.",
        choices=("sgd", "lars"),
    )
    momentum: float = option(0.9, "Nesterov momentum, in [0, 1).", low=0, below=1)
    weight_decay: float = option(
        5e-4, "L2 term in the gradient of kernels and biases: weight_decay * w.", low=0
    )
    clip_norm: float = option(
        0.0, "Global norm to which a network's gradient is clipped; 0 never clips.", low=0
    )
    sam_rho: float = option(
        0.0,
        "Sharpness-aware minimisation (SAM), at twice the cost: the length (rho) of a step to "
        "worse weights, where the gradient is taken.",
        low=0,
        high=1000,
    )
    sam_perturbation: str = option(
        PERTURBATIONS[0],
        "Along whose gradient: the mean of all replicas, or each replica's own, as in the paper.",
        choices=PERTURBATIONS,
        beside=("sam_rho", ()),
    )
    finetune_learning_rate: float = option(
        1e-5,
        "Constant rate of finetuning (SGD), not scaled by the batch.",
        low=0,
        beside=("finetune_steps", ()),
    )
    finetune_batch: int = option(
        512,
        "Labeled images a step of finetuning.",
        low=1,
        high=10**6,
        beside=("finetune_steps", ()),
    )
