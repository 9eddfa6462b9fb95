"""Make the stored data of the demo suite from free recordings in public packages.

Run ``python -m tools.demo_recipes OUT --work DIR``. There is one module per task. Each task has one
random seed, so a second run writes the same bytes (with the same versions of libsndfile,
libvorbis, soxr and numpy).
"""
