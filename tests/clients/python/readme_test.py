"""The examples of client/python/README.md run as they stand and print what stands behind them.

    readme_test.py SOURCE_DIR BUILD_DIR MODEL
"""
import contextlib
import io
import re
import sys
import unittest

import harness

harness.install()
README = (harness.CLIENT / "README.md").read_text(encoding="utf-8")


class ReadmeTest(unittest.TestCase):
    def test_examples_print_what_stands_behind_them(self):
        server = harness.Server()
        examples = re.findall(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", README, re.M | re.S)
        self.assertGreater(len(examples), 7)
        names = {}
        for code, output in examples:
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(code.replace("127.0.0.1:50051", server.address), "README.md", "exec"), names)
            if output:
                self.assertEqual(printed.getvalue(), output, code)
        del names    # the clients of the adapters
        self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
