#!/usr/bin/env python3
"""Writes the part "load" of docs/performance.md, a section for each class of processor.

    load_tables.py [--check]

--check only tells whether the document is what the results files say (results/CLASS.json).
"""
import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "bench"))
import marked_section  # noqa: E402
import processor  # noqa: E402

FIRST_SCALE = [128, 512, 4096, 32768]  # length classes of `longspan bench` 0.1.0


def current_scale():
    """The bounds of proto/longspan/v1/length_classes.h."""
    header = (ROOT / "proto/longspan/v1/length_classes.h").read_text(encoding="utf-8")
    return [int(number) for number in re.search(r"kLengthClassBounds = \{([^}]*)\}", header)[1].split(",")]


def scale_of(rag):
    """The length classes of a measurement: those that it names, or a known scale that has all."""
    used = {row["tokens_up_to"] for run in rag["load"].values() for row in run["classes"]} - {None}
    return next(scale for scale in (rag.get("class_bounds", []), current_scale(), FIRST_SCALE) if scale and used <= set(scale))


def size(row, scale):
    bound = row["tokens_up_to"]
    if bound is None:
        return f"above {scale[-1]:,}"
    below = max((other for other in scale if other < bound), default=0)
    return f"{below + 1:,} to {bound:,}"


def ms(value):
    return f"{value:,.0f} ms" if value >= 20 else f"{value:.1f} ms"


def callers(run):
    yield (f"16 callers, {run['dtype']}, {run['teams']} threads: texts of 128 tokens / of 8 to 250 tokens, median 74",
           f"{run['uniform_tokens_per_second']:,} / {run['mixed_tokens_per_second']:,} tokens/s ({run['mixed_to_uniform']:.0%})")
    if "bare_tokens_per_second" in run:
        yield ("the encoder without a server on the mixed texts; what the server costs on top",
               f"{run['bare_tokens_per_second']:,} tokens/s; {run['overhead']:.1%}")
    if "mixed_to_padded" in run:
        yield ("ONNX Runtime, float32, padded batches of 16, no server: texts of 128 tokens / mixed",
               f"{run['padded_uniform_tokens_per_second']:,} / {run['padded_mixed_tokens_per_second']:,} tokens/s")
        yield f"longspan {run['dtype']} over that on the mixed texts", f"{run['mixed_to_padded']:.1f}x"


def facts(results):
    """Rows "what | measured" of the phases that the file holds."""
    if (lone := results.get("lone")):
        yield "a lone text of 128 tokens: time beyond tokenising and computing, p50 / p99", f"{lone['beyond_p50_ms']:.2f} / {lone['beyond_p99_ms']:.2f} ms"
        yield "of that inside the server (`queue_ns`), p50 / p99", f"{lone['queue_p50_ms']:.2f} / {lone['queue_p99_ms']:.2f} ms"
    for name in ("saturation", "int8"):
        if (run := results.get(name)):
            yield from callers(run)
    for tokens, run in results.get("bulk", {}).items():
        yield (f"`longspan bulk` on texts of {int(tokens):,} tokens, float32 / 64 callers in a closed loop",
               f"{run['bulk_tokens_per_second']:,} / {run['callers_tokens_per_second']:,} tokens/s ({run['bulk_to_callers']:.0%}); the client took {run['client_cores']:.1%} of a core")
    if (lanes := results.get("lanes")):
        yield "one text of 32,768 tokens alone: its computation / one layer of it", f"{ms(lanes['long_alone_compute_ms'])} / {ms(lanes['long_layer_ms'])}"
        yield ("p99 of short texts beside 5 % texts of 32,768 tokens, at 80 % of capacity / of the same short texts alone",
               f"{ms(lanes['with_long']['p99_ms'])} / {ms(lanes['same_rate_without_long']['p99_ms'])} ({lanes['p99_ratio']:.1f}x)")
        yield "p99 of short texts alone that come fast enough to take 80 % of capacity", f"{ms(lanes['same_utilisation_without_long']['p99_ms'])}"
    if (rag := results.get("rag")):
        yield "profile `rag` at 3 times the capacity: requests / tokens answered in time, over the capacity", f"{rag['goodput_to_peak']:.0%} / {rag['tokens_to_peak']:.0%}"
        yield "how soon a refusal comes there, p50 / p99", f"{ms(rag['refusal_p50_ms'])} / {ms(rag['refusal_p99_ms'])}"
        yield "largest resident memory in the first / second half of that run", f"{rag['rss_mib_first_half_max']} / {rag['rss_mib_second_half_max']} MiB"
    if (cancel := results.get("cancel")):
        yield (f"the caller of a text of {cancel['tokens']:,} tokens goes away: time until the cores are free, median / longest of {len(cancel['cancels_ms'])}",
               f"{cancel['median_ms']} / {cancel['max_ms']} ms")


def rag_table(rag):
    scale = scale_of(rag)
    yield from marked_section.prose(f"`longspan bench --profile rag` in float32, capacity {rag['capacity_per_second']} requests/s "
                                    f"({rag['capacity_tokens_per_second']:,} tokens/s), deadline {rag['request_deadline_seconds']} s:")
    yield from ["",
                "| load | answered in time | errors | tokens | p50 | p95 | p99 |", "| --- | --- | --- | --- | ---: | ---: | ---: |"]
    for load, run in rag["load"].items():
        errors = ", ".join(f"{count:,} {code}" for code, count in run["errors"].items()) or "none"
        for i, row in enumerate(run["classes"]):
            head = f"{load} = {run['offered_per_second']}/s | {run['goodput_per_second']}/s | {errors}" if i == 0 else " |  | "
            yield f"| {head} | {size(row, scale)} | " + " | ".join(ms(row["latency_ms"][q]) for q in ("p50", "p95", "p99")) + " |"


def section(name, results):
    known = [f"longspan {results['longspan']}"] if "longspan" in results else []
    known += [f"measured on {results['date']}"] if "date" in results else []
    out = [f"### {processor.title(name, results)}, under load", "", *([f"{', '.join(known)}.", ""] if known else []), "| what | measured |", "| --- | --- |"]
    out += [f"| {what} | {measured} |" for what, measured in facts(results)]
    if (rag := results.get("rag")):
        out += ["", *rag_table(rag)]
    return [*out, ""]


def main():
    files = {name: json.loads(path.read_text()) for name, path in processor.results_files(HERE / "results").items()}
    body = [line for name, results in files.items() for line in section(name, results)]
    marked_section.put(ROOT / "docs/performance.md", "load", "tests/load/load_tables.py", "\n".join(body))
    print(f"the figures under load are those of {', '.join(f'results/{name}.json' for name in files)}")


if __name__ == "__main__":
    main()
