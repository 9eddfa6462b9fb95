"""Makes the demo suite's stored data from free recordings in named packages.

Run ``python -m tools.demo_recipes OUT --work DIR``; one module a task holds that task's recipe.
Everything drawn at random comes from one seed a task, so a second run writes the same bytes
(with the same versions of libsndfile, libvorbis, soxr and numpy).
"""
