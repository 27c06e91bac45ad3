#!/usr/bin/env python3
"""Writes the README's section "Under load" from results.json; --check only tells whether it is what the file says.

    readme_table.py results.json README.md [--check]
"""
import json
import sys
from pathlib import Path

BEGIN, END = "<!-- load: made by tests/load/readme_table.py -->", "<!-- /load -->"


def size(row):
    bounds = (128, 512, 4096, 32768)
    bound = row["tokens_up_to"]
    if bound is None:
        return f"above {bounds[-1]:,}"
    below = bounds[bounds.index(bound) - 1] if bounds.index(bound) else 0
    return f"{below + 1:,}..{bound:,}"


def ms(value):
    return f"{value:,.0f} ms" if value >= 20 else f"{value:.1f} ms"


def facts(results):
    """Rows "what | measured" of the phases that the file holds."""
    if (lone := results.get("lone")):
        yield "a lone text of 128 tokens: beyond tokenising and computing, p50 / p99", f"{lone['beyond_p50_ms']:.2f} / {lone['beyond_p99_ms']:.2f} ms"
        yield "the same inside the server (`queue_ns`), p50 / p99", f"{lone['queue_p50_ms']:.2f} / {lone['queue_p99_ms']:.2f} ms"
    for name in ("saturation", "int8"):
        if (run := results.get(name)):
            yield f"16 callers, {run['dtype']}, {run['teams']} threads: 128 tokens each / mixed 8..250, median 74", f"{run['uniform_tokens_per_second']:,} / {run['mixed_tokens_per_second']:,} tokens/s ({run['mixed_to_uniform']:.0%})"
            if "bare_tokens_per_second" in run:
                yield "the encoder without a server on the mixed load; the service's overhead", f"{run['bare_tokens_per_second']:,} tokens/s; {run['overhead']:.1%}"
            if "mixed_to_padded" in run:
                yield f"ONNX Runtime, float32, padded batches of 16, no server: the same two loads; longspan {run['dtype']} on the mixed one", f"{run['padded_uniform_tokens_per_second']:,} / {run['padded_mixed_tokens_per_second']:,} tokens/s; {run['mixed_to_padded']:.1f}x"
    if (lanes := results.get("lanes")):
        yield "one text of 32,768 tokens alone: computing, of that one layer", f"{ms(lanes['long_alone_compute_ms'])}, {ms(lanes['long_layer_ms'])}"
        yield "short texts' p99 with 5 % texts of 32,768 tokens, 80 % of capacity / the same short texts alone", f"{ms(lanes['with_long']['p99_ms'])} / {ms(lanes['same_rate_without_long']['p99_ms'])} ({lanes['p99_ratio']:.1f}x)"
        yield "the same short texts alone at 80 % of their own capacity", f"{ms(lanes['same_utilisation_without_long']['p99_ms'])} ({lanes['p99_ratio_same_utilisation']:.1f}x)"
    if (rag := results.get("rag")):
        yield "`rag` at 3x capacity, answered in time / capacity: requests, tokens", f"{rag['goodput_to_peak']:.0%}, {rag['tokens_to_peak']:.0%}"
        yield "refusals there, p50 / p99", f"{ms(rag['refusal_p50_ms'])} / {ms(rag['refusal_p99_ms'])}"
        yield "resident memory: first / second half of that run, at most", f"{rag['rss_mib_first_half_max']} / {rag['rss_mib_second_half_max']} MiB"
    if (cancel := results.get("cancel")):
        yield f"a caller of {cancel['tokens']:,} tokens goes away: until the cores are free, median / longest of {len(cancel['cancels_ms'])}", f"{cancel['median_ms']} / {cancel['max_ms']} ms"


def section(results):
    if not list(facts(results)):
        return ""    # nothing measured yet
    out = [f"`./dev load` on {results['threads']} cores ({results['machine']}), which server and callers share; embedded model, default settings:", "", "| what | measured |", "| --- | --- |"]
    out += [f"| {what} | {measured} |" for what, measured in facts(results)]
    if (rag := results.get("rag")):
        out += ["", f"`longspan bench --profile rag` in float32, capacity {rag['capacity_per_second']} requests/s ({rag['capacity_tokens_per_second']:,} tokens/s), deadline {rag['request_deadline_seconds']} s:", "",
                "| load | answered in time | errors | tokens | p50 | p95 | p99 |", "| --- | --- | --- | --- | ---: | ---: | ---: |"]
        for load, run in rag["load"].items():
            errors = ", ".join(f"{count:,} {code}" for code, count in run["errors"].items()) or "none"
            for i, row in enumerate(run["classes"]):
                head = f"{load} = {run['offered_per_second']}/s | {run['goodput_per_second']}/s | {errors}" if i == 0 else " | | "
                out.append(f"| {head} | {size(row)} | " + " | ".join(ms(row["latency_ms"][q]) for q in ("p50", "p95", "p99")) + " |")
    return "\n".join(out) + "\n"


results, readme = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
text = readme.read_text()
before, rest = text.split(BEGIN)
made = f"{before}{BEGIN}\n{section(results)}{END}{rest.split(END)[1]}"
if "--check" in sys.argv:
    if made != text:
        sys.exit(f"README.md's figures under load are not those of {sys.argv[1]}: run tests/load/readme_table.py {sys.argv[1]} README.md")
    print("README.md's figures under load are those of the results file")
else:
    readme.write_text(made)
