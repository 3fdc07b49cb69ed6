"""Small models of many families, with random weights wide enough that their probabilities differ; what layers find."""

import math
from typing import Any

import torch
from transformers import (
    CohereConfig,
    CohereForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GemmaConfig,
    GemmaForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    GptOssConfig,
    GptOssForCausalLM,
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
    PhiConfig,
    PhiForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2MoeConfig,
    Qwen2MoeForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
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
    "phi": (PhiConfig, PhiForCausalLM, {}),  # its head has a bias
    "phi3": (Phi3Config, Phi3ForCausalLM, {"sliding_window": SLIDING}),
    "gemma": (GemmaConfig, GemmaForCausalLM, {}),
    "gemma3": (Gemma3TextConfig, Gemma3ForCausalLM, {"sliding_window": SLIDING, "sliding_window_pattern": 2}),
    "gemma2": (  # it caps its logits, inside and out
        Gemma2Config,
        Gemma2ForCausalLM,
        {"sliding_window": SLIDING, "attn_logit_softcapping": 1.0, "final_logit_softcapping": 0.4},
    ),
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
    "qwen3_moe": (
        Qwen3MoeConfig,
        Qwen3MoeForCausalLM,
        {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24},
    ),
    "gpt_oss": (  # beside its scores there are sinks
        GptOssConfig,
        GptOssForCausalLM,
        {
            "sliding_window": SLIDING,
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4},
        },
    ),
    "cohere": (CohereConfig, CohereForCausalLM, {"logit_scale": 0.3}),
    "granite": (GraniteConfig, GraniteForCausalLM, {"logits_scaling": 3.0}),
    "gpt_neox": (GPTNeoXConfig, GPTNeoXForCausalLM, {}),
    "opt": (OPTConfig, OPTForCausalLM, {"ffn_dim": 48, "word_embed_proj_dim": 32}),
}
FAMILIES = list(_KINDS)
UNPACKED = ("qwen2_moe",)  # it keeps its window to itself


def random_model(family: str, **settings: Any) -> Any:
    """A model of this family, the same each time."""
    config, model, own = _KINDS[family]
    torch.manual_seed(0)
    made = model(config(**{**_SHAPE, **own, **settings})).eval()
    if "num_experts_per_tok" in own:
        made.set_experts_implementation("eager")  # the others cannot do float64
    for name, weights in made.named_parameters():
        if weights.ndim > 1 or name.endswith((".bias", ".sinks")):
            weights.data.normal_(std=0.15)
    if made.config.tie_word_embeddings:  # such a model would say what it has read last, again and again
        made.get_input_embeddings().weight.data *= 0.2
    return made


def obvious_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scaling: float,
    window: int | None = None,
    cap: float | None = None,
    sinks: torch.Tensor | None = None,
) -> torch.Tensor:
    """The last tokens of one text against every key up to their own, in float64: [1, tokens, heads, width]."""
    copies = query.shape[1] // key.shape[1]
    key, value = (tensor.double().repeat_interleave(copies, 1) for tensor in (key, value))
    scores = query.double() @ key.transpose(-1, -2) * scaling
    if cap is not None:
        scores = cap * (scores / cap).tanh()
    at = torch.arange(key.shape[2])
    seen = (at[None] <= at[:, None]) & (at[None] > at[:, None] - (window or key.shape[2]))
    powers = scores.masked_fill(~seen[-query.shape[2] :], -math.inf).exp()
    whole = powers.sum(-1, keepdim=True)
    if sinks is not None:
        whole = whole + sinks.double().exp()[None, :, None, None]
    return (powers / whole @ value).transpose(1, 2)
