"""What the tests of client/python/examples with stores share: texts with planted facts, the package
and the examples, and a server that stands for a store.

    TEST.py SOURCE_DIR BUILD_DIR MODEL
"""
import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import door
import numpy as np

EXAMPLES = door.harness.CLIENT / "examples"
longspan = door.harness.install()
sys.path.insert(0, str(EXAMPLES))

# A document, the fact that stands in it, and what asks for it.
FACTS = {
    "lease": ("The tenant pays the rent on the first day of each month.", "When is the monthly rent due?"),
    "pets": ("Dogs and cats may live in the flat unless a neighbour objects.", "May I have a dog?"),
    "boiler": ("A licensed plumber looks after the boiler before winter.", "Who maintains the heating?"),
    "notice": ("Either party may end the contract with three months of notice.", "How do I terminate the contract?"),
    "deposit": ("The deposit lies in a bank account until the tenant moves out.", "Where is the security deposit kept?"),
}
QUESTIONS = {question: document for document, (_, question) in FACTS.items()}


def texts():
    """A text for each fact: paragraphs about the weather, with the fact inside one of them."""
    made = {}
    for number, (document, (fact, _)) in enumerate(FACTS.items()):
        paragraphs = [" ".join(f"In week {10 * number + 3 * i + j} the gauge at bridge {number} stood at {(i * 7919 + j * 31 + number) % 500} "
                               f"centimetres and the wind blew from {('north', 'east', 'south', 'west')[(i + j) % 4]}." for j in range(6))
                      for i in range(10)]
        at = 1 + 2 * number % 9
        paragraphs[at] = f"{paragraphs[at]} {fact} {paragraphs[at][:100].rsplit('.', 1)[0]}."
        made[document] = "\n\n".join(paragraphs)
    return made


def files():
    """Those texts as files."""
    folder = door.harness.FOLDER / "texts"
    folder.mkdir(exist_ok=True)
    for document, text in texts().items():
        (folder / document).write_text(text, encoding="utf-8")
    return [folder / document for document in FACTS]


def printed(command):
    """What a script prints, started in the checkout with the package as it is installed."""
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False, timeout=300, cwd=door.SOURCE,
                          env=os.environ | {"PYTHONPATH": str(door.harness.FOLDER / "site")})
    assert done.returncode == 0, done.stderr
    return done.stdout


def check_script(example, server, *options):
    """Starts an example as users do: the passage that it prints first has the fact."""
    document, (_, question) = next(iter(FACTS.items()))
    lines = printed([EXAMPLES / example, question, *files(), "--server", server.grpc, *options]).splitlines()
    found = re.match(r"\d\.\d{3}  (\w+) \[(\d+), (\d+)\)  In week ", lines[0])
    assert len(lines) == 5 and found and found[1] == document and has_fact(document, int(found[2]), int(found[3])), lines


def has_fact(document, begin, end):
    """Whether a passage holds all of the fact of its document."""
    fact = FACTS[document][0]
    place = texts()[document].index(fact)
    return begin <= place and place + len(fact) <= end


def max_sim(question, tokens):
    """The sum over the question's tokens of the largest dot product with one of the passage."""
    return float((np.asarray(question, np.float64) @ np.asarray(tokens, np.float64).T).max(axis=1).sum())


def ranks(scores):
    """{key: place from 1} of {key: score}, the largest first."""
    return {key: place for place, key in enumerate(sorted(scores, key=scores.get, reverse=True), 1)}


class Stub:
    """A store of a test, on a free port.

    `answer(method, path, body)` gives the code and what is sent as JSON. What it finds wrong with a
    request it raises: that is code 400 for the caller, and stop() raises it again.
    """

    def __init__(self, answer, headers):
        self.failures = failures = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                try:
                    code, sent = answer(self.command, self.path, body.decode())
                except (AssertionError, LookupError, ValueError) as error:
                    failures.append(error)
                    code, sent = 400, {"error": str(error)}
                text = json.dumps(sent).encode()
                self.send_response(code)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(text)

            do_GET = do_HEAD = do_PUT = do_POST = handle_one

            def log_message(self, *arguments):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
        if self.failures:
            raise self.failures[0]
