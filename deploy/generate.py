"""Writes what is derived in this folder, or says what is stale.

    generate.py [--check]

Derived are the chart's copies of the Prometheus rules and of Grafana's dashboards (a chart can read
only what lies inside it), the table of values in the chart's README.md, and all of k8s/: a
kustomize base with the overlays cpu and gpu, rendered from the chart. It needs helm-python-sdk and
PyYAML; ./dev deploy-generate runs it with those that tests/deploy/requirements.txt pins.
"""
import difflib
import json
import re
import sys
from pathlib import Path
from typing import Any, Iterator

import helm_python
import yaml

DEPLOY = Path(__file__).resolve().parent
CHART = DEPLOY / "helm/longspan"
OVERLAYS = ("cpu", "gpu")
HEADER = "---\n# Made by deploy/generate.py from the chart in deploy/helm. Change that, then run\n# ./dev deploy-generate.\n"
# What tells that Helm made an object, and the checksum: kustomize names the ConfigMap by its
# content.
HELM_ONLY = ("helm.sh/chart", "app.kubernetes.io/managed-by", "checksum/config")


class Indented(yaml.SafeDumper):
    """Indents lists, as the files of this repository do."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def text_of(value: Any) -> str:
    return yaml.dump(value, Dumper=Indented, sort_keys=False, width=1000)


# --- copies ---------------------------------------------------------------------------------------


def copies() -> dict[Path, str]:
    sources = {CHART / "files/rules.yml": DEPLOY / "prometheus/rules.yml"}
    for path in sorted((DEPLOY / "grafana").glob("*.json")):
        sources[CHART / "files/dashboards" / path.name] = path
    return {to: source.read_text(encoding="utf-8") for to, source in sources.items()}


# --- the table of values --------------------------------------------------------------------------


def comment_above(lines: list[str], at: int) -> str:
    """The text of the comment that ends above line `at`, from its "# --" on; else empty."""
    begin = at
    while begin > 0 and lines[begin - 1].lstrip().startswith("#"):
        begin -= 1
    words = " ".join(line.strip().lstrip("#").strip() for line in lines[begin:at])
    return words.split("-- ", 1)[1] if "-- " in words else ""


def rows_of(node: yaml.MappingNode, lines: list[str], prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """Each value with its path, default and text. A map with a text of its own is one value."""
    for key, value in node.value:
        path = prefix + key.value
        told = comment_above(lines, key.start_mark.line)
        if told:
            yield path, yaml.safe_load(yaml.serialize(value)), told
        elif isinstance(value, yaml.MappingNode) and value.value and not value.flow_style:
            yield from rows_of(value, lines, path + ".")
        else:
            raise SystemExit(f"values.yaml line {key.start_mark.line + 1}: {path} has no comment that begins with '# --'")


def table_of_values() -> str:
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    rows = ["| value | default | meaning |", "| --- | --- | --- |"]
    for path, default, told in rows_of(yaml.compose(text), text.splitlines()):
        shown = json.dumps(default)
        shown = f"`{shown}`" if len(shown) <= 60 else "see values.yaml"
        rows.append(f"| `{path}` | {shown} | {told.replace('|', '&#124;')} |")
    return "\n".join(rows)


def readme() -> dict[Path, str]:
    path = CHART / "README.md"
    old = path.read_text(encoding="utf-8")
    new, count = re.subn(r"(<!-- values -->\n).*?(<!-- /values -->)", lambda m: m[1] + table_of_values() + "\n" + m[2], old, flags=re.S)
    if count != 1:
        raise SystemExit(f"{path}: there is no table between <!-- values --> and <!-- /values -->")
    return {path: new}


# --- kustomize ------------------------------------------------------------------------------------


def without_helm(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_helm(part) for key, part in value.items() if key not in HELM_ONLY}
    return [without_helm(part) for part in value] if isinstance(value, list) else value


def rendered(values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The chart's objects, without those of `helm test`, by the name of their file."""
    with helm_python.Chart.load(CHART) as chart:
        templates = chart.render(values, name="longspan", namespace="default")
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(templates):
        if "/tests/" in path or path.endswith(".txt"):
            continue
        for document in filter(None, yaml.safe_load_all(templates[path])):
            suffix = document["metadata"]["name"].removeprefix("longspan")
            found[document["kind"].lower() + suffix + ".yaml"] = without_helm(document)
    return found


def differences(old: Any, new: Any, path: str = "") -> list[dict[str, Any]]:
    """What turns `old` into `new`, as operations of a JSON patch."""
    if isinstance(old, dict) and isinstance(new, dict):
        found = []
        for key in sorted(old.keys() | new.keys()):
            at = path + "/" + key.replace("~", "~0").replace("/", "~1")
            if key not in new:
                found.append({"op": "remove", "path": at})
            elif key not in old:
                found.append({"op": "add", "path": at, "value": new[key]})
            else:
                found += differences(old[key], new[key], at)
        return found
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [one for i, pair in enumerate(zip(old, new)) for one in differences(*pair, f"{path}/{i}")]
    return [] if old == new else [{"op": "replace", "path": path, "value": new}]


def take_image(objects: dict[str, dict[str, Any]]) -> str:
    """Leaves the image's name in the Deployment, and returns its tag: kustomize sets that."""
    container = objects["deployment.yaml"]["spec"]["template"]["spec"]["containers"][0]
    container["image"], tag = container["image"].split(":")
    return tag


def images(tag: str) -> list[dict[str, str]]:
    return [{"name": "longspan", "newTag": tag}]


def kustomization(**parts: Any) -> str:
    return HEADER + text_of({"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", **parts})


def overlay(name: str, base: dict[str, dict[str, Any]]) -> dict[str, str]:
    values = yaml.safe_load((CHART / f"ci/{name}-values.yaml").read_text(encoding="utf-8"))
    objects = rendered(values)
    tag = take_image(objects)
    others = [file for file in base.keys() | objects.keys() if file != "deployment.yaml" and base.get(file) != objects.get(file)]
    if others:
        raise SystemExit(f"ci/{name}-values.yaml changes {', '.join(others)}; an overlay can change the Deployment alone")
    patch = differences(base["deployment.yaml"], objects["deployment.yaml"])
    return {"deployment.patch.yaml": HEADER + text_of(patch),
            "kustomization.yaml": kustomization(resources=["../../base"], images=images(tag),
                                                patches=[{"path": "deployment.patch.yaml", "target": {"kind": "Deployment", "name": "longspan"}}])}


def kustomize() -> dict[Path, str]:
    base = rendered({})
    tag = take_image(base)
    config = base.pop("configmap-config.yaml")
    files = {f"base/{name}": HEADER + text_of(value) for name, value in base.items()}
    files["base/config.json"] = config["data"]["config.json"].rstrip("\n") + "\n"
    # A changed config.json gets another name, and so replaces the pods.
    generator = [{"name": config["metadata"]["name"], "files": ["config.json"], "options": {"labels": config["metadata"]["labels"]}}]
    files["base/kustomization.yaml"] = kustomization(resources=sorted(base), configMapGenerator=generator, images=images(tag))
    for name in OVERLAYS:
        complete = {**base, "configmap-config.yaml": config}
        files |= {f"overlays/{name}/{file}": text for file, text in overlay(name, complete).items()}
    return {DEPLOY / "k8s" / name: text for name, text in files.items()}


# --- all of it ------------------------------------------------------------------------------------


def stale(wanted: dict[Path, str]) -> Iterator[tuple[Path, str]]:
    """Each file that differs from what it should be, with the difference."""
    folders = (DEPLOY / "k8s", CHART / "files/dashboards")
    existing = {path for folder in folders for path in folder.rglob("*") if path.is_file()}
    for path in sorted(existing | wanted.keys()):
        old = path.read_text(encoding="utf-8") if path.is_file() else ""
        if old != wanted.get(path, "") or path not in wanted:
            name = str(path.relative_to(DEPLOY.parent))
            yield path, "".join(difflib.unified_diff(old.splitlines(True), wanted.get(path, "").splitlines(True), name, name + " as it should be"))


def main() -> None:
    if sys.argv[1:] not in ([], ["--check"]):
        sys.exit(f"generate.py: {' '.join(sys.argv[1:])!r}; allowed: --check, or nothing")
    failed = False
    wanted = {**copies(), **readme(), **kustomize()}
    for path, difference in stale(wanted):
        if sys.argv[1:]:
            print(f"{path.relative_to(DEPLOY.parent)} is stale: run ./dev deploy-generate\n{difference}")
            failed = True
        elif path in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path], encoding="utf-8")
            print(f"wrote {path.relative_to(DEPLOY.parent)}")
        else:
            path.unlink()
            print(f"removed {path.relative_to(DEPLOY.parent)}")
    sys.exit(failed)


main()
