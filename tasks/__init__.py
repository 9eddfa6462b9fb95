"""Task cards, and what makes task directories."""
