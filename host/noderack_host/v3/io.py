"""`io`: the socket types, Schema, NodeOutput and ComfyNode of the newer node form (host contract §1.7)."""

from noderack_host.graph import ExecutionBlocker
from noderack_host.v3.dynamic import Autogrow, DynamicCombo, DynamicInput, DynamicSlot, MatchType, MultiType
from noderack_host.v3.node import ComfyNode, Hidden, HiddenHolder, NodeOutput, Schema
from noderack_host.v3.sockets import Custom, Input, Output, SocketType, WidgetInput, comfytype
from noderack_host.v3.widgets import (
    Boolean,
    Combo,
    Float,
    FolderType,
    Int,
    MultiCombo,
    NumberDisplay,
    RemoteOptions,
    String,
    UploadType,
    Webcam,
)

ComfyTypeIO = ComfyTypeI = SocketType
AutogrowDynamic, ComboDynamic = Autogrow, DynamicCombo

Image = Custom("IMAGE")
Mask = Custom("MASK")
Latent = Custom("LATENT")
Conditioning = Custom("CONDITIONING")
Sampler = Custom("SAMPLER")
Sigmas = Custom("SIGMAS")
Noise = Custom("NOISE")
Guider = Custom("GUIDER")
Clip = Custom("CLIP")
ControlNet = Custom("CONTROL_NET")
Vae = Custom("VAE")
Model = Custom("MODEL")
ClipVision = Custom("CLIP_VISION")
ClipVisionOutput = Custom("CLIP_VISION_OUTPUT")
StyleModel = Custom("STYLE_MODEL")
Gligen = Custom("GLIGEN")
UpscaleModel = Custom("UPSCALE_MODEL")
LatentUpscaleModel = Custom("LATENT_UPSCALE_MODEL")
Audio = Custom("AUDIO")
Video = Custom("VIDEO")
SVG = Custom("SVG")
LoraModel = Custom("LORA_MODEL")
LossMap = Custom("LOSS_MAP")
Voxel = Custom("VOXEL")
Mesh = Custom("MESH")
Hooks = Custom("HOOKS")
HookKeyframes = Custom("HOOK_KEYFRAMES")
TimestepsRange = Custom("TIMESTEPS_RANGE")
LatentOperation = Custom("LATENT_OPERATION")
FlowControl = Custom("FLOW_CONTROL")
Accumulation = Custom("ACCUMULATION")
Load3DCamera = Custom("LOAD3D_CAMERA")
Load3D = Custom("LOAD_3D")
Load3DAnimation = Custom("LOAD_3D_ANIMATION")
Photomaker = Custom("PHOTOMAKER")
Point = Custom("POINT")
FaceAnalysis = Custom("FACE_ANALYSIS")
BBOX = Custom("BBOX")
SEGS = Custom("SEGS")
AnyType = Custom("*")
WanCameraEmbedding = Custom("WAN_CAMERA_EMBEDDING")
AudioEncoder = Custom("AUDIO_ENCODER")
AudioEncoderOutput = Custom("AUDIO_ENCODER_OUTPUT")
ModelPatch = MODEL_PATCH = Custom("MODEL_PATCH")
Tracks = Custom("TRACKS")
Dict = Custom("DICT")
Array = Custom("ARRAY")
Color = Custom("COLOR")
Colors = Custom("COLORS")
BoundingBox = Custom("BOUNDING_BOX")
BoundingBoxes = Custom("BOUNDING_BOXES")
Curve = Custom("CURVE")
Histogram = Custom("HISTOGRAM")
Range = Custom("RANGE")
Splat = Custom("SPLAT")
ImageCompare = Custom("IMAGECOMPARE")
File3DAny = Custom("FILE_3D")

__all__ = [
    "Autogrow",
    "Boolean",
    "Combo",
    "ComfyNode",
    "Custom",
    "DynamicCombo",
    "DynamicInput",
    "DynamicSlot",
    "ExecutionBlocker",
    "Float",
    "FolderType",
    "Hidden",
    "HiddenHolder",
    "Input",
    "Int",
    "MatchType",
    "MultiCombo",
    "MultiType",
    "NodeOutput",
    "NumberDisplay",
    "Output",
    "RemoteOptions",
    "Schema",
    "SocketType",
    "String",
    "UploadType",
    "Webcam",
    "WidgetInput",
    "comfytype",
]
