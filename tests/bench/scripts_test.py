#!/usr/bin/env python3
"""What the measuring scripts promise, without measuring anything.

An engine that refuses or dies is named and the run goes on. A processor's class follows from its
units. Length classes print right in files of either scale.
"""
import contextlib
import importlib.metadata
import io
import json
import sys
import tempfile
import types
import unittest
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "load")]
import compare  # noqa: E402
import load_tables  # noqa: E402
import processor  # noqa: E402
import speed_tables  # noqa: E402
from cases import Engine  # noqa: E402

# fake_worker.py MODE: speaks compare.py's protocol.
FAKE_WORKER = """
import os, sys
mode = sys.argv[1]
if mode == "no_load":
    print("refused no such type"); sys.exit(1)
print("ready", flush=True)
for line in sys.stdin:
    length = int(line.split()[0])
    if mode == "raises":
        print("refused RuntimeError: mixed types", flush=True)
    elif mode == "dies" and length >= 512:
        print("out of luck", file=sys.stderr, flush=True); os.kill(os.getpid(), 9)
    else:
        print(0.1, 10, 1.0, 2.0, flush=True)
"""


class CompareTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        worker = Path(self.folder.name) / "fake_worker.py"
        worker.write_text(FAKE_WORKER, encoding="utf-8")
        self.kept = dict(compare.MODELS), compare.Comparison.start, importlib.metadata.version
        compare.MODELS.clear()
        lengths = (128, 512)
        compare.MODELS["model"] = [Engine("longspan", "longspan", "x", lengths), Engine("raises", "raises", "x", lengths), Engine("dies", "dies", "x", lengths),
                                   Engine("no_load", "no_load", "x", lengths), Engine("works", "works", "x", lengths)]
        compare.Comparison.start = lambda comparison, engine, dtype: compare.Worker([sys.executable, worker, engine.worker], {})
        importlib.metadata.version = lambda name: "1"

    def tearDown(self):
        models, compare.Comparison.start, importlib.metadata.version = self.kept
        compare.MODELS.clear()
        compare.MODELS.update(models)
        self.folder.cleanup()

    def test_engine_that_cannot_run_is_named_and_the_run_goes_on(self):
        out = Path(self.folder.name) / "results.json"
        arguments = types.SimpleNamespace(embedded="x", dense="x", cache="x", out=out, threads=1, models=["model"], dtypes=["float32"], lengths=[128, 512], rounds=2,
                                          seconds=1, minutes=1)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            compare.Comparison(arguments).run()
        results = json.loads(out.read_text())
        self.assertEqual({(r["engine"], r["length"]) for r in results["rows"]},
                         {("longspan", 128), ("longspan", 512), ("works", 128), ("works", 512), ("dies", 128)})
        self.assertEqual({(r["engine"], r.get("length"), r["error"]) for r in results["refusals"]},
                         {("no_load", None, "no such type"), ("raises", 128, "RuntimeError: mixed types"), ("raises", 512, "RuntimeError: mixed types"),
                          ("dies", 512, "killed by signal 9: out of luck")})
        lines = list(speed_tables.refusals(speed_tables.Results(results)))
        self.assertIn("raises does not run model in float32: `RuntimeError: mixed types`.", lines)
        self.assertIn("dies does not run model in float32 at 512 tokens: `killed by signal 9: out of luck`.", lines)


class ProcessorTest(unittest.TestCase):
    def test_class_follows_from_units(self):
        avx512 = ["avx2", "avx512f", "avx512_vnni", "avx512_bf16"]
        for units, name in ((["avx2"], "avx2"), (avx512, "avx512"), ([*avx512, "amx_bf16", "amx_int8"], "amx"), (["avx2", "avx512f"], "avx2"), ([], "portable")):
            self.assertEqual(processor.class_of(units), name, units)

    def test_design_and_units_come_from_cpuinfo(self):
        text = "processor : 0\nvendor_id : AuthenticAMD\ncpu family : 25\nmodel : 1\nmodel name : AMD EPYC\nflags : fpu avx2 sha_ni\n\nprocessor : 1\nmodel : 99\n"
        self.assertEqual(processor.describe(text), {"machine": "AMD EPYC", "design": "Zen 3", "units": ["avx2"]})


class LengthClassTest(unittest.TestCase):
    def sizes(self, *bounds, **more):
        rag = {"load": {"3x": {"classes": [{"tokens_up_to": bound} for bound in bounds]}}, **more}
        scale = load_tables.scale_of(rag)
        return [load_tables.size({"tokens_up_to": bound}, scale) for bound in bounds]

    def test_lower_bounds_are_those_of_the_files_own_scale(self):
        self.assertEqual(self.sizes(128, 4096, 32768), ["1 to 128", "513 to 4,096", "4,097 to 32,768"])
        self.assertEqual(self.sizes(512, 2048, 32768), ["129 to 512", "513 to 2,048", "8,193 to 32,768"])
        self.assertEqual(self.sizes(10, 20, None, class_bounds=[10, 20]), ["1 to 10", "11 to 20", "above 20"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
