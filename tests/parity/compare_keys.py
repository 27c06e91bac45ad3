#!/usr/bin/env python3
"""Draws values for every key that longspan's tables list, and compares what comes of them.

    compare_keys.py --build BUILD [--family NAME ...] [--key NAME ...] [--draws 4] [--seed 0]
    (./dev parity keys; versions: requirements.txt)

The tables are those of docs/checkpoints.md, as `longspan-model keys --json` prints them. For each
row of config.json and each family that it is for, a tiny random checkpoint is saved whose
config.json holds the drawn value, and

- longspan's token vectors must be those of transformers (2e-5, Reformer 1e-4), or
- longspan must refuse the folder in one line that names the key.

Where transformers itself refuses the folder, or fills weights that are missing with random ones,
there is nothing to compare with and any outcome but a crash is right. Prints one line for each key
and family, and exits with 1 if a value is off or a row was never put to the test.

--record FILE writes the golden cases of tests/golden/checkpoint_keys_test.cc instead: the cases
below in RECORDED, with weights from a formula, and what transformers makes of them.
"""
import argparse
import collections
import json
import math
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np
import torch
import transformers as hf

import compare_transformers as random_models
from compare_folders import small

BERTS = ("bert", "roberta", "xlm-roberta", "camembert")
KINDS = {"bert": "Bert", "roberta": "Roberta", "xlm-roberta": "XLMRoberta", "camembert": "Camembert", "longformer": "Longformer", "led": "LED",
         "reformer": "Reformer", "big_bird": "BigBird", "modernbert": "ModernBert"}
ROPE = ("rope_type", "type", "rope_theta", "factor", "original_max_position_embeddings", "attention_factor", "beta_fast", "beta_slow", "mscale",
        "mscale_all_dim", "truncate", "short_factor", "long_factor", "low_freq_factor", "high_freq_factor", "partial_rotary_factor")
# Keys of ours, which transformers does not know: with their defaults they change nothing.
OURS = {"longspan.window": [0], "longspan.dense_up_to": [0], "longspan.position_period": [0], "longspan.positions_skip_pad": [True],
        "longspan.default_global_attention": ["none"], "axial_pos_order": ["row_major"]}
# Why a drawn value may be out of the question for transformers but not for longspan.
ANYTHING = (True, False, None, 0, 1, 3, 0.5, 2.0, "gelu", "x", [], [1], {}, {"a": 1})


def base(family):
    """config.json of the tiny model of that family, as transformers writes it."""
    kind = KINDS[family]
    small_kind = "Roberta" if kind == "Camembert" else kind
    config = getattr(hf, kind + "Config")(**{k: v for k, v in small(small_kind).to_dict().items() if k != "model_type"})
    return json.loads(config.to_json_string(use_diff=False)) if False else {**config.to_dict(), "model_type": family, "dtype": "float32"}


def pick(rng, *values):
    return values[int(rng.integers(len(values)))]


def rope(rng, positions, pairs):
    """The keys of one object of rope_parameters."""
    kind = pick(rng, "default", "linear", "dynamic", "yarn", "longrope", "llama3", "proportional")
    theta = pick(rng, 100.0, 10000.0, 160000, 500000.0)
    keys = {"rope_type": kind, "rope_theta": theta}
    factor = pick(rng, 1.0, 2, 2.5, 4.0, 8)
    original = int(pick(rng, positions // 4, positions // 2, positions))
    if kind in ("linear", "dynamic", "yarn", "llama3"):
        keys["factor"] = factor
    if kind in ("yarn", "longrope", "llama3") and rng.integers(3):
        keys["original_max_position_embeddings"] = original
    if kind in ("yarn", "longrope") and rng.integers(2):
        keys["attention_factor"] = pick(rng, 0.7, 1.0, 1.3)
    if kind == "yarn" and rng.integers(2):
        keys |= {"beta_fast": pick(rng, 32, 16.0, 8), "beta_slow": pick(rng, 1, 2.0)}
    if kind == "yarn" and rng.integers(2):
        keys |= {"mscale": pick(rng, 1.0, 0.7), "mscale_all_dim": pick(rng, 1.0, 0.8)}
    if kind == "longrope":
        keys |= {name: [round(float(x), 3) for x in rng.uniform(1, 6, pairs)] for name in ("short_factor", "long_factor")}
        if rng.integers(2):
            keys["factor"] = factor
    if kind == "llama3":
        keys |= {"low_freq_factor": pick(rng, 1.0, 1.5), "high_freq_factor": pick(rng, 4.0, 6.0, 2)}
    if kind == "proportional":
        keys |= {"partial_rotary_factor": pick(rng, 1.0, 0.75, 0.5, 0.25)}
        if rng.integers(2):
            keys["factor"] = factor
    return keys


def rope_with(rng, key, positions, pairs):
    """The same, drawn until the key is among them."""
    for _ in range(1000):
        keys = rope(rng, positions, pairs)
        if key == "type":
            return {("type" if name == "rope_type" else name): value for name, value in keys.items()}
        if key == "truncate":
            return {**keys, "truncate": pick(rng, True, False)}
        if key in keys:
            return keys
    raise ValueError(key)


def draw(rng, key, family, config):
    """Changes to config.json for this key: a dictionary. The value DELETE removes a key."""
    width, heads = config.get("hidden_size", config.get("d_model")), config.get("num_attention_heads", config.get("encoder_attention_heads"))
    layers = config.get("num_hidden_layers", config.get("encoder_layers"))
    if key in OURS:
        outer, _, inner = key.partition(".")
        return {outer: {inner: OURS[key][0]}} if inner else {key: OURS[key][0]}
    if key.startswith("rope_"):
        positions, pairs = config["max_position_embeddings"], width // heads // 2
        name = key.rsplit(".", 1)[-1]
        if key.startswith("rope_parameters."):
            kinds = ("full_attention", "sliding_attention")
            chosen = pick(rng, *kinds)
            return {"rope_parameters": {k: rope_with(rng, name, positions, pairs) if k == chosen else rope(rng, positions, pairs) for k in kinds}}
        if key.startswith("rope_scaling."):
            old = {"rope_parameters": DELETE, "layer_types": DELETE, "global_attn_every_n_layers": 2}
            scaling = rope_with(rng, name, positions, pairs)
            if rng.integers(2) and name != "rope_theta":
                scaling.pop("rope_theta", None)
            return {**(old if rng.integers(3) else {}), "rope_scaling": scaling}
    integers = {"vocab_size": (60, 64), "hidden_size": (2 * heads, 4 * heads), "d_model": (2 * heads, 4 * heads), "num_attention_heads": (1, 2, 4, 6),
                "encoder_attention_heads": (1, 2, 4, 6), "intermediate_size": (5, 8), "encoder_ffn_dim": (5, 8), "feed_forward_size": (5, 8),
                "attention_head_size": (3, 4), "max_position_embeddings": (97, 120), "max_encoder_position_embeddings": (97, 120),
                "type_vocab_size": (1, 3), "block_size": (2, 3, 5), "num_random_blocks": (0, 1, 2), "local_attention": (2, 3, 6, 16),
                "sliding_window": (1, 2, 3, 8), "global_attn_every_n_layers": (1, 2, 3), "num_hashes": (1, 3), "hash_seed": (0, 7, 123456789012),
                "local_attn_chunk_length": (2, 3, 4), "lsh_attn_chunk_length": (4, 5), "local_num_chunks_before": (0, 2), "local_num_chunks_after": (0, 1),
                "lsh_num_chunks_before": (0, 2), "lsh_num_chunks_after": (0, 1), "pad_token_id": (0, 1, 5, None), "head_dim": (width // heads, width, None)}
    if key == "num_hidden_layers" or key == "encoder_layers":
        # One window for all layers: a list must have one for each.
        return {key: int(pick(rng, 1, layers, layers + 1)), **({"attention_window": 8} if "attention_window" in config else {}),
                **({"layer_types": DELETE} if "layer_types" in config else {})}
    if key == "sliding_window" and family != "modernbert":
        return {key: pick(rng, 4, 64, None)}
    if key == "hidden_size" and family == "reformer":
        return {key: 12, "axial_pos_embds_dim": [4, 8]}
    if key == "global_attn_every_n_layers":
        return {key: int(pick(rng, *integers[key])), "layer_types": DELETE}
    if key in ("global_rope_theta", "local_rope_theta"):
        return {key: pick(rng, 100.0, 5000, 1e6), "rope_parameters": DELETE}
    if key == "max_position_embeddings" and family == "reformer":
        return {key: int(pick(rng, 96, 100, 88))}
    if key in integers and family in ("reformer", "led") and key in ("intermediate_size", "type_vocab_size"):
        return {key: pick(rng, 2, 7)}
    if key in integers:
        return {key: pick(rng, *integers[key])}
    special = {
        "hidden_act": ("gelu", "gelu_new", "relu", "silu", "gelu_fast", "gelu_pytorch_tanh", "quick_gelu", "tanh", "mish", "gelu_python", "swish", "relu2"),
        "layer_norm_eps": (1e-12, 1e-5, 1e-3, 0.5, 0.0, math.nan, math.inf, -1.0), "norm_eps": (1e-12, 1e-5, 1e-3, 0.5, math.nan, math.inf),
        "model_type": (family,), "architectures": ([KINDS[family] + "Model"], None, [KINDS[family] + "ForMaskedLM"]), "dtype": ("float32",),
        "torch_dtype": ("float32",), "attention_type": ("block_sparse", "original_full"), "attention_window": (4, 16, [4, 8], [8, 4], [8, 8], [4, 4, 4], 3),
        "attention_mode": ("longformer", "sliding_chunks", "n2", "tvm"), "attention_dilation": ([1, 1], [1, 2]),
        "layer_types": (["full_attention"] * layers, ["sliding_attention"] * layers, ["sliding_attention", "full_attention"], ["full_attention"] * 3),
        "attn_layers": (["local"], ["lsh"], ["lsh", "local"], ["local", "lsh", "local"]), "num_buckets": (None, 2, 4, [2, 2], [2, 4]),
        "axial_pos_shape": ([8, 12], [12, 8], [10, 10]), "axial_pos_embds_dim": ([4, 12], [8, 8]), "position_embedding_type": ("absolute", "relative_key"),
        "chunk_size_feed_forward": (0, 1), "quantization_config": (None, {"quant_method": "bitsandbytes", "load_in_8bit": True}),
        "id2label": ({"0": "a", "1": "b"}, {"0": "a"}, None), "label2id": ({"a": 0, "b": 1}, None), "num_labels": (1, 2, 5),
        "problem_type": ("regression", None, "multi_label_classification"), "per_layer_config": ({}, {"0": {"intermediate_size": 8}}, None),
        "pruned_heads": ({}, {"0": [0]}, None), "attn_implementation": ("eager", "sdpa", None), "_attn_implementation": ("eager", "sdpa", None),
        "partial_rotary_factor": (1.0, 0.5, None), "classifier_pooling": ("cls", "mean"), "classifier_activation": ("gelu", "relu"),
        "transformers_weights": ("model.safetensors", "other.safetensors", None), "configuration_files": ([], ["config.4.0.0.json"], None),
        "auto_map": ({"AutoModel": "modeling_mine.MyModel"}, {"AutoConfig": "configuration_mine.MyConfig"}), "transformers_version": ("4.30.0", None),
        "experts_implementation": ("eager", None), "rope_theta": (100.0, 10000, None), "original_max_position_embeddings": (32, None),
        "decoder_layers": (2, 3), "decoder_attention_heads": (1, 6), "decoder_ffn_dim": (4,), "max_decoder_position_embeddings": (12,),
        "tokenizer_class": ("BertTokenizer", None), "fusion_config": (None, {}), "task_specific_params": ({"summarization": {"num_beams": 4}}, None)}
    booleans = {"attention_bias", "mlp_bias", "norm_bias", "use_bias", "rescale_embeddings", "is_decoder", "is_causal", "use_bidirectional_attention",
                "add_cross_attention", "is_encoder_decoder", "axial_pos_embds", "output_hidden_states", "output_attentions", "return_dict", "use_cache",
                "tie_word_embeddings", "onnx_export", "ignore_attention_mask", "autoregressive", "sinusoidal_pos_embds", "gradient_checkpointing",
                "decoder_bias", "classifier_bias", "sparse_prediction", "reference_compile", "deterministic_flash_attn", "tie_last_hidden_states"}
    special["hidden_activation"] = special["activation_function"] = special["hidden_act"]
    if key in special:
        return {key: pick(rng, *special[key])}
    if key in booleans:
        return {key: pick(rng, True, False)}
    if key.endswith("_token_id"):
        return {key: pick(rng, 0, 3, 7, None)}
    if "dropout" in key or "layerdrop" in key:
        return {key: pick(rng, 0.0, 0.1, 0.9)}
    if key in ("initializer_range", "init_std", "axial_norm_std", "initializer_cutoff_factor"):
        return {key: pick(rng, 0.02, 1.0)}
    return {key: pick(rng, *ANYTHING)}


DELETE = object()


def edit(config, changes):
    edited = {**config, **changes}
    return {key: value for key, value in edited.items() if value is not DELETE}


class NoReference(Exception):
    """transformers does not serve the folder."""


def fill(folder, family, config, changes, rng):
    """A folder with random weights whose config.json holds the changes.

    The weights have the shapes that the changed config asks for, and of the layers as many as the
    unchanged one has, so that a config may ask for fewer or more of them.
    """
    shapes = edit(config, {k: v for k, v in changes.items() if k not in ("num_hidden_layers", "encoder_layers", "quantization_config", "transformers_weights",
                                                                         "per_layer_config", "fusion_config")})
    for form in (shapes, config):   # the second where transformers refuses the first
        try:
            built = getattr(hf, KINDS[family] + "Config").from_dict(json.loads(json.dumps(form)))
            random_models.randomise(getattr(hf, KINDS[family] + "Model")(built), rng).save_pretrained(folder)
            break
        except Exception:
            if form is config:
                raise
    (folder / "config.json").write_text(json.dumps(edit(config, changes)))


def reference(folder, family):
    """A function that loads the folder as AutoModel does."""
    def fresh():
        try:
            config = hf.AutoConfig.from_pretrained(folder)
            model, info = hf.AutoModel.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
        except Exception as error:
            raise NoReference(f"{type(error).__name__}: {error}") from error
        missing = [name for name in info["missing_keys"] if "pooler" not in name and "decoder." not in name]
        if missing or info["mismatched_keys"]:
            raise NoReference(f"missing {missing[:2]} mismatched {list(info['mismatched_keys'])[:2]}")
        model.eval()
        return model.get_encoder() if family == "led" else model
    return fresh


def names(error, key):
    parts = [part for part in key.split(".") if part != "*"]
    return f"\"{'.'.join(parts[:1])}" in error or f'{parts[-1]}"' in error or f".{parts[-1]}" in error


def try_once(encoder, family, key, rng):
    """("ok", difference), ("refused", error), ("no reference", why) or ("OFF", what)."""
    config, fam = base(family), {"big_bird": "bigbird", "camembert": "roberta"}.get(family, family)
    changes = draw(rng, key, family, config)
    with tempfile.TemporaryDirectory(prefix="keys_") as parent:
        folder = Path(parent) / "model"
        fill(folder, family, config, changes, rng)
        shown = json.dumps({k: ("-" if v is DELETE else v) for k, v in changes.items()})
        cases, expected, why = [], {}, None
        try:
            loaded = hf.AutoConfig.from_pretrained(folder)
            longest = 88 if family == "reformer" else 80
            cases = random_models.make_cases(fam, rng, loaded if loaded.pad_token_id is not None else small("Bert"), [8], longest)
            fresh = reference(folder, family)
            cached = [fresh()]
            for case in cases:
                # Scaled rotary positions may depend on the longest text of a batch.
                alone = fam in random_models.DEPENDS_ON_PADDING or "rope" in key
                if alone and len(case["input_ids"]) > 1:
                    case.update(input_ids=case["input_ids"][:1], attention_mask=case["attention_mask"][:1])
                    n = max(i + 1 for i, m in enumerate(case["attention_mask"][0]) if m)
                    case.update(input_ids=[case["input_ids"][0][:n]], attention_mask=[case["attention_mask"][0][:n]])
                gaps = []
                expected[case["name"]] = random_models.expect(fresh if alone else lambda: cached[0], fam, case, gaps)
                if gaps and min(gaps) < random_models.CLOSEST_BUCKETS:
                    return "drawn again", shown
        except NoReference as error:
            why = str(error)
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
        if not cases:
            cases = [{"name": "case0", "input_ids": [[3, 4, 5]], "attention_mask": [[1, 1, 1]]}]
        (folder / "cases.json").write_text(json.dumps({"cases": cases}))
        got = encoder.encode(folder)
        if isinstance(got, str) and ("died" in got or "\n" in got):
            return "OFF", f"{shown}: {got}"
        if why is not None:
            return "no reference", f"{shown}: {why.splitlines()[0][:100]} -> {got if isinstance(got, str) else 'served'}"
        if isinstance(got, str):
            return ("refused", got) if names(got, key) else ("OFF", f"{shown}: refused without the key's name: {got}")
        worst = max(float(np.abs(got[name] - want).max()) for name, want in expected.items())
        if not worst <= random_models.BOUNDS.get(fam, 2e-5):
            return "OFF", f"{shown}: differs by {worst:.1e}"
        return "ok", f"{worst:.1e}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--family", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--key", nargs="*", default=[], help="only these keys")
    parser.add_argument("--draws", type=int, default=4, help="values of each honoured or refused key; of a harmless one, half as many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--record", help="write the golden cases into this file")
    arguments = parser.parse_args()
    hf.logging.set_verbosity(hf.logging.CRITICAL)
    hf.logging.disable_progress_bar()
    torch.set_num_threads(1)
    if arguments.record:
        import record_keys
        record_keys.write(Path(arguments.record), f"{arguments.build}/tests/parity_encode")
        return
    rows = json.loads(subprocess.run([f"{arguments.build}/longspan-model", "keys", "--json"], capture_output=True, text=True, check=True).stdout)
    encoder, failed, total = random_models.Encoder(f"{arguments.build}/tests/parity_encode"), 0, collections.Counter()
    for family in arguments.family:
        seen = set()
        for row in rows:
            if row["file"] != "config.json" or row["key"] in seen or (row["models"] and family not in row["models"].split()):
                continue
            seen.add(row["key"])
            if arguments.key and row["key"] not in arguments.key:
                continue
            wanted = arguments.draws if row["rule"] != "harmless" else max(1, arguments.draws // 2)
            outcomes, notes, put = collections.Counter(), [], 0
            for attempt in range(8 * wanted):
                rng = np.random.default_rng([arguments.seed, attempt, zlib.crc32(f"{family} {row['key']}".encode())])
                outcome, note = try_once(encoder, family, row["key"], rng)
                outcomes[outcome] += 1
                if outcome == "OFF" or arguments.verbose:
                    notes.append(f"    {outcome}: {note}")
                put += outcome in ("ok", "refused", "OFF")
                if put >= wanted:
                    break
            bad = outcomes["OFF"] > 0 or put == 0
            failed, total = failed + bad, total + outcomes
            print(f"{'FAILED' if bad else 'ok    '} {family:11} {row['key']:45} {row['rule']:9} {dict(outcomes)}", flush=True)
            for note in notes:
                print(note, flush=True)
    print(f"{sum(total.values())} folders: {dict(total)}; {failed} rows off; transformers {hf.__version__}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
