"""Starts a server as the chart's pod does, and makes the calls of its probes and of `helm test`.

    chart_live_test.py SOURCE_DIR BUILD_DIR MODEL

The pod's arguments, files and variables are those that the chart renders; only paths and ports are
put in their places on this machine. A kubelet's probe is one HTTP request without a check of the
certificate, or one gRPC call without TLS.
"""
import os
import re
import ssl
import subprocess
import sys
import tempfile
import unittest
import urllib.request
from pathlib import Path
from typing import Any

import grpc
import helm_python
import yaml

SOURCE, BUILD, MODEL = Path(sys.argv[1]).resolve(), Path(sys.argv[2]), sys.argv[3]
KEY = "a-key-of-many-characters"
HEALTH = "/grpc.health.v1.Health/Check"
SERVING = b"\x08\x01"
Object = dict[str, Any]


def rendered(values: Object) -> dict[tuple[str, str], Object]:
    with helm_python.Chart.load(SOURCE / "deploy/helm/longspan") as chart:
        templates = chart.render(values, name="longspan", namespace="apps")
    objects = [o for path, text in templates.items() if not path.endswith(".txt") for o in yaml.safe_load_all(text) if o]
    return {(o["kind"], o["metadata"]["name"]): o for o in objects}


class Pod:
    """The server of a rendered Deployment, on this machine."""

    def __init__(self, values: Object, folder: Path) -> None:
        self.objects, self.folder = rendered(values), folder
        self.container = self.objects["Deployment", "longspan"]["spec"]["template"]["spec"]["containers"][0]
        self.place("config/config.json", self.objects["ConfigMap", "longspan-config"]["data"]["config.json"])
        self.place("auth/keys", f"tests {KEY}\n")
        (folder / "kept").mkdir()
        (folder / "tls").mkdir()
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", folder / "tls/tls.key", "-out", folder / "tls/tls.crt"],
                       check=True, capture_output=True)
        self.place("tls/ca.crt", (folder / "tls/tls.crt").read_text(encoding="utf-8"))

    def place(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def here(self, argument: str) -> str:
        """An argument of the container with its paths and addresses on this machine."""
        for there, name in (("/etc/longspan-tls/", "tls/"), ("/etc/longspan-auth/", "auth/"), ("/etc/longspan/", "config/"), ("/test/", "test/"),
                            ("/var/lib/longspan/", "kept/")):
            argument = argument.replace(there, f"{self.folder}/{name}")
        return re.sub(r"^--(listen|http)=0\.0\.0\.0:\d+$", r"--\1=127.0.0.1:0", argument)

    def __enter__(self) -> "Pod":
        environment = {k: v for k, v in os.environ.items() if not k.startswith("LONGSPAN_")} | {"LONGSPAN_MODEL": MODEL}
        arguments = [self.here(argument) for argument in self.container["args"]]
        self.process = subprocess.Popen([BUILD / "longspan-server", *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        found = next((m for m in (re.search(r"gRPC on 127\.0\.0\.1:(\d+)(?:, HTTP on port (\d+))?", line) for line in self.process.stdout) if m), None)
        if not found:
            raise AssertionError(f"the server ended with {self.process.wait()}: {arguments}")
        self.ports = {"grpc": found[1], "http": found[2]}
        return self

    def __exit__(self, *_: Any) -> None:
        self.process.terminate()
        self.code = self.process.wait(timeout=60)
        self.process.stdout.close()

    def probe(self, probe: Object) -> bool:
        if "httpGet" in probe:
            asked = probe["httpGet"]
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
            with opener.open(f"{asked['scheme'].lower()}://127.0.0.1:{self.ports[asked['port']]}{asked['path']}", timeout=20) as answer:
                return answer.status == 200
        service = probe["grpc"].get("service", "").encode()
        with grpc.insecure_channel(f"127.0.0.1:{self.ports['grpc']}", options=[("grpc.enable_http_proxy", 0)]) as channel:
            return channel.unary_unary(HEALTH)(b"\x0a" + bytes([len(service)]) + service if service else b"", timeout=20) == SERVING

    def test(self) -> subprocess.CompletedProcess[str]:
        """Runs the command of the pod of `helm test`."""
        self.place("test/document.txt", self.objects["ConfigMap", "longspan-test"]["data"]["document.txt"])
        container = self.objects["Pod", "longspan-test"]["spec"]["containers"][0]
        program, *arguments = [self.here(argument) for argument in container["command"]]
        arguments = [re.sub(r"^--server=longspan\.apps\.svc:\d+$", f"--server=localhost:{self.ports['grpc']}", argument) for argument in arguments]
        variables = {entry["name"]: KEY for entry in container.get("env", [])}
        return subprocess.run([BUILD / program, *arguments], env={"PATH": os.environ["PATH"], **variables}, capture_output=True, text=True, timeout=120)


CASES = {
    "plain": {"drain": {"delaySeconds": 0}},
    "TLS and keys": {"drain": {"delaySeconds": 0}, "tls": {"existingSecret": "cert"}, "auth": {"existingSecret": "keys"}, "test": {"keySecret": {"name": "key"}},
                     "config": {"max-tokens": 4096, "log-level": "error"}},
    "HTTPS": {"drain": {"delaySeconds": 0}, "tls": {"existingSecret": "cert", "http": True}},
    "keys for pages": {"drain": {"delaySeconds": 0}, "auth": {"existingSecret": "keys"}, "config": {"http-page-keys": True}, "test": {"keySecret": {"name": "key"}}},
    "kept documents": {"drain": {"delaySeconds": 0}, "replicaCount": 1, "collections": {"persistence": {"enabled": True}}},
    "no HTTP": {"drain": {"delaySeconds": 0}, "http": {"enabled": False}},
}


class Live(unittest.TestCase):
    def test_probes_and_test_pass(self) -> None:
        for name, values in CASES.items():
            with self.subTest(name), tempfile.TemporaryDirectory() as folder:
                with Pod(values, Path(folder)) as pod:
                    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                        self.assertTrue(pod.probe(pod.container[probe]), probe)
                    done = pod.test()
                    self.assertEqual(done.returncode, 0, done.stderr)
                    self.assertRegex(done.stdout, r"\d+ tokens read of \d+")
                    self.assertEqual((Path(folder) / "kept/collections").is_dir(), "collections" in values)
                self.assertEqual(pod.code, 0)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
