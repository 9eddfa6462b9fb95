"""Raw corpora, as their publishers pack them, to HEAR task directories: a module a corpus."""
