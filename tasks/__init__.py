"""Read, check, fetch, prepare and make HEAR task directories."""
