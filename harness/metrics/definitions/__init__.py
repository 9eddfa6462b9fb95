"""The metrics, in one module each; :mod:`harness.metrics.registry` finds them here."""
