"""Static pages from the registry's data."""
