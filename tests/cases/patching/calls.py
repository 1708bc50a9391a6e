"""What packs call on CLIP, VAE, nodes and samplings, and what comes of it; made for hosts of two kinds."""

import torch
def num(t):
    t=t.detach().float().flatten(); return [round(float(x),4) for x in (t.sum(), t.abs().mean(), t.std(), t[0], t[-1])] + [t.numel()]
def calls(ckpt):
    import comfy.sd, comfy.model_sampling, comfy.utils, comfy.sd1_clip, comfy.sdxl_clip, comfy.model_management as mm, nodes, folder_paths
    out={}
    model,clip,vae,_=comfy.sd.load_checkpoint_guess_config(ckpt, output_vae=True, output_clip=True)
    text="a (red:1.3) fox, ((sharp)) in snow " + "very long "*50
    tok=clip.tokenize(text); ids=clip.tokenize(text, return_word_ids=True)
    out["tokens"]={k:[[list(map(float,r)) for r in c][:30] for c in v] for k,v in tok.items()}
    out["ids"]={k:[[list(map(float,r)) for r in c][:30] for c in v] for k,v in ids.items()}
    c,p=clip.encode_from_tokens(tok, return_pooled=True)
    out["enc"]=[num(c),num(p)]
    out["enc1"]=num(clip.encode_from_tokens(tok))
    d=clip.encode_from_tokens(tok, return_dict=True); out["dict"]=sorted(d)
    plain={k:[[(t,1.0) for t,w in ch] for ch in v] for k,v in tok.items()}
    out["plain"]=num(clip.encode_from_tokens(plain))
    s=clip.encode_from_tokens_scheduled(tok, add_dict={"guidance":3.0}); out["sched"]=[num(s[0][0]), sorted(s[0][1])]
    c2=clip.clone(); c2.clip_layer(-3); out["layer"]=[num(c2.encode_from_tokens(tok)), c2.layer_idx, clip.layer_idx]
    csm=clip.cond_stage_model
    out["kinds"]=[isinstance(csm,comfy.sdxl_clip.SDXLClipModel),isinstance(csm,comfy.sd1_clip.SD1ClipModel),isinstance(clip.tokenizer,comfy.sdxl_clip.SDXLTokenizer), isinstance(csm, comfy.sdxl_clip.SDXLRefinerClipModel)]
    csm.reset_clip_options(); csm.set_clip_options({"execution_device": clip.patcher.load_device})
    l=csm.clip_l.encode_token_weights(tok["l"]); out["l"]=[num(l[0]),num(l[1])]
    csm.set_clip_options({"layer":-4}); l=csm.clip_l.encode_token_weights(tok["l"]); out["l4"]=num(l[0]); csm.reset_clip_options()
    o=csm.encode_token_weights(tok); out["all"]=num(o[0])
    if hasattr(csm,"clip_g"): g=csm.clip_g.encode_token_weights(tok["g"]); out["g"]=[num(g[0]),num(g[1])]
    import comfy.supported_models as sm, comfy.latent_formats as lf, comfy.model_base as mb
    cfg=model.model.model_config
    out["cfg"]=[isinstance(cfg,sm.SDXL),isinstance(cfg,sm.SD15),isinstance(cfg,sm.SD20),isinstance(cfg,(sm.Flux,sm.SD3)),isinstance(model.model.latent_format,lf.SDXL),isinstance(model.model.latent_format,lf.SD15),isinstance(model.model,mb.SDXL), isinstance(model.model,(mb.Flux,mb.WAN21)), isinstance(cfg, sm.supported_models_base.BASE), cfg.unet_config.get("context_dim"), model.model.model_type.name]
    img=torch.linspace(0,1,1*67*75*3).view(1,67,75,3)
    lat=vae.encode(img); out["venc"]=num(lat)
    out["vdec"]=num(vae.decode(lat))
    out["vatt"]=[vae.downscale_ratio, vae.upscale_ratio, vae.latent_channels, vae.spacial_compression_decode(), list(vae.vae_encode_crop_pixels(img).shape), vae.latent_dim, vae.output_channels]
    out["vtile"]=num(vae.decode_tiled(lat, tile_x=4, tile_y=4, overlap=1))
    out["vtile2"]=num(vae.encode_tiled(img, tile_x=32, tile_y=32, overlap=8))
    fs=vae.first_stage_model; out["fs"]=[num(fs.decode(lat)), num(fs.encode(vae.process_input(img[:,:64,:72].movedim(-1,1)))), hasattr(fs,"decoder"), hasattr(fs,"quant_conv")]
    out["mem"]=[vae.memory_used_decode((1,4,8,8),torch.float32)>0]
    # nodes positional
    out["n1"]=num(nodes.VAEDecode().decode(vae,{"samples":lat})[0]); out["n2"]=num(nodes.VAEEncode().encode(vae,img)[0]["samples"])
    out["n3"]=num(nodes.VAEEncodeForInpaint().encode(vae,img,torch.ones(1,67,75),6)[0]["samples"])
    import comfy_extras.nodes_mask as nm, comfy_extras.nodes_custom_sampler as nc, comfy_extras.nodes_post_processing as pp, comfy_extras.nodes_model_advanced as ma, comfy_extras.nodes_sag as sag, comfy_extras.nodes_gits as gits, comfy_extras.nodes_align_your_steps as ays, comfy_extras.nodes_perpneg as pn, comfy_extras.nodes_tcfg as tc, comfy_extras.nodes_differential_diffusion as dd, comfy_extras.nodes_clip_sdxl as xl, comfy_extras.nodes_freelunch as fl, comfy_extras.nodes_compositing as comp
    m=torch.zeros(1,20,20); m[:,5:15,5:15]=1
    out["grow"]=num(nm.GrowMask().expand_mask(m,3,True)[0]); out["grow2"]=num(nm.GrowMask.execute(m,-2,False)[0]); out["feather"]=num(nm.FeatherMask().feather(m,2,3,4,5)[0])
    out["comb"]=num(nm.MaskComposite().combine(m,m[:, :8,:8],3,4,"add")[0]); out["solid"]=num(nm.SolidMask().solid(0.5,8,9)[0])
    big=torch.linspace(0,1,1*3*32*32).view(1,3,32,32); small=torch.ones(1,3,10,12)*0.5
    out["composite"]=[num(nm.composite(big.clone(),small,x,y,m2,mult,rs)) for x,y,m2,mult,rs in [(3,4,None,1,False),(25,28,m,1,False),(16,8,m,8,False),(0,0,m,1,True)]]
    out["icm"]=num(nm.ImageCompositeMasked.execute(big.movedim(1,-1).clone(), small.movedim(1,-1), 3,4,False,None)[0])
    out["noise"]=[num(nc.Noise_RandomNoise(7).generate_noise({"samples":lat})), nc.Noise_RandomNoise(7).seed, num(nc.Noise_EmptyNoise().generate_noise({"samples":lat}))]
    out["gk"]=num(pp.gaussian_kernel(7,0.4)); out["blur"]=num(pp.Blur.execute(img,3,1.0)[0]); out["blend"]=num(pp.Blend().execute(img,img*0.5,0.3,"multiply")[0])
    out["sag"]=num(sag.gaussian_blur_2d(big,5,1.5))
    out["split"]=[num(x) for x in nc.SplitSigmas().get_sigmas(torch.linspace(10,0,11),4)]
    out["sched2"]=num(nc.BasicScheduler().get_sigmas(model,"karras",7,0.8)[0]); out["gits"]=num(gits.GITSScheduler().execute(1.2,8,1.0)[0]); out["ays"]=num(ays.AlignYourStepsScheduler().get_sigmas("SD1",10,1.0)[0])
    out["ays2"]=[round(float(x),4) for x in ays.loglinear_interp([14.0,5.0,1.0,0.1],7)]
    out["rz"]=num(comfy.model_sampling.rescale_zero_terminal_snr_sigmas(model.model.model_sampling.sigmas.clone()).clamp(max=4000))
    class MS(ma.ModelSamplingDiscreteDistilled, ma.LCM): pass
    ms=MS(model.model.model_config); sg=torch.tensor([3.0,0.7]); x=torch.linspace(-1,1,2*4*4*4).view(2,4,4,4)
    out["lcm"]=[num(ms.sigmas), num(ms.timestep(sg).float()), num(ms.sigma(torch.tensor([100.,700.]))), num(ms.calculate_denoised(sg,x*0.3,x)), num(ms.calculate_input(sg,x)), round(float(ms.percent_to_sigma(0.3)),4)]
    out["tc"]=num(tc.score_tangential_damping(x,x.flip(0)))
    out["dd"]=bool(dd.DifferentialDiffusion().execute(model)[0].model_options.get("denoise_mask_function"))
    out["fl"]=num(xl.CLIPTextEncodeSDXL.execute(clip,512,512,0,0,512,512,"a cat","a dog")[0][0][0]) if isinstance(cfg,sm.SDXL) else None
    out["join"]=list(comp.JoinImageWithAlpha().execute(img,torch.ones(1,67,75))[0].shape)
    out["lat_common"]=None
    pos=clip.encode_from_tokens_scheduled(clip.tokenize("a cat")); neg=clip.encode_from_tokens_scheduled(clip.tokenize(""))
    from nodes import common_ksampler
    if isinstance(cfg,sm.SD15):
        lat0={"samples":torch.zeros(1,4,8,8)}
        out["ks"]=num(common_ksampler(model,3,2,5.0,"euler","normal",pos,neg,lat0)[0]["samples"])
        g=nc.Guider_Basic(model); g.set_conds(pos); sam=comfy.samplers.sampler_object("euler")
        out["ga"]=num(nc.SamplerCustomAdvanced.execute(nc.Noise_RandomNoise(5),g,sam,torch.tensor([5.0,1.0,0.0]),lat0)[0]["samples"])
        out["ka"]=num(nodes.KSamplerAdvanced().sample(model,"enable",3,2,5.0,"euler","normal",pos,neg,lat0,0,2,"disable",denoise=1.0)[0]["samples"])
        sd=clip.get_sd(); 
        k=[n for n in clip.get_key_patches() if n.endswith("layers.0.mlp.fc1.weight")][0]
        c3=clip.clone(); used=c3.add_patches({k:(torch.full_like(clip.get_key_patches()[k][0] if not isinstance(clip.get_key_patches()[k][0],(tuple,list)) else clip.get_key_patches()[k][0][0],0.01),)},1.0); out["addp"]=[len(used),num(c3.encode_from_tokens(tok)),num(clip.encode_from_tokens(tok))]
    return out
