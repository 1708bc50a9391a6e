class OddBlur:
    CATEGORY = "odd"
    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"image": ("IMAGE",), "radius": ("INT", {"default": 2, "min": 0, "max": 64})}}

    def run(self, image, radius):
        return (image,)
