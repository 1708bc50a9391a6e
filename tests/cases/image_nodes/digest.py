"""A tensor in a few numbers: its shape, and weighted sums that tell a moved pixel."""


def digest(out):
    import torch

    flat = out.detach().float().flatten()
    places = torch.arange(len(flat), dtype=torch.float64)
    sums = [(flat.double() * torch.cos(places * step)).sum() for step in (0.0, 0.37, 1.9)]
    return [list(out.shape), [round(float(s), 2) for s in sums]]
