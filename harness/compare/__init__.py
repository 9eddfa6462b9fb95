"""Whether one model is better than another, on which tasks, and whether that is real.

In a notebook::

    found = compare([Path("runs")], ["hear_byola", "logmel"], protocol="linear")
    found.tasks      # task by task: difference, interval, p, verdict
    found.overall    # over tasks
"""

from harness.compare.comparison import Comparison, compare, compare_all
from harness.compare.paired import PairedDifference, paired_difference
from harness.compare.text import format_comparison

__all__ = [
    "Comparison",
    "PairedDifference",
    "compare",
    "compare_all",
    "format_comparison",
    "paired_difference",
]
