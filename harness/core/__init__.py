"""The foundation of the harness. It knows no task and no model.

- :mod:`~harness.core.errors`: the error for users' mistakes, hints for misspelt names, and faults
  of disks in words.
- :mod:`~harness.core.files`: writing files and directories that appear whole or not at all.
- :mod:`~harness.core.locks`: a claim that ends with the process. It needs a file system with locks.
- :mod:`~harness.core.lease`: a claim on a unit of work that also works between machines without
  locks. It expires when its holder dies, so work can be done twice.
- :mod:`~harness.core.workers`: a pool of worker processes.
- :mod:`~harness.core.processes`: how a process ends.
- :mod:`~harness.core.hashing`: hashes of JSON values, contents and files.
- :mod:`~harness.core.memory`: what was found out about files, kept while they stay the same.
- :mod:`~harness.core.yamltext`: YAML and options as people type them.
- :mod:`~harness.core.spelling`: names that look the same and differ.
- :mod:`~harness.core.counts`, :mod:`~harness.core.rendering`: numbers and tables as text.
"""
