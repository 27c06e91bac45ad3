"""custom.metrics.k8s.io for the HPA, in place of prometheus-adapter: numbers of a real longspan.

The aggregator of the API server asks it, by way of a Service, as it asks an adapter.
"""
from __future__ import annotations

import json
import ssl
import threading
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Callable
from urllib.parse import parse_qs, unquote, urlsplit

from api import Api
from processes import await_true, run
from servers import add_address

ADDRESS, PORT, NAMESPACE = "10.244.0.250", 6443, "metrics-stub"
GROUP, VERSION = "custom.metrics.k8s.io", "v1beta1"
METRIC = "longspan_queue_predicted_seconds"
RESOURCES = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{GROUP}/{VERSION}",
             "resources": [{"name": f"pods/{METRIC}", "singularName": "", "namespaced": True, "kind": "MetricValueList", "verbs": ["get"]}]}


def now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def thousandths(value: float) -> str:
    """A quantity of Kubernetes."""
    return f"{round(value * 1000)}m"


class MetricsStub:
    """Serves `seconds`(number of pods) as the metric of each pod, from the constructor to stop().
    """

    def __init__(self, api: Api, folder: Path, seconds: Callable[[int], float]) -> None:
        self.api, self.seconds, self.asked = api, seconds, 0
        add_address(ADDRESS)
        pem = folder / "metrics-stub.pem"
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=metrics-stub", "-keyout", pem, "-out", folder / "c.pem")
        pem.write_text(pem.read_text() + (folder / "c.pem").read_text())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                stub.answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer((ADDRESS, PORT), Handler)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self._register()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        url = urlsplit(handler.path)
        words = unquote(url.path).strip("/").split("/")
        # apis GROUP VERSION namespaces NAMESPACE pods * METRIC
        body: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404, "message": f"no {handler.path}"}
        code = 404
        if words[:3] == ["apis", GROUP, VERSION] and len(words) == 3:
            code, body = 200, RESOURCES
        elif words[:3] == ["apis", GROUP, VERSION] and words[5:] == ["pods", "*", METRIC]:
            code, body = 200, self._values(words[4], parse_qs(url.query).get("labelSelector", [""])[0])
        data = json.dumps(body).encode()
        handler.send_response(code)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def _values(self, namespace: str, selector: str) -> dict[str, Any]:
        self.asked += 1
        pods = [pod for pod in self.api.all("Pod", namespace, selector) if "deletionTimestamp" not in pod["metadata"]]
        value = thousandths(self.seconds(max(len(pods), 1)))
        items = [{"describedObject": {"kind": "Pod", "namespace": namespace, "name": pod["metadata"]["name"], "apiVersion": "/v1"},
                  "metricName": METRIC, "timestamp": now(), "value": value} for pod in pods]
        return {"kind": "MetricValueList", "apiVersion": f"{GROUP}/{VERSION}", "metadata": {}, "items": items}

    def _register(self) -> None:
        self.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        self.api.create({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "stub"}, "spec": {"ports": [{"name": "https", "port": 443, "targetPort": PORT}]}}, NAMESPACE)
        self.api.create({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                         "metadata": {"name": "stub", "labels": {"kubernetes.io/service-name": "stub"}},
                         "ports": [{"name": "https", "port": PORT, "protocol": "TCP"}],
                         "endpoints": [{"addresses": [ADDRESS], "conditions": {"ready": True}}]}, NAMESPACE)
        name = f"{VERSION}.{GROUP}"
        self.api.create({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": name},
                         "spec": {"group": GROUP, "version": VERSION, "groupPriorityMinimum": 100, "versionPriority": 100, "insecureSkipTLSVerify": True,
                                  "service": {"name": "stub", "namespace": NAMESPACE, "port": 443}}})

        def available() -> bool:
            found = self.api.get("APIService", "", name) or {}
            return any(one["type"] == "Available" and one["status"] == "True" for one in found.get("status", {}).get("conditions", []))

        await_true(f"APIService {name} available", available, 60)

    def stop(self) -> None:
        self.api.delete("APIService", "", f"{VERSION}.{GROUP}")
        self.api.delete("Namespace", "", NAMESPACE)
        self.server.shutdown()
