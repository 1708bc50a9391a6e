"""The database's schema, step by step. `upgrade(database)` brings any older one to the newest."""
