"""Memory that is kept, given back, and laid apart from other memory."""

import threading

import torch
from noderack_diffusion.allocation import give_back, pages, room, to_stay
from noderack_diffusion.unet import TOKENS, FeedForward
from torch import Tensor


def test_a_room_gives_the_same_memory_again() -> None:
    first = room("test").of((4, 5), torch.float32)
    again = room("test").of((10,), torch.float32)
    assert again.data_ptr() == first.data_ptr() and first.shape == (4, 5)
    assert room("other").of((10,), torch.float32).data_ptr() != first.data_ptr()
    assert room("test").of((99,), torch.float64).dtype == torch.float64


def test_a_room_made_in_inference_mode_can_be_written_to_outside() -> None:
    with torch.inference_mode():
        made = room("modes").of((3,), torch.float32)
    with torch.no_grad():
        assert torch.equal(room("modes").of((3,), torch.float32).copy_(torch.ones(3)), torch.ones(3))
    assert not made.is_inference()


def test_threads_have_rooms_of_their_own() -> None:
    places, mine = list[int](), room("threads").of((8,), torch.float32)
    thread = threading.Thread(
        target=lambda: places.append(room("threads").of((8,), torch.float32).data_ptr())
    )
    thread.start()
    thread.join()
    assert places and places[0] != mine.data_ptr()


def test_what_is_given_back_may_still_be_held() -> None:
    held = room("held").of((1000,), torch.float32).fill_(7.0)
    give_back()
    assert room("held").of((1000,), torch.float32).data_ptr() != held.data_ptr()
    assert bool((held == 7.0).all())


def test_pages_are_zero_and_large_blocks_may_have_them_to_themselves() -> None:
    assert not pages(5000, torch.float32).any()
    with to_stay():
        block: Tensor = torch.ones(1 << 20)
    assert bool(block.all())


@torch.no_grad()
def test_a_feed_forward_layer_takes_many_tokens_part_by_part() -> None:
    layer = FeedForward(16)
    x = torch.randn(2, 2 * TOKENS + 7, 16)
    assert torch.allclose(layer(x), layer.net(x), atol=1e-6)
