"""Runs prompts on the machines of a Ray cluster: `nodes serve --engine ray[=ADDRESS]`."""
