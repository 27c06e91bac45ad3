#!/usr/bin/env python3
"""Writes the tables of docs/quality.md from results/*.json. With --check only compares."""
import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "bench"))
from marked_section import prose, put  # noqa: E402

DOCUMENT = HERE.parents[1] / "docs" / "quality.md"
SCRIPT = "tests/quality/quality_tables.py"
DEPTHS = ("0-512", "512-2K", "2K-8K", ">8K")


def read(name: str) -> Any:
    path = HERE / "results" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def table(header: list[str], rows: list[list[str]]) -> list[str]:
    """A table of Markdown; all columns but the first stand right."""
    return ["| " + " | ".join(header) + " |", "| --- |" + " ---: |" * (len(header) - 1), *("| " + " | ".join(row) + " |" for row in rows)]


def _with_interval(mean: list[float]) -> str:
    return f"{mean[0]:.1f} [{mean[1]:.1f}, {mean[2]:.1f}]"


def methods_table(methods: dict[str, Any]) -> list[str]:
    """MRR by depth; beyond token 512 with its interval, and the recalls there."""
    rows = []
    for name, parts in methods.items():
        beyond = parts["beyond"]
        rows.append([name, *(f"{parts[str(depth)]['mrr'][0]:.1f}" for depth in range(len(DEPTHS))), _with_interval(beyond["mrr"]),
                     f"{beyond['recall@1'][0]:.1f}", f"{beyond['recall@10'][0]:.1f}"])
    first = next(iter(methods.values()))
    counts = ["questions", *(str(first[str(depth)]["mrr"][3]) for depth in range(len(DEPTHS))), str(first["beyond"]["mrr"][3]), "", ""]
    return table(["", *DEPTHS, "beyond 512 [95 %]", "recall@1", "recall@10"], [*rows, counts])


def described(results: dict[str, Any]) -> list[str]:
    lengths = results["lengths"]
    return prose(f"{results['documents']} documents of {results['packages']} packages, {results['tokens']:,} tokens; half of the documents have "
                 f"{lengths[1]:,} to {lengths[3]:,} tokens, {results['longer_than_8192']} more than 8,192, the longest {lengths[4]:,}.")


def found(results: dict[str, Any]) -> list[str]:
    return [*described(results), "", *methods_table(results["questions"])]


def scoring(results: dict[str, Any]) -> list[str]:
    rows = [[row["name"], _with_interval(row["reworded"]), f"{row['difference'][0]:+.1f} [{row['difference'][1]:+.1f}, {row['difference'][2]:+.1f}]",
             f"{row['questions'][0]:.1f}", f"{row['paraphrased'][0]:.1f}"] for row in results["rows"]]
    counts = results["counts"]
    header = ["MRR beyond 512", f"reworded ({counts['reworded']}) [95 %]", "difference [95 %]", f"in its words ({counts['questions']})",
              f"in other words ({counts['paraphrased']})"]
    return table(header, rows)


def stored(results: dict[str, Any]) -> list[str]:
    rows = [[row["name"], f"{row['bytes']:g}", _with_interval(row["beyond"]), f"{row['difference'][0]:+.1f} [{row['difference'][1]:+.1f}, {row['difference'][2]:+.1f}]"]
            for row in results["rows"]]
    return table(["token vectors", "bytes a token", "MRR beyond 512 [95 %]", "difference [95 %]"], rows)


def main() -> None:
    test, german, tuned, tested, formats = (read(name) for name in ("test", "german", "scoring", "scoring_test", "formats"))
    sections = {"found": test and found(test), "reworded": test and methods_table(test["reworded"]),
                "paraphrased": test and methods_table(test["paraphrased"]), "german": german and found(german),
                "scoring": tuned and scoring(tuned), "scoring_test": tested and scoring(tested), "formats": formats and stored(formats)}
    for name, lines in sections.items():
        put(DOCUMENT, name, SCRIPT, "\n".join(lines or ["Not measured yet."]))


if __name__ == "__main__":
    main()
