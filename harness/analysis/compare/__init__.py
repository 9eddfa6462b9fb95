"""Whether one model is better than another, on which tasks, and whether that is real.

In a notebook::

    found = compare([Path("runs")], ["hear_byola", "logmel"], protocol="linear")
    found.tasks      # task by task: difference, interval, p, verdict
    found.overall    # over tasks
    plan([Path("runs")], difference=0.02)  # what could be detected, and what this would need
"""

from harness.analysis.compare.comparison import Comparison, compare, compare_all
from harness.analysis.compare.paired import PairedDifference, paired_difference
from harness.analysis.compare.plan import format_power, plan
from harness.analysis.compare.text import format_comparison

__all__ = [
    "Comparison",
    "PairedDifference",
    "compare",
    "compare_all",
    "format_comparison",
    "format_power",
    "paired_difference",
    "plan",
]
