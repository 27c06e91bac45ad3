#!/usr/bin/env python3
"""Writes the part "attacks" of docs/threat_model.md, a section for each class of processor.

    attack_tables.py [--check]

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

GROUPS = (("A", "Amplification"), ("B", "Connections and streams"), ("C", "Faults"), ("holds", "What has always held"), ("more", "Further ones"))


def figures(facts):
    """What was measured of one attack, in a few words."""
    if not facts:
        return ""
    if "p99_ms" not in facts:
        return "holds" if facts["verdict"] == "holds" else shortened(facts["reasons"][0])
    parts = []
    if facts["lost"]:
        parts.append("lost " + ", ".join(f"{count} {kind}" for kind, count in facts["lost"].items()))
    if facts["p99_ms"] is not None:
        parts.append(f"p99 {facts['p99_ms']:,.0f} ms")
    one = f" (one such call alone: {facts['one_mib'] - facts['rest_mib']:+,})" if facts.get("one_mib") else ""
    parts.append(f"{facts['peak_mib'] - facts['rest_mib']:+,} MiB{one}")
    if facts.get("stopped_by_guard_mib"):
        parts.append("killed there")
    elif not facts["alive"] or facts["exit_code"] not in (0, -9):
        parts.append(f"ended with code {facts['exit_code']}")
    if facts["back_after_s"] is None and facts["alive"]:
        parts.append("not back in 10 s")
    if facts["error"]:
        parts.append(shortened(facts["error"]))
    if facts["verdict"] == "noisy":
        parts.append("on a busy machine")
    return ", ".join(parts)


def shortened(text):
    """At most 90 characters, without what would end a cell or differs with each run."""
    text = re.sub(r"/tmp/longspan-attack-\w+/", "", text).replace("|", "/").replace("\n", " ")
    return text if len(text) <= 90 else text[:87] + "..."


def rows(measured, before, prefix):
    for name, facts in {**before, **measured}.items():
        if facts["table"].startswith(prefix) and (len(prefix) > 1 or facts["table"][1:].isdigit()):
            what = facts["what"].split(" At 0.2.0 ")[0].replace("|", "/")
            now = measured.get(name)
            mark = {"holds": "yes", "noisy": "yes", "fails": "**no**"}[now["verdict"]] if now else ""
            yield f"| `{name}` | {what} | {figures(before.get(name))} | {figures(now)} | {mark} |"


def section(name, results):
    held = sum(facts["verdict"] != "fails" for facts in results["attacks"].values())
    took = f" in {results['minutes']:.0f} minutes" if "minutes" in results else ""
    out = [f"### {processor.title(name, results)}, under attack", ""]
    count = f"{len(results['attacks'])} attacks{took}, of which {held} hold. " if results["attacks"] else ""
    before = f" The column 0.2.0 was measured on {processor.title(name, results['before_machine'])}." if "before_machine" in results else ""
    out += marked_section.prose(f"longspan {results['longspan']}, measured on {results['date']}. {count}Times are those of a caller that encodes a short text every 0.1 s, memory is how far the server went above its rest.{before}")
    for prefix, title in GROUPS:
        if (found := list(rows(results["attacks"], results["before"], prefix))):
            out += ["", f"{title}:", "", "| attack | what | 0.2.0 | now | holds |", "| --- | --- | --- | --- | --- |", *found]
    return [*out, ""]


def main():
    files = {name: json.loads(path.read_text()) for name, path in processor.results_files(HERE / "results").items()}
    body = [line for name, results in files.items() for line in section(name, results)]
    marked_section.put(ROOT / "docs/threat_model.md", "attacks", "tests/attack/attack_tables.py", "\n".join(body))
    print(f"the attacks are those of {', '.join(f'results/{name}.json' for name in files)}")


if __name__ == "__main__":
    main()
