"""Make synthetic tasks, whose clips are tones that encode the labels.

The chance level and the best score of these tasks are known. They calibrate the harness
(:mod:`harness.baselines.oracle` decodes the tones), and they allow tests without recordings. They
belong to the suite ``synthetic``.
"""

from tasks.synthetic.kinds import KINDS
from tasks.synthetic.make import make_synthetic, new_task

__all__ = ["KINDS", "make_synthetic", "new_task"]
