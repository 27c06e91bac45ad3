#!/usr/bin/env python3
"""Measures transformers, sentence-transformers and a bare dense model on the card, over the random
models that backend_check has made, and compares vectors with ours.

    peers.py --models DIR --json FILE [--ours throughput.json] [--device cuda:0|cpu] [--seconds S]
             [--tiny]

Every row goes from ids on the host to mean-pooled vectors on the host, as backend_check's rows do.
A library that is not there, a model or a length that it cannot run: the row says so. Exit code 1
where a vector of ours is far from that of transformers; all else is 0. It runs in the machine's own
environment, without the libraries of the bundle.
"""
import argparse
import json
import sys
import time
from pathlib import Path

BATCH_TOKENS = 65536
# |ours - theirs| / |theirs| of a vector in float32. Values that are rounded otherwise may fall into
# other buckets of a Reformer, whose keys are others.
PARITY_BOUND = {"reformer-crime-and-punishment": 0.05}
DEFAULT_PARITY_BOUND = 5e-4

# (engine, model, dtype, length of a text), those that the goals name first.
CASES = [("eager", "longformer-base", "bfloat16", 4096), ("bare-dense", "base", "bfloat16", 16384), ("sdpa", "minilm-l6", "bfloat16", 128),
         ("sentence-transformers", "minilm-l6", "bfloat16", 128), ("sentence-transformers-encode", "minilm-l6", "bfloat16", 128),
         ("sdpa", "modernbert-base", "bfloat16", 8192), ("flash_attention_2", "modernbert-base", "bfloat16", 8192),
         ("eager", "reformer-crime-and-punishment", "bfloat16", 524288), ("sdpa", "roberta-base", "bfloat16", 16384),
         ("sdpa", "minilm-l6", "bfloat16", 512), ("sentence-transformers", "minilm-l6", "bfloat16", 512),
         ("sentence-transformers-encode", "minilm-l6", "bfloat16", 512), ("flash_attention_2", "minilm-l6", "bfloat16", 512),
         ("eager", "bigbird-base", "bfloat16", 4096), ("eager", "led-base", "bfloat16", 4096), ("eager", "longformer-base", "bfloat16", 16384),
         ("sdpa", "modernbert-base", "bfloat16", 1024), ("eager", "reformer-crime-and-punishment", "bfloat16", 65536),
         ("sdpa", "roberta-base", "bfloat16", 4096), ("sdpa", "roberta-base", "bfloat16", 512), ("eager", "longformer-base", "float32", 4096),
         ("sdpa", "minilm-l6", "float32", 128), ("sdpa", "modernbert-base", "float32", 8192)]
PARITY_ENGINE = {"longformer-base": "eager", "minilm-l6": "sdpa", "modernbert-base": "sdpa", "reformer-crime-and-punishment": "eager",
                 "roberta-base": "sdpa", "bigbird-base": "eager", "led-base": "eager"}
WORDS = ["the", "court", "shall", "report", "a", "long", "river", "under", "seven", "and", "paper", "of", "night", "people"]


def draw_ids(count, vocabulary, seed):
    """The ids of DrawIds in backend_check."""
    ids = []
    for _ in range(count):
        seed = (seed * 1664525 + 1013904223) & 0xFFFFFFFF
        ids.append(3 + (seed >> 8) % (vocabulary - 3))
    return ids


class Pooled:
    """A model of transformers; calling it with ids [texts, length] gives mean-pooled vectors."""

    def __init__(self, folder, dtype, attention, device):
        import torch
        import transformers
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        model = transformers.AutoModel.from_pretrained(folder, attn_implementation=attention, dtype=getattr(torch, dtype)).eval()
        self.kind = model.config.model_type
        self.model = (model.get_encoder() if self.kind == "led" else model).to(device)
        self.vocabulary, self.device, self.autocast = model.config.vocab_size, device, False
        if self.kind == "reformer" and dtype != "float32":
            self.try_out(getattr(torch, dtype))

    def try_out(self, dtype):
        """A Reformer's layers may refuse weights of a storage type, and then run by autocast."""
        import torch
        try:
            self(torch.full((1, 64), 3))
        except RuntimeError:
            self.model, self.autocast = self.model.float(), dtype

    def __call__(self, ids):
        import contextlib
        import torch
        cast = torch.autocast(self.device.split(":")[0], dtype=self.autocast) if self.autocast else contextlib.nullcontext()
        with torch.inference_mode(), cast:
            ids = ids.to(self.device)
            more = {}
            if self.kind in ("longformer", "led"):
                more["global_attention_mask"] = torch.zeros_like(ids)
                more["global_attention_mask"][:, 0] = 1
            if self.kind == "led":
                more["attention_mask"] = torch.ones_like(ids)
            if self.kind == "reformer":
                more["use_cache"] = False
            return self.model(input_ids=ids, **more).last_hidden_state.float().mean(1).cpu()

    def longest(self):
        """The longest text in tokens; a longer one would read beyond the table of positions."""
        config = self.model.config
        if self.kind == "led":
            return config.max_encoder_position_embeddings
        behind_pad = config.pad_token_id + 1 if self.kind in ("longformer", "roberta") else 0
        return config.max_position_embeddings - behind_pad


class Sentences:
    """sentence-transformers: its modules over ids, or all of `encode` over texts."""

    BATCH = 512    # texts that `encode` takes at once; its own setting is 32, which is slower

    def __init__(self, folder, dtype, device, of_texts):
        import torch
        import transformers
        from sentence_transformers import SentenceTransformer
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        self.model = SentenceTransformer(str(folder), device=device, model_kwargs={"dtype": getattr(torch, dtype), "attn_implementation": "sdpa"}).eval()
        self.of_texts, self.device = of_texts, device
        self.vocabulary = json.loads((Path(folder) / "config.json").read_text())["vocab_size"]

    def longest(self):
        return self.model.max_seq_length or 512

    def __call__(self, ids):
        import torch
        if self.of_texts:
            return self.model.encode(ids, batch_size=self.BATCH, convert_to_numpy=True, show_progress_bar=False)
        ids = ids.to(self.device)
        with torch.inference_mode():
            return self.model({"input_ids": ids, "attention_mask": torch.ones_like(ids)})["sentence_embedding"].float().cpu()

    def prepare(self, ids):
        """Texts of as many tokens, special ones included."""
        return [" ".join(WORDS[i % len(WORDS)] for i in row[:-2]) for row in ids.tolist()] if self.of_texts else ids


class BareDense:
    """Twelve layers of a base model with dense attention, out of PyTorch's own operations: what a
    card gives to a dense model without any library around it."""

    def __init__(self, dtype, device, tiny):
        import torch
        self.width, self.inner, self.heads, layers = (128, 192, 2, 2) if tiny else (768, 3072, 12, 12)
        self.device, self.vocabulary = device, 1000
        make = lambda *shape: torch.randn(*shape, device=device, dtype=getattr(torch, dtype)) / shape[-1] ** 0.5
        self.table = make(self.vocabulary, self.width)
        self.layers = [(make(3 * self.width, self.width), make(self.width, self.width), make(self.inner, self.width), make(self.width, self.inner)) for _ in range(layers)]
        self.bias = {n: torch.zeros(n, device=device, dtype=getattr(torch, dtype)) for n in (self.width, 3 * self.width, self.inner)}

    def longest(self):
        return 1 << 30

    def __call__(self, ids):
        import contextlib
        import torch
        import torch.nn.functional as F
        from torch.nn.attention import SDPBackend, sdpa_kernel
        texts, length = ids.shape
        # FlashAttention, and nothing that would take its place in silence.
        flash = sdpa_kernel(SDPBackend.FLASH_ATTENTION) if self.device != "cpu" else contextlib.nullcontext()
        with torch.inference_mode(), flash:
            x = F.embedding(ids.to(self.device), self.table)
            for qkv, out, up, down in self.layers:
                q, k, v = F.linear(x, qkv, self.bias[3 * self.width]).view(texts, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
                seen = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(texts, length, self.width)
                x = F.layer_norm(x + F.linear(seen, out, self.bias[self.width]), (self.width,))
                x = F.layer_norm(x + F.linear(F.gelu(F.linear(x, up, self.bias[self.inner])), down, self.bias[self.width]), (self.width,))
            return x.float().mean(1).cpu()


def load(engine, folder, dtype, device, tiny):
    if engine == "bare-dense":
        return BareDense(dtype, device, tiny)
    if not (folder / "config.json").exists():
        raise FileNotFoundError(f"backend_check has not made {folder.name}")
    if engine.startswith("sentence-transformers"):
        return Sentences(folder, dtype, device, engine.endswith("encode"))
    return Pooled(folder, dtype, engine, device)


def one_line(error):
    return f"{type(error).__name__}: {error}".split("\n")[0][:300]


class Peers:
    def __init__(self, arguments):
        self.arguments, self.rows, self.failed = arguments, [], 0
        self.deadline = time.monotonic() + arguments.seconds
        self.loaded = (None, None)

    def add(self, what, line, **row):
        print(f"{what}: {line}", flush=True)
        self.rows.append({"what": what, **row})
        Path(self.arguments.json).write_text(json.dumps({"versions": versions(), "rows": self.rows}, indent=1))

    def folder(self, model):
        return Path(self.arguments.models) / (f"{model}-tiny" if self.arguments.tiny else model)

    def get(self, engine, model, dtype):
        """The model, loaded once for neighbouring cases."""
        key = (engine, model, dtype)
        if self.loaded[0] != key:
            self.loaded = (None, None)
            if self.arguments.device != "cpu":
                import torch
                torch.cuda.empty_cache()
            self.loaded = (key, load(engine, self.folder(model), dtype, self.arguments.device, self.arguments.tiny))
        return self.loaded[1]

    def case(self, engine, model, dtype, length):
        length = min(length, 64) if self.arguments.tiny else length
        tokens = 128 if self.arguments.tiny else BATCH_TOKENS
        texts = max(1, tokens // length)
        what = f"{engine} {model} {dtype}, {texts} x {length}"
        row = {"engine": engine, "model": model, "dtype": dtype, "length": length, "texts": texts}
        if time.monotonic() > self.deadline:
            return self.add(what, "not measured: the time is over", why="the time is over", **row)
        try:
            import torch
            run = self.get(engine, model, dtype)
            if length > run.longest():
                raise ValueError(f"the model takes at most {run.longest()} tokens")
            ids = torch.randint(3, run.vocabulary, (texts, length))
            seconds = self.passes(run, run.prepare(ids) if hasattr(run, "prepare") else ids)
            if getattr(run, "autocast", False):
                row["autocast"], what = True, what + " (autocast)"
        except NameError:    # a slip of our own
            raise
        except Exception as error:
            return self.add(what, f"not measured: {one_line(error)}", why=one_line(error), **row)
        median, best = seconds[len(seconds) // 2], seconds[0]
        self.add(what, f"{texts * length / median:,.0f} tokens/s, best {texts * length / best:,.0f}", tokens_per_second=texts * length / median,
                 best_tokens_per_second=texts * length / best, milliseconds=median * 1e3, passes=len(seconds), **row)

    def passes(self, run, ids):
        """Seconds of the passes, ascending. Each ends with a copy to the host, so it is whole."""
        start = time.perf_counter()
        run(ids)
        first = time.perf_counter() - start
        if first < 2:
            run(ids)
        seconds = []
        while len(seconds) < (3 if first > 1 else 5) or (sum(seconds) < 0.5 and len(seconds) < 20):
            start = time.perf_counter()
            run(ids)
            seconds.append(time.perf_counter() - start)
            if time.monotonic() > self.deadline or self.arguments.tiny:
                break
        return sorted(seconds)

    def parity(self, row):
        """A vector of ours against that of transformers, both in float32 on this device."""
        model, length, ours = row["model"], row["length"], row["vector"]
        what = f"our vector and that of transformers, {model}, {length} tokens, float32"
        if time.monotonic() > self.deadline:
            return self.add(what, "not compared: the time is over", model=model, why="the time is over")
        try:
            import torch
            run = self.get(PARITY_ENGINE[model], model, "float32")
            theirs = run(torch.tensor([draw_ids(length, run.vocabulary, 1)]))[0].double()
        except NameError:
            raise
        except Exception as error:
            return self.add(what, f"not compared: {one_line(error)}", model=model, why=one_line(error))
        mine = torch.tensor(ours, dtype=torch.float64)
        relative = float((mine - theirs).norm() / theirs.norm())
        bound = PARITY_BOUND.get(model, DEFAULT_PARITY_BOUND)
        passed = relative <= bound    # not for NaN
        self.failed += not passed
        cosine = float(mine @ theirs / (mine.norm() * theirs.norm()))
        self.add(what, f"{'PASS' if passed else 'FAIL'}, relative {relative:.1e} (at most {bound:.0e}), 1 - cosine {1 - cosine:.1e}", model=model, length=length,
                 result="passed" if passed else "failed", relative=relative, bound=bound, one_minus_cosine=1 - cosine)


def versions():
    """The versions of those libraries that are there."""
    from importlib import metadata
    found = {}
    for name in ("torch", "transformers", "sentence-transformers", "flash-attn", "triton"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def our_vectors(path):
    """The rows of backend_check's report that hold a vector."""
    if not path or not Path(path).exists():
        return []
    sections = json.loads(Path(path).read_text())["sections"]
    return [row for section in sections for row in section["rows"] if "vector" in row]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", required=True)
    parser.add_argument("--json", required=True)
    parser.add_argument("--ours")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--seconds", type=float, default=90)
    parser.add_argument("--tiny", action="store_true")
    arguments = parser.parse_args()
    peers = Peers(arguments)
    vectors = our_vectors(arguments.ours)
    # The figures that the goals name, then the vectors, then what the time is left for.
    first = 9
    for case in CASES[:first]:
        peers.case(*case)
    for row in vectors:
        peers.parity(row)
    for case in CASES[first:]:
        peers.case(*case)
    print(f"{len(peers.rows)} rows" + (f", {peers.failed} vectors too far from those of transformers" if peers.failed else ""))
    return 1 if peers.failed else 0


if __name__ == "__main__":
    sys.exit(main())
