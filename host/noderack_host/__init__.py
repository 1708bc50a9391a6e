"""The runtime: workflow files, node contract, graph, executor, queue and HTTP API. No torch at import."""
