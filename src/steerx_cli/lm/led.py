"""LED's encoder with plain attention, for texts whose every token sees every other (Beltagy 2020).

A token of LED sees half a window to each side, and its own code fills every text up to whole windows of 1,024. A text
of half a window and one token is seen whole, and then the two are the same.
"""

from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention


def exact_up_to(config: Any) -> int:
    """The most tokens of such a text."""
    windows = config.attention_window
    return int(min(windows if isinstance(windows, list) else [windows])) // 2 + 1


def read_whole(encoder: Any, ids: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """The last layer's states: [rows, tokens] → [rows, tokens, width]; those of filler mean nothing."""
    states: torch.Tensor = encoder.layernorm_embedding(encoder.embed_tokens(ids) + encoder.embed_positions(ids.shape))
    for layer in encoder.layers:
        attention = layer.self_attn.longformer_self_attn

        def heads(part: Any, states: torch.Tensor = states, count: int = attention.num_heads) -> torch.Tensor:
            return part(states).unflatten(-1, (count, -1)).transpose(1, 2)  # type: ignore[no-any-return]

        query, key, value = heads(attention.query), heads(attention.key), heads(attention.value)
        mixed = scaled_dot_product_attention(query, key, value, attn_mask=kept[:, None, None, :])
        own = layer.self_attn.output(mixed.transpose(1, 2).flatten(2))
        states = layer.self_attn_layer_norm(states + own)
        states = layer.final_layer_norm(states + layer.fc2(layer.activation_fn(layer.fc1(states))))
    return states
