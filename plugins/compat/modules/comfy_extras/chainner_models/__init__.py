"""`comfy_extras.chainner_models`: what older packs load upscale models with."""
