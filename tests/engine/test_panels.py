"""The panels that a method gives to the report of a run."""

import pytest

from mpl_tf.engine.panel import Panel
from mpl_tf.engine.student import StudentMethod


@pytest.mark.parametrize("count", [0, 5])
def test_a_panel_of_more_curves_than_are_drawn_or_none_is_refused(count):
    names = "abcde"
    assert len(Panel("Gain", dict.fromkeys(names[:4], "label")).curves) == 4
    with pytest.raises(ValueError, match=rf"1 to 4 curves; received {count} for 'Gain'"):
        Panel("Gain", dict.fromkeys(names[:count], "label"))


@pytest.mark.parametrize("panels", [Panel("Gain", {"a": "b"}), ("Gain",)])
def test_panels_are_a_tuple_of_them(panels):
    with pytest.raises(TypeError, match=r"Wrong.panels must be a tuple of Panel, .* received"):
        type("Wrong", (StudentMethod,), {"panels": panels})
