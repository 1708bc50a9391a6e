"""The modules that existing packs import: backed by the runtime, and honest about what they lack."""

# ruff: noqa: E501 - code of packs in strings

import zipfile
from pathlib import Path
from typing import Any

from noderack_registry.packing import build_wheel

ROOT = Path(__file__).parents[2]


def test_folders_are_the_hosts_and_can_be_added_to(ask: Any, tmp_path: Path) -> None:
    (tmp_path / "models" / "loras" / "deep").mkdir(parents=True)
    (tmp_path / "models" / "loras" / "deep" / "a.safetensors").touch()
    (tmp_path / "models" / "secret.safetensors").touch()
    answer = ask(
        "import folder_paths as f\n"
        "f.add_model_folder_path('mine', f.models_dir + '/loras')\n"
        "answer = [f.get_filename_list('loras'), f.get_full_path('loras', '../secret.safetensors'),\n"
        " f.get_filename_list('mine'), f.get_output_directory(), f.get_save_image_path('x/pic', f.output_directory)[2],\n"
        " f.get_annotated_filepath('a.png [temp]'), 'unet' in f.folder_names_and_paths]",
        tmp_path,
    )
    assert answer[0] == answer[2] == ["deep/a.safetensors"] and answer[1] is None
    assert answer[3] == str(tmp_path / "output") and answer[4] == 1
    assert answer[5] == str(tmp_path / "temp" / "a.png") and answer[6] is False


def test_one_process_sees_the_rest_of_the_interface(ask: Any, tmp_path: Path) -> None:
    answer = ask(
        "import torch, nodes, comfy, comfy.utils, comfy.samplers, comfy.model_management as mm, node_helpers\n"
        "from comfy_execution.graph_utils import GraphBuilder, ExecutionBlocker\n"
        "from server import PromptServer\n"
        "@PromptServer.instance.routes.get('/x')\nasync def x(request): ...\n"
        "import asyncio\nfrom comfy_api.latest import ComfyAPI, ComfyAPISync, io\n"
        "asyncio.run(ComfyAPI().node_replacement.register(io.NodeReplace('New', 'Old')))\n"
        "ComfyAPISync().node_replacement.register(io.NodeReplace('Newer', 'Old'))\n"
        "from comfy_api.latest import Caching\nfrom comfy_execution.cache_provider import CacheProvider, CacheValue\n"
        "class Mine(Caching.CacheProvider):\n"
        "    async def on_lookup(self, context): ...\n    async def on_store(self, context, value): ...\n"
        "Caching.register_provider(one := Mine())\nComfyAPISync().caching.register_provider(one)\n"
        "asyncio.run(ComfyAPI().caching.register_provider(two := Mine()))\n"
        "from noderack_host.running import Running, use\nsaid = []\n"
        "with use(Running(node_id='7', report=lambda *told: said.append(told))):\n"
        "    ComfyAPISync().execution.set_progress(1, 4)\n"
        "    asyncio.run(ComfyAPI().execution.set_progress(2, 4, node_id='7', preview_image=None, ignore_size_limit=True))\n"
        "from noderack_host.providers import registered\nboth = registered() == (one, two)\n"
        "ComfyAPISync().caching.unregister_provider(one)\nassert registered() == (two,) and CacheValue([]).ui is None\n"
        "image = torch.rand(1, 3, 40, 40)\n"
        "tiled = comfy.utils.tiled_scale(image, lambda t: t.repeat_interleave(2, 2).repeat_interleave(2, 3), 16, 16, 4, 2)\n"
        "from comfy.comfy_types import IO\n"
        "answer = {'ksampler': nodes.KSampler.RETURN_TYPES, 'size': list(comfy.utils.common_upscale(image, 20, 10, 'bilinear', 'center').shape),\n"
        " 'tiles': float((tiled - image.repeat_interleave(2, 2).repeat_interleave(2, 3)).abs().max()) < 1e-5,\n"
        " 'samplers': 'euler' in comfy.samplers.KSampler.SAMPLERS, 'device': str(mm.get_torch_device()),\n"
        " 'set': node_helpers.conditioning_set_values([[1, {'a': 1}]], {'b': 2}), 'routes': len(PromptServer.instance.routes),\n"
        " 'any': [IO.ANY != 'IMAGE', IO.IMAGE != 'MASK'], 'max': nodes.MAX_RESOLUTION,\n"
        " 'new': [old['new_node_id'] for old in PromptServer.instance.node_replacements], 'providers': both, 'said': said}",
        tmp_path,
    )
    assert answer["ksampler"] == ["LATENT"] and answer["size"] == [1, 3, 10, 20] and answer["tiles"]
    assert answer["samplers"] and answer["device"] and answer["set"] == [[1, {"a": 1, "b": 2}]]
    assert answer["routes"] == 1 and answer["any"] == [False, True] and answer["max"] == 16384
    assert answer["new"] == ["New", "Newer"] and answer["providers"]
    assert answer["said"] == [["7", 1, 4, None], ["7", 2, 4, None]]


def test_what_is_lacking_imports_refuses_and_names_name_and_pack(ask: Any, tmp_path: Path) -> None:
    pack = tmp_path / "site" / "custom_nodes" / "needy"
    pack.mkdir(parents=True)
    (pack / "__init__.py").write_text(
        "import comfy.ldm.wan.model as a\nfrom comfy.ldm.wan.model import WanSelfAttention\n"
        "class Mine(WanSelfAttention): pass\ndef use(): return a.WanModel(1)\n"
    )
    answer = ask(
        f"sys.path.insert(0, {str(tmp_path / 'site')!r})\n"
        "import custom_nodes.needy as needy\nfrom noderack_compat.missing import TALLY\n"
        "try: needy.use()\nexcept NotImplementedError as error: said = str(error)\n"
        "try: from comfy.samplers import never_heard_of\nexcept ImportError as error: unknown = str(error)\n"
        "answer = [said, unknown, [[*key, n] for key, n in TALLY.asked.items()]]",
        tmp_path,
    )
    assert "needy uses comfy.ldm.wan.model.WanModel" in answer[0]
    assert "never_heard_of" in answer[1]
    assert answer[2] == [["comfy.ldm.wan.model.WanModel", "needy", 1]]


def test_wheels_of_an_untouched_pack_and_of_compat_load_together(ask: Any, tmp_path: Path) -> None:
    pack = tmp_path / "Needs-Host"
    (pack / "web").mkdir(parents=True)
    (pack / "web" / "x.js").write_text("export {}")
    (pack / "__init__.py").write_text(
        "import os, folder_paths, nodes\nfrom comfy.utils import ProgressBar\nfrom server import PromptServer\n"
        "class Saved(nodes.SaveImage):\n    pass\n"
        "NODE_CLASS_MAPPINGS = {'Saved': Saved}\nWEB_DIRECTORY = 'web'\n"
        "HERE = os.path.join(folder_paths.get_folder_paths('custom_nodes')[0], 'Needs_Host')\n"
        "assert os.path.samefile(HERE, os.path.dirname(__file__))\n"
    )
    for source in (pack, ROOT / "plugins" / "compat"):
        built = build_wheel(source, tmp_path / "wheels")
        with zipfile.ZipFile(built.path) as wheel:
            wheel.extractall(tmp_path / "site")
            assert not any(name.startswith(("./", "modules/")) for name in wheel.namelist())
    answer = ask(
        f"sys.path[:] = [p for p in sys.path if 'plugins/compat' not in p]\nsys.path.insert(0, {str(tmp_path / 'site')!r})\n"
        "from noderack_host.packs import load_packs\nfound = load_packs(only=['needs-host'])\n"
        "answer = [[f.cause for f in found.failures], sorted(found.nodes), [str(p.web_directory) for p in found.packs],\n"
        " found.schema('Saved').to_object_info()['category']]",
        tmp_path,
    )
    assert answer[0] == [] and answer[1] == ["Saved"] and answer[2][0].endswith("custom_nodes/Needs_Host/web")
    assert answer[3] == "image"


def test_schema_form_nodes_run_under_the_hosts_contract(ask: Any, tmp_path: Path) -> None:
    answer = ask(
        "from comfy_api.latest import ComfyExtension, io\n"
        "from noderack_host.contract import contract_of, schema_of\n"
        "class N(io.ComfyNode):\n"
        "    @classmethod\n"
        "    def define_schema(cls):\n"
        "        return io.Schema(node_id='N', display_name='En', category='c', is_output_node=True,\n"
        "            inputs=[io.Image.Input('image', optional=True), io.Int.Input('n', default=2, min=1, max=9),\n"
        "                    io.Combo.Input('how', options=['a', 'b'])], outputs=[io.Int.Output(display_name='twice')])\n"
        "    @classmethod\n"
        "    def execute(cls, n, how, image=None):\n        return io.NodeOutput(n * 2, ui={'text': [how]})\n"
        "c = contract_of('N', N)\n"
        "answer = [c.is_v3, c.output_node, c.fingerprint, list(N.execute(n=3, how='a').args), N.INPUT_TYPES()['required']['n'],\n"
        " list(N.RETURN_NAMES), sorted(N.INPUT_TYPES()['hidden']), schema_of('N', N).to_object_info()['display_name']]",
        tmp_path,
    )
    assert answer[:4] == [True, True, None, [6]]
    assert answer[4][0] == "INT" and answer[4][1]["max"] == 9 and answer[5] == ["twice"]
    assert answer[6] == ["extra_pnginfo", "prompt"] and answer[7] == "En"


def test_the_interface_table_reads() -> None:
    lines = (ROOT / "plugins/compat/noderack_compat/interface.txt").read_text().splitlines()
    rows = [line.split(":", 1) for line in lines if line and not line.startswith("#")]
    assert len(rows) > 80 and all(len(row) == 2 and row[0].replace(".", "_").isidentifier() for row in rows)


def test_names_of_model_code_import_unless_the_pack_can_do_without(ask: Any, tmp_path: Path) -> None:
    pack = tmp_path / "site" / "custom_nodes" / "newer"
    pack.mkdir(parents=True)
    (pack / "__init__.py").write_text(
        "from comfy.ldm.flux.layers import of_some_version\nimport comfy_extras.nodes_lt as lt\n"
        "PATCH = lt.SymmetricPatchifier(1)\n"
        "try:\n    from comfy.ldm.flux.layers import of_another\nexcept ImportError:\n    of_another = None\n"
        "def use(): return PATCH.go()\n"
    )
    answer = ask(
        f"sys.path.insert(0, {str(tmp_path / 'site')!r})\nimport custom_nodes.newer as newer\n"
        "try: newer.use()\nexcept NotImplementedError as error: said = str(error)\n"
        "from noderack_host.lacking import lacking\n"
        "answer = [said, newer.of_another, newer.of_some_version.__name__, lacking()]",
        tmp_path,
    )
    assert "newer uses comfy_extras.nodes_lt.SymmetricPatchifier" in answer[0]
    assert answer[1] is None and answer[2] == "of_some_version"
    assert {row["pack"] for row in answer[3]} == {"newer"} and all(row["count"] for row in answer[3])


def test_text_encoders_and_image_towers_are_the_cores(ask: Any, tmp_path: Path) -> None:
    answer = ask(
        "import torch, comfy.clip_vision as v, comfy.sd as sd\n"
        "from noderack_diffusion.clip import ClipConfig, ClipText\n"
        "from noderack_diffusion.vision import ClipVision, VisionConfig\n"
        "from safetensors.torch import save_file\n"
        f"folder = {str(tmp_path)!r}\n"
        "save_file(ClipText(ClipConfig(768, 1, 12, 32)).state_dict(), folder + '/l.safetensors')\n"
        "tower = ClipVision(VisionConfig(64, 2, 1, 32, 8, 32, 16, True))\n"
        "save_file(tower.state_dict(), folder + '/v.safetensors')\n"
        "clip = sd.load_clip([folder + '/l.safetensors'], clip_type=sd.CLIPType.STABLE_DIFFUSION)\n"
        "seen = v.load(folder + '/v.safetensors').encode_image(torch.rand(1, 40, 32, 3))\n"
        "ready = v.clip_preprocess(torch.rand(1, 40, 32, 3), 32, mean=[0, 0, 0], std=[1, 1, 1])\n"
        "answer = [list(clip.encode('x')[0].shape), list(seen['image_embeds'].shape),\n"
        " list(seen.penultimate_hidden_states.shape), bool((ready >= -1e-6).all() and (ready <= 1.000001).all())]",
        tmp_path,
    )
    assert answer == [[1, 77, 768], [1, 16], [1, 17, 64], True]


def test_attention_functions_are_had_by_name(ask: Any, tmp_path: Path) -> None:
    answer = ask(
        "from comfy.ldm.modules import attention as a\nimport torch\n"
        "a.register_attention_function('mine', lambda *x, **y: 'mine')\n"
        "a.register_attention_function('mine', None)\n"
        "q = torch.rand(1, 4, 8)\n"
        "same = torch.equal(a.get_attention_function('optimized')(q, q, q, 2),\n"
        "                   a.get_attention_function('basic')(q, q, q, 2))\n"
        "answer = [same, a.get_attention_function('mine')(), a.get_attention_function('other', None),\n"
        "          'mine' in a.REGISTERED_ATTENTION_FUNCTIONS]",
        tmp_path,
    )
    assert answer == [True, "mine", None, True]


def test_a_built_in_node_that_is_lacking_stands_in_only_where_a_pack_takes_it(
    ask: Any, tmp_path: Path
) -> None:
    """Packs make nodes of their own from built-in ones; one that we lack must not cost them the others."""
    (tmp_path / "maker.py").write_text(
        "from nodes import NODE_CLASS_MAPPINGS as host\n"
        "def other(cls):\n    class Other(cls):\n        TITLE = cls.__name__ + '!'\n    return Other\n"
        "NODE_CLASS_MAPPINGS = {name: other(host[name]) for name in ('KSampler', 'TripleCLIPLoader')}\n"
        "tried = [host.get('TripleCLIPLoader'), 'TripleCLIPLoader' in host]\n"
        "try:\n    tried.append(host['TripleCLIPLoader'])\nexcept KeyError:\n    tried.append('none')\n"
    )
    answer = ask(
        f"sys.path.append({str(tmp_path)!r})\n"
        "import maker\nfrom noderack_compat.missing import TALLY, MissingName\n"
        "made = maker.NODE_CLASS_MAPPINGS\nanswer = [made['KSampler'].INPUT_TYPES()['required']['steps'][0], maker.tried]\n"
        "try:\n    made['TripleCLIPLoader'].INPUT_TYPES()\nexcept MissingName as error:\n    answer.append(str(error))\n"
        "try:\n    import nodes\n    nodes.NODE_CLASS_MAPPINGS['NobodyHasThis']\nexcept KeyError:\n    answer.append('unknown')\n"
        "answer.append([name for name, pack in TALLY.asked])",
        tmp_path,
    )
    assert answer[:2] == ["INT", [None, False, "none"]] and "TripleCLIPLoader" in answer[2]
    assert answer[3] == "unknown" and "comfy_extras.nodes_sd3.TripleCLIPLoader" in answer[4]


def test_what_a_pack_puts_in_place_to_no_effect_is_counted(ask: Any, tmp_path: Path) -> None:
    answer = ask(
        "import comfy.model_management as mm, comfy.samplers, comfy.ldm.modules.attention as attention\n"
        "from noderack_host.lacking import lacking\n"
        "mm.text_encoder_device = lambda: 'cpu'\nmm.made_up = 3\n"
        "comfy.samplers.sampling_function = lambda *args: None\n"
        "attention.optimized_attention = lambda q, k, v, heads: v\n"
        "from noderack_diffusion import unet\nfrom noderack_diffusion.patching import conds, guiding\n"
        "answer = [lacking(), unet.attention(1, 2, 3, 4),\n"
        "          conds.sampling_function is guiding.sampling_function is comfy.samplers.sampling_function]",
        tmp_path,
    )
    row = {
        "pack": "a pack",
        "name": "comfy.model_management.text_encoder_device",
        "count": 1,
        "replaced": True,
    }
    assert answer == [[row], 3, True]


def test_everything_of_a_module_can_be_taken_at_once(ask: Any, tmp_path: Path) -> None:
    """`import *` gives a pack what it gives on other hosts: the host's modules too, and stand-ins."""
    answer = ask(
        "import comfy\nfrom comfy.samplers import *\nfirst = KSampler\nfrom nodes import *\n"
        "import comfy.samplers, folder_paths as f\nanswer = [comfy.samplers.KSampler is first, folder_paths is f, SCHEDULER_NAMES[0], MAX_RESOLUTION,\n"
        "          math.pi > 3, process_conds.path, SaveImage.FUNCTION, '_names' in globals()]",
        tmp_path,
    )
    assert answer[:2] == [True, True] and answer[3:] == [
        16384, True, "comfy.samplers.process_conds", "save_images", False,
    ]  # fmt: skip
