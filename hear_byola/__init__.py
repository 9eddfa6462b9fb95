"""BYOL-A as a HEAR-API module."""
