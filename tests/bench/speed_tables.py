#!/usr/bin/env python3
"""Writes the tables of measured speed: all into docs/performance.md, a short one into README.md.

    speed_tables.py [--check]

--check only tells whether the documents are what the results files say. Those are
results/CLASS.json (compare.py), results/concurrency/CLASS.json (concurrency.py) and, for one row of
the README, ../load/results/CLASS.json. A row or column without a figure is left out; a cell without
one is blank.
"""
import json
from pathlib import Path

import marked_section
import processor
from cases import MODELS

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SCRIPT = "tests/bench/speed_tables.py"
SMALL, BASE, MODERN = "all-MiniLM-L6-v2", "longformer-base", "modernbert-base"
REFORMER, FLAT = "reformer-crime-and-punishment", "longformer-base, 2 of 12 layers, vocabulary 512"
ONNX, EAGER, SDPA, DENSE = "ONNX Runtime", "transformers eager", "transformers sdpa", "RoBERTa-base (dense), sdpa"
DTYPES = ("float32", "bfloat16", "int8")
FASTEST = "fastest"  # of an engine's dtypes, where it has none that is longspan's


class Results:
    def __init__(self, results):
        self.facts = results
        self.rows = {(r["model"], r["dtype"], r["length"], r["engine"]): r for r in results["rows"]}

    def speed(self, model, dtype, length, engine):
        row = self.rows.get((model, dtype, length, engine))
        return row["tokens_per_second"] if row else None

    def fastest_dtype(self, model, length, engine):
        known = [d for d in DTYPES if self.speed(model, d, length, engine)]
        return max(known, key=lambda d: self.speed(model, d, length, engine), default=None)

    def compare(self, model, length, dtype, engine, other_dtype=None):
        """(longspan's tokens/s, the other's dtype and tokens/s), or None without both figures."""
        other_dtype = self.fastest_dtype(model, length, engine) if other_dtype == FASTEST else other_dtype or dtype
        mine, other = self.speed(model, dtype, length, "longspan"), self.speed(model, other_dtype, length, engine)
        return (mine, other_dtype, other) if mine and other else None


def provenance(facts):
    """Units, then versions and date as far as the file names them."""
    when = [f"measured last on {facts['date']}"] if "date" in facts else []
    ours = {"longspan": facts["longspan"]} if "longspan" in facts else {}
    return f"{', '.join(facts['units'])}; {', '.join([*(f'{n} {v}' for n, v in {**ours, **facts['versions']}.items()), *when])}."


def table(header, align, rows):
    return [f"| {' | '.join(header)} |", f"| {' | '.join(align)} |", *(f"| {' | '.join(row)} |" for row in rows)]


# --- README.md: (texts, the other engine, [model, length, dtype, engine, the engine's dtype])
SHORT = [
    ("all-MiniLM-L6-v2, 128 tokens, float32", "ONNX Runtime", (SMALL, 128, "float32", ONNX)),
    ("all-MiniLM-L6-v2, 512 tokens, int8", "ONNX Runtime, int8", (SMALL, 512, "int8", ONNX)),
    ("Longformer-base, 4,096 tokens, float32", "transformers", (BASE, 4096, "float32", EAGER)),
    ("Longformer-base, 4,096 tokens, int8", "transformers, its fastest type", (BASE, 4096, "int8", EAGER, FASTEST)),
    ("Longformer-base, 16,384 tokens, float32", "a dense RoBERTa-base, sdpa", (BASE, 16384, "float32", DENSE)),
    ("ModernBERT-base, 8,192 tokens, float32", "transformers, sdpa", (MODERN, 8192, "float32", SDPA)),
    ("ModernBERT-base, 8,192 tokens, bfloat16", "transformers, sdpa", (MODERN, 8192, "bfloat16", SDPA)),
    ("Reformer, one text of 524,288 tokens, float32", "transformers", (REFORMER, 524288, "float32", "transformers")),
]


def short_table(all_results, all_loads):
    def cell(found):
        return f"{found[0]:,} ({found[0] / found[2]:.1f}x)" if found else ""

    def load_cell(name):
        run = all_loads.get(name, {}).get("saturation", {})
        return f"{run['mixed_tokens_per_second']:,} ({run['mixed_to_padded']:.1f}x)" if "mixed_to_padded" in run else ""

    def column(name, results):
        design = results.facts.get("design")
        return f"{processor.TITLES[name]}, {design}" if design else processor.TITLES[name]

    rows = [[what, against, *(cell(results.compare(*key)) for results in all_results.values())] for what, against, key in SHORT]
    rows.append(["the server: 16 callers, 8 to 250 tokens each, float32", "ONNX Runtime, padded batches, no server", *(load_cell(name) for name in all_results)])
    header = ["tokens/s", "and how many times those of", *(column(name, results) for name, results in all_results.items())]
    return table(header, ["---", "---"] + ["---:"] * len(all_results), [row for row in rows if any(row[2:])])


# --- docs/performance.md
def comparisons():
    """model, length, dtype, engine, the engine's dtype (None: the same)."""
    for length in (128, 512):
        for engine, dtypes in ((ONNX, ("float32", "int8")), ("sentence-transformers", ("float32", "bfloat16"))):
            yield from ((SMALL, length, dtype, engine, None) for dtype in dtypes)
    for engine in (EAGER, f"{EAGER}, default malloc"):
        yield from ((BASE, 4096, dtype, engine, FASTEST if dtype == "int8" else None) for dtype in DTYPES)
    for length in (512, 1024, 8192, 16384):
        yield from ((BASE, length, dtype, DENSE, None) for dtype in ("float32", "bfloat16"))
    yield from ((MODERN, 8192, dtype, SDPA, None) for dtype in ("float32", "bfloat16"))
    yield from ((REFORMER, 524288, dtype, "transformers", None) for dtype in ("float32", "bfloat16"))


def comparison_table(results):
    rows = []
    for model, length, dtype, engine, other_dtype in comparisons():
        if found := results.compare(model, length, dtype, engine, other_dtype):
            mine, other_dtype, other = found
            rows.append([model, f"{length:,}", dtype, f"{mine:,}", f"{engine}, {other_dtype}", f"{other:,}", f"{mine / other:.2f}x"])
    return table(["model", "tokens", "longspan", "tokens/s", "against", "tokens/s", "ratio"], ["---", "---:", "---", "---:", "---", "---:", "---:"], rows)


def long_text_facts(results):
    mine, other = (results.rows.get((REFORMER, "float32", 524288, engine)) for engine in ("longspan", "transformers"))
    if mine and other:
        yield (f"Peak memory at 524,288 tokens, {REFORMER}, float32: {mine['peak_mib']:,} MiB, of transformers "
               f"{other['peak_mib']:,} MiB.")
    for model, near in ((FLAT, 4096), (REFORMER, 16384)):
        costs = [f"{results.speed(model, d, near, 'longspan') / results.speed(model, d, 524288, 'longspan'):.2f} ({d})" for d in DTYPES
                 if results.speed(model, d, near, "longspan") and results.speed(model, d, 524288, "longspan")]
        if costs:
            yield f"Time of a token at 524,288 tokens over that at {near:,}, {model}: {', '.join(costs)}."


def model_tables(results):
    everything = results.facts["rows"]
    for model in sorted({r["model"] for r in everything}, key=list(MODELS).index):
        mine = [r for r in everything if r["model"] == model]
        lengths, rows = sorted({r["length"] for r in mine}), []
        for dtype in DTYPES:
            for engine in sorted({r["engine"] for r in mine if r["dtype"] == dtype}, key=lambda e: (e != "longspan", e)):
                cells = {r["length"]: r for r in mine if r["dtype"] == dtype and r["engine"] == engine}
                mark = "**" if engine == "longspan" else ""
                peaks = ", ".join(f"{cells[n]['peak_mib']:,} at {n:,}" for n in lengths if n in cells and n in (4096, max(cells)))
                rows.append([f"{mark}{engine}{mark}, {dtype}", *(f"{cells[n]['tokens_per_second']:,}" if n in cells else "" for n in lengths), peaks])
        yield from [*table([model, *(f"{n:,}" for n in lengths), "peak MiB"], ["---"] + ["---:"] * (len(lengths) + 1), rows), ""]


def refusals(results):
    """A line for each engine, model and dtype that did not run (with lengths, if it ran others)."""
    by_engine = {}
    for refusal in results.facts.get("refusals", []):
        by_engine.setdefault((refusal["engine"], refusal["model"], refusal["dtype"], refusal["error"]), []).append(refusal.get("length"))
    for (engine, model, dtype, error), lengths in by_engine.items():
        ran = any((model, dtype, n, engine) in results.rows for n in {r["length"] for r in results.facts["rows"]})
        at = f" at {', '.join(f'{n:,}' for n in lengths)} tokens" if ran and None not in lengths else ""
        yield f"{engine} does not run {model} in {dtype}{at}: `{error}`."


def concurrency_table(results):
    counts, rows = sorted({r["concurrent_texts"] for r in results["rows"]}), []
    for mode in dict.fromkeys((r["replicas"], r["threads"]) for r in results["rows"]):
        cells = {r["concurrent_texts"]: r for r in results["rows"] if (r["replicas"], r["threads"]) == mode}
        rows.append([f"{mode[0]} x {mode[1]}", *(f"{cells[n]['tokens_per_second']:,} tokens/s, p50 {cells[n]['p50_ms']:g} ms" if n in cells else "" for n in counts)])
    yield from marked_section.prose(f"A server's cores divided among replicas: texts of {results['tokens']} tokens from so many callers at once, each of which "
                                    f"waits for its answer ({results['model']}, {results['dtype']}):")
    yield ""
    yield from [*table(["replicas x threads", *(f"{n} at once" for n in counts)], ["---"] + ["---:"] * len(counts), rows), ""]


def section(name, results, concurrency):
    out = [f"### {processor.title(name, results.facts)}", "", *marked_section.prose(provenance(results.facts)), ""]
    out += [*comparison_table(results), ""]
    for line in (*long_text_facts(results), *refusals(results)):
        out += [*marked_section.prose(line), ""]
    out += model_tables(results)
    return out + (list(concurrency_table(concurrency)) if concurrency else [])


def main():
    all_results = {name: Results(json.loads(path.read_text())) for name, path in processor.results_files(HERE / "results").items()}
    divided = {name: json.loads(path.read_text()) for name, path in processor.results_files(HERE / "results/concurrency").items()}
    loads = {name: json.loads(path.read_text()) for name, path in processor.results_files(HERE.parent / "load/results").items()}
    body = [line for name, results in all_results.items() for line in section(name, results, divided.get(name))]
    marked_section.put(ROOT / "docs/performance.md", "speed", SCRIPT, "\n".join(body))
    marked_section.put(ROOT / "README.md", "speed", SCRIPT, "\n".join(short_table(all_results, loads)))
    print(f"the speed tables are those of {', '.join(f'results/{name}.json' for name in all_results)}")


if __name__ == "__main__":
    main()
