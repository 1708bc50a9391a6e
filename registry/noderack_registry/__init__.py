"""The registry: packs, versions, node types and models; its service and its client.

`schema`, `client` and `packing` need only the base dependencies; the server stands behind `server`.
"""
