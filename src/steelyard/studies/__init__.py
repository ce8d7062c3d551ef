"""Studies: what was asked, what was trained, where it is kept."""
