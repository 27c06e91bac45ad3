#!/usr/bin/env python3
"""tokens/s of longspan and of transformers by model, dtype and length: same weights, same texts' lengths, same threads, in turn A B A B.

    compare.py --worker BUILD/tests/throughput_worker --embedded MODEL_DIR --cache DIR [--models NAME ...] [--lengths N ...]
               [--dtypes float32 ...] [--rounds 3] [--threads 2] [--out results.json]

Every figure is the best of --rounds. transformers gets the allocator settings that serve it best (freed memory kept). Checkpoints
of the published geometries with random weights are made once in --cache; speed does not depend on the weights' values.
"""
import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
LENGTHS = [128, 512, 1024, 2048, 4096, 8192, 16384, 65536]
KEPT = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "17179869184", "MALLOC_TOP_PAD_": "67108864", "OMP_WAIT_POLICY": "PASSIVE"}


def make(name, folder):
    """A checkpoint with random weights of a published geometry (configs: the models' cards)."""
    import torch
    import transformers as hf
    torch.manual_seed(0)
    if name == "longformer-base":
        model = hf.LongformerModel(hf.LongformerConfig(vocab_size=50265, attention_window=512, max_position_embeddings=65538, type_vocab_size=1, layer_norm_eps=1e-5,
                                                       pad_token_id=1, bos_token_id=0, eos_token_id=2, sep_token_id=2))
    elif name == "roberta-base":
        model = hf.RobertaModel(hf.RobertaConfig(vocab_size=50265, max_position_embeddings=65538, type_vocab_size=1, layer_norm_eps=1e-5, pad_token_id=1))
    elif name == "modernbert-base":
        model = hf.ModernBertModel(hf.ModernBertConfig(max_position_embeddings=16384))
    elif name == "reformer-crime-and-punishment":
        model = hf.ReformerModel(hf.ReformerConfig(attn_layers=["local", "lsh"] * 3, hidden_size=256, num_attention_heads=2, attention_head_size=64, feed_forward_size=512,
                                                   axial_pos_shape=[512, 1024], axial_pos_embds_dim=[64, 192], max_position_embeddings=524288, num_buckets=[64, 128],
                                                   num_hashes=1, hash_seed=0, is_decoder=True, vocab_size=320, pad_token_id=0))
    model.save_pretrained(folder)


# model -> (alternatives of transformers as (label, model, attention), longest length for each)
MODELS = {
    "all-MiniLM-L6-v2": [("transformers sdpa", "dense", "sdpa", 512)],
    "longformer-base": [("transformers eager", "longformer-base", "eager", 16384), ("dense sdpa, same size", "roberta-base", "sdpa", 16384)],
    "modernbert-base": [("transformers sdpa", "modernbert-base", "sdpa", 8192)],
    "reformer-crime-and-punishment": [("transformers", "reformer-crime-and-punishment", "eager", 524288)],
}


class Worker:
    def __init__(self, command, environment=None):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})})
        first = self.process.stdout.readline().split()
        if not first or first[0] != "ready":
            raise SystemExit(f"{' '.join(map(str, command))} did not start")

    def measure(self, length, texts):
        self.process.stdin.write(f"{length} {texts}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        if len(answer) != 2:
            raise SystemExit("a worker died: its message stands above")
        return float(answer[0]), float(answer[1])

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--worker", required=True)
    parser.add_argument("--embedded", required=True)
    parser.add_argument("--dense", required=True)
    parser.add_argument("--cache", required=True)
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--lengths", nargs="*", type=int, default=LENGTHS)
    parser.add_argument("--dtypes", nargs="*", default=["float32", "bfloat16", "int8"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--out", default=str(HERE / "results.json"))
    arguments = parser.parse_args()
    results = json.loads(Path(arguments.out).read_text()) if Path(arguments.out).exists() else {"rows": []}
    results["machine"] = next(l.split(":")[1].strip() for l in open("/proc/cpuinfo", encoding="ascii") if l.startswith("model name"))
    results["threads"] = arguments.threads
    for name in arguments.models:
        folders = {"dense": arguments.dense, "all-MiniLM-L6-v2": arguments.embedded}
        for wanted in {name, *(a[1] for a in MODELS[name])} - set(folders):
            folders[wanted] = Path(arguments.cache) / "bench" / wanted
            if not (folders[wanted] / "model.safetensors").exists():
                make(wanted, folders[wanted])
        for dtype in arguments.dtypes:
            if name.startswith("reformer") and dtype == "int8":
                continue
            workers = {"longspan": (Worker([arguments.worker, folders[name], dtype, str(arguments.threads)], {"OMP_WAIT_POLICY": "PASSIVE"}), 1 << 30)}
            for label, model, attention, longest in MODELS[name]:
                if dtype != "int8":
                    command = [sys.executable, HERE / "transformers_worker.py", folders[model], dtype, str(arguments.threads), attention]
                    workers[label] = (Worker(command, KEPT), longest)
            for length in arguments.lengths:
                texts, best, peak = max(1, 2048 // length), {}, {}
                for round_ in range(arguments.rounds + 1):    # the first is the warm-up
                    for label, (worker, longest) in workers.items():
                        if length > longest or (length > 16384 and round_ not in (0, 1)):
                            continue
                        seconds, mib = worker.measure(length, texts)
                        if round_ or length > 16384:
                            best[label], peak[label] = min(seconds, best.get(label, 1e9)), max(mib, peak.get(label, 0))
                for label, seconds in best.items():
                    row = {"model": name, "dtype": dtype, "length": length, "engine": label, "tokens_per_second": round(length * texts / seconds), "peak_mib": round(peak[label])}
                    keys = ("model", "dtype", "length", "engine")
                    results["rows"] = [r for r in results["rows"] if any(r[k] != row[k] for k in keys)] + [row]
                    print(f"{name:32s} {dtype:9s} {length:7d}  {label:24s} {row['tokens_per_second']:8d} tok/s  {row['peak_mib']:6d} MiB", flush=True)
                Path(arguments.out).write_text(json.dumps(results, indent=1) + "\n")
            for worker, _ in workers.values():
                worker.close()


if __name__ == "__main__":
    main()
