#!/usr/bin/env python3
"""Encodes random configurations of every family by transformers and by longspan, value by value.

    compare_transformers.py --encoder BUILD/tests/parity_encode [--configurations 200]
                            [--family NAME ...] [--seed 0] [--readme [docs/exactness.md]]

Every configuration is a fresh random checkpoint. Its weights are much larger than trained ones, so
that attention is sharp. Sizes are tiny and odd, heads are no multiple of 16, all activations occur,
and each layer has a window of its own. Reformers have several hash rounds; numbers of buckets that
are given, factorised or automatic; chunks before and after; causal masks or none; axial or plain
positions.

Its texts are one of one token, some with lengths around a window or chunk, the longest, and a batch
of mixed lengths. There are holes in masks, pad ids inside of texts, and global tokens that are
scattered, all tokens or none.

The bound on every value is 2e-5, for Reformer 1e-4. Prints one line for each family, and exits with
1 if any value is off; such a checkpoint stays in the temporary folder. ./dev parity makes the
environment; its versions: requirements.txt.
"""
import argparse
import copy
import json
import math
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
BOUNDS = {"reformer": 1e-4}   # largest absolute difference; 2e-5 for all others
# Where the scores of two LSH buckets differ by less, float32 sums in another order may choose the
# other bucket. Such a configuration says nothing and is drawn again.
CLOSEST_BUCKETS = 3e-5


def randomise(model, rng):
    """Gives the model random weights, much larger than trained ones."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            z = torch.from_numpy(rng.standard_normal(tuple(p.shape)).astype(np.float32))
            if p.ndim == 1:
                p.copy_(1 + 0.2 * z if "norm" in name.lower() and name.endswith("weight") else 0.1 * z)
            elif "embed" in name or p.ndim > 2:
                p.copy_(0.6 * z)
            else:
                p.copy_(z * (1.6 if any(s in name for s in ("query", "key")) else 1.0) / p.shape[-1] ** 0.5)
            if "Wqkv" in name:
                # ModernBERT has no LayerNorm behind its layers. With the factor 1.6 of the others,
                # the rounding of float32 alone would reach the bound on either side.
                p[: 2 * p.shape[0] // 3] *= 1.2
    return model.eval()


def pick(rng, *values):
    return values[rng.integers(len(values))]


def shape(rng, large, multiple=1):
    """Heads, hidden size, layers, feed-forward width.

    Head sizes are 1, odd ones, multiples of the vector width and sizes between. The hidden size is
    at least 8, because LayerNorm over two or three values blows rounding up.
    """
    size = 64 if large else multiple * int(pick(rng, 1, 2, 3, 4, 5, 8, 12, 16, 20, 33))
    heads = max(int(rng.integers(1, 3 if size > 16 else 6)), -(-8 // size))
    return heads, heads * size, int(rng.integers(1, 4)), int(pick(rng, 5, 8, 24, 50))


def activation(rng):
    return pick(rng, "gelu", "gelu_new", "gelu_pytorch_tanh", "gelu_fast", "relu", "silu", "tanh")


def is_large(rng):
    """True for one configuration in eight.

    It gets heads of 64, windows, blocks and chunks of published sizes, and texts of hundreds of
    tokens.
    """
    return int(rng.integers(8) == 0)


# Each of the following functions returns a random model of its family, the widths of its windows,
# blocks or chunks in tokens, and the longest text that it takes.

def longformer(rng):
    large = is_large(rng)
    heads, hidden, layers, wide = shape(rng, large)
    # transformers pads a text to the largest window and cuts it into chunks for each layer. That
    # works only where each window divides the largest and none is 2.
    largest = int(pick(rng, *((64, 128, 256) if large else (4, 8, 12, 16, 24))))
    windows = [int(pick(rng, *[w for w in range(4, largest + 1, 2) if largest % w == 0])) for _ in range(layers)]
    windows[int(rng.integers(layers))] = largest
    pad, positions = int(pick(rng, 0, 1, 3)), 700 if large else 120
    config = hf.LongformerConfig(vocab_size=VOCABULARY, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=wide,
                                 attention_window=windows, max_position_embeddings=positions, pad_token_id=pad, type_vocab_size=int(pick(rng, 1, 2)),
                                 layer_norm_eps=float(pick(rng, 1e-12, 1e-5)), hidden_act=activation(rng))
    return hf.LongformerModel(config), windows, positions - pad - 1


def led(rng):
    large = is_large(rng)
    heads, hidden, layers, wide = shape(rng, large)
    largest = int(pick(rng, *((64, 128) if large else (4, 8, 16))))
    windows = [int(pick(rng, *[w for w in range(4, largest + 1, 2) if largest % w == 0])) for _ in range(layers)]
    windows[int(rng.integers(layers))] = largest
    # A whole number of windows: transformers pads a text to one and looks up the positions of the
    # padding as well.
    longest = 512 if large else 96
    config = hf.LEDConfig(vocab_size=VOCABULARY, d_model=hidden, encoder_layers=layers, encoder_attention_heads=heads, encoder_ffn_dim=wide, decoder_layers=1,
                          decoder_attention_heads=heads, decoder_ffn_dim=8, attention_window=windows, max_encoder_position_embeddings=longest,
                          max_decoder_position_embeddings=8, decoder_start_token_id=2, activation_function=activation(rng))
    return hf.LEDModel(config), windows, longest


def bert(rng, family="bert"):
    large = is_large(rng)
    heads, hidden, layers, wide = shape(rng, large)
    positions = 514 if large else 90
    kinds = {"bert": (hf.BertConfig, hf.BertModel), "roberta": (hf.RobertaConfig, hf.RobertaModel), "xlm-roberta": (hf.XLMRobertaConfig, hf.XLMRobertaModel)}
    config_kind, model_kind = kinds[family]
    config = config_kind(vocab_size=VOCABULARY, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=wide,
                         max_position_embeddings=positions, layer_norm_eps=float(pick(rng, 1e-12, 1e-5)), hidden_act=activation(rng),
                         type_vocab_size=int(pick(rng, 1, 2)))
    return model_kind(config), [16], positions if family == "bert" else positions - config.pad_token_id - 1


def modernbert(rng):
    large = is_large(rng)
    heads, hidden, layers, wide = shape(rng, large, multiple=2)
    window = int(pick(rng, *((64, 128) if large else (2, 4, 7, 8, 16, 32))))
    thetas = {kind: {"rope_type": "default", "rope_theta": float(pick(rng, 100.0, 10000.0, 160000.0))} for kind in ("full_attention", "sliding_attention")}
    layer_types = [pick(rng, "full_attention", "sliding_attention") for _ in range(layers + 1)]
    config = hf.ModernBertConfig(vocab_size=VOCABULARY, hidden_size=hidden, num_hidden_layers=layers + 1, num_attention_heads=heads, intermediate_size=wide,
                                 max_position_embeddings=700 if large else 128, local_attention=window, layer_types=layer_types, rope_parameters=thetas,
                                 hidden_activation=activation(rng), norm_eps=float(pick(rng, 1e-12, 1e-5)), norm_bias=bool(rng.integers(2)),
                                 attention_bias=bool(rng.integers(2)), mlp_bias=bool(rng.integers(2)), pad_token_id=0,
                                 bos_token_id=1, cls_token_id=1, eos_token_id=2, sep_token_id=2)
    return hf.ModernBertModel(config), [window], 700 if large else 128


def bigbird(rng):
    large = is_large(rng)
    heads, hidden, layers, wide = shape(rng, large)
    block, blocks = (int(pick(rng, 16, 32)), 1) if large else (int(pick(rng, 1, 2, 4, 5, 6)), int(rng.integers(1, 4)))
    # Attention is sparse only above (5 + 2r) blocks, where r is the number of random blocks, so
    # texts lie on both sides of that length. One block of positions more than the longest text,
    # because transformers looks up the positions of the padding as well.
    longest = 480 if large else 150
    config = hf.BigBirdConfig(vocab_size=VOCABULARY, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=wide,
                              max_position_embeddings=longest + block, block_size=block, num_random_blocks=blocks, use_bias=bool(rng.integers(2)),
                              rescale_embeddings=bool(rng.integers(2)), sep_token_id=3, hidden_act=activation(rng),
                              attention_type=pick(rng, "block_sparse", "block_sparse", "block_sparse", "original_full"))
    return hf.BigBirdModel(config), [min((5 + 2 * blocks) * block, longest)], longest


def reformer(rng):
    large = is_large(rng)
    heads, size = int(rng.integers(1, 4)), 64 if large else int(pick(rng, 1, 3, 4, 8, 13, 16, 24))
    kinds = pick(rng, ["local"], ["lsh"], ["local", "lsh"], ["lsh", "local", "lsh"], ["local", "local", "lsh", "lsh"])
    first = int(pick(rng, 1, 4, 7, 12))
    hidden = first + (12 if first == 1 else int(pick(rng, 4, 5, 12)))
    chunk_local, chunk_lsh = (64, int(pick(rng, 32, 64))) if large else (int(pick(rng, 1, 2, 4, 6, 7, 8)), int(pick(rng, 2, 4, 5, 8, 12)))
    # The table of axial positions may be larger or smaller than max_position_embeddings. A padded
    # text must fit into both.
    axial = [int(pick(rng, 24, 40)), 16] if large else [int(pick(rng, 13, 16, 20)), int(pick(rng, 10, 12))]
    positions = int(pick(rng, axial[0] * axial[1], 640 if large else 192))
    multiple = math.lcm(*{chunk_local if kind == "local" else chunk_lsh for kind in kinds})
    config = hf.ReformerConfig(
        vocab_size=VOCABULARY, hidden_size=hidden, num_attention_heads=heads, attention_head_size=size, feed_forward_size=int(pick(rng, 5, 8, 24)),
        attn_layers=list(kinds), local_attn_chunk_length=chunk_local, lsh_attn_chunk_length=chunk_lsh, local_num_chunks_before=int(rng.integers(0, 4)),
        local_num_chunks_after=int(rng.integers(0, 3)), lsh_num_chunks_before=int(rng.integers(0, 4)), lsh_num_chunks_after=int(rng.integers(0, 3)),
        num_buckets=pick(rng, None, 2, 4, 8, [4], [4, 6], [2, 4, 6]), num_hashes=int(rng.integers(1, 9)), hash_seed=int(rng.integers(1000)),
        is_decoder=bool(rng.integers(2)), axial_pos_embds=bool(rng.integers(2)), axial_pos_shape=axial, axial_pos_embds_dim=[first, hidden - first],
        max_position_embeddings=positions, pad_token_id=0, eos_token_id=2, hidden_act=activation(rng))
    limit = min(positions, axial[0] * axial[1]) if config.axial_pos_embds else positions
    return hf.ReformerModel(config), [chunk_local, chunk_lsh], limit // multiple * multiple


FAMILIES = {"longformer": longformer, "led": led, "bert": bert, "roberta": lambda rng: bert(rng, "roberta"),
            "xlm-roberta": lambda rng: bert(rng, "xlm-roberta"), "modernbert": modernbert, "bigbird": bigbird, "reformer": reformer}
WINDOWED = ("longformer", "led")
# Families that have several attention implementations in transformers; "eager" is the plain one.
EAGER_ON_DEMAND = ("bert", "roberta", "xlm-roberta", "modernbert")
# Families whose vectors depend on the padded length. transformers gets each of their texts alone,
# longspan gets all of them in one batch, and the results must agree.
DEPENDS_ON_PADDING = ("reformer", "bigbird")
# Families that count positions by the ids that are not the pad id.
POSITIONS_FROM_IDS = ("longformer", "roberta", "xlm-roberta")


def make_cases(family, rng, config, widths, longest):
    """The texts of a configuration.

    One of one token, one around a window or chunk, one of any length, sometimes the longest, and a
    batch of mixed lengths.
    """
    ids = [i for i in range(VOCABULARY) if i != config.pad_token_id]
    around = int(np.clip(pick(rng, *widths) * int(rng.integers(1, 4)) + rng.integers(-1, 2), 1, longest))
    batches = [[1], [around], [int(rng.integers(1, longest + 1))]] + ([[longest]] if rng.integers(4) == 0 else [])
    batches.append([int(rng.integers(1, longest + 1)) for _ in range(int(rng.integers(2, 5)))])
    cases = []
    for number, lengths in enumerate(batches):
        width = max(lengths)
        rows = [rng.choice(ids, n).tolist() + [config.pad_token_id] * (width - n) for n in lengths]
        mask = [[1] * n + [0] * (width - n) for n in lengths]
        case = {"name": f"case{number}", "input_ids": rows, "attention_mask": mask}
        if rng.integers(3) == 0:
            for row, n in zip(mask, lengths):
                for hole in rng.integers(1, n - 1, int(rng.integers(1, 4))) if n > 4 else []:
                    row[int(hole)] = 0    # a token that no other attends to
        if family in POSITIONS_FROM_IDS and rng.integers(4) == 0:
            for row, n in zip(rows, lengths):
                # A token that is read, but that the positions do not count.
                row[int(rng.integers(n))] = config.pad_token_id
        if family in WINDOWED:
            most = 0 if rng.integers(4) == 0 else 7
            case["global_positions"] = [sorted(rng.choice(n, int(rng.integers(0, min(n, most) + 1)), replace=False).tolist()) for n in lengths]
            if rng.integers(8) == 0:
                case["global_positions"] = [list(range(n)) for n in lengths]
        cases.append(case)
    return cases


def forward(model, family, rows, mask, globals_, gaps):
    """What transformers makes of a batch: [rows, tokens, width], zero where the mask is 0.

    Appends to `gaps` the smallest difference between the scores of the best and the second-best LSH
    bucket, for each call of torch.argmax: only the hashing of Reformer calls it.
    """
    ids, mask, more = torch.tensor(rows), torch.tensor(mask), {}
    if any(globals_):
        more["global_attention_mask"] = torch.zeros_like(ids)
        for row, positions in enumerate(globals_):
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


def expect(fresh, family, case, gaps):
    """What transformers makes of the case.

    `fresh` returns a model that has seen no text: some models keep state from the lengths they have
    seen. Families that depend on padding get each text of the batch alone.
    """
    rows, mask = case["input_ids"], case["attention_mask"]
    globals_ = case.get("global_positions", [[]] * len(rows))
    if family not in DEPENDS_ON_PADDING or len(rows) == 1:
        return forward(fresh(), family, rows, mask, globals_, gaps)
    alone = []
    for row, read in zip(rows, mask):
        n = max(i + 1 for i, m in enumerate(read) if m)
        alone.append(np.pad(forward(fresh(), family, [row[:n]], [read[:n]], [[]], gaps), ((0, 0), (0, len(row) - n), (0, 0))))
    return np.concatenate(alone)


def write_configuration(family, seed, folder):
    """Writes one checkpoint with its cases and returns the expected values by case.

    It is drawn again while two LSH buckets are too close to tell apart in float32.
    """
    for attempt in range(50):
        rng = np.random.default_rng([seed, attempt])
        model, widths, longest = FAMILIES[family](rng)
        # Saved before it sees a text, because the library changes a configuration as its model sees
        # lengths.
        randomise(model, rng).save_pretrained(folder)
        cases, gaps, expected = make_cases(family, rng, model.config, widths, longest), [], {}
        if family in EAGER_ON_DEMAND:
            model.set_attn_implementation("eager")
        encoder = model.get_encoder() if family == "led" else model

        def fresh():
            return copy.deepcopy(encoder) if family in DEPENDS_ON_PADDING else encoder

        for case in cases:
            expected[case["name"]] = expect(fresh, family, case, gaps)
        if not gaps or min(gaps) > CLOSEST_BUCKETS:
            break
    (folder / "cases.json").write_text(json.dumps({"cases": cases}))
    return expected


class Encoder:
    """The program parity_encode. It is started again after a folder that kills it."""

    def __init__(self, program):
        self.program, self.process = program, None

    def encode(self, folder):
        """The outputs by case, or the error as text."""
        if self.process is None or self.process.poll() is not None:
            self.process = subprocess.Popen([self.program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process.stdin.write(f"{folder}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        return load_file(folder / "got.safetensors") if answer == "ok" else answer or "the encoder died"


def compare(family, arguments, encoder):
    """Compares all configurations of one family: (largest difference, texts, what is off)."""
    bound, worst, texts, off = BOUNDS.get(family, 2e-5), 0.0, 0, []
    for number in range(arguments.first, arguments.first + arguments.configurations):
        folder = Path(tempfile.mkdtemp(prefix="parity_"))
        expected, wrong = write_configuration(family, arguments.seed * 100000 + number, folder), []
        got = encoder.encode(folder)
        if isinstance(got, str):
            wrong.append(f"configuration {number}: {got}")
        for name, want in expected.items() if not wrong else ():
            difference = float(np.abs(got[name] - want).max())
            worst, texts = max(worst, difference), texts + want.shape[0]
            if not difference <= bound:   # true for NaN as well
                wrong.append(f"configuration {number} {name}: {difference:.2e}")
        if wrong:
            shutil.copytree(folder, f"{tempfile.gettempdir()}/parity_failed_{family}_{number}", dirs_exist_ok=True)
        off += wrong
        shutil.rmtree(folder)
    return worst, texts, off


def write_table(path, lines):
    text = Path(path).read_text()
    begin, end = "<!-- parity: made by ./dev parity --readme -->\n", "<!-- /parity -->"
    head, tail = text.index(begin) + len(begin), text.index(end)
    Path(path).write_text(text[:head] + "\n".join(lines) + "\n" + text[tail:])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--encoder", required=True)
    parser.add_argument("--configurations", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="number of the first configuration, to run one again")
    parser.add_argument("--family", nargs="*", default=list(FAMILIES), choices=list(FAMILIES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--readme", nargs="?", const=str(Path(__file__).parents[2] / "docs/exactness.md"),
                        help="write the table into this document, where all is well; docs/exactness.md if none is named")
    arguments = parser.parse_args()
    hf.logging.set_verbosity_error()
    hf.logging.disable_progress_bar()
    torch.set_num_threads(1)
    encoder, failed = Encoder(arguments.encoder), False
    table = [f"transformers {hf.__version__}, torch {torch.__version__.split('+')[0]}, float32, one processor:", "",
             "| family | configurations | texts | largest absolute difference | bound |", "| --- | --- | --- | --- | --- |"]
    print(table[0])
    for family in arguments.family:
        start = time.time()
        worst, texts, off = compare(family, arguments, encoder)
        failed |= bool(off)
        table.append(f"| {family} | {arguments.configurations} | {texts:,} | {worst:.1e} | {BOUNDS.get(family, 2e-5):.0e} |")
        print(f"{table[-1]} {'FAILED ' + str(len(off)) if off else 'ok'}   {time.time() - start:.0f} s", flush=True)
        for line in off[:10]:
            print("   ", line, flush=True)
    if arguments.readme and not failed:
        write_table(arguments.readme, table)
    sys.exit(failed)


if __name__ == "__main__":
    main()
