"""The candidates that are trained: which methods, with which settings, in which order."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from mpl_tf import config
from mpl_tf.config.recipes import HEAD, HEAD_OF, PRETRAINED
from mpl_tf.data import pairing
from mpl_tf.data.dataset import Dataset
from mpl_tf.methods import METHODS
from mpl_tf.runs import footprint

# Method -> settings, in the order in which they are tried.
# Heads on cached features of a network with learned weights: as the recipe of heads says, whose
# rates are for its batch. After the labels alone comes what brings most with few labels
# (docs/results.md): of equals the first is delivered.
_HEAD = {"labeled_batch": HEAD["labeled_batch"]}
HEADS: Mapping[str, Mapping[str, Any]] = dict.fromkeys(
    ("supervised", "mpl", "flexmatch", "fixmatch", "uda"), _HEAD
)
# The last layers of such a network, too, as the recipe of pretrained networks says, but for what a
# step of seconds makes too long: few steps, and small batches.
LAYERS = 20
DEEPER: Mapping[str, Any] = {
    "steps": 60,
    "labeled_batch": 16,
    "unlabeled_ratio": 3,
    "finetune_steps": 0,
}
# Networks without learned weights, as a whole: the quickest first.
_FROM_SCRATCH = {"steps": 400, "finetune_steps": 0, "student_learning_rate": 0.8}
WHOLE: Mapping[str, Mapping[str, Any]] = {
    "supervised": _FROM_SCRATCH,
    "fixmatch": _FROM_SCRATCH,
    "flexmatch": _FROM_SCRATCH,
    "uda": _FROM_SCRATCH,
    "mpl": {
        **_FROM_SCRATCH,
        "teacher_learning_rate": 0.8,
        "finetune_steps": 50,
        "finetune_learning_rate": 1e-3,
    },
}
_BATCHES = {"labeled_batch": 32, "unlabeled_ratio": 7}


def digest() -> str:
    """A digest of all settings here, and of those that runs have of themselves, hexadecimal."""
    tables = (HEADS, LAYERS, DEEPER, WHOLE, _BATCHES, HEAD, HEAD_OF, PRETRAINED)
    return hashlib.sha256(json.dumps([*map(_plain, tables)], sort_keys=True).encode()).hexdigest()


def _plain(table: Any) -> Any:
    return {k: _plain(v) for k, v in table.items()} if isinstance(table, Mapping) else table


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A candidate that is trained as a run.

    Attributes:
      name: by which it is told from others.
      method: that trains it.
      train: what of the network learns, as `--train` takes it.
      settings: option name -> value, of what is its own.
    """

    name: str
    method: str
    train: str
    settings: Mapping[str, Any]

    @property
    def reads_unlabeled(self) -> bool:
        """Whether it sees unlabeled images."""
        return bool(METHODS[self.method].unlabeled_views)

    @property
    def needs_many_steps(self) -> bool:
        """Whether its student learns from a teacher that learns: few steps teach it little."""
        return METHODS[self.method].joint_training


def quick(pretrained: bool, has_unlabeled: bool) -> list[Recipe]:
    """Candidates that need nothing of one another, in the order in which they are tried.

    Args:
      pretrained: whether the network has learned weights, so that its head alone is trained.
      has_unlabeled: whether there are unlabeled images.
    """
    table, train = (HEADS, "head") if pretrained else (WHOLE, "all")
    recipes = [
        Recipe(f"{method}, {'head' if pretrained else 'from scratch'}", method, train, settings)
        for method, settings in table.items()
    ]
    return [recipe for recipe in recipes if has_unlabeled or not recipe.reads_unlabeled]


def deeper(recipe: Recipe, layers: int) -> Recipe:
    """The candidate that trains more of a network of learned weights than a head.

    Args:
      recipe: of the head.
      layers: of the backbone that have a kernel.
    """
    number = min(LAYERS, layers)
    name = f"{recipe.method}, last {f'{number} layers' if number > 1 else 'layer'}"
    settings = {**recipe.settings, **DEEPER}
    return Recipe(name, recipe.method, f"last_{number}", settings)


def settings_of(
    recipe: Recipe,
    common: Mapping[str, Any],
    num_labeled: int,
    num_unlabeled: int,
    dataset: Dataset | None = None,
) -> config.Config:
    """The configuration of a candidate's runs, the same for all folds.

    Labeled images are none of the unlabeled ones: so these are the same for all folds, and no image
    that is held out is among them.

    Args:
      recipe: the candidate.
      common: option name -> value, of what all candidates share.
      num_labeled: labels in the smallest run.
      num_unlabeled: unlabeled images without copies of labeled ones; of no effect for methods that
        see none.
      dataset: as `config.make` takes it.

    Raises:
      ConfigError: no run can have these options.
    """
    values = {**_BATCHES, **recipe.settings}
    batch, ratio = pairing.give_way(
        values["labeled_batch"],
        values["unlabeled_ratio"],
        batch_is_set=False,
        ratio_is_set=False,
        num_labeled=num_labeled,
        num_unlabeled=num_unlabeled if recipe.reads_unlabeled else None,
    )
    values |= {
        **common,
        "method": recipe.method,
        "train": recipe.train,
        "labeled_batch": batch,
        "unlabeled_ratio": ratio,
        "num_labeled": 0,
        "num_validation": 0,
        "exclude_labeled": True,
    }
    applied = {k: v for k, v in values.items() if config.applies(k, recipe.method)}
    return config.make(applied, dataset)


def weight(settings: config.Config) -> float:
    """How long a candidate takes beside others that train as much of the network.

    Args:
      settings: of the candidate.
    """
    method = METHODS[settings.run.method]
    networks = len(method.optimizers)
    return settings.run.steps * networks * (1 + bool(method.unlabeled_views))


def passes_a_step(settings: config.Config) -> int:
    """Images that go through a network forward and backward in a step, once for each that learns.

    Args:
      settings: of the candidate.
    """
    return footprint.images_a_step(settings) * len(METHODS[settings.run.method].optimizers)
