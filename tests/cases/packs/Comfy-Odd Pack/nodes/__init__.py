__version__ = "1.4.0"


class Invert:
    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"image": ("IMAGE",)}}

    def run(self, image):
        return (1.0 - image,)


NODE_CLASS_MAPPINGS = {"Odd Invert": Invert}
