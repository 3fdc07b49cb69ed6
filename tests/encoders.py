"""Small models of many families that read text, with random weights wide enough that their states differ."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoConfig,
    AutoModel,
    BertTokenizer,
    GPT2Tokenizer,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    RobertaTokenizer,
)

LONGEST = 48  # tokens that the tokenizers let through: three of LED's windows
WINDOW = 16  # of LED; it sees texts of up to 9 tokens whole
LAYERS = 3

_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
_BYTES = [*_SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())]
_WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz"]
_WIDTH = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
}
_TWO = {
    "d_model": 32,
    "encoder_layers": LAYERS,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
}
_KINDS: dict[str, dict[str, Any]] = {
    "bert": _WIDTH,
    "distilbert": {
        "dim": 32,
        "hidden_dim": 48,
        "n_layers": LAYERS,
        "n_heads": 2,
        "max_position_embeddings": 64,
    },
    "electra": {**_WIDTH, "embedding_size": 32},
    "albert": {**_WIDTH, "embedding_size": 16},  # one layer, gone through again and again
    "roberta": _WIDTH,
    "led": {**_TWO, "attention_window": WINDOW, "max_encoder_position_embeddings": 64},
    "bart": {**_TWO, "max_position_embeddings": 64},
    "t5": {"d_model": 32, "d_kv": 16, "d_ff": 48, "num_layers": LAYERS, "num_decoder_layers": 1, "num_heads": 2},
    "qwen2": {**_WIDTH, "num_key_value_heads": 1},
    "gpt2": {"n_embd": 32, "n_layer": LAYERS, "n_head": 2, "n_positions": 64},
}


def make_model(kind: str, *, trained: bool = True, **changes: Any) -> PreTrainedModel:
    """A model of a family; an untrained one is as its family starts."""
    torch.manual_seed(0)
    words = {"vocab_size": len(_BYTES), "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    config = AutoConfig.for_model(kind, **{**words, **_KINDS[kind], **changes})
    model: PreTrainedModel = AutoModel.from_config(config).eval()  # type: ignore[no-untyped-call]
    if trained:
        with torch.no_grad():
            for weights in model.parameters():
                weights.add_(torch.randn_like(weights), alpha=0.2)
    return model


def write_encoder(folder: Path, kind: str, *, trained: bool = True, **changes: Any) -> Path:
    """A model of a family and a tokenizer of its kind, for which each letter is a token."""
    model = make_model(kind, trained=trained, **changes)
    model.save_pretrained(folder)
    _tokenizer(kind, folder).save_pretrained(folder)
    return folder


def _tokenizer(kind: str, folder: Path) -> PreTrainedTokenizerFast:
    if kind in ("bert", "distilbert", "electra", "albert"):
        (folder / "vocab.txt").write_text("\n".join(_WORDS))
        return BertTokenizer(str(folder / "vocab.txt"), model_max_length=LONGEST)
    of = {token: place for place, token in enumerate(_BYTES)}
    if kind in ("qwen2", "gpt2"):  # theirs puts nothing around a text
        ends = {"eos_token": "</s>", "bos_token": "<s>", "unk_token": "<unk>", "pad_token": "<pad>"}
        return GPT2Tokenizer(vocab=of, merges=[], model_max_length=LONGEST, **ends)
    if kind != "t5":
        return RobertaTokenizer(vocab=of, merges=[], model_max_length=LONGEST)
    letters = Tokenizer(models.BPE(vocab=of, merges=[]))
    letters.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    letters.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=letters, eos_token="</s>", pad_token="<pad>", unk_token="<unk>", model_max_length=LONGEST
    )
