"""Test whether one model is better than another, on which tasks, and with what significance."""

from harness.analysis.compare.comparison import Comparison, compare, compare_all
from harness.analysis.compare.text import format_comparison, format_comparisons

__all__ = [
    "Comparison",
    "compare",
    "compare_all",
    "format_comparison",
    "format_comparisons",
]
