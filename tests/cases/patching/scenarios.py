"""What packs do to models and samplers, written as packs write it. The same file runs under any host.

Each function takes a MODEL and gives the latent of a short run. `expected.json` holds what ComfyUI 0.33 gave
(`peer.py` beside this file made it).
"""

import comfy.model_patcher
import comfy.model_sampling
import comfy.sample
import comfy.samplers
import torch

STEPS, CFG, SEED = 4, 5.0, 7


def made(shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def text(seed):
    return [[made((1, 9, 16), seed), {}]]


def draw(model, sampler="euler", cfg=CFG, scheduler="normal", mask=None, latent=None, positive=None):
    latent = torch.zeros(1, 4, 8, 8) if latent is None else latent
    noise = comfy.sample.prepare_noise(latent, SEED)
    return comfy.sample.sample(
        model, noise, STEPS, cfg, sampler, scheduler, positive or text(1), text(2), latent,
        denoise=1.0, noise_mask=mask, seed=SEED, disable_pbar=True,
    )  # fmt: skip


def plain(model):
    return draw(model)


def cfg_function(model):
    m = model.clone()

    def guided(args):
        cond, uncond, scale = args["cond"], args["uncond"], args["cond_scale"]
        assert args["sigma"].shape == args["timestep"].shape and args["input"].shape == cond.shape
        return uncond + (cond - uncond) * scale * 0.5 + 0.1 * torch.tanh(args["cond_denoised"])

    m.set_model_sampler_cfg_function(guided)
    return draw(m)


def cfg_function_of_three(model):
    m = model.clone()
    m.set_model_sampler_cfg_function(lambda args: args["uncond"] + (args["cond"] - args["uncond"]) * 2)
    return draw(m)


def post_cfg_twice(model):
    m = model.clone()
    m.set_model_sampler_post_cfg_function(lambda args: args["denoised"] * 0.9 + args["cond_denoised"] * 0.1)
    m.set_model_sampler_post_cfg_function(lambda args: args["denoised"] - 0.05 * args["uncond_denoised"], True)
    return draw(m, cfg=1.0)


def pre_cfg(model):
    m = model.clone()

    def swapped(args):
        one, two = args["conds_out"]
        return [one + 0.2 * two, two * 0.5]

    m.set_model_sampler_pre_cfg_function(swapped)
    return draw(m)


def perturbed_attention(model):
    """Another prediction with attention replaced by its values, as perturbed-attention guidance has it."""
    m = model.clone()

    def perturbed(args):
        options = args["model_options"].copy()
        options = comfy.model_patcher.set_model_options_patch_replace(
            options, lambda q, k, v, extra: v, "attn1", "middle", 0
        )
        (weak,) = comfy.samplers.calc_cond_batch(
            args["model"], [args["cond"]], args["input"], args["sigma"], options
        )
        return args["denoised"] + (args["cond_denoised"] - weak) * 3.0

    m.set_model_sampler_post_cfg_function(perturbed)
    return draw(m)


def unet_wrapper(model):
    m = model.clone()
    sides = []

    def around(apply_model, params):
        sides.append(tuple(params["cond_or_uncond"]))
        out = apply_model(params["input"], params["timestep"], **params["c"])
        return out * 0.95 + params["input"] * 0.01

    m.set_model_unet_function_wrapper(around)
    found = draw(m)
    assert set(sides) == {(1, 0)}, sides
    return found


def attention_patches(model):
    m = model.clone()
    seen = []

    def before(q, k, v, extra):
        seen.append((tuple(extra["block"]), extra["block_index"], extra["n_heads"], extra["dim_head"]))
        return q, k * 1.1, v * 0.9

    m.set_model_attn1_patch(before)
    m.set_model_attn2_patch(lambda q, k, v, extra: (q * 1.05, k, v + 0.01))
    m.set_model_attn1_output_patch(lambda n, extra: n * 0.8)
    m.set_model_attn2_output_patch(lambda n, extra: n + 0.02 * len(extra["cond_or_uncond"]))
    found = draw(m)
    assert (("input", 1), 0, 8, 4) in seen and (("middle", 0), 0, 8, 8) in seen, seen[:6]
    return found


def attention_replaced(model):
    m = model.clone()

    def replaced(q, k, v, extra):
        heads = extra["n_heads"]
        q, k, v = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (q, k, v))
        out = torch.nn.functional.scaled_dot_product_attention(q * 0.5, k, v)
        return out.transpose(1, 2).flatten(2)

    m.set_model_attn1_replace(replaced, "input", 1)
    m.set_model_attn2_replace(replaced, "output", 1, 0)
    return draw(m)


def block_patches(model):
    m = model.clone()
    m.set_model_input_block_patch(lambda h, o: h * (1.0 if o["block"][1] else 1.1))
    m.set_model_input_block_patch_after_skip(lambda h, o: h * 0.97)
    m.set_model_output_block_patch(lambda h, skip, o: (h * 1.05, skip * 0.9))
    m.set_model_patch(lambda x, o: x * 0.99, "middle_patch")
    m.set_model_emb_patch(lambda emb, width, o: emb * (1 + width / 3200))
    return draw(m)


def weights_added(model):
    m = model.clone()
    key = "diffusion_model.middle_block.1.transformer_blocks.0.attn1.to_q.weight"
    shape = m.model_state_dict()[key].shape
    used = m.add_patches({key: (made(tuple(shape), 5),), "diffusion_model.none": (made((1,), 1),)}, 0.3)
    assert list(used) == [key]
    drawn = draw(m)
    assert not torch.equal(drawn, draw(model)), "the handle that came in must stay as it is"
    return drawn


def other_parametrisation(model):
    m = model.clone()

    class Sampling(comfy.model_sampling.ModelSamplingDiscrete, comfy.model_sampling.V_PREDICTION):
        pass

    m.add_object_patch("model_sampling", Sampling(m.model.model_config))
    return draw(m, scheduler="karras")


def shifted_table(model):
    m = model.clone()

    class Sampling(comfy.model_sampling.ModelSamplingDiscrete, comfy.model_sampling.EPS):
        pass

    measured = Sampling(m.model.model_config)
    measured.set_sigmas(m.get_model_object("model_sampling").sigmas * 1.2)
    m.add_object_patch("model_sampling", measured)
    return draw(m)


def wrappers(model):
    m = model.clone()
    names = comfy.patcher_extension.WrappersMP

    def network(executor, *args, **kwargs):
        return executor(*args, **kwargs) * 0.9

    def applied(executor, *args, **kwargs):
        return executor(*args, **kwargs) + 0.01

    def outer(executor, *args, **kwargs):
        return executor(*args, **kwargs) * 2

    m.add_wrapper_with_key(names.DIFFUSION_MODEL, "mine", network)
    m.add_wrapper_with_key(names.APPLY_MODEL, "mine", applied)
    comfy.patcher_extension.add_wrapper_with_key(
        names.APPLY_MODEL, "other", applied, m.model_options, is_model_options=True
    )
    guider = comfy.samplers.CFGGuider(m)
    guider.set_conds(text(1), text(2))
    guider.set_cfg(CFG)
    m.add_wrapper_with_key(names.OUTER_SAMPLE, "mine", outer)
    return _guided(guider, m)


def _guided(guider, model, sampler="euler", sigmas=None, mask=None):
    latent = torch.zeros(1, 4, 8, 8)
    if sigmas is None:
        sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "normal", STEPS)
    kind = comfy.samplers.sampler_object(sampler) if isinstance(sampler, str) else sampler
    noise = comfy.sample.prepare_noise(latent, SEED)
    return guider.sample(noise, latent, kind, sigmas, mask, None, True, SEED)


def own_guider(model):
    class Guider(comfy.samplers.CFGGuider):
        def predict_noise(self, x, timestep, model_options={}, seed=None):
            middle = self.conds.get("middle")
            out = comfy.samplers.calc_cond_batch(
                self.inner_model, [self.conds["positive"], middle, None], x, timestep, model_options
            )
            assert not out[2].any()
            return comfy.samplers.cfg_function(
                self.inner_model, out[0], out[1], self.cfg, x, timestep, model_options, cond=None, uncond=middle
            )

    guider = Guider(model)
    guider.inner_set_conds({"positive": text(1), "middle": text(3)})
    guider.set_cfg(2.5)
    return _guided(guider, model)


def own_sampler(model):
    """A sampler of a pack: half steps, with its own options, telling each step."""
    told = []

    def walk(model, x, sigmas, extra_args=None, callback=None, disable=None, damp=1.0):
        ones = x.new_ones([x.shape[0]])
        for i in range(len(sigmas) - 1):
            clean = model(x, sigmas[i] * ones, **(extra_args or {}))
            callback({"x": x, "i": i, "sigma": sigmas[i], "sigma_hat": sigmas[i], "denoised": clean})
            x = x + (x - clean) / sigmas[i] * (sigmas[i + 1] - sigmas[i]) * damp
        return x

    measured = model.get_model_object("model_sampling")
    sigmas = comfy.samplers.calculate_sigmas(measured, "karras", STEPS)
    latent = torch.zeros(1, 4, 8, 8)
    return comfy.sample.sample_custom(
        model, comfy.sample.prepare_noise(latent, SEED), CFG, comfy.samplers.KSAMPLER(walk, {"damp": 0.9}),
        sigmas, text(1), text(2), latent, callback=lambda step, clean, x, total: told.append((step, total)),
        disable_pbar=True, seed=SEED,
    )  # fmt: skip


def borrowed_samplers(model):
    """A pack's sampler that calls one of the host's, under names that hosts have."""
    from comfy.k_diffusion import sampling as k

    def walk(model, x, sigmas, extra_args=None, callback=None, disable=None):
        half = len(sigmas) // 2
        x = k.sample_heun(model, x, sigmas[: half + 1], extra_args=extra_args, callback=None, disable=disable)
        x = k.sample_dpmpp_2m(model, x, sigmas[half:], extra_args, callback, disable)
        return x

    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(text(1), text(2))
    guider.set_cfg(CFG)
    return _guided(guider, model, comfy.samplers.KSAMPLER(walk))


def masked(model):
    m = model.clone()
    m.set_model_denoise_mask_function(lambda sigma, mask, extra_options: (mask > 0.5).float())
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., 2:6, 2:6] = 1
    return draw(m, mask=mask, latent=made((1, 4, 8, 8), 9))


def guidance_plus_plus(model):
    m = model.clone()
    m.set_model_sampler_post_cfg_function(lambda args: args["denoised"] * 0.98)
    return draw(m, "euler_cfg_pp")


def changed_conds(model):
    """A pack edits conditioning while sampling: the text of one side is weakened."""
    m = model.clone()

    def calculated(args):
        conds = []
        for side in args["conds"]:
            rows = []
            for row in side or []:
                row = row.copy()
                models = row["model_conds"].copy()
                kept = models["c_crossattn"]
                models["c_crossattn"] = kept._copy_with(kept.cond * 0.7)
                row["model_conds"] = models
                rows.append(row)
            conds.append(rows)
        return comfy.samplers.calc_cond_batch(
            args["model"], conds, args["input"], args["sigma"], args["model_options"]
        )

    m.set_model_sampler_calc_cond_batch_function(calculated)
    return draw(m)


def area_and_mask(model):
    m = model.clone()
    m.set_model_sampler_post_cfg_function(lambda args: args["denoised"])
    mask = torch.zeros(1, 64, 64)
    mask[:, :, :32] = 1
    both = [
        [made((1, 9, 16), 1), {"area": (4, 8, 4, 0), "strength": 0.8}],
        [made((1, 9, 16), 4), {"mask": mask, "mask_strength": 0.5, "set_area_to_bounds": False}],
        [made((1, 9, 16), 6), {"start_percent": 0.0, "end_percent": 0.5}],
    ]
    return draw(m, positive=both)


def attention_of_the_host(model):
    """A pack puts its attention in the host's place for a run, and the host's back after it."""
    from comfy.ldm.modules import attention

    kept = attention.optimized_attention

    def skipping(q, k, v, heads, *args, **kwargs):
        return v if q.shape == k.shape else kept(q, k, v, heads, *args, **kwargs)

    attention.optimized_attention = skipping
    try:
        return draw(model)
    finally:
        attention.optimized_attention = kept


def guidance_of_the_host(model):
    """A pack puts its guidance in the host's place for a run."""
    kept = comfy.samplers.sampling_function

    def weaker(model, x, timestep, uncond, cond, cond_scale, model_options={}, seed=None):
        return kept(model, x, timestep, uncond, cond, cond_scale * 0.5, model_options, seed)

    m = model.clone()
    m.set_model_sampler_post_cfg_function(lambda args: args["denoised"] * 0.98)
    comfy.samplers.sampling_function = weaker
    try:
        return draw(m)
    finally:
        comfy.samplers.sampling_function = kept


def run_of_its_own(model):
    """A pack carries out the whole run itself, writes names of its own on the model, and replaces its options."""
    import comfy.sampler_helpers

    def outer_sample(self, noise, latent_image, sampler, sigmas, denoise_mask=None, callback=None,
                     disable_pbar=False, seed=None, **more):  # fmt: skip
        patcher = self.model_patcher
        prepared = comfy.sampler_helpers.prepare_sampling(patcher, noise.shape, self.conds, self.model_options)
        self.inner_model, self.conds, loaded = prepared
        device = patcher.load_device
        comfy.samplers.cast_to_load_options(self.model_options, device=device, dtype=patcher.model_dtype())
        try:
            patcher.pre_run()
            return patcher.strength_of_mine * self.inner_sample(
                noise.to(device), latent_image.to(device), device, sampler, sigmas.to(device), denoise_mask,
                callback, disable_pbar, seed, **more,
            )  # fmt: skip
        finally:
            patcher.cleanup()
            comfy.sampler_helpers.cleanup_models(self.conds, loaded)

    m = model.clone()
    m.strength_of_mine = 0.5
    m.model_options = {**m.model_options, "sampler_cfg_function": lambda args: args["cond"] * 0.9}
    kept = comfy.samplers.CFGGuider.outer_sample
    comfy.samplers.CFGGuider.outer_sample = outer_sample
    try:
        return draw(m)
    finally:
        comfy.samplers.CFGGuider.outer_sample = kept


SCENARIOS = {
    function.__name__: function
    for function in (
        plain,
        cfg_function,
        cfg_function_of_three,
        post_cfg_twice,
        pre_cfg,
        perturbed_attention,
        unet_wrapper,
        attention_patches,
        attention_replaced,
        block_patches,
        weights_added,
        other_parametrisation,
        shifted_table,
        wrappers,
        own_guider,
        own_sampler,
        borrowed_samplers,
        masked,
        guidance_plus_plus,
        changed_conds,
        area_and_mask,
        attention_of_the_host,
        guidance_of_the_host,
        run_of_its_own,
    )
}


def filled(shapes):
    """Weights for a network of these shapes, the same on every host."""
    found = {}
    for place, name in enumerate(sorted(shapes)):
        shape = tuple(shapes[name])
        spread = made(shape, 1000 + place)
        if len(shape) == 1:
            found[name] = 1 + 0.1 * spread if "norm" in name or name.endswith("0.weight") else 0.1 * spread
        else:
            found[name] = spread * (2.0 / max(1, spread[0].numel())) ** 0.5
    return found
