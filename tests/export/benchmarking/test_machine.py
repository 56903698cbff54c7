"""The load of the machine, from numbers that are made up."""

import pytest

from keras_inception_export.benchmarking.machine import (
    busy_ticks,
    cores_allowed,
    processor,
)

#     user nice system idle wait irq softirq steal guest guest_nice
STAT = """\
cpu  999 999 999 999 999 999 999 999 999 999
cpu0 1 2 4 1000 1000 8 16 32 64 64
cpu1 100 0 0 0 0 0 0 0 0 0
cpu10 7 0 0 0 0 0 0 0 0 0
ctxt 5
"""


@pytest.mark.parametrize(
    ("cores", "ticks"), [((0,), 63), ((0, 1), 163), ((1, 10), 107), ((), 0)]
)
def test_busy_ticks_of_the_allowed_cores(cores, ticks):
    assert busy_ticks(STAT, cores) == ticks


def test_this_machine_is_described():
    assert cores_allowed() and processor()
