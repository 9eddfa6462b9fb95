"""Metrics of scene and event tasks, and the confidence intervals of their values."""
