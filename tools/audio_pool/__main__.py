"""Command line: ``python -m tools.audio_pool WORK``."""

from tools.audio_pool.build import main

main()
