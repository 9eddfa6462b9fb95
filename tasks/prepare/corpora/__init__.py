"""One module per corpus; :mod:`tasks.prepare.registry` reads the ``CORPORA`` of each."""
