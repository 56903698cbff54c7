"""The load of the machine, from numbers that are made up."""

import pytest

from keras_inception_export.benchmarking.machine import (
    Usage,
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


@pytest.mark.parametrize(
    ("start", "end", "others"),
    [
        # 20 of the 30 busy seconds are ours; 10 in 5 seconds are 2 cores.
        (Usage(0, 0, 0), Usage(5, 20, 30), 2),
        (Usage(9, 5, 100), Usage(14, 25, 120), 0),
        # The kernel counts in ticks, so that ours may seem to be more.
        (Usage(0, 0, 0), Usage(5, 20, 19.9), 0),
        (Usage(0, 0, None), Usage(5, 20, 30), None),
        (Usage(0, 0, 0), Usage(5, 20, None), None),
    ],
)
def test_cores_kept_busy_by_others(start, end, others):
    assert start.others_until(end) == others


def test_this_machine_is_described():
    assert cores_allowed() and processor()
