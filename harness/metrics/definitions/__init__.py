"""The metrics, a module each: :mod:`harness.metrics.registry` finds every one defined here."""
