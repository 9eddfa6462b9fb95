"""Make HEAR task directories from corpora as their publishers distribute them."""
