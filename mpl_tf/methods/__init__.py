"""The methods, by the name that `--method` takes."""

from mpl_tf.engine.method import Method
from mpl_tf.engine.self_supervised import SelfSupervisedMethod
from mpl_tf.methods.adamatch import AdaMatch
from mpl_tf.methods.byol import BYOL
from mpl_tf.methods.enaet import EnAET
from mpl_tf.methods.finetune import Finetune
from mpl_tf.methods.fixmatch import FixMatch
from mpl_tf.methods.flexmatch import FlexMatch
from mpl_tf.methods.freematch import FreeMatch
from mpl_tf.methods.ict import ICT
from mpl_tf.methods.lga_vat import LGAVAT
from mpl_tf.methods.linear_probe import LinearProbe
from mpl_tf.methods.mean_teacher import MeanTeacher
from mpl_tf.methods.meta_pseudo_labels import MetaPseudoLabels
from mpl_tf.methods.mixmatch import MixMatch
from mpl_tf.methods.moco_v2 import MoCoV2
from mpl_tf.methods.noisy_student import NoisyStudent
from mpl_tf.methods.pcl import PCL
from mpl_tf.methods.pirl import PIRL
from mpl_tf.methods.pseudo_label import PseudoLabel
from mpl_tf.methods.reduced_mpl import ReducedMPL
from mpl_tf.methods.remixmatch import ReMixMatch
from mpl_tf.methods.simclr import SimCLR
from mpl_tf.methods.softmatch import SoftMatch
from mpl_tf.methods.supervised import Supervised
from mpl_tf.methods.temporal_ensembling import TemporalEnsembling
from mpl_tf.methods.uda import UDA
from mpl_tf.methods.vat import VAT

METHODS: dict[str, type[Method]] = {
    "adamatch": AdaMatch,
    "byol": BYOL,
    "enaet": EnAET,
    "finetune": Finetune,
    "fixmatch": FixMatch,
    "flexmatch": FlexMatch,
    "freematch": FreeMatch,
    "ict": ICT,
    "lga_vat": LGAVAT,
    "linear_probe": LinearProbe,
    "mean_teacher": MeanTeacher,
    "mixmatch": MixMatch,
    "moco_v2": MoCoV2,
    "mpl": MetaPseudoLabels,
    "noisy_student": NoisyStudent,
    "pcl": PCL,
    "pirl": PIRL,
    "pseudo_label": PseudoLabel,
    "reduced_mpl": ReducedMPL,
    "remixmatch": ReMixMatch,
    "simclr": SimCLR,
    "softmatch": SoftMatch,
    "supervised": Supervised,
    "temporal_ensembling": TemporalEnsembling,
    "uda": UDA,
    "vat": VAT,
}
# Those that `--pretrain` takes.
SELF_SUPERVISED = [
    name for name, method in METHODS.items() if issubclass(method, SelfSupervisedMethod)
]
for _name, _method in METHODS.items():
    _method.registered_name = _name  # an export says its method as `--method` takes it
