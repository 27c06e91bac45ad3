#!/usr/bin/env python3
"""Random configurations of every family, encoded by transformers and by longspan, compared value by value.

    compare_transformers.py --encoder BUILD/tests/parity_encode [--configurations 200] [--family NAME ...] [--seed 0]

Every configuration is a fresh random checkpoint (weights much larger than trained ones, so that attention is sharp) with texts of
length 1, around the window or chunk, and longer; with holes in the mask and scattered global tokens where the family has them.
Bound: 2e-5, for Reformer 1e-4, of the largest value's scale. Prints one line a family and leaves 1 if any value is off.
Versions: requirements.txt (./dev parity makes the environment).
"""
import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import transformers as hf
from safetensors.numpy import load_file

VOCABULARY = 60


def randomise(model, rng):
    with torch.no_grad():
        for name, p in model.named_parameters():
            z = torch.from_numpy(rng.standard_normal(tuple(p.shape)).astype(np.float32))
            if p.ndim == 1:
                p.copy_(1 + 0.2 * z if "norm" in name.lower() and name.endswith("weight") else 0.1 * z)
            elif "embed" in name or p.ndim > 2:
                p.copy_(0.6 * z)
            else:
                p.copy_(z * (1.6 if any(s in name for s in ("query", "key", "Wqkv")) else 1.0) / p.shape[-1] ** 0.5)
    return model.eval()


def pick(rng, *values):
    return values[rng.integers(len(values))]


def shape(rng):
    heads = int(rng.integers(1, 5))
    size = int(pick(rng, 4, 8, 12, 16))
    return heads, size, heads * size, int(rng.integers(1, 4)), int(pick(rng, 8, 24, 50))


def longformer(rng):
    heads, _, hidden, layers, wide = shape(rng)
    # transformers wants each window to divide the largest and none to be 2 (its own chunking, models.md 1.5)
    largest = int(pick(rng, 4, 8, 12, 16, 24))
    windows = [int(pick(rng, *[w for w in range(4, largest + 1, 2) if largest % w == 0])) for _ in range(layers)]
    windows[int(rng.integers(layers))] = largest
    pad = int(pick(rng, 0, 1, 3))
    config = hf.LongformerConfig(vocab_size=VOCABULARY, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=wide,
                                 attention_window=windows, max_position_embeddings=120, pad_token_id=pad, type_vocab_size=int(pick(rng, 1, 2)),
                                 layer_norm_eps=float(pick(rng, 1e-12, 1e-5)), hidden_act=pick(rng, "gelu", "gelu_new", "relu", "silu"))
    return hf.LongformerModel(config), windows, 120 - pad - 1


def led(rng):
    heads, _, hidden, layers, wide = shape(rng)
    largest = int(pick(rng, 4, 8, 16))
    config = hf.LEDConfig(vocab_size=VOCABULARY, d_model=hidden, encoder_layers=layers, encoder_attention_heads=heads, encoder_ffn_dim=wide, decoder_layers=1,
                          decoder_attention_heads=heads, decoder_ffn_dim=8, attention_window=[largest] * layers, max_encoder_position_embeddings=112,
                          max_decoder_position_embeddings=8, decoder_start_token_id=2)
    return hf.LEDModel(config), [largest], 96


def bert(rng, family="bert"):
    heads, _, hidden, layers, wide = shape(rng)
    kinds = {"bert": (hf.BertConfig, hf.BertModel), "roberta": (hf.RobertaConfig, hf.RobertaModel), "xlm-roberta": (hf.XLMRobertaConfig, hf.XLMRobertaModel)}
    config_kind, model_kind = kinds[family]
    config = config_kind(vocab_size=VOCABULARY, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=wide,
                         max_position_embeddings=90, layer_norm_eps=float(pick(rng, 1e-12, 1e-5)), hidden_act=pick(rng, "gelu", "gelu_new", "relu"),
                         type_vocab_size=int(pick(rng, 1, 2)))
    return model_kind(config), [16], 90 if family == "bert" else 90 - config.pad_token_id - 1


def modernbert(rng):
    heads, size, hidden, layers, wide = shape(rng)
    window = int(pick(rng, 4, 8, 16, 32))
    config = hf.ModernBertConfig(vocab_size=VOCABULARY, hidden_size=hidden, num_hidden_layers=layers + 1, num_attention_heads=heads, intermediate_size=wide,
                                 max_position_embeddings=128, local_attention=window, global_attn_every_n_layers=int(rng.integers(1, 4)), pad_token_id=0,
                                 bos_token_id=1, cls_token_id=1, eos_token_id=2, sep_token_id=2)
    return hf.ModernBertModel(config), [window], 128


def bigbird(rng):
    heads, _, hidden, layers, wide = shape(rng)
    block, blocks = int(pick(rng, 2, 4, 6)), int(rng.integers(1, 4))
    config = hf.BigBirdConfig(vocab_size=VOCABULARY, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=wide,
                              max_position_embeddings=160, block_size=block, num_random_blocks=blocks, use_bias=bool(rng.integers(2)),
                              rescale_embeddings=bool(rng.integers(2)), sep_token_id=3)
    # sparse only above (5 + 2r) blocks: aim at both sides of it
    return hf.BigBirdModel(config), [min((5 + 2 * blocks) * block, 140)], 150


def reformer(rng):
    heads, size = int(rng.integers(1, 4)), int(pick(rng, 4, 8, 16))
    kinds = pick(rng, ["local"], ["lsh"], ["local", "lsh"], ["lsh", "local", "lsh"], ["local", "local", "lsh", "lsh"])
    first = int(pick(rng, 4, 8, 12))
    hidden = first + int(pick(rng, 4, 12))
    chunk_local, chunk_lsh = int(pick(rng, 4, 6, 8)), int(pick(rng, 4, 8, 12))
    config = hf.ReformerConfig(
        vocab_size=VOCABULARY, hidden_size=hidden, num_attention_heads=heads, attention_head_size=size, feed_forward_size=int(pick(rng, 8, 24)),
        attn_layers=list(kinds), local_attn_chunk_length=chunk_local, lsh_attn_chunk_length=chunk_lsh, local_num_chunks_before=int(rng.integers(0, 3)),
        local_num_chunks_after=int(rng.integers(0, 2)), lsh_num_chunks_before=int(rng.integers(0, 3)), lsh_num_chunks_after=int(rng.integers(0, 2)),
        num_buckets=pick(rng, None, 4, 8, [4, 6], [2, 4, 6]), num_hashes=int(rng.integers(1, 9)), hash_seed=int(rng.integers(1000)),
        is_decoder=bool(rng.integers(2)), axial_pos_embds=bool(rng.integers(2)), axial_pos_shape=[16, 12], axial_pos_embds_dim=[first, hidden - first],
        max_position_embeddings=192, pad_token_id=0, eos_token_id=2, hidden_act=pick(rng, "relu", "gelu"))
    return hf.ReformerModel(config), [chunk_local, chunk_lsh], 150


FAMILIES = {"longformer": longformer, "led": led, "bert": bert, "roberta": lambda rng: bert(rng, "roberta"),
            "xlm-roberta": lambda rng: bert(rng, "xlm-roberta"), "modernbert": modernbert, "bigbird": bigbird, "reformer": reformer}
WINDOWED = ("longformer", "led")
DEPENDS_ON_PADDING = ("reformer", "bigbird")


def make_cases(family, rng, config, widths, longest):
    """Two or three batches: a short text, lengths around a window or chunk, and a long one; padded rows where results allow it."""
    ids = [i for i in range(VOCABULARY) if i != config.pad_token_id]
    around = int(np.clip(pick(rng, *widths) + rng.integers(-1, 2), 1, longest))
    batches = [[1], [around], [int(rng.integers(1, longest + 1))]]
    if family not in DEPENDS_ON_PADDING:
        batches.append([int(rng.integers(1, longest + 1)) for _ in range(int(rng.integers(2, 4)))])
    cases = []
    for number, lengths in enumerate(batches):
        width = max(lengths)
        rows = [rng.choice(ids, n).tolist() + [config.pad_token_id] * (width - n) for n in lengths]
        mask = [[1] * n + [0] * (width - n) for n in lengths]
        case = {"name": f"case{number}", "input_ids": rows, "attention_mask": mask}
        if family in ("longformer", "bert", "modernbert") and rng.integers(3) == 0 and min(lengths) > 4:
            for row, n in zip(mask, lengths):
                row[int(rng.integers(1, n - 1))] = 0    # a hole: a token that nobody reads
        if family in WINDOWED:
            case["global_positions"] = [sorted(rng.choice(n, int(rng.integers(0, min(n, 6) + 1)), replace=False).tolist()) for n in lengths]
        cases.append(case)
    return cases


def expect(model, family, case, gaps):
    ids, mask, more = torch.tensor(case["input_ids"]), torch.tensor(case["attention_mask"]), {}
    if any(case.get("global_positions", [])):
        more["global_attention_mask"] = torch.zeros_like(ids)
        for row, positions in enumerate(case["global_positions"]):
            more["global_attention_mask"][row, positions] = 1
    if family == "reformer":
        more["use_cache"] = False
    if family != "reformer" or not mask.all():
        more["attention_mask"] = mask
    argmax = torch.argmax

    def watched(x, *a, **k):
        best = x.topk(2, dim=-1).values
        gaps.append(float((best[..., 0] - best[..., 1]).min()))
        return argmax(x, *a, **k)

    torch.argmax = watched
    try:
        with torch.inference_mode():
            hidden = model(input_ids=ids, **more).last_hidden_state
    finally:
        torch.argmax = argmax
    return torch.where(mask.bool()[..., None], hidden, 0.0).numpy()


def write_configuration(family, seed, folder):
    """One checkpoint with its cases and expected values; drawn again while two LSH buckets are too close to call in float32."""
    for attempt in range(50):
        rng = np.random.default_rng([seed, attempt])
        model, widths, longest = FAMILIES[family](rng)
        randomise(model, rng).save_pretrained(folder)
        cases, gaps, expected = make_cases(family, rng, model.config, widths, longest), [], {}
        kind = type(model)
        for case in cases:   # a fresh model each time: some keep state from the lengths they have seen
            fresh = kind.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()
            expected[case["name"]] = expect(fresh.get_encoder() if family == "led" else fresh, family, case, gaps)
        if not gaps or min(gaps) > 1e-4:
            break
    (folder / "cases.json").write_text(json.dumps({"cases": cases}))
    return expected, attempt


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--encoder", required=True)
    parser.add_argument("--configurations", type=int, default=200)
    parser.add_argument("--family", nargs="*", default=list(FAMILIES), choices=list(FAMILIES))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    hf.logging.set_verbosity_error()
    hf.logging.disable_progress_bar()
    torch.set_num_threads(1)
    engine = subprocess.Popen([arguments.encoder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    failed = False
    print(f"transformers {hf.__version__}, torch {torch.__version__}: largest absolute difference over all values")
    for family in arguments.family:
        bound, worst, texts, off, start = 1e-4 if family == "reformer" else 2e-5, 0.0, 0, [], time.time()
        for number in range(arguments.configurations):
            folder = Path(tempfile.mkdtemp(prefix="parity_"))
            expected, _ = write_configuration(family, arguments.seed * 100000 + number, folder)
            engine.stdin.write(f"{folder}\n")
            engine.stdin.flush()
            answer = engine.stdout.readline().strip()
            if answer != "ok":
                off.append(f"configuration {number}: {answer or 'the encoder died'}")
                shutil.copytree(folder, f"{tempfile.gettempdir()}/parity_failed_{family}_{number}", dirs_exist_ok=True)
                if not answer:
                    engine = subprocess.Popen([arguments.encoder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                shutil.rmtree(folder)
                continue
            got = load_file(folder / "got.safetensors")
            for name, want in expected.items():
                difference = float(np.abs(got[name] - want).max() / max(1.0, np.abs(want).max()))
                worst, texts = max(worst, difference), texts + want.shape[0]
                if not difference <= bound:
                    off.append(f"configuration {number} {name}: {difference:.2e}")
                    shutil.copytree(folder, f"{tempfile.gettempdir()}/parity_failed_{family}_{number}", dirs_exist_ok=True)
            shutil.rmtree(folder)
        failed |= bool(off)
        print(f"{family:12s} {arguments.configurations:4d} configurations {texts:5d} texts   worst {worst:.1e}   bound {bound:.0e}   "
              f"{'FAILED ' + str(len(off)) if off else 'ok'}   {time.time() - start:.0f} s", flush=True)
        for line in off[:10]:
            print("   ", line)
    sys.exit(failed)


if __name__ == "__main__":
    main()
