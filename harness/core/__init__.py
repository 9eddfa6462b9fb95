"""The foundation of the harness: errors, files, locks, hashes and worker processes.

It depends on no task and no model.

- :mod:`~harness.core.errors`: the error for users' mistakes, hints for misspelt names, and advice
  on errors of disks.
- :mod:`~harness.core.files`: writing files and directories that appear whole or not at all.
- :mod:`hear_byola.core.locks`: a claim that ends with its process, on file systems with locks.
- :mod:`~harness.core.lease`: a claim on a unit of work that also works between machines without
  locks. It expires when its holder dies, so work can be done twice.
- :mod:`~harness.core.workers`: a pool of worker processes; :mod:`~harness.core.worker` and
  :mod:`~harness.core.calls`: what runs in them, and what comes back.
- :mod:`~harness.core.slurm`: job scripts for Slurm.
- :mod:`~harness.core.processes`: the end of a process, in words or with its parent.
- :mod:`~harness.core.arrays`, :mod:`hear_byola.core.jsontext`: arrays and JSON of files that may be
  damaged.
- :mod:`~harness.core.hashing`: hashes of JSON values, contents and files.
- :mod:`~harness.core.memory`: a cache of facts about files, each valid while its file is unchanged.
- :mod:`hear_byola.core.schema`, :mod:`~harness.core.cells`: checks of what people write and of
  stored tables.
- :mod:`~harness.core.kinds`: the kinds of task.
- :mod:`~harness.core.yamltext`: YAML files and options of a command line.
- :mod:`~harness.core.spelling`: different names that look the same.
- :mod:`~harness.core.progress`: progress of long work.
- :mod:`~harness.core.counts`, :mod:`~harness.core.rendering`: numbers and tables as text.
"""
