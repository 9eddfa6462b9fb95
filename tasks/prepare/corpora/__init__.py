"""The corpora, a module each: :mod:`tasks.prepare.registry` finds those that each defines."""
