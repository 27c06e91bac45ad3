"""Checks the Helm chart: every pair of settings renders objects that Kubernetes takes, what
contradicts itself is refused by a message, and two releases do not meet.

    chart_test.py SOURCE_DIR [CRDS_DIR]

CRDS_DIR has CustomResourceDefinitions as YAML; with it the objects of other operators are checked
too (ServiceMonitor, PrometheusRule, ScaledObject, GRPCRoute, HTTPRoute).
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from functools import cache
from pathlib import Path
from typing import Any

import helm_python
import jsonschema
import kubernetes_validate
import yaml

import restricted
from chart_cases import PARAMETERS, REFUSED, REFUSED_PAIRS, Values, allowed_pairs, merged, pairs_of, pairwise

SOURCE = Path(sys.argv[1]).resolve()
CRDS = Path(sys.argv[2]) if len(sys.argv) > 2 else None
CHART = SOURCE / "deploy/helm/longspan"
KUBERNETES = "1.36"
TOOLS = Path(sys.executable).parent
Object = dict[str, Any]


class UniqueKeys(yaml.CSafeLoader):
    """Refuses a map that has a key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Object:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if len(keys) != len(set(keys)):
            raise yaml.YAMLError(f"a key stands twice in {keys}")
        return super().construct_mapping(node, deep)


def render(values: Values | None = None, name: str = "longspan", chart: Path = CHART) -> list[Object]:
    with helm_python.Chart.load(chart) as loaded:
        templates = loaded.render(values or {}, name=name, namespace="apps")
    return [one for path in sorted(templates) if not path.endswith(".txt") for one in yaml.load_all(templates[path], UniqueKeys) if one]


def notes(values: Values | None = None) -> str:
    with helm_python.Chart.load(CHART) as loaded:
        return loaded.render(values or {}, name="longspan", namespace="apps")["longspan/templates/NOTES.txt"]


def of_kind(objects: list[Object], kind: str) -> list[Object]:
    return [one for one in objects if one["kind"] == kind]


def server_of(objects: list[Object]) -> Object:
    return of_kind(objects, "Deployment")[0]["spec"]["template"]


def strict(schema: Any) -> Any:
    """A CRD's schema as JSON Schema that knows no field beside its own."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: strict(part) for key, part in schema.items() if key not in ("format",)}
    if result.pop("x-kubernetes-int-or-string", False):
        result.pop("type", None)
        result["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if isinstance(result.get("properties"), dict) and "additionalProperties" not in result and not result.get("x-kubernetes-preserve-unknown-fields"):
        result["additionalProperties"] = False
    return result


@cache
def custom_schemas() -> dict[tuple[str, str], Object]:
    found = {}
    for path in sorted(CRDS.glob("*.yaml")) if CRDS else []:
        crd = yaml.safe_load(path.read_text(encoding="utf-8"))
        for version in crd["spec"]["versions"]:
            schema = strict(version["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = {"type": "object"}
            found[f"{crd['spec']['group']}/{version['name']}", crd["spec"]["names"]["kind"]] = schema
    return found


def schema_faults(one: Object) -> list[str]:
    try:
        kubernetes_validate.validate(one, KUBERNETES, strict=True)
    except kubernetes_validate.SchemaNotFoundError:
        schema = custom_schemas().get((one["apiVersion"], one["kind"]))
        if schema is None:
            return [f"{one['kind']}: no schema"] if CRDS else []
        return [f"{one['kind']}: {fault.message} at {fault.json_path}" for fault in jsonschema.Draft7Validator(schema).iter_errors(one)]
    except kubernetes_validate.ValidationError as fault:
        return [f"{one['kind']} {one['metadata']['name']}: {fault.message} at {fault.path}"]
    return []


def object_faults(objects: list[Object]) -> list[str]:
    """Everything that can be wrong with what one release renders."""
    names = [(one["kind"], one["metadata"]["name"]) for one in objects]
    found = [f"{name} is there twice" for name in set(names) if names.count(name) > 1]
    found += [f"{kind} {name} is longer than its name may be" for kind, name in names if len(name) > (63 if kind == "Service" else 253)]
    for one in objects:
        found += schema_faults(one)
        labels = one["metadata"]["labels"]
        found += [f"{one['kind']} has no label {key}" for key in ("name", "instance", "version", "component", "managed-by", "part-of") if f"app.kubernetes.io/{key}" not in labels]
        if "namespace" in one["metadata"]:
            found.append(f"{one['kind']} names its namespace")
    return found + restricted.faults(objects) + reference_faults(objects)


def reference_faults(objects: list[Object]) -> list[str]:
    """ConfigMaps, Services, accounts and Deployments that an object names must be there."""
    there = {(one["kind"], one["metadata"]["name"]) for one in objects} | {("ServiceAccount", "default"), ("ServiceAccount", "123")}
    named: set[tuple[str, str]] = set()
    for _, pod in restricted.pods_of(objects):
        named |= {("ConfigMap", volume["configMap"]["name"]) for volume in pod.get("volumes", []) if "configMap" in volume}
        named.add(("ServiceAccount", pod.get("serviceAccountName", "default")))
    for one in objects:
        text = json.dumps(one.get("spec", {}))
        if one["kind"] in ("HorizontalPodAutoscaler", "ScaledObject"):
            named.add(("Deployment", one["spec"]["scaleTargetRef"]["name"]))
        elif one["kind"] == "Ingress":
            named |= {("Service", name) for name in re.findall(r'"service": {"name": "([^"]+)"', text)}
        elif one["kind"] in ("GRPCRoute", "HTTPRoute"):
            named |= {("Service", ref["name"]) for rule in one["spec"]["rules"] for ref in rule["backendRefs"]}
    return [f"nothing renders the {kind} {name}" for kind, name in sorted(named - there)]


class EveryPair(unittest.TestCase):
    def test_renders_valid_restricted_objects(self) -> None:
        rows = list(pairwise())
        for chosen, values in rows:
            self.assertEqual(object_faults(render(values, name="docs")), [], chosen)
        self.assertEqual(allowed_pairs() - set().union(*(pairs_of(chosen) for chosen, _ in rows)), set())
        print(f"{len(rows)} sets of values, {len(allowed_pairs())} pairs of settings")

    def test_lint(self) -> None:
        report = helm_python.lint(CHART, strict=True, kube_version="1.36.0")
        self.assertEqual(report["errors"], [])
        self.assertEqual([m for m in report["messages"] if m["severity"] > 1], [])

    def test_examples_are_allowed(self) -> None:
        for path in (CHART / "ci").glob("*-values.yaml"):
            self.assertEqual(object_faults(render(yaml.safe_load(path.read_text(encoding="utf-8")))), [], path.name)


class Refusals(unittest.TestCase):
    def test_contradictions_are_refused_by_name(self) -> None:
        for values, message in REFUSED:
            with self.subTest(values), self.assertRaises(helm_python.HelmError) as raised:
                render(values)
            self.assertIn(message, str(raised.exception))

    def test_pairs_left_out_are_refused(self) -> None:
        """Else the pairwise test leaves out what works."""
        for first, x, second, y in REFUSED_PAIRS:
            values = merged(PARAMETERS[first][x], PARAMETERS[second][y])
            with self.subTest((first, x, second, y)), self.assertRaises(helm_python.HelmError):
                render(values)


class Releases(unittest.TestCase):
    def test_two_in_one_namespace_do_not_meet(self) -> None:
        everything = {"metrics": {"serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}}, "autoscaling": {"enabled": True, "adapterRule": {"enabled": True}},
                      "ingress": {"grpc": {"enabled": True}, "http": {"enabled": True}}}
        long = "a" * 52
        for first, second in (("small", "large"), ("longspan", "longspan-large"), ("a", "a-b"), (long + "x", long + "y"), ("longspan-" + "a" * 43 + "x", "longspan-" + "a" * 43 + "y")):
            a, b = render(everything, first), render(everything, second)
            self.assertEqual({(o["kind"], o["metadata"]["name"]) for o in a} & {(o["kind"], o["metadata"]["name"]) for o in b}, set(), (first, second))
            for mine, others in ((a, b), (b, a)):
                labels = server_of(others)["metadata"]["labels"]
                self.assertEqual([o["metadata"]["name"] for o in mine if restricted.selects(restricted.pod_selector(o) or {}, labels)], [])
            self.assertEqual(object_faults(a), [])

    def test_names_that_a_service_cannot_have_are_refused(self) -> None:
        for name in ("1", "a.b", "2024-docs"):
            with self.subTest(name), self.assertRaisesRegex(helm_python.HelmError, "set fullnameOverride"):
                render(name=name)
            self.assertEqual(object_faults(render({"fullnameOverride": "docs"}, name=name)), [])

    def test_what_the_server_cannot_reread_replaces_the_pods(self) -> None:
        def checksum(values: Values) -> str:
            return server_of(render(values))["metadata"]["annotations"]["checksum/config"]

        download = PARAMETERS["model"]["files"]
        other = merged(download, {"model": {"download": {"files": [{"path": "config.json", "url": "https://models.example/config.json", "sha256": "cd" * 32}]}}})
        self.assertNotEqual(checksum({}), checksum({"config": {"max-tokens": 5}}))
        self.assertNotEqual(checksum(download), checksum(other))
        self.assertEqual(checksum({}), checksum({"replicaCount": 5, "service": {"annotations": {"a": "b"}}}))

    def test_secrets_are_mounted_whole(self) -> None:
        """The kubelet renews no file that is mounted by subPath, and the server rereads them."""
        pod = server_of(render({"tls": {"existingSecret": "a", "clientCA": {"existingSecret": "b"}}, "auth": {"existingSecret": "c"}}))["spec"]
        self.assertEqual({v["secret"]["secretName"] for v in pod["volumes"] if "secret" in v}, {"a", "b", "c"})
        self.assertFalse([m for m in pod["containers"][0]["volumeMounts"] if "subPath" in m])


class Content(unittest.TestCase):
    def test_scaled_deployments_have_no_replicas(self) -> None:
        self.assertEqual(of_kind(render(), "Deployment")[0]["spec"]["replicas"], 2)
        for scaled in ("hpa", "keda"):
            self.assertNotIn("replicas", of_kind(render(PARAMETERS["scale"][scaled]), "Deployment")[0]["spec"])

    def test_metric_is_one_of_the_server_and_of_the_rule(self) -> None:
        objects = render(PARAMETERS["scale"]["hpa"])
        metric = of_kind(objects, "HorizontalPodAutoscaler")[0]["spec"]["metrics"][0]["pods"]["metric"]["name"]
        rule = next(yaml.safe_load(o["data"]["config.yaml"])["rules"][0] for o in of_kind(objects, "ConfigMap") if o["metadata"]["name"].endswith("-adapter-rule"))
        source = (SOURCE / "server/telemetry/metrics.cc").read_text(encoding="utf-8")
        self.assertIn(f'"{metric.removeprefix("longspan_")}"', source)
        self.assertEqual(rule["name"]["as"], metric)
        self.assertIn(metric + "{", of_kind(render(PARAMETERS["scale"]["keda"]), "ScaledObject")[0]["spec"]["triggers"][0]["metadata"]["query"])

    def test_keda_counts_the_pods_of_its_release_alone(self) -> None:
        query = of_kind(render(PARAMETERS["scale"]["keda"], "longspan"), "ScaledObject")[0]["spec"]["triggers"][0]["metadata"]["query"]
        pods = re.search(r'pod=~"([^"]+)"', query)[1]
        self.assertRegex("longspan-7c9f8d6b5-x2k4p", f"^{pods}$")
        self.assertNotRegex("longspan-large-7c9f8d6b5-x2k4p", f"^{pods}$")

    def test_egress_is_closed(self) -> None:
        rules = of_kind(render(), "NetworkPolicy")[0]["spec"]["egress"]
        self.assertEqual([[p["port"] for p in rule["ports"]] for rule in rules], [[53, 53]])
        self.assertEqual(of_kind(render({"networkPolicy": {"egress": {"dnsTo": []}}}), "NetworkPolicy")[0]["spec"]["egress"], [])
        rules = of_kind(render(PARAMETERS["model"]["files"]), "NetworkPolicy")[0]["spec"]["egress"]
        self.assertEqual([p["port"] for rule in rules for p in rule["ports"]], [53, 53, 443])

    def test_the_test_may_pass_chosen_peers(self) -> None:
        objects = render(PARAMETERS["network"]["peers"])
        peers = of_kind(objects, "NetworkPolicy")[0]["spec"]["ingress"][0]["from"]
        labels = of_kind(objects, "Pod")[0]["metadata"]["labels"]
        self.assertTrue(any(restricted.selects(peer["podSelector"]["matchLabels"], labels) for peer in peers))

    def test_cards(self) -> None:
        pod = server_of(render({"gpu": {"enabled": True, "count": 2, "resource": "nvidia.com/gpu.shared"}}))["spec"]
        container = pod["containers"][0]
        self.assertEqual((container["resources"]["limits"]["nvidia.com/gpu.shared"], container["resources"]["requests"]["nvidia.com/gpu.shared"]), ("2", "2"))
        self.assertIn("--device=cuda:0,1", container["args"])
        self.assertTrue(container["image"].endswith("-gpu"))
        self.assertEqual(server_of(render())["spec"].get("tolerations"), None)

    def test_models_are_read_only(self) -> None:
        for source in ("pvc", "files", "archive", "imageVolume"):
            container = server_of(render(PARAMETERS["model"][source]))["spec"]["containers"][0]
            self.assertTrue(next(m for m in container["volumeMounts"] if m["name"] == "model")["readOnly"], source)
        self.assertIn("--model=/models/org/name", server_of(render(PARAMETERS["model"]["pvc"]))["spec"]["containers"][0]["args"])

    def test_kept_documents_lie_on_a_claim_of_one_server(self) -> None:
        values = {"replicaCount": 1, "collections": {"persistence": {"enabled": True, "annotations": {"a": "b"}}}}
        objects = render(values)
        deployment, claim = of_kind(objects, "Deployment")[0], of_kind(objects, "PersistentVolumeClaim")[0]
        self.assertEqual((deployment["spec"]["replicas"], deployment["spec"]["strategy"]), (1, {"type": "Recreate"}))
        self.assertEqual(claim["metadata"]["annotations"], {"helm.sh/resource-policy": "keep", "a": "b"})
        self.assertEqual((claim["spec"]["resources"], claim["spec"]["accessModes"], claim["spec"].get("storageClassName")), ({"requests": {"storage": "8Gi"}}, ["ReadWriteOnce"], None))
        for existing, name in (("", "longspan-collections"), ("mine", "mine")):
            objects = render(merged(values, {"collections": {"persistence": {"existingClaim": existing}}}))
            pod = server_of(objects)["spec"]
            volume = next(v for v in pod["volumes"] if v["name"] == "collections")
            self.assertEqual(volume["persistentVolumeClaim"], {"claimName": name})
            self.assertIn("--collections-directory=/var/lib/longspan/collections", pod["containers"][0]["args"])
            self.assertEqual(len(of_kind(objects, "PersistentVolumeClaim")), 0 if existing else 1)

    def test_notes_tell_who_keeps_documents(self) -> None:
        alone = {"replicaCount": 1}
        for values, shared, stays in (({}, True, False), (PARAMETERS["scale"]["hpa"], True, False), (alone, False, False), (PARAMETERS["kept"]["off"], False, False),
                                      (PARAMETERS["kept"]["claim"], False, True), (PARAMETERS["kept"]["existing"], False, False)):
            self.assertEqual("servers do not share kept documents" in notes(values), shared, values)
            self.assertEqual("the claim longspan-collections" in notes(values), stays, values)

    def test_test_asks_for_no_shell(self) -> None:
        pod = of_kind(render(), "Pod")[0]["spec"]["containers"][0]
        self.assertEqual(pod["command"][0], "longspan")
        self.assertEqual(of_kind(render(PARAMETERS["tls"]["mtls"]), "Pod"), [])
        self.assertIn("there is no `helm test`", notes(PARAMETERS["tls"]["mtls"]))

    def test_notes_name_what_there_is(self) -> None:
        told = notes()
        for command in ("rollout status deployment/longspan", "port-forward service/longspan 50051 8080", "/v1/embeddings", "longspan-headless", "/metrics"):
            self.assertIn(command, told)
        self.assertNotIn("/v1/embeddings", notes({"http": {"enabled": False}}))
        self.assertIn("all cores of its node", notes({"resources": {"limits": {"cpu": None}}}))

    def test_rules_are_those_of_prometheus(self) -> None:
        rule = of_kind(render({"metrics": {"prometheusRule": {"enabled": True}}}), "PrometheusRule")[0]
        self.assertEqual(rule["spec"], yaml.safe_load((SOURCE / "deploy/prometheus/rules.yml").read_text(encoding="utf-8")))

    def test_queries_are_ones(self) -> None:
        """Those of prometheus-adapter's rule, filled in as it does, and of KEDA, by promtool."""
        rule = yaml.safe_load((CHART / "files/adapter_rule.yaml").read_text(encoding="utf-8"))["rules"][0]
        filled = rule["metricsQuery"]
        for mark, text in (("<<.Series>>", rule["name"]["as"]), ("<<.LabelMatchers>>", 'namespace="apps",pod=~"a|b"'), ("<<.GroupBy>>", "pod")):
            self.assertIn(mark, filled)
            filled = filled.replace(mark, text)
        keda = of_kind(render(PARAMETERS["scale"]["keda"]), "ScaledObject")[0]["spec"]["triggers"][0]["metadata"]["query"]
        rules = [{"record": f"longspan:query:{i}", "expr": query} for i, query in enumerate((filled, rule["seriesQuery"], keda))]
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}, file)
            done = subprocess.run(["promtool", "check", "rules", file.name], env=os.environ | {"PATH": f"{os.environ['PATH']}:{TOOLS}"}, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_dashboards_pass_as_they_are(self) -> None:
        """Grafana's legends have braces, which no template may touch."""
        values = {"metrics": {"dashboards": {"enabled": True, "annotations": {"grafana_folder": "longspan"}}}}
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "longspan"
            shutil.copytree(CHART, copy)
            shutil.rmtree(copy / "files/dashboards", ignore_errors=True)
            self.assertFalse([o for o in render(values, chart=copy) if "dashboard" in o["metadata"]["name"]])
            (copy / "files/dashboards").mkdir()
            for name in ("overview", "cost_per_token"):
                (copy / f"files/dashboards/{name}.json").write_text('{\n  "legendFormat": "{{instance}} $__rate"\n}\n', encoding="utf-8")
            found = [o for o in render(values, chart=copy) if "dashboard" in o["metadata"]["name"]]
        self.assertEqual([o["metadata"]["name"] for o in found], ["longspan-dashboard-cost-per-token", "longspan-dashboard-overview"])
        self.assertEqual(json.loads(found[1]["data"]["overview.json"]), {"legendFormat": "{{instance}} $__rate"})
        self.assertEqual(found[0]["metadata"]["labels"]["grafana_dashboard"], "1")

    def test_versions_are_those_of_the_project(self) -> None:
        version = re.search(r"project\(longspan VERSION ([0-9.]+)", (SOURCE / "CMakeLists.txt").read_text(encoding="utf-8"))[1]
        chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
        self.assertEqual((chart["version"], chart["appVersion"]), (version, version))


class Kustomize(unittest.TestCase):
    def test_overlays_are_the_chart_with_its_examples(self) -> None:
        """But for what Helm adds, and for how a change of the settings replaces the pods."""
        def comparable(objects: list[Object]) -> dict[tuple[str, str], Object]:
            text = json.dumps([o for o in objects if not o["metadata"].get("annotations", {}).get("helm.sh/hook")])
            text = re.sub(r'"(helm\.sh/chart|app\.kubernetes\.io/managed-by|checksum/config)": "[^"]*",? ?', "", text).replace(", }", "}")
            text = re.sub(r"longspan-config-[a-z0-9]{10}\b", "longspan-config", text)
            return {(o["kind"], o["metadata"]["name"]): o for o in json.loads(text)}

        for overlay in ("cpu", "gpu"):
            made = subprocess.run([TOOLS / "kubectl", "kustomize", SOURCE / f"deploy/k8s/overlays/{overlay}"], capture_output=True, text=True, check=True).stdout
            values = yaml.safe_load((CHART / f"ci/{overlay}-values.yaml").read_text(encoding="utf-8"))
            self.maxDiff = None
            wanted = comparable(render(values))
            wanted["ConfigMap", "longspan-config"]["data"]["config.json"] = "{}\n"
            self.assertEqual(comparable(list(yaml.safe_load_all(made))), wanted)


# Changes of a copy of the chart that a test above must notice.
MISTAKES = [
    ("templates/deployment.yaml", "enableServiceLinks", "enableServiceLink"),
    ("templates/deployment.yaml", "automountServiceAccountToken: false", "automountServiceAccountToken: true"),
    ("templates/_pod.tpl", "--drain-limit={{ .Values.drain.limitSeconds | int }}s", "--drain-limit=500s"),
    ("templates/_pod.tpl", "if .root.Values.tls.existingSecret", "if false"),
    ("templates/_pod.tpl", 'ternary "HTTPS" "HTTP" .root.Values.tls.http', '"HTTP"'),
    ("templates/_pod.tpl", "securityContext:\n    {{- toYaml $.Values.securityContext | nindent 4 }}", "tty: false"),
    ("templates/service.yaml", "clusterIP: None", "clusterIp: None"),
    ("templates/service.yaml", '"component" "headless"', '"component" "server"'),
    ("templates/keda.yaml", 'name: {{ include "longspan.fullname" $ }}\n  minReplicaCount', "name: other\n  minReplicaCount"),
    ("templates/networkpolicy.yaml", "policyTypes", "policyType"),
    ("templates/tests/encode.yaml", '"component" "test"', '"component" "server"'),
    ("templates/_pod.tpl", "mountPath: /var/lib/longspan}", "mountPath: /var/lib/longspan, readOnly: true}"),
    ("templates/_pod.tpl", "mountPath: /var/lib/longspan}", "mountPath: /var/lib/other}"),
    ("templates/_pod.tpl", '(dict "type" "Recreate")', ".Values.strategy"),
    ("templates/collections.yaml", "accessModes:", "accessMode:"),
    ("templates/ingress.yaml", "pathType: Prefix", "pathType: [Prefix]"),
    ("values.yaml", "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true"),
    ("values.yaml", "capabilities: {drop: [ALL]}", "capabilities: {drop: [NET_RAW]}"),
]
# Those that only the schemas of CRDS_DIR notice.
CUSTOM_MISTAKES = [
    ("templates/monitoring.yaml", "scrapeTimeout: ", "scrapeTimeouts: "),
    ("files/rules.yml", "for: 5m", "for: 5 mins"),
    ("templates/keda.yaml", "pollingInterval: {{", "pollInterval: {{"),
    ("templates/gateway.yaml", "hostnames:\n", "hosts:\n"),
]


class PlantedMistakes(unittest.TestCase):
    def test_each_is_noticed(self) -> None:
        sets = [values for _, values in pairwise()]
        for file, old, new in MISTAKES + (CUSTOM_MISTAKES if CRDS else []):
            with self.subTest(file=file, new=new), tempfile.TemporaryDirectory() as folder:
                copy = Path(folder) / "longspan"
                shutil.copytree(CHART, copy)
                text = (copy / file).read_text(encoding="utf-8")
                self.assertIn(old, text)
                (copy / file).write_text(text.replace(old, new), encoding="utf-8")
                self.assertTrue(any(object_faults(render(values, "docs", copy)) for values in sets), "nothing notices it")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
