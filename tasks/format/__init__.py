"""Read and write the files of a HEAR task directory."""
