#!/usr/bin/env python3
"""Writes the parts "sizing", "flags" and "capacity" of docs/operations.md out of sizing/CLASS.json.

    sizing_tables.py [--check]

Of a class that has no such file, the figures are the encoder's own of ./dev bench
(../bench/results), which have no server around them. --check only tells whether the document is
what the files say.
"""
import json
import math
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BENCH = HERE.parent / "bench"
sys.path.insert(0, str(BENCH))
import marked_section  # noqa: E402
import processor  # noqa: E402

SCRIPT = "tests/load/sizing_tables.py"
DOCUMENTS, TOKENS, DAY, SHARE = 10_000_000, 5_000, 86_400, 0.7
COLUMNS = (512, 5000)
NEAREST = {512: 512, 5000: 4096}  # lengths of ./dev bench
DTYPES = ("float32", "bfloat16", "int8")
MODELS = ("all-MiniLM-L6-v2", "longformer-base", "modernbert-base")


def files():
    """(class, results, whether a server was measured) of each class, best class first."""
    served, alone = processor.results_files(HERE / "sizing"), processor.results_files(BENCH / "results")
    for name in processor.CLASSES:
        if name in served:
            yield name, json.loads(served[name].read_text()), True
        elif name in alone:
            yield name, json.loads(alone[name].read_text()), False


def rows_alone(results):
    """Rows as sizing.py has them, out of the encoder's figures."""
    out = {}
    for row in results["rows"]:
        if row["engine"] != "longspan" or row["length"] not in NEAREST.values() or row["model"] not in MODELS:
            continue
        rows = out.setdefault(row["model"], {}).setdefault(row["dtype"], {"cores": results["threads"], "dtype": row["dtype"], "resident_mib": None, "peak_mib": 0, "rates": []})
        rows["peak_mib"] = max(rows["peak_mib"], row["peak_mib"])
        rows["rates"].append({"tokens": next(tokens for tokens, near in NEAREST.items() if near == row["length"]), "tokens_per_second": row["tokens_per_second"]})
    return {model: [out[model][dtype] for dtype in DTYPES if dtype in out[model]] for model in MODELS if model in out}


def models(results, served):
    return results["models"] if served else rows_alone(results)


def rate(row, tokens):
    return next((r["tokens_per_second"] for r in row["rates"] if r["tokens"] == tokens), None)


def cell(value):
    return f"{value:,}" if value else ""


def sizing():
    for name, results, served in files():
        yield f"### On {processor.title(name, results)}"
        yield ""
        how = "a server with default settings, kept busy by callers on the same cores" if served else \
            f"not measured with a server; these are the encoder's own figures of `./dev bench`, at {NEAREST[512]} and {NEAREST[5000]:,} tokens"
        yield from marked_section.prose(f"longspan {results['longspan']}, {results['date']}: {how}." if "date" in results else f"longspan {results['longspan']}: {how}.")
        yield from ["", "| model | type | cores | tokens/s, texts of 512 | of 5,000 | resident, idle | at most |", "| --- | --- | ---: | ---: | ---: | ---: | ---: |"]
        for model, rows in models(results, served).items():
            for row in rows:
                idle, most = row["resident_mib"], row["peak_mib"]
                yield (f"| {model} | {row['dtype']} | {row['cores']} | " + " | ".join(cell(rate(row, tokens)) for tokens in COLUMNS) +
                       f" | {f'{idle:,} MiB' if idle else ''} | {most:,} MiB |")
        yield ""


def flags():
    for name, results, served in files():
        if not served or not results["flags"]:
            continue
        yield from marked_section.prose(f"Measured on {processor.title(name, results)}; all-MiniLM-L6-v2, float32, texts of 512 tokens.")
        yield from ["", "| `--max-batch-tokens`, 256 callers | tokens/s | p99 | resident at most |", "| ---: | ---: | ---: | ---: |"]
        yield from (f"| {row['value']:,} | {row['tokens_per_second']:,} | {row['p99_ms'] / 1000:.1f} s | {row['peak_mib']:,} MiB |" for row in results["flags"]["max_batch_tokens"])
        yield from ["", "| `--max-queue-seconds`, twice the capacity | p50 | p99 | refused | a refusal comes after, p50 |", "| ---: | ---: | ---: | ---: | ---: |"]
        yield from (f"| {row['value']} | {row['p50_ms'] / 1000:.1f} s | {row['p99_ms'] / 1000:.1f} s | {row['refused']:.0%} | {row['refusal_p50_ms']:.1f} ms |"
                    for row in results["flags"]["max_queue_seconds"])
        yield ""


def capacity():
    need = DOCUMENTS * TOKENS / DAY
    yield from marked_section.prose(f"{DOCUMENTS // 1_000_000} million documents of {TOKENS:,} tokens a day are {DOCUMENTS * TOKENS / 1e9:.0f} billion tokens in {DAY:,} s = {need:,.0f} tokens/s. "
                                    f"A server that is kept at {SHARE:.0%} of what it can do leaves room for peaks and for a replica that restarts, so the servers together must be able to do "
                                    f"{need:,.0f} / {SHARE} = {need / SHARE:,.0f} tokens/s. Pods = that over the tokens/s of one pod at texts of {TOKENS:,} tokens, rounded up:")
    yield from ["", "| processor | model | type | tokens/s of a pod | pods | cores | resident at most, all pods |", "| --- | --- | --- | ---: | ---: | ---: | ---: |"]
    for name, results, served in files():
        for model, rows in models(results, served).items():
            for row in rows:
                one = rate(row, TOKENS)
                if row["cores"] != results["threads"] or not one:
                    continue
                pods = math.ceil(need / SHARE / one)
                yield f"| {processor.TITLES[name]} | {model} | {row['dtype']} | {one:,} | {pods:,} | {pods * row['cores']:,} | {pods * row['peak_mib'] / 1024:,.0f} GiB |"


def main():
    for part, lines in (("sizing", sizing), ("flags", flags), ("capacity", capacity)):
        marked_section.put(ROOT / "docs/operations.md", part, SCRIPT, "\n".join(lines()))


if __name__ == "__main__":
    main()
