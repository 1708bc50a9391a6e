"""`nodes demo`: the main job from publishing to picture, on this machine alone."""
