"""Test whether one model is better than another, on which tasks, and with what significance.

``harness.compare`` and ``harness.power`` are :func:`compare` and :func:`plan`.
"""

from harness.analysis.compare.comparison import Comparison, compare, compare_all
from harness.analysis.compare.paired import PairedDifference, paired_difference
from harness.analysis.compare.plan import format_power, plan
from harness.analysis.compare.text import format_comparison, format_comparisons

__all__ = [
    "Comparison",
    "PairedDifference",
    "compare",
    "compare_all",
    "format_comparison",
    "format_comparisons",
    "format_power",
    "paired_difference",
    "plan",
]
