"""Adapters: encoders of other toolkits as HEAR modules, one file or package for each toolkit.

The name of the file is the toolkit's name in ``-m``, for example ``-m torchaudio=WAV2VEC2_BASE``.
"""
