"""The panel kinds, in any module here: :mod:`harness.report.registry` finds them."""
