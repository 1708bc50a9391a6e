"""What stands behind the module names that existing packs import from their host."""
