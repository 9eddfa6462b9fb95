"""Task directories: their format, audio, cards and checks, and what fetches or makes them."""
