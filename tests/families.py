"""Small models of many families, with random weights wide enough that their probabilities differ."""

from typing import Any

import torch
from transformers import (
    CohereConfig,
    CohereForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2MoeConfig,
    Qwen2MoeForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

WORDS, WINDOW, SLIDING = 120, 256, 20
_SHAPE = {
    "vocab_size": WORDS,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": WINDOW,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_KINDS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "qwen3": (Qwen3Config, Qwen3ForCausalLM, {"tie_word_embeddings": False}),
    "llama": (LlamaConfig, LlamaForCausalLM, {}),
    "gpt2": (GPT2Config, GPT2LMHeadModel, {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": WINDOW}),
    "qwen2": (
        Qwen2Config,
        Qwen2ForCausalLM,
        {"use_sliding_window": True, "sliding_window": SLIDING, "max_window_layers": 1},
    ),
    "mistral": (MistralConfig, MistralForCausalLM, {"sliding_window": SLIDING}),
    "phi3": (Phi3Config, Phi3ForCausalLM, {"sliding_window": SLIDING}),
    "gemma3": (Gemma3TextConfig, Gemma3ForCausalLM, {"sliding_window": SLIDING, "sliding_window_pattern": 2}),
    "gemma2": (Gemma2Config, Gemma2ForCausalLM, {"sliding_window": SLIDING}),  # caps its logits, inside and out
    "qwen2_moe": (
        Qwen2MoeConfig,
        Qwen2MoeForCausalLM,
        {
            "use_sliding_window": True,
            "sliding_window": SLIDING,
            "max_window_layers": 2,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 24,
            "shared_expert_intermediate_size": 24,
        },
    ),
    "cohere": (CohereConfig, CohereForCausalLM, {"logit_scale": 0.3}),
    "granite": (GraniteConfig, GraniteForCausalLM, {"logits_scaling": 3.0}),
    "gpt_neox": (GPTNeoXConfig, GPTNeoXForCausalLM, {}),
    "opt": (OPTConfig, OPTForCausalLM, {"ffn_dim": 48, "word_embed_proj_dim": 32}),
}
FAMILIES = list(_KINDS)


def random_model(family: str, **settings: Any) -> Any:
    """A model of this family, the same each time."""
    config, model, own = _KINDS[family]
    torch.manual_seed(0)
    made = model(config(**{**_SHAPE, **own, **settings})).eval()
    if family == "qwen2_moe":
        made.set_experts_implementation("eager")  # the others cannot do float64
    for weights in made.parameters():
        if weights.ndim > 1:
            weights.data.normal_(std=0.15)
    return made
