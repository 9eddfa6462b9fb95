"""The protocols and their classifiers: :mod:`harness.probe.registry` finds all defined here.

Commands that never train list the protocols too. So a module here imports torch, and modules that
import it, inside the functions that use them.
"""
