"""Where and in which number format a model computes, unless it is told otherwise."""

import torch


def pick_device(told: str | torch.device | None = None) -> torch.device:
    """The device told, else the first accelerator, else the CPU."""
    if told is not None:
        return torch.device(told)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def pick_dtype(device: torch.device, told: torch.dtype | None = None) -> torch.dtype:
    """The dtype to compute in: bf16 on accelerators, fp32 on a CPU unless told bf16.

    fp16 arithmetic on a CPU is many times slower than fp32 and is never chosen, even when told; nor is bf16
    on a CPU that has no instructions for it (a convolution is a hundred times slower there).
    """
    slow = device.type == "cpu" and (told == torch.float16 or (told == torch.bfloat16 and not cpu_has_bf16()))
    if told is not None and not slow:
        return told
    return torch.float32 if device.type == "cpu" else torch.bfloat16


def cpu_has_bf16() -> bool:
    """Whether this CPU computes in bf16 at least as fast as in fp32."""
    return bool(torch._C._has_mkldnn and torch.ops.mkldnn._is_mkldnn_bf16_supported())
