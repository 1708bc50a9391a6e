"""`nodes`: plans everything first, then installs packs one at a time, each step atomic and undoable."""
