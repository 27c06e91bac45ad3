"""/openapi.json is an OpenAPI 3.1 document, and the server keeps to it: schemathesis makes requests
out of it, right and wrong ones, and compares each answer with what the document says.

    openapi_test.py SOURCE_DIR BUILD_DIR MODEL
"""
import subprocess
import sys
import unittest
from pathlib import Path

import door
import requests
from openapi_spec_validator import OpenAPIV31SpecValidator

# Those of schemathesis that say something of an API without resources that come and go. That all
# that the document allows is accepted, no document can say: ids must be of the model's vocabulary.
CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance", "response_schema_conformance",
          "negative_data_rejection", "missing_required_header", "unsupported_method", "ignored_auth")
# Of these codes one must answer what the document does not allow.
REFUSALS = (400, 401, 405, 408, 413, 422)


class OpenApiTest(unittest.TestCase):
    def run_schemathesis(self, server, examples, *flags):
        """All but /encode_stream, whose bodies schemathesis cannot make."""
        settings = door.harness.FOLDER / "schemathesis.toml"
        settings.write_text(f"[checks]\nnegative_data_rejection.expected-statuses = {[str(code) for code in REFUSALS]}\n", encoding="utf-8")
        done = subprocess.run([Path(sys.executable).parent / "schemathesis", "--config-file", settings, "run", f"{server.url}/openapi.json",
                               "--exclude-path", "/encode_stream", "--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing",
                               "--max-examples", str(examples), "--generation-deterministic", "--no-shrink", "--continue-on-failure",
                               "--suppress-health-check", "all", "--warnings", "off", "--no-color", *flags],
                              cwd=door.harness.FOLDER, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout[-20000:] + done.stderr)
        self.assertEqual(server.stop(), 0)

    def test_the_document_is_openapi(self):
        for keys in (False, True):
            server = door.Server(keys=keys)
            document = requests.get(f"{server.url}/openapi.json", timeout=20).json()
            self.assertEqual(document["openapi"], "3.1.0")
            OpenAPIV31SpecValidator(document).validate()
            self.assertEqual("security" in document, keys)
            self.assertEqual(server.stop(), 0)

    def test_the_server_does_what_the_document_says(self):
        self.run_schemathesis(door.Server(), 60)

    def test_a_server_with_keys_does_too(self):
        self.run_schemathesis(door.Server(keys=True), 5, "-H", f"Authorization: Bearer {door.KEY}")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
