"""Many pictures on one, in a grid, with labels."""
