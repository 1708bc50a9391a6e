__version__ = "0.3"


class SingleNode:
    RETURN_TYPES = ("INT",)
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": ("INT", {"default": 1})}}

    def run(self, value):
        return (value + 1,)


NODE_CLASS_MAPPINGS = {"SingleNode": SingleNode}
