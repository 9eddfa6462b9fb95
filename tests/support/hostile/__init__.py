"""Hostile input for everything that reads files: what it is, who reads it, and what is watched."""
