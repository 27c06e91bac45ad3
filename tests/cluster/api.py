"""The API server, seen by a test: objects as plain dictionaries."""
from __future__ import annotations

import http.client
import json
import ssl
from pathlib import Path
from typing import Any, Optional
from urllib.parse import quote

from processes import run
from report import Wrong

# Where the objects of a kind are.
PATHS = {
    "Namespace": "/api/v1/namespaces", "Node": "/api/v1/nodes",
    "Pod": "/api/v1/pods", "Service": "/api/v1/services", "Secret": "/api/v1/secrets", "Event": "/api/v1/events",
    "Endpoints": "/api/v1/endpoints", "EndpointSlice": "/apis/discovery.k8s.io/v1/endpointslices",
    "Deployment": "/apis/apps/v1/deployments", "ReplicaSet": "/apis/apps/v1/replicasets",
    "HorizontalPodAutoscaler": "/apis/autoscaling/v2/horizontalpodautoscalers",
    "CustomResourceDefinition": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "APIService": "/apis/apiregistration.k8s.io/v1/apiservices",
}


class Refused(Wrong):
    """The API server answered with an error; `code` is that of HTTP."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def path(kind: str, namespace: str = "", name: str = "", part: str = "") -> str:
    """The path of one object, or of all of a kind; `part` is as status or eviction."""
    root, _, plural = PATHS[kind].rpartition("/")
    words = [root, *(["namespaces", namespace] if namespace else []), plural, *([name] if name else []), *([part] if part else [])]
    return "/".join(words)


class Api:
    """Calls of one thread to the API server."""

    def __init__(self, port: int, ca: Path, token: str) -> None:
        self._port, self._context = port, ssl.create_default_context(cafile=str(ca))
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}

    def call(self, method: str, where: str, body: Optional[Any] = None, content: str = "application/json") -> Any:
        connection = http.client.HTTPSConnection("127.0.0.1", self._port, timeout=60, context=self._context)
        try:
            data = json.dumps(body) if body is not None else None
            connection.request(method, where, data, {**self._headers, **({"Content-Type": content} if data else {})})
            answer = connection.getresponse()
            text = answer.read().decode()
        except OSError as error:
            raise Refused(0, f"{method} {where}: {error}") from None
        finally:
            connection.close()
        if answer.status >= 300:
            message = json.loads(text).get("message", text) if text.startswith("{") else text
            raise Refused(answer.status, f"{method} {where}: {answer.status} {message}")
        return json.loads(text) if text.startswith("{") else text

    def get(self, kind: str, namespace: str, name: str) -> Optional[dict[str, Any]]:
        try:
            return dict(self.call("GET", path(kind, namespace, name)))
        except Refused as refused:
            if refused.code == 404:
                return None
            raise

    def all(self, kind: str, namespace: str = "", selector: str = "") -> list[dict[str, Any]]:
        query = f"?labelSelector={quote(selector)}" if selector else ""
        return list(self.call("GET", path(kind, namespace) + query)["items"])

    def create(self, body: dict[str, Any], namespace: str = "") -> Any:
        return self.call("POST", path(body["kind"], namespace), body)

    def merge(self, kind: str, namespace: str, name: str, body: dict[str, Any], part: str = "") -> Any:
        return self.call("PATCH", path(kind, namespace, name, part), body, "application/merge-patch+json")

    def delete(self, kind: str, namespace: str, name: str, grace: Optional[int] = None) -> None:
        query = "" if grace is None else f"?gracePeriodSeconds={grace}"
        try:
            self.call("DELETE", path(kind, namespace, name) + query)
        except Refused as refused:
            if refused.code != 404:
                raise


class Commands:
    """kubectl and helm, as a user runs them."""

    def __init__(self, programs: Path, kubeconfig: Path, folder: Path) -> None:
        self._programs = programs
        self._environment = {"KUBECONFIG": str(kubeconfig), "HOME": str(folder), "HELM_CACHE_HOME": str(folder / "helm"),
                             "HELM_CONFIG_HOME": str(folder / "helm"), "HELM_DATA_HOME": str(folder / "helm"), "HELM_DRIVER": "secret"}

    def kubectl(self, *words: Any, data: Optional[str] = None, check: bool = True, limit: float = 120) -> Any:
        return run(self._programs / "kubectl", *(str(word) for word in words), data=data, check=check, limit=limit, environment=self._environment)

    def helm(self, *words: Any, check: bool = True, limit: float = 420) -> Any:
        return run(self._programs / "helm", *(str(word) for word in words), check=check, limit=limit, environment=self._environment)
