"""The methods, by the name that `--method` takes."""

from mpl_tf.methods.meta_pseudo_labels import MetaPseudoLabels
from mpl_tf.methods.supervised import Supervised

METHODS = {
    "mpl": MetaPseudoLabels,
    "supervised": Supervised,
}
