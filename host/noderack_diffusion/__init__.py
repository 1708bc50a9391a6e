"""The diffusion core: models, sampling, text, adapters, memory. Knows no node and no graph."""
