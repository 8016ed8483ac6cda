"""Meta Pseudo Labels: a classifier from a few labeled and many unlabeled images."""

import importlib

__version__ = "0.1.0"

# Loaded when first used: TensorFlow takes seconds, and the command line has to quiet it first.
_PUBLIC = {
    "MetaPseudoLabels": "mpl_tf.methods.meta_pseudo_labels",
    "MetaPseudoLabelsConfig": "mpl_tf.methods.meta_pseudo_labels",
    "NoisyStudent": "mpl_tf.methods.noisy_student",
    "NoisyStudentConfig": "mpl_tf.methods.noisy_student",
    "PseudoLabel": "mpl_tf.methods.pseudo_label",
    "PseudoLabelConfig": "mpl_tf.methods.pseudo_label",
    "Supervised": "mpl_tf.methods.supervised",
    "SupervisedConfig": "mpl_tf.methods.supervised",
    "FixMatch": "mpl_tf.methods.fixmatch",
    "FixMatchConfig": "mpl_tf.methods.fixmatch",
    "FlexMatch": "mpl_tf.methods.flexmatch",
    "FlexMatchConfig": "mpl_tf.methods.flexmatch",
    "FreeMatch": "mpl_tf.methods.freematch",
    "FreeMatchConfig": "mpl_tf.methods.freematch",
    "UDA": "mpl_tf.methods.uda",
    "UDAConfig": "mpl_tf.methods.uda",
    "MeanTeacher": "mpl_tf.methods.mean_teacher",
    "MeanTeacherConfig": "mpl_tf.methods.mean_teacher",
    "TemporalEnsembling": "mpl_tf.methods.temporal_ensembling",
    "TemporalEnsemblingConfig": "mpl_tf.methods.temporal_ensembling",
    "VAT": "mpl_tf.methods.vat",
    "VATConfig": "mpl_tf.methods.vat",
    "ICT": "mpl_tf.methods.ict",
    "ICTConfig": "mpl_tf.methods.ict",
    "MixMatch": "mpl_tf.methods.mixmatch",
    "MixMatchConfig": "mpl_tf.methods.mixmatch",
    "ReMixMatch": "mpl_tf.methods.remixmatch",
    "ReMixMatchConfig": "mpl_tf.methods.remixmatch",
    "METHODS": "mpl_tf.methods",
    "NETWORKS": "mpl_tf.networks",
    "DATASETS": "mpl_tf.data",
    "WarmupCosine": "mpl_tf.formulas.schedules",
    "ConfigError": "mpl_tf.options",
}

# `mpl_tf.data.pair` and so on, after `import mpl_tf` alone.
_SUBMODULES = ("data", "networks", "methods", "augment")

__all__ = sorted(_PUBLIC)


def __getattr__(name):
    if name in _SUBMODULES:
        return importlib.import_module(f"mpl_tf.{name}")
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__():
    return sorted([*globals(), *_PUBLIC, *_SUBMODULES])
