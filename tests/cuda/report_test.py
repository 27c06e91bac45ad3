#!/usr/bin/env python3
"""report.py over made-up results: the ratios are those of the figures, what failed is named, and
what is missing is said, never a crash."""
import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).parent


def ours(model, length, rate, dtype="bfloat16", latency=False):
    return {"what": f"{model} {length}", "result": "measured", "model": model, "dtype": dtype, "length": length, "texts": max(1, 65536 // length), "latency": latency,
            "tokens_per_second": rate, "best_tokens_per_second": rate, "milliseconds": 0.5}


def peer(engine, model, length, rate=None, dtype="bfloat16"):
    row = {"what": engine, "engine": engine, "model": model, "dtype": dtype, "length": length, "texts": 1}
    return row | ({"tokens_per_second": rate} if rate else {"why": "it is not there"})


def section(name, rows, status="passed"):
    return {"name": name, "status": status, "seconds": 1.5, "passed": sum(row["result"] == "passed" for row in rows), "failed": sum(row["result"] == "failed" for row in rows), "rows": rows}


class ReportTest(unittest.TestCase):
    def report(self, files, steps=("parity",)):
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            (work / "steps.jsonl").write_text("".join(json.dumps({"name": step, "status": "passed", "code": 0, "seconds": 3, "budget": 9}) + "\n" for step in steps))
            (work / "versions.txt").write_text("LibTorch: 2.11.0 in /torch: here\ncores: 16\n")
            (work / "device.txt").write_text("cuda:0\n")
            for name, value in files.items():
                (work / name).write_text(value if isinstance(value, str) else json.dumps(value))
            subprocess.run([sys.executable, HERE / "report.py", "--work", work, "--out", work], check=True)
            return json.loads((work / "gpu_report.json").read_text()), (work / "gpu_report.md").read_text()

    def test_ratios_are_to_the_fastest_peer_of_the_same_length_and_type(self):
        throughput = [ours("longformer-base", 4096, 2.4e6), ours("longformer-base", 524288, 2.0e6), ours("longformer-base", 16384, 2.4e6), ours("longformer-base", 4096, 3e5, "float32"),
                      ours("longformer-base", 128, 2e5, latency=True), ours("minilm-l6", 128, 9e6)]
        peers = [peer("eager", "longformer-base", 4096, 2e5), peer("eager", "longformer-base", 4096, 9e9, "float32"), peer("bare-dense", "base", 16384, 6e5), peer("sdpa", "roberta-base", 16384, 8e5),
                 peer("sdpa", "minilm-l6", 128, 3e6), peer("sentence-transformers-encode", "minilm-l6", 128, 1e6), peer("flash_attention_2", "minilm-l6", 128)]
        _, text = self.report({"throughput.json": {"sections": [section("throughput", throughput)]}, "peers.json": {"versions": {"torch": "2.11.0", "flash-attn": None}, "rows": peers}})
        for line in ("| longformer-base, 4096 tokens | 2.40M tokens/s | 12.00x (eager 200k) |",
                     "| longformer-base, 16384 tokens, against dense attention of the same size | 2.40M tokens/s | 3.00x (sdpa 800k) |",
                     "| minilm-l6, 128 tokens | 9.00M tokens/s | 3.00x (sdpa 3.00M) |", "| minilm-l6, 512 tokens | not measured | not measured |",
                     "| longformer-base, latency of one text of 128 tokens | 0.500 ms |  |", "| longformer-base, cost of a token at 524288 against 4096 | 1.20x |  |",
                     "| flash_attention_2 | minilm-l6 | bfloat16 | 1 x 128 | it is not there |", "- flash-attn: not there", "- LibTorch: 2.11.0 in /torch: here"):
            self.assertIn(line + "\n", text)

    def test_what_failed_is_named_with_its_bound(self):
        rows = [{"what": "Norm", "result": "failed", "got": 0.1, "bound": 0.01}, {"what": "Embed", "result": "failed", "got": None, "bound": 0.01}, {"what": "Rotate", "result": "failed", "why": "a kernel refused"}]
        report, text = self.report({"parity.json": {"sections": [section("device", [{"what": "card", "result": "measured", "name": "NVIDIA H100"}]), section("rows", rows, "failed")]},
                                    "kernels.txt": "PASS a\nFAIL b: 1.0 (at most 0.1)\n", "peers.json": {"versions": {}, "rows": [{"what": "our vector", "model": "led-base", "result": "failed", "relative": 0.5, "one_minus_cosine": 0.1}]},
                                    "server.json": {"rows": [{"what": "served: led", "result": "failed", "why": "it did not start"}]}})
        for line in ("# longspan on NVIDIA H100", "- rows: Norm: 0.1 (at most 0.01)", "- rows: Embed: None (at most 0.01)", "- rows: Rotate: a kernel refused", "- kernels: FAIL b: 1.0 (at most 0.1)",
                     "- peers: our vector: 0.5", "- server: served: led: it did not start", "| rows | failed | 0 | 3 | 0 | 1.5 |"):
            self.assertIn(line + "\n", text)
        self.assertEqual(report["kernels"]["passed"], 1)

    def test_steps_that_wrote_nothing_or_half_a_file(self):
        report, text = self.report({"parity.json": '{"sections": [', "throughput.json": {"sections": []}})
        self.assertIsNone(report["parity"])
        self.assertIn("Nothing was measured.", text)

    def test_vectors_are_left_out(self):
        row = {"what": "a vector", "result": "measured", "model": "led-base", "length": 512, "vector": [1.0] * 8}
        report, _ = self.report({"throughput.json": {"sections": [section("throughput", [row])]}})
        self.assertNotIn("vector", report["throughput"]["sections"][0]["rows"][0])


if __name__ == "__main__":
    unittest.main()
