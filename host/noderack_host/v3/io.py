"""`io`: the socket types, Schema, NodeOutput and ComfyNode of the newer node form (host contract §1.7)."""

from noderack_host.graph import ExecutionBlocker
from noderack_host.v3.dynamic import (
    Autogrow,
    DynamicCombo,
    DynamicInput,
    DynamicOutput,
    DynamicSlot,
    MatchType,
    MultiType,
)
from noderack_host.v3.node import ComfyNode, Hidden, HiddenHolder, NodeOutput, NodeReplace, Schema
from noderack_host.v3.panels import (
    BoundingBox,
    BoundingBoxes,
    Color,
    Colors,
    Compositor,
    Curve,
    ImageCompare,
    Range,
)
from noderack_host.v3.price import PriceBadge, PriceBadgeDepends
from noderack_host.v3.rows import DynamicGroup
from noderack_host.v3.sockets import Custom, Input, Output, SocketType, WidgetInput, comfytype
from noderack_host.v3.widgets import (
    Boolean,
    Combo,
    ControlAfterGenerate,
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
Latent = Custom("LATENT", dict, "LatentDict")
Conditioning = Custom("CONDITIONING", list, "CondList", "PooledDict")
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
Audio = Custom("AUDIO", dict, "AudioDict")
Video = Custom("VIDEO")
SVG = Custom("SVG")
LoraModel = Custom("LORA_MODEL")
LossMap = Custom("LOSS_MAP", dict, "LossMapDict")
Voxel = Custom("VOXEL")
Mesh = Custom("MESH")
Hooks = Custom("HOOKS")
HookKeyframes = Custom("HOOK_KEYFRAMES")
TimestepsRange = Custom("TIMESTEPS_RANGE")
LatentOperation = Custom("LATENT_OPERATION")
FlowControl = Custom("FLOW_CONTROL")
Accumulation = Custom("ACCUMULATION", dict, "AccumulationDict")
Load3DCamera = Custom("LOAD3D_CAMERA", dict, "CameraInfo")
Load3D = Custom("LOAD_3D", dict, "Model3DDict")
Load3DAnimation = Custom("LOAD_3D_ANIMATION", dict, "Model3DDict")
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
Tracks = Custom("TRACKS", dict, "TrackDict")
Dict = Custom("DICT", dict)
Array = Custom("ARRAY", list)
Histogram = Custom("HISTOGRAM", list)
Splat = Custom("SPLAT")
Layers = Custom("LAYERS", dict, "Document", "LayerItem", "BlendMode")
BackgroundRemoval = Custom("BACKGROUND_REMOVAL")
Load3DModelInfo = Custom("LOAD3D_MODEL_INFO", list, "Model3DTransform")
File3DAny = Custom("FILE_3D")
File3DGLB = Custom("FILE_3D_GLB")
File3DGLTF = Custom("FILE_3D_GLTF")
File3DFBX = Custom("FILE_3D_FBX")
File3DOBJ = Custom("FILE_3D_OBJ")
File3DSTL = Custom("FILE_3D_STL")
File3DUSDZ = Custom("FILE_3D_USDZ")
File3DPLY = Custom("FILE_3D_PLY")
File3DSPLAT = Custom("FILE_3D_SPLAT")
File3DSPZ = Custom("FILE_3D_SPZ")
File3DKSPLAT = Custom("FILE_3D_KSPLAT")
File3DSplatAny = Custom("FILE_3D_SPLAT_ANY")
File3DPointCloudAny = Custom("FILE_3D_POINT_CLOUD_ANY")

__all__ = [
    "Autogrow",
    "Boolean",
    "BoundingBox",
    "BoundingBoxes",
    "Color",
    "Colors",
    "Combo",
    "ComfyNode",
    "Compositor",
    "ControlAfterGenerate",
    "Curve",
    "Custom",
    "DynamicCombo",
    "DynamicGroup",
    "DynamicInput",
    "DynamicOutput",
    "DynamicSlot",
    "ExecutionBlocker",
    "Float",
    "FolderType",
    "Hidden",
    "HiddenHolder",
    "ImageCompare",
    "Input",
    "Int",
    "MatchType",
    "MultiCombo",
    "MultiType",
    "NodeOutput",
    "NodeReplace",
    "NumberDisplay",
    "Output",
    "PriceBadge",
    "PriceBadgeDepends",
    "Range",
    "RemoteOptions",
    "Schema",
    "SocketType",
    "String",
    "UploadType",
    "Webcam",
    "WidgetInput",
    "comfytype",
]
