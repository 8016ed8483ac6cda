"""A program for the tests: `python -m mpl_tf.train`, whose runs draw nothing."""

import sys

from mpl_tf import train
from mpl_tf.runs import drawing

if __name__ == "__main__":
    drawing.save = lambda path, make, dpi=100: False
    sys.exit(train.main())
