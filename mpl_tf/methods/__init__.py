"""The methods, by the name that `--method` takes."""

from mpl_tf.methods.fixmatch import FixMatch
from mpl_tf.methods.freematch import FreeMatch
from mpl_tf.methods.meta_pseudo_labels import MetaPseudoLabels
from mpl_tf.methods.noisy_student import NoisyStudent
from mpl_tf.methods.pseudo_label import PseudoLabel
from mpl_tf.methods.supervised import Supervised
from mpl_tf.methods.uda import UDA

METHODS = {
    "fixmatch": FixMatch,
    "freematch": FreeMatch,
    "mpl": MetaPseudoLabels,
    "noisy_student": NoisyStudent,
    "pseudo_label": PseudoLabel,
    "supervised": Supervised,
    "uda": UDA,
}
