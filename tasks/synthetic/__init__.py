"""Tasks whose answers are known: tones that say their labels, with known chance and known best.

They calibrate the harness (:mod:`harness.baselines.oracle` reads them), and let anything be tried
without data. Whatever is scored on them belongs to the suite ``synthetic``.
"""

from tasks.synthetic.kinds import KINDS
from tasks.synthetic.make import make_synthetic, new_task

__all__ = ["KINDS", "make_synthetic", "new_task"]
