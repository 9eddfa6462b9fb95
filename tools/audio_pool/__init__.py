"""Builds the audio pool that the shipped checkpoint was trained on, from Debian packages."""
