"""The HEAR task directory: what its files say, read and written."""
