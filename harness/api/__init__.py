"""What ``import harness`` offers. docs/python.md shows it in use."""

# ruff: noqa: F401 (harness re-exports these names)

from harness.analysis.compare import Comparison
from harness.analysis.compare.gather import Results
from harness.api.evaluating import evaluate
from harness.api.lists import list_metrics, list_protocols, list_tasks
from harness.api.reading import compare, format_table, load, power, table, write_report
from harness.core.errors import UserError
from tasks.format.task import Task, read_task
