"""The golden cases of tests/golden/checkpoint_keys_test.cc: what transformers makes of config.json
files with unusual keys. compare_keys.py --record writes them into
tests/fixtures/checkpoint_keys/cases.json.

Weights come from the formula of tests/golden/formula_checkpoint.h, so that the file holds only
their shapes. Each case has three texts, of 6, 20 and 7 tokens; of each the vectors of the first,
the middle and the last token are kept. A case with "refused" holds words that the refusal must
have; transformers serves some of these folders, and which, the notes beside them say.
"""
import json
import math
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers as hf

SCALE = 0.4
LENGTHS = (6, 20, 7)
DELETE = object()
COMMON = {"vocab_size": 40, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 12}
BASES = {
    "bert": {**COMMON, "max_position_embeddings": 32, "pad_token_id": 0},
    "roberta": {**COMMON, "max_position_embeddings": 34, "pad_token_id": 1},
    "longformer": {**COMMON, "max_position_embeddings": 34, "pad_token_id": 1, "attention_window": [4, 8]},
    "led": {"vocab_size": 40, "d_model": 8, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 12, "decoder_layers": 1,
            "decoder_attention_heads": 2, "decoder_ffn_dim": 4, "attention_window": [4, 8], "max_encoder_position_embeddings": 32,
            "max_decoder_position_embeddings": 4},
    "big_bird": {**COMMON, "max_position_embeddings": 36, "block_size": 2, "num_random_blocks": 1, "sep_token_id": 3},
    "modernbert": {**COMMON, "max_position_embeddings": 32, "local_attention": 4, "pad_token_id": 0, "bos_token_id": 1, "cls_token_id": 1, "eos_token_id": 2,
                   "sep_token_id": 2, "layer_types": ["full_attention", "sliding_attention"],
                   "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 100.0},
                                       "sliding_attention": {"rope_type": "default", "rope_theta": 50.0}}},
    "reformer": {"vocab_size": 40, "hidden_size": 8, "num_attention_heads": 2, "attention_head_size": 4, "feed_forward_size": 12,
                 "attn_layers": ["local", "lsh"], "local_attn_chunk_length": 4, "lsh_attn_chunk_length": 4, "num_buckets": 4, "num_hashes": 1, "hash_seed": 3,
                 "axial_pos_shape": [4, 8], "axial_pos_embds_dim": [2, 6], "max_position_embeddings": 32, "pad_token_id": 0, "eos_token_id": 2},
}
CLASSES = {"bert": "Bert", "roberta": "Roberta", "longformer": "Longformer", "led": "LED", "big_bird": "BigBird", "modernbert": "ModernBert",
           "reformer": "Reformer"}
# The layers of ModernBERT's file of 2024, without the newer keys.
OLD = {"layer_types": DELETE, "rope_parameters": DELETE, "global_attn_every_n_layers": 2, "global_rope_theta": 100.0, "local_rope_theta": 50.0}


def both(**keys):
    return {"rope_parameters": {kind: {"rope_theta": 100.0, **keys} for kind in ("full_attention", "sliding_attention")}}


PAIR = {"short_factor": [1.0, 1.5], "long_factor": [2.0, 3.5]}
# Name, family, changes of config.json.
SERVED = [
    ("linear under rope_scaling", "modernbert", {**OLD, "rope_scaling": {"rope_type": "linear", "factor": 2.0}}),
    ("linear under rope_scaling, both spellings", "modernbert", {**OLD, "rope_scaling": {"type": "linear", "rope_type": "linear", "factor": 2}}),
    ("rope_scaling over rope_parameters", "modernbert", {"rope_scaling": {"rope_type": "linear", "factor": 3.0, "rope_theta": 70.0}}),
    ("rope_scaling null", "modernbert", {**OLD, "rope_scaling": None}),
    ("linear under rope_parameters", "modernbert", both(rope_type="linear", factor=2.0)),
    ("linear under its old name", "modernbert", both(type="linear", factor=2.0)),
    ("dynamic", "modernbert", both(rope_type="dynamic", factor=2.5)),
    ("dynamic under rope_scaling", "modernbert", {**OLD, "rope_scaling": {"rope_type": "dynamic", "factor": 4.0}}),
    ("yarn", "modernbert", both(rope_type="yarn", factor=4.0, original_max_position_embeddings=8)),
    ("yarn with all its keys", "modernbert", both(rope_type="yarn", factor=4.0, original_max_position_embeddings=16, beta_fast=4, beta_slow=0.5, mscale=0.7,
                                                  mscale_all_dim=1.2)),
    ("yarn with an attention factor", "modernbert", {**OLD, "rope_scaling": {"rope_type": "yarn", "factor": 2.0, "attention_factor": 1.3}}),
    ("longrope", "modernbert", both(rope_type="longrope", original_max_position_embeddings=10, **PAIR)),
    ("longrope with a factor", "modernbert", both(rope_type="longrope", original_max_position_embeddings=10, factor=6.0, **PAIR)),
    ("llama3", "modernbert", both(rope_type="llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16)),
    ("proportional", "modernbert", both(rope_type="proportional", partial_rotary_factor=0.5, factor=2.0)),
    ("one kind scaled, the other not", "modernbert", {"rope_parameters": {
        "full_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 100.0}, "sliding_attention": {"rope_type": "default", "rope_theta": 50.0}}}),
    ("sliding_window", "modernbert", {"sliding_window": 5}),
    ("rope_theta that is not read", "modernbert", {"rope_theta": 7.0}),
    ("is_causal false", "modernbert", {"is_causal": False}),
    ("head_dim as it is", "modernbert", {"head_dim": 4}),
    ("one layer of two", "modernbert", {"num_hidden_layers": 1, "layer_types": ["sliding_attention"]}),
    ("one layer of two", "bert", {"num_hidden_layers": 1}),
    ("one layer of two", "roberta", {"num_hidden_layers": 1}),
    ("one layer of two", "longformer", {"num_hidden_layers": 1, "attention_window": [4]}),
    ("one layer of two", "big_bird", {"num_hidden_layers": 1}),
    ("one layer of two", "led", {"encoder_layers": 1, "attention_window": [4]}),
    ("num_hidden_layers over encoder_layers", "led", {"num_hidden_layers": 1, "attention_window": [4]}),
    ("num_attention_heads over encoder_attention_heads", "led", {"num_attention_heads": 4}),
    ("hidden_size beside d_model", "led", {"hidden_size": 8}),
    ("num_hidden_layers below attn_layers", "reformer", {"num_hidden_layers": 1}),
    ("attn_layers below the weights", "reformer", {"attn_layers": ["local"]}),
    ("lsh alone, first of two", "reformer", {"attn_layers": ["local", "lsh"], "num_hidden_layers": 1, "lsh_attn_chunk_length": 8}),
    ("NaN and infinities in keys that nothing reads", "bert", {"classifier_dropout": math.nan, "notes": [math.inf, -math.inf]}),
    ("NaN in a key of training", "reformer", {"hidden_dropout_prob": 0.1, "axial_norm_std": math.inf}),
    ("position_embedding_type of a model without", "modernbert", {"position_embedding_type": "relative_key"}),
    ("generation keys", "led", {"num_beams": 4, "max_length": 142, "min_length": 56, "length_penalty": 2.0, "no_repeat_ngram_size": 3, "early_stopping": True}),
    ("auto_map", "bert", {"auto_map": {"AutoModel": "modeling_mine.MyBert"}}),
    ("attention_dilation of ones", "longformer", {"attention_dilation": [1, 1], "attention_mode": "sliding_chunks", "ignore_attention_mask": True}),
]
# Name, family, changes, words that the refusal must have.
REFUSED = [
    ("rope_scaling under its old name", "modernbert", {**OLD, "rope_scaling": {"type": "linear", "factor": 2.0}}, ["rope_scaling.type", "linear", "rope_type"]),
    ("an unknown rope_type", "modernbert", both(rope_type="axial"), ["rope_type", "axial", "linear"]),
    ("rope_scaling of an unknown type", "modernbert", {**OLD, "rope_scaling": {"rope_type": "su"}}, ["rope_scaling.rope_type", "su"]),
    ("linear without factor", "modernbert", both(rope_type="linear"), ["factor", "absent"]),
    ("rope_parameters without the kinds of layers", "modernbert", {"rope_parameters": {"rope_type": "linear", "factor": 2.0}}, ["rope_parameters", "factor", "full_attention"]),
    ("yarn that is not truncated", "modernbert", both(rope_type="yarn", factor=2.0, truncate=False), ["truncate", "true"]),
    ("part of a head turns", "modernbert", both(rope_type="linear", factor=2.0, partial_rotary_factor=0.5), ["partial_rotary_factor", "0.5"]),
    ("longrope with a short list", "modernbert", both(rope_type="longrope", short_factor=[1.0], long_factor=[1.0, 2.0]), ["short_factor", "a list of 2"]),
    ("is_causal", "modernbert", {"is_causal": True}, ["is_causal", "true", "false"]),
    ("is_causal", "bert", {"is_causal": True}, ["is_causal", "true", "false"]),
    ("is_decoder", "longformer", {"is_decoder": True}, ["is_decoder", "true", "false"]),
    ("is_decoder", "modernbert", {"is_decoder": True}, ["is_decoder", "true", "false"]),
    ("use_bidirectional_attention", "modernbert", {"use_bidirectional_attention": False}, ["use_bidirectional_attention", "false", "true"]),
    ("add_cross_attention", "bert", {"add_cross_attention": True}, ["add_cross_attention"]),
    ("another head_dim", "modernbert", {"head_dim": 6}, ["head_dim", "6", "4"]),
    ("relative positions", "longformer", {"position_embedding_type": "relative_key"}, ["position_embedding_type", "relative_key", "absolute"]),
    ("more layers than weights", "bert", {"num_hidden_layers": 3}, ["num_hidden_layers", "3", "at most 2"]),
    ("more layers than weights", "led", {"encoder_layers": 3, "attention_window": 4}, ["encoder_layers", "3", "at most 2"]),
    ("more layers than attn_layers", "reformer", {"num_hidden_layers": 3}, ["num_hidden_layers", "3"]),
    ("more attn_layers than weights", "reformer", {"attn_layers": ["local", "lsh", "local"]}, ["attn_layers", "3", "at most 2"]),
    ("NaN in a key that is read", "bert", {"layer_norm_eps": math.nan}, ["layer_norm_eps", "NaN"]),
    ("Infinity in a key that is read", "modernbert", {"norm_eps": math.inf}, ["norm_eps", "Infinity"]),
    ("-Infinity in a key that is read", "roberta", {"hidden_size": -math.inf}, ["hidden_size", "-Infinity"]),
    ("weights of another program", "bert", {"quantization_config": {"quant_method": "gptq", "bits": 4}}, ["quantization_config", "gptq"]),
    ("layers of their own sizes", "bert", {"per_layer_config": {"0": {"intermediate_size": 6}}}, ["per_layer_config"]),
    ("heads that are taken out", "bert", {"pruned_heads": {"0": [1]}}, ["pruned_heads"]),
    ("a file of other weights", "bert", {"transformers_weights": "other.safetensors"}, ["transformers_weights", "other.safetensors"]),
    ("another config.json", "bert", {"configuration_files": ["config.4.0.0.json"]}, ["configuration_files"]),
    ("adapters", "bert", {"adapters": {"adapters": {"a": "b"}}}, ["adapters"]),
    ("a table that is not shared", "led", {"tie_word_embeddings": False}, ["tie_word_embeddings"]),
    ("steps in the window", "longformer", {"attention_dilation": [1, 2]}, ["attention_dilation", "2"]),
    ("rotary positions in a BERT", "bert", {"rope_theta": 10000.0}, ["rope_theta", "not known"]),
    ("an unknown adapter", "modernbert", {"lora_rank": 8}, ["lora_rank", "not known"]),
]


def formula(name, shape, norm):
    """The values of a tensor by its name, as in formula_checkpoint.h."""
    h = 0x811C9DC5
    for byte in name.encode():
        h = (h ^ byte) * 0x01000193 & 0xFFFFFFFF
    x = (np.arange(1, math.prod(shape) + 1, dtype=np.uint64) * 0x9E3779B1 + h) & 0xFFFFFFFF
    for shift, factor in ((15, 0x2C1B3C6D), (12, 0x297A2D39)):
        x ^= x >> np.uint64(shift)
        x = x * np.uint64(factor) & np.uint64(0xFFFFFFFF)
    x ^= x >> np.uint64(15)
    u = 2.0 * x / 4294967296.0 - 1.0
    return torch.from_numpy((1.0 + 0.25 * u if norm else SCALE * u).astype(np.float32)).reshape(shape)


def is_norm(name):
    return name.lower().endswith("norm.weight") or name.endswith("layernorm_embedding.weight")


def config_of(family, changes):
    config = {**BASES[family], "model_type": family, **changes}
    return {key: value for key, value in config.items() if value is not DELETE}


def tensors_of(family):
    """The names and shapes of the weights that the encoder reads."""
    model = getattr(hf, CLASSES[family] + "Model")(getattr(hf, CLASSES[family] + "Config")(**{k: v for k, v in BASES[family].items()}))
    return {name: list(tensor.shape) for name, tensor in model.state_dict().items()
            if tensor.is_floating_point() and "pooler" not in name and not name.startswith("decoder.") and name != "encoder.embed_tokens.weight"}


def texts():
    return [[3 + (7 * i + 11 * row + 3 * i * i) % 37 for i in range(length)] for row, length in enumerate(LENGTHS)]


def vectors(folder, family):
    """The vectors of the first, the middle and the last token of each text, by transformers."""
    rows = []
    for ids in texts():
        model = hf.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
        model = model.get_encoder() if family == "led" else model
        with torch.inference_mode():
            more = {"use_cache": False} if family == "reformer" else {"attention_mask": torch.ones(1, len(ids), dtype=torch.long)}
            hidden = model(input_ids=torch.tensor([ids]), **more).last_hidden_state[0]
        rows.append([[round(float(x), 6) for x in hidden[i]] for i in (0, len(ids) // 2, len(ids) - 1)])
    return rows


def write(path, encoder):
    from safetensors.torch import save_file
    weights = {family: tensors_of(family) for family in BASES}
    cases = []
    for name, family, changes, *refused in [*SERVED, *REFUSED]:
        case = {"name": f"{family}: {name}", "family": family, "config": json.dumps(config_of(family, changes))}
        if refused:
            cases.append({**case, "refused": refused[0]})
            continue
        with tempfile.TemporaryDirectory() as folder:
            save_file({n: formula(n, shape, is_norm(n)) for n, shape in weights[family].items()}, Path(folder) / "model.safetensors", metadata={"format": "pt"})
            (Path(folder) / "config.json").write_text(case["config"])
            cases.append({**case, "expected": vectors(folder, family)})
    lines = ",\n".join("  " + json.dumps(case) for case in cases)
    shapes = ",\n".join(f"  {json.dumps(family)}: {json.dumps(tensors)}" for family, tensors in weights.items())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'{{"transformers": "{hf.__version__}", "scale": {SCALE}, "texts": {json.dumps(texts())},\n"weights": {{\n{shapes}\n}},\n"cases": [\n{lines}\n]}}\n')
    print(f"{len(cases)} cases in {path}")
