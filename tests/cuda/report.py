#!/usr/bin/env python3
"""Joins what the steps of run.sh have written so far: gpu_report.json, all of it, and
gpu_report.md, the tables that people read.

    report.py --work DIR --out DIR
"""
import argparse
import json
import sys
from pathlib import Path



def read(path):
    """The JSON of a file; None where a step has not written it, or not all of it."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def lines_of(path):
    """A file of lines "NAME: VALUE" as an object."""
    pairs = [line.split(": ", 1) for line in (path.read_text().splitlines() if path.exists() else [])]
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def gather(work):
    steps = [json.loads(line) for line in (work / "steps.jsonl").read_text().splitlines()]
    report = {"versions": lines_of(work / "versions.txt"), "device": (work / "device.txt").read_text().strip(), "steps": steps}
    kernels = work / "kernels.txt"
    report["kernels"] = {"lines": [line for line in kernels.read_text().splitlines() if not line.startswith("PASS")], "passed": kernels.read_text().count("PASS ")} if kernels.exists() else None
    for name in ("parity", "throughput", "memory"):
        report[name] = read(work / f"{name}.json")
    for section in (report["throughput"] or {}).get("sections", []):
        section["rows"] = [{key: value for key, value in row.items() if key != "vector"} for row in section["rows"]]
    report["peers"] = read(work / "peers.json")
    report["server"] = read(work / "server.json")
    return report


def sections(report):
    """Every section of backend_check, by its name."""
    return {section["name"]: section for name in ("parity", "throughput", "memory") for section in (report[name] or {}).get("sections", [])}


def rows(report):
    """Our rows of throughput that have figures."""
    return [row for row in sections(report).get("throughput", {}).get("rows", []) if "tokens_per_second" in row]


def rate(report, model, length, dtype="bfloat16", latency=False):
    """Our row; None where it was not measured."""
    return next((row for row in rows(report) if (row["model"], row["length"], row["dtype"], row["latency"]) == (model, length, dtype, latency)), None)


def peer_rates(report, model, length, engines=None, dtype="bfloat16"):
    """{engine: tokens a second} of those peers that were measured."""
    found = {}
    for row in (report["peers"] or {}).get("rows", []):
        if (row.get("model"), row.get("length"), row.get("dtype")) == (model, length, dtype) and "tokens_per_second" in row and (engines is None or row["engine"] in engines):
            found[row["engine"]] = row["tokens_per_second"]
    return found


def table(head, body):
    if not body:
        return ["Nothing was measured.", ""]
    return ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head), *("| " + " | ".join(map(str, row)) + " |" for row in body), ""]


def short(value):
    """Tokens a second as people read them."""
    return f"{value / 1e6:.2f}M" if value >= 1e6 else f"{value / 1e3:.0f}k" if value >= 1e4 else f"{value:.0f}"


def times(mine, theirs):
    """The ratio to the fastest of the peers, as "8.1x (eager 219k)"."""
    if not mine or not theirs:
        return "not measured"
    engine, best = max(theirs.items(), key=lambda item: item[1])
    return f"{mine['tokens_per_second'] / best:.2f}x ({engine} {short(best)})"


def goals(report):
    """Rows (figure, reached, beside peers)."""
    def of(model, length, peers=None):
        mine = rate(report, model, length)
        return [f"{model}, {length} tokens", short(mine["tokens_per_second"]) + " tokens/s" if mine else "not measured", times(mine, peers if peers is not None else peer_rates(report, model, length))]
    body = [of("longformer-base", 4096)]
    dense = peer_rates(report, "base", 16384) | peer_rates(report, "roberta-base", 16384)
    body.append(["longformer-base, 16384 tokens, against dense attention of the same size", *of("longformer-base", 16384, dense)[1:]])
    body += [of("minilm-l6", 128), of("minilm-l6", 512), of("modernbert-base", 8192), of("reformer-crime-and-punishment", 524288)]
    for model in ("longformer-base", "minilm-l6"):
        latency = rate(report, model, 128, latency=True)
        body.append([f"{model}, latency of one text of 128 tokens", f"{latency['milliseconds']:.3f} ms" if latency else "not measured", ""])
    short_texts, long_texts = rate(report, "longformer-base", 4096), rate(report, "longformer-base", 524288)
    ratio = f"{short_texts['tokens_per_second'] / long_texts['tokens_per_second']:.2f}x" if short_texts and long_texts else "not measured"
    body.append(["longformer-base, cost of a token at 524288 against 4096", ratio, ""])
    return body


def checks(report):
    body = []
    for name, section in sections(report).items():
        body.append([name, section["status"], section["passed"], section["failed"], sum(row["result"] == "skipped" for row in section["rows"]), f"{section['seconds']:.1f}"])
    return body


def failures(report):
    """What failed, one line each."""
    lines = [f"{name}: {row['what']}: " + (row.get("why") or f"{row.get('got')} (at most {row.get('bound')})")
             for name, section in sections(report).items() for row in section["rows"] if row["result"] == "failed"]
    for name in ("peers", "server"):
        lines += [f"{name}: {row['what']}: {row.get('why') or row.get('errors') or row.get('relative')}" for row in (report[name] or {}).get("rows", []) if row.get("result") == "failed"]
    lines += [f"kernels: {line}" for line in (report["kernels"] or {}).get("lines", []) if line.startswith("FAIL")]
    return lines


def card_name(report):
    device = sections(report).get("device", {}).get("rows", [])
    card = next((row["name"] for row in device if row["what"] == "card" and "name" in row), None)
    return card or next((row["name"] for row in device if row["what"] == "processor"), "unknown device")


def markdown(report):
    lines = [f"# longspan on {card_name(report)}", ""]
    if report["device"] == "cpu":
        lines += ["A dry run: tiny models on LibTorch's own operations on the CPU. None of its figures means anything.", ""]
    lines += [*(f"- {name}: {value}" for name, value in report["versions"].items())]
    libraries = (report["peers"] or {}).get("versions", {})
    lines += [f"- {name}: {value or 'not there'}" for name, value in libraries.items()] + [""]
    lines += ["## Steps", "", *table(["step", "status", "seconds"], [[step["name"], step["status"], step["seconds"]] for step in report["steps"]])]
    wrong = failures(report)
    if wrong:
        lines += ["## What failed", "", *(f"- {line}" for line in wrong), ""]
    lines += ["## Checks", "", *table(["section", "status", "passed", "failed", "skipped", "seconds"], checks(report))]
    lines += ["## Figures", "", "bfloat16, 65,536 tokens a batch, medians, from ids on the host to vectors on the host.", "", *table(["figure", "longspan", "against the fastest peer"], goals(report))]
    lines += ["## Throughput", "", *table(["model", "type", "texts x tokens", "tokens/s", "best", "ms a batch"], [[row["model"], row["dtype"], f"{row['texts']} x {row['length']}", short(row["tokens_per_second"]), short(row["best_tokens_per_second"]), f"{row['milliseconds']:.2f}"] for row in rows(report)])]
    measured = [row for row in (report["peers"] or {}).get("rows", []) if "engine" in row]
    lines += ["## Peers on the same machine", "", *table(["engine", "model", "type", "texts x tokens", "tokens/s"], [[row["engine"], row["model"], row["dtype"], f"{row['texts']} x {row['length']}", short(row["tokens_per_second"]) if "tokens_per_second" in row else row["why"].replace("|", "/")] for row in measured])]
    compared = [row for row in (report["peers"] or {}).get("rows", []) if "engine" not in row]
    lines += ["## Vectors of transformers, float32", "", *table(["model", "relative distance", "1 - cosine"], [[row["model"], f"{row['relative']:.1e}" if "relative" in row else row["why"].replace("|", "/"), f"{row['one_minus_cosine']:.1e}" if "relative" in row else ""] for row in compared])]
    served = (report["server"] or {}).get("rows", [])
    lines += ["## Server under load", "", *table(["load", "tokens/s", "of the bare encoder"], [[row["what"], short(row["tokens_per_second"]) if "tokens_per_second" in row else row["why"].replace("|", "/"), f"{row['served_to_bare']:.0%}" if "served_to_bare" in row else ""] for row in served])]
    memory = sections(report).get("memory", {}).get("rows", [])
    lines += ["## Memory", "", *table(["what", "MiB before", "MiB after"], [[row["what"], f"{row['before_mib']:.0f}", f"{row['after_mib']:.0f}"] for row in memory if "before_mib" in row])]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    report = gather(arguments.work)
    for name, text in (("gpu_report.json", json.dumps(report, indent=1)), ("gpu_report.md", markdown(report))):
        (arguments.out / f"{name}.part").write_text(text + "\n")
        (arguments.out / f"{name}.part").rename(arguments.out / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
