"""The addresses of workers, before anybody is waited for."""

import pytest

from mpl_tf.engine import devices
from mpl_tf.options import ConfigError


@pytest.mark.parametrize(
    "workers", ["a:99999,b:1", "a:0,b:1", "a:65536", "a,b:1", ":80,b:1", "a:1,a:1", "a:8o,b:1"]
)
def test_addresses_with_impossible_ports_are_refused(workers):
    with pytest.raises(ConfigError, match="with ports from 1 to 65535; received") as error:
        devices.make_strategy("multi_worker", workers=workers, worker_index=0)
    assert workers.split(",")[0] in str(error.value)


def test_the_greatest_port_is_one():
    with pytest.raises(ConfigError, match="worker_index must be from 0 to 1"):
        devices.make_strategy("multi_worker", workers="a:65535,b:1", worker_index=7)
