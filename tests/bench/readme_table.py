#!/usr/bin/env python3
"""Writes the README's tables of measured tokens/s from results.json; --check only tells whether they are what the file says.

    readme_table.py results.json README.md [--check]
"""
import json
import sys
from pathlib import Path

BEGIN, END = "<!-- throughput: made by tests/bench/readme_table.py -->", "<!-- /throughput -->"


def table(results):
    out = [f"tokens/s on {results['threads']} cores ({results['machine']}), best of several rounds, `./dev bench`:", ""]
    rows = results["rows"]
    for model in dict.fromkeys(r["model"] for r in rows):
        mine = [r for r in rows if r["model"] == model]
        lengths = sorted({r["length"] for r in mine})
        out += [f"| {model} | " + " | ".join(f"{n:,}" for n in lengths) + " |", "| --- |" + " ---: |" * len(lengths)]
        for dtype in dict.fromkeys(r["dtype"] for r in mine):
            for engine in dict.fromkeys(r["engine"] for r in mine if r["dtype"] == dtype):
                cells = {r["length"]: f"{r['tokens_per_second']:,}" for r in mine if r["dtype"] == dtype and r["engine"] == engine}
                mark = "**" if engine == "longspan" else ""
                out.append(f"| {mark}{engine}{mark}, {dtype} | " + " | ".join(cells.get(n, "") for n in lengths) + " |")
        out.append("")
    return "\n".join(out)


results, readme = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
text = readme.read_text()
before, rest = text.split(BEGIN)
made = f"{before}{BEGIN}\n{table(results)}{END}{rest.split(END)[1]}"
if "--check" in sys.argv:
    if made != text:
        sys.exit(f"README.md's throughput tables are not those of {sys.argv[1]}: run tests/bench/readme_table.py {sys.argv[1]} README.md")
    print("README.md's throughput tables are those of the results file")
else:
    readme.write_text(made)
