#!/usr/bin/env python3
"""Writes the README's tables of measured speed from the results files; --check only tells whether they are what the files say.

    readme_table.py results.json README.md [--check]        concurrency_results.json is looked for beside results.json
"""
import json
import sys
from pathlib import Path

BEGIN, END = "<!-- speed: made by tests/bench/readme_table.py -->", "<!-- /speed -->"
BASE, DENSE, SMALL = "longformer-base", "RoBERTa-base (dense), sdpa", "all-MiniLM-L6-v2"
REFORMER, FLAT = "reformer-crime-and-punishment", "longformer-base, 2 of 12 layers, vocabulary 512"

# (what, goal, [(model, dtype, length) of longspan over (model, dtype, length, engine) of the
# other])
def against(model, length, engine, goals, other_dtype=None):
    for dtype, goal in goals.items():
        other = (other_dtype or {}).get(dtype, dtype)
        yield f"{model}, {length:,}, {dtype}", f"{engine}, {other}", goal, (model, dtype, length, "longspan"), (model, other, length, engine)


BAR = [
    *against(BASE, 4096, "transformers eager", {"float32": 1.7, "bfloat16": 1.7, "int8": 2.5}, {"int8": "bfloat16"}),
    *against(BASE, 4096, "transformers eager, default malloc", {"float32": 2.6, "bfloat16": 3.1, "int8": 4.5}, {"int8": "bfloat16"}),
    *(row for length, goal in ((512, 1.1), (1024, 1.2), (8192, 3.0), (16384, 5.5)) for row in against(BASE, length, DENSE, {"float32": goal})),
    *against("modernbert-base", 8192, "transformers sdpa", {"float32": 2.0, "bfloat16": 4.0}),
    *against(REFORMER, 524288, "transformers", {"float32": 1.9, "bfloat16": 2.8}),
    *(row for length, goal in ((128, 1.15), (512, 1.25)) for row in against(SMALL, length, "ONNX Runtime", {"float32": 1.1, "int8": goal})),
]


class Rows:
    def __init__(self, results):
        self.rows = {(r["model"], r["dtype"], r["length"], r["engine"]): r for r in results["rows"]}
        self.refused = results["refused"]

    def speed(self, key):
        return self.rows[key]["tokens_per_second"] if key in self.rows else None

    def why_missing(self, dtype):
        return "not on this processor" if dtype in self.refused else "not measured"

    def ratio(self, mine, other):
        if self.speed(mine) and self.speed(other):
            return f"{self.speed(mine) / self.speed(other):.2f}"
        return self.why_missing(mine[1] if mine[1] in self.refused else other[1])


def bar_table(rows):
    yield from ["| longspan | against | goal | measured |", "| --- | --- | ---: | ---: |"]
    for what, engine, goal, mine, other in BAR:
        if other[1] == "bfloat16" and mine[1] == "int8" and "bfloat16" in rows.refused:  # then float32 is the other's best
            engine, other = engine.replace("bfloat16", "float32"), (other[0], "float32", *other[2:])
        yield f"| {what} | {engine} | {goal:g}x | {rows.ratio(mine, other)}{'x' if rows.speed(mine) and rows.speed(other) else ''} |"
    mine, other = ((REFORMER, "float32", 524288, engine) for engine in ("longspan", "transformers"))
    if mine in rows.rows and other in rows.rows:
        share = rows.rows[mine]["peak_mib"] / rows.rows[other]["peak_mib"]
        yield f"| peak memory, {REFORMER}, 524,288, float32 | transformers | 0.25x | {share:.2f}x |"
    for model, short in ((FLAT, 4096), (REFORMER, 16384)):
        for dtype in ("float32", "bfloat16", "int8"):
            near, far = (rows.speed((model, dtype, n, "longspan")) for n in (short, 524288))
            if near and far:
                yield f"| cost per token at 524,288, {model}, {dtype} | longspan at {short:,} | {'1.1x' if model == FLAT else '1x'} | {near / far:.2f}x |"


def model_tables(results):
    for model in dict.fromkeys(r["model"] for r in results["rows"]):
        mine = [r for r in results["rows"] if r["model"] == model]
        lengths = sorted({r["length"] for r in mine})
        yield f"| {model} | " + " | ".join(f"{n:,}" for n in lengths) + " | peak MiB |"
        yield "| --- |" + " ---: |" * (len(lengths) + 1)
        for dtype in ("float32", "bfloat16", "int8"):
            for engine in dict.fromkeys(r["engine"] for r in mine if r["dtype"] == dtype):
                cells = {r["length"]: r for r in mine if r["dtype"] == dtype and r["engine"] == engine}
                mark = "**" if engine == "longspan" else ""
                speeds = " | ".join(f"{cells[n]['tokens_per_second']:,}" if n in cells else "" for n in lengths)
                peaks = ", ".join(f"{cells[n]['peak_mib']:,} at {n:,}" for n in lengths if n in cells and n in (4096, max(cells)))
                yield f"| {mark}{engine}{mark}, {dtype} | {speeds} | {peaks} |"
        yield ""


def concurrency_table(results):
    counts = sorted({r["concurrent_texts"] for r in results["rows"]})
    yield f"Texts of {results['tokens']} tokens sent by so many callers at once, each waiting for its answer ({results['model']}, {results['dtype']}):"
    yield ""
    yield "| replicas x threads | " + " | ".join(f"{n} at once" for n in counts) + " |"
    yield "| --- |" + " ---: |" * len(counts)
    for mode in dict.fromkeys((r["replicas"], r["threads"]) for r in results["rows"]):
        cells = {r["concurrent_texts"]: r for r in results["rows"] if (r["replicas"], r["threads"]) == mode}
        yield f"| {mode[0]} x {mode[1]} | " + " | ".join(f"{cells[n]['tokens_per_second']:,} tok/s, p50 {cells[n]['p50_ms']:g} ms" for n in counts) + " |"
    yield ""


def section(results, concurrency):
    rows, out = Rows(results), []
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    out += [f"Measured by `./dev bench` on {results['threads']} cores ({results['machine']}; {', '.join(results['units'])}), against {versions}.",
            "tokens/s of one batch of 2,048 tokens, or of one longer text; best of all passes, engines in turn in one run; the same weights, ids and",
            "threads; mean pooled. transformers keeps freed memory (glibc's thresholds raised), which serves it best, except where \"default malloc\" stands.", ""]
    for dtype, reason in results["refused"].items():
        out += [f"No {dtype} rows of longspan: {reason}.", ""]
    out += [*bar_table(rows), "", *model_tables(results)]
    if concurrency:
        out += list(concurrency_table(concurrency))
    return "\n".join(out)


def main():
    source, readme = Path(sys.argv[1]), Path(sys.argv[2])
    beside = source.with_name("concurrency_results.json")
    text = readme.read_text()
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        sys.exit(f"{readme} needs the marks {BEGIN} and {END}, each once")
    before, rest = text.split(BEGIN)
    body = section(json.loads(source.read_text()), json.loads(beside.read_text()) if beside.exists() else None) if source.exists() else ""
    made = f"{before}{BEGIN}\n{body}{END}{rest.split(END)[1]}"
    if "--check" not in sys.argv:
        readme.write_text(made)
    elif made != text:
        sys.exit(f"{readme}: the speed tables are not those of {source.name}; run tests/bench/readme_table.py tests/bench/results.json README.md")
    else:
        print("the speed tables are those of the results files")


main()
