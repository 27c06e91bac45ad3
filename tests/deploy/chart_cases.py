"""The values that matter, as parameters of pairwise tests, and those that must be refused."""
from itertools import combinations
from typing import Any, Iterator

from allpairspy import AllPairs

Values = dict[str, Any]

SHA = "ab" * 32
FILES = [{"path": "config.json", "url": "https://models.example/config.json", "sha256": SHA}]
PARENTS = [{"name": "public", "namespace": "gateways"}]
KEPT = {"persistence": {"enabled": True}}
KEDA = {"enabled": True, "serverAddress": "http://prometheus.monitoring:9090"}

# Each parameter has named settings: the values that it gives. Names that look like numbers must
# stay strings.
PARAMETERS: dict[str, dict[str, Values]] = {
    "model": {
        "image": {},
        "image path": {"model": {"path": "/opt/models/x", "name": "x"}},
        "pvc": {"model": {"source": "pvc", "path": "org/name", "pvc": {"claimName": "42"}}},
        "files": {"model": {"source": "download", "name": "org/name", "download": {"files": FILES, "tokenSecret": {"name": "123", "key": "on"}}}},
        "archive": {"model": {"source": "download", "name": "m", "path": "sub", "download": {"archive": {"url": "https://models.example/m.tar.gz", "sha256": SHA}}}},
        "imageVolume": {"model": {"source": "imageVolume", "imageVolume": {"reference": "models/m:1"}}},
    },
    "device": {
        "cpu": {},
        "gpu": {"gpu": {"enabled": True, "runtimeClassName": "1.5", "nodeSelector": {"gpu": "h100"}}},
        "gpus": {"gpu": {"enabled": True, "count": 4, "device": "auto"}, "nodeSelector": {"zone": "a"}, "tolerations": [{"operator": "Exists"}]},
        "mig": {"gpu": {"enabled": True, "resource": "nvidia.com/mig-1g.10gb"}, "strategy": {"type": "Recreate", "rollingUpdate": None}},
    },
    "tls": {
        "off": {},
        "grpc": {"tls": {"existingSecret": "cert"}},
        "both": {"tls": {"existingSecret": "123", "http": True, "caKey": "0x1"}},
        "mtls": {"tls": {"existingSecret": "cert", "clientCA": {"existingSecret": "1e3"}}},
        "no ca": {"tls": {"existingSecret": "cert", "caKey": ""}},
    },
    "auth": {
        "off": {},
        "keys": {"auth": {"existingSecret": "null", "key": "1"}},
        "tested": {"auth": {"existingSecret": "keys"}, "test": {"keySecret": {"name": "0", "key": "true"}}},
        "pages": {"auth": {"existingSecret": "keys"}, "config": {"http-page-keys": True}, "metrics": {"serviceMonitor": {"authorization": {"credentials": {"name": "key", "key": "key"}}}}},
    },
    "http": {"on": {}, "off": {"http": {"enabled": False}}, "port": {"http": {"port": 9000}, "grpc": {"port": 9001}}},
    "scale": {
        "two": {},
        "one": {"replicaCount": 1},
        "hpa": {"autoscaling": {"enabled": True, "adapterRule": {"enabled": True}, "extraMetrics": [
            {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]}},
        "keda": {"keda": {**KEDA, "targetQueueSeconds": 2.5, "authenticationRef": {"name": "prometheus"}, "behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}}}},
    },
    # Behind "scale": there is one server then.
    "kept": {
        "memory": {},
        "claim": {"replicaCount": 1, "collections": {"persistence": {"enabled": True, "storageClass": "0x1", "size": "1Ti", "annotations": {"a": "1e3"}}}},
        "existing": {"replicaCount": 1, "collections": {"persistence": {"enabled": True, "existingClaim": "42"}}, "config": {"max-collection-bytes": "2Gi", "collection-ttl": "720h"}},
        "off": {"config": {"collections": False}},
    },
    "monitor": {"off": {}, "on": {"metrics": {"serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}}}, "quiet": {"metrics": {"podAnnotations": False}}},
    "rules": {"off": {}, "on": {"metrics": {"prometheusRule": {"enabled": True}, "dashboards": {"enabled": True}}}},
    "doors": {
        "none": {},
        "ingress": {"ingress": {"grpc": {"enabled": True, "className": "007", "hosts": ["grpc.example"], "tls": [{"secretName": "s", "hosts": ["grpc.example"]}]}}},
        "ingresses": {"ingress": {"grpc": {"enabled": True, "backendProtocolAnnotation": ""}, "http": {"enabled": True, "hosts": ["a.example", "b.example"], "annotations": {"x": "1e3"}}}},
        "route": {"gateway": {"grpc": {"enabled": True, "parentRefs": PARENTS, "hostnames": ["grpc.example"]}}},
        "routes": {"gateway": {"grpc": {"enabled": True, "parentRefs": PARENTS}, "http": {"enabled": True, "parentRefs": PARENTS, "paths": ["/v1"]}}},
    },
    "network": {
        "on": {},
        "off": {"networkPolicy": {"enabled": False}},
        "peers": {"networkPolicy": {"ingress": {"grpcFrom": [{"podSelector": {"matchLabels": {"app": "search"}}}], "httpFrom": [{"namespaceSelector": {}}]},
                                    "egress": {"dnsTo": [], "downloadTo": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]}}},
    },
    "budget": {"default": {}, "off": {"podDisruptionBudget": {"enabled": False}}, "least": {"podDisruptionBudget": {"minAvailable": "50%"}}},
    "drain": {"default": {}, "long": {"drain": {"preStopSeconds": 0, "limitSeconds": 600}, "terminationGracePeriodSeconds": 615}},
    "config": {"none": {}, "some": {"config": {"max-tokens": "8Ki", "max-text-bytes": 8388608, "default-deadline": "2m", "page": False, "cors-origin": ["https://a.example", "*"]},
                                    "extraArgs": ["--reflection"], "extraEnv": [{"name": "OMP_WAIT_POLICY", "value": "passive"}]}},
    "extras": {"none": {}, "all": {
        "commonLabels": {"team": "search"}, "podLabels": {"team": "other", "tier": "x"}, "podAnnotations": {"a": "true"}, "imagePullSecrets": [{"name": "regcred"}],
        "priorityClassName": "1", "schedulerName": "2", "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "x"}}}]}},
        "topologySpreadConstraints": [], "extraVolumes": [{"name": "more", "emptyDir": {}}], "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
        "serviceAccount": {"create": False, "name": "123"}, "headless": {"enabled": False}, "service": {"type": "LoadBalancer", "annotations": {"a": "b"}},
        "podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None}, "image": {"digest": "sha256:" + SHA}, "test": {"enabled": False}}},
}

# Pairs that the chart refuses, by the settings of two parameters.
REFUSED_PAIRS = {("tls", "grpc", "http", "off"), ("tls", "both", "http", "off"), ("tls", "mtls", "http", "off"), ("tls", "no ca", "http", "off"),
                 ("scale", "hpa", "http", "off"), ("scale", "keda", "http", "off"), ("monitor", "on", "http", "off"), ("doors", "ingresses", "http", "off"),
                 ("doors", "routes", "http", "off"), ("auth", "pages", "tls", "grpc"), ("auth", "pages", "tls", "both"), ("auth", "pages", "tls", "mtls"),
                 ("auth", "pages", "tls", "no ca"), ("scale", "hpa", "kept", "claim"), ("scale", "hpa", "kept", "existing"), ("scale", "keda", "kept", "claim"),
                 ("scale", "keda", "kept", "existing")}


def merged(into: Values, values: Values) -> Values:
    """`values` over `into`, map by map."""
    result = dict(into)
    for key, value in values.items():
        result[key] = merged(result[key], value) if isinstance(value, dict) and isinstance(result.get(key), dict) else value
    return result


def is_allowed(row: list[str]) -> bool:
    chosen = dict(zip(PARAMETERS, row))
    return not any(chosen.get(a) == x and chosen.get(b) == y for a, x, b, y in REFUSED_PAIRS)


def pairs_of(chosen: dict[str, str]) -> set[tuple[str, str, str, str]]:
    return {(a, chosen[a], b, chosen[b]) for a, b in combinations(PARAMETERS, 2)}


def allowed_pairs() -> set[tuple[str, str, str, str]]:
    refused = REFUSED_PAIRS | {(b, y, a, x) for a, x, b, y in REFUSED_PAIRS}
    return {(a, x, b, y) for a, b in combinations(PARAMETERS, 2) for x in PARAMETERS[a] for y in PARAMETERS[b]} - refused


def choices() -> Iterator[dict[str, str]]:
    """Settings for all parameters, again and again, until each allowed pair has occurred."""
    missing = allowed_pairs()
    for row in AllPairs([list(settings) for settings in PARAMETERS.values()], filter_func=is_allowed):
        chosen = dict(zip(PARAMETERS, row))
        missing -= pairs_of(chosen)
        yield chosen
    # The generator leaves out some pairs where it has a filter: each gets a row of defaults.
    while missing:
        a, x, b, y = min(missing)
        chosen = {parameter: next(iter(settings)) for parameter, settings in PARAMETERS.items()} | {a: x, b: y}
        missing -= pairs_of(chosen)
        yield chosen


def pairwise() -> Iterator[tuple[dict[str, str], Values]]:
    """Sets of values in which each allowed pair of settings occurs, with the settings' names."""
    for chosen in choices():
        values: Values = {}
        for parameter, setting in chosen.items():
            values = merged(values, PARAMETERS[parameter][setting])
        yield chosen, values


# What must be refused, with a part of the message.
REFUSED: list[tuple[Values, str]] = [
    ({"replicas": 2}, "additional properties 'replicas' not allowed"),
    ({"config": {"max-tokenz": 1}}, "additional properties 'max-tokenz' not allowed"),
    ({"config": {"max-text-bytes": "8 MB"}}, "/config/max-text-bytes"),
    ({"config": {"max-deadline": "5 s"}}, "/config/max-deadline"),
    ({"config": {"listen": "0.0.0.0:1"}}, "config.listen: the chart sets it; use the value grpc.port"),
    ({"config": {"drain-limit": "5s"}}, "config.drain-limit: the chart sets it; use the value drain.limitSeconds"),
    ({"config": {"auth-keys-file": "/x"}}, "use the value auth.existingSecret"),
    ({"config": {"device": "cuda"}}, "use the value gpu.enabled and gpu.device"),
    ({"extraArgs": ["--http=off"]}, "extraArgs has \"http\": the chart sets --http; use the value http.enabled"),
    ({"extraArgs": ["--config=/x"]}, "extraArgs has \"config\""),
    ({"extraArgs": ["--no-http-tls"]}, "extraArgs has \"http-tls\""),
    ({"extraArgs": ["--max-tokens=5"], "config": {"max-tokens": 6}}, "extraArgs and config both set max-tokens"),
    ({"extraEnv": [{"name": "LONGSPAN_TLS_KEY", "value": "/x"}]}, "extraEnv has LONGSPAN_TLS_KEY: the chart sets --tls-key"),
    ({"extraEnv": [{"name": "LONGSPAN_MAX_TOKENS", "value": "5"}], "config": {"max-tokens": 6}}, "would win over config.max-tokens"),
    ({"model": {"source": "s3"}}, "/model/source"),
    ({"model": {"source": "pvc"}}, "model.pvc.claimName is empty"),
    ({"model": {"source": "imageVolume"}}, "model.imageVolume.reference is empty"),
    ({"model": {"source": "download", "download": {"files": FILES}}}, "model.name is empty"),
    ({"model": {"source": "download", "name": "m"}}, "give either model.download.files or model.download.archive.url"),
    ({"model": {"source": "download", "name": "m", "download": {"archive": {"url": "https://a.example/m.tar"}}}}, "archive.sha256 is empty"),
    ({"model": {"source": "download", "name": "m", "download": {"files": [{"path": "a", "url": "https://a.example/a"}]}}}, "sha256"),
    ({"model": {"source": "pvc", "path": "../x", "pvc": {"claimName": "m"}}}, "model.path is \"../x\""),
    ({"tls": {"clientCA": {"existingSecret": "a"}}}, "mTLS needs the server's certificate, too"),
    ({"tls": {"http": True}}, "it needs tls.existingSecret and http.enabled"),
    ({"tls": {"existingSecret": "a"}, "http": {"enabled": False}}, "nothing can probe the server"),
    ({"tls": {"existingSecret": "a", "http": True, "clientCA": {"existingSecret": "b"}}}, "the kubelet shows no certificate"),
    ({"tls": {"existingSecret": "a"}, "auth": {"existingSecret": "b"}, "config": {"http-page-keys": True}}, "its HTTP probes have no key"),
    ({"config": {"http-page-keys": True}}, "there are no keys"),
    ({"config": {"http-page-keys": True}, "auth": {"existingSecret": "b"}, "metrics": {"serviceMonitor": {"enabled": True}}}, "give metrics.serviceMonitor.authorization"),
    ({"drain": {"limitSeconds": 600}}, "terminationGracePeriodSeconds is 90, and a pod takes up to 620 s to end: drain.preStopSeconds 5 + delaySeconds 10 + limitSeconds 600 + "
                                       "marginSeconds 5; allowed: 620 or more"),
    ({"terminationGracePeriodSeconds": 79}, "allowed: 80 or more"),
    ({"gpu": {"enabled": True, "resource": "nvidia.com/mig-1g.10gb", "count": 2}}, "a process can use one MIG slice"),
    ({"gpu": {"device": "cuda"}}, "gpu.enabled is false"),
    ({"gpu": {"enabled": True, "device": "cpu"}}, "set gpu.enabled to false"),
    ({"gpu": {"enabled": True}, "resources": {"limits": {"nvidia.com/gpu": 1}}}, "gpu.count sets it"),
    ({"autoscaling": {"enabled": True}, "keda": KEDA}, "two scalers would pull at one Deployment"),
    ({"autoscaling": {"enabled": True, "minReplicas": 20}}, "autoscaling.minReplicas is 20, above maxReplicas 10"),
    ({"keda": {"enabled": True}}, "keda.serverAddress is empty"),
    ({"keda": {**KEDA, "minReplicaCount": 20}}, "above maxReplicaCount 10"),
    ({"podDisruptionBudget": {"minAvailable": 2}}, "podDisruptionBudget.minAvailable is 2 of 2 servers"),
    ({"collections": KEPT}, "collections.persistence.enabled is true, and replicaCount is 2: servers do not share kept documents"),
    ({"collections": KEPT, "autoscaling": {"enabled": True}}, "collections.persistence.enabled and autoscaling.enabled are both true"),
    ({"collections": KEPT, "replicaCount": 1, "keda": KEDA}, "collections.persistence.enabled and keda.enabled are both true"),
    ({"collections": KEPT, "replicaCount": 1, "config": {"collections": False}}, "no document would be kept on the volume"),
    ({"collections": {"persistence": {"existingClaim": "kept"}}}, "collections.persistence.existingClaim is \"kept\", and collections.persistence.enabled is false"),
    ({"collections": {"persistence": {"size": "8 GB"}}}, "/collections/persistence/size"),
    ({"config": {"collections-directory": "/kept"}}, "config.collections-directory: the chart sets it; use the value collections.persistence"),
    ({"extraArgs": ["--collections-directory=/kept"]}, "use the value collections.persistence"),
    ({"http": {"enabled": False}, "autoscaling": {"enabled": True}}, "autoscaling.enabled is true, and http.enabled is false"),
    ({"http": {"enabled": False}, "ingress": {"http": {"enabled": True}}}, "ingress.http.enabled is true"),
    ({"http": {"enabled": False}, "metrics": {"serviceMonitor": {"enabled": True}}}, "metrics.serviceMonitor.enabled is true"),
    ({"gateway": {"grpc": {"enabled": True}}}, "gateway.grpc.parentRefs is empty"),
]
