"""Checks that values.schema.json takes for `config` what the server takes, and nothing else.

    chart_settings_test.py SOURCE_DIR SERVER

Every flag of the server has a schema, and the reverse. For each, values at and beyond its bounds
are given to both: what the schema refuses the server must refuse, and what the server refuses the
schema must refuse too, but for bounds of quantities and times, which are strings to a schema. The
file that the chart renders is one that the server reads.
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

import helm_python
import jsonschema
import yaml

SOURCE, SERVER = Path(sys.argv[1]).resolve(), sys.argv[2]
CHART = SOURCE / "deploy/helm/longspan"
SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
SETTINGS = SCHEMA["properties"]["config"]["properties"]
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("LONGSPAN_")}

# Values for settings of one kind: those that both take, and those that both refuse.
GOOD = {"bytes": [1 << 20, "64Mi", "8MiB", "1.5Mi", "0.5GB", "2048KB"], "tokens": [16384, "16Ki", "4k", "1.5Ki"], "time": [2, 2.5, "5s", "0m30s", "250ms", "0.01h"]}
BAD = {"bytes": ["8mb", "8 MiB", "-1", -1, 1.5, True, "8.Mi", "8Mib"], "tokens": ["16KiB", "4K", -1, 1.5, "4 k"], "time": ["5 s", "5sec", "1d", -1, "s", True]}


def server_takes(settings: dict[str, Any]) -> bool:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(settings, file)
        file.flush()
        done = subprocess.run([SERVER, "--print-config", "--config", file.name], env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    if done.returncode not in (0, 2):
        raise AssertionError(f"{settings}: the server ends with {done.returncode}: {done.stderr}")
    return done.returncode == 0


def schema_takes(settings: dict[str, Any]) -> bool:
    return jsonschema.Draft7Validator(SCHEMA).is_valid({"config": settings})


def kind_of(setting: str) -> str:
    """The name of the setting's definition in the schema; empty where it has none."""
    return SETTINGS[setting].get("$ref", "").rpartition("/")[2]


def samples(setting: str) -> tuple[list[Any], list[Any]]:
    """Values that both must take, and values that both must refuse."""
    schema, kind = SETTINGS[setting], kind_of(setting)
    if kind in GOOD:
        return GOOD[kind], BAD[kind]
    if "enum" in schema:
        return schema["enum"], ["other", schema["enum"][0].upper()]
    if schema.get("type") in ("integer", "number"):
        low, high = schema["minimum"], schema["maximum"]
        beyond = [low - 1, high + 1] if schema["type"] == "integer" else [low / 10, high * 10]
        return [low, high], beyond
    if schema.get("type") == "boolean":
        return [True, False], ["maybe"]
    if setting == "cors-origin":
        return ["", "*", "https://a.example", "https://a.example:8443, http://b.example"], ["a.example", "https://A.example", "https://a.example/path"]
    return [], []


class Settings(unittest.TestCase):
    def test_schema_has_the_flags_of_the_server(self) -> None:
        printed = subprocess.run([SERVER, "--help"], env=ENVIRONMENT, capture_output=True, text=True, check=True).stdout
        flags = set(re.findall(r"^  --([a-z-]+)", printed, re.M)) - {"help", "version", "config", "print-config"}
        self.assertGreater(len(flags), 40)
        self.assertEqual(set(SETTINGS), flags)

    def test_chart_owns_flags_that_there_are(self) -> None:
        text = (CHART / "templates/_checks.tpl").read_text(encoding="utf-8").split('define "longspan.owned" -}}\n')[1].split("{{- end")[0]
        owned = set(yaml.safe_load(text))
        self.assertEqual(owned - set(SETTINGS), {"config", "print-config"})
        told = re.search(r"# -- Settings of the server.*?\((.*?)\) is refused", (CHART / "values.yaml").read_text(encoding="utf-8"), re.S)[1]
        self.assertEqual(set(re.findall(r"[a-z-]+", told.replace("#", ""))), owned - {"config", "print-config"})

    def test_both_take_the_same(self) -> None:
        most = max(len(samples(setting)[0]) for setting in SETTINGS)
        for i in range(most):
            settings = {setting: good[i] for setting in SETTINGS for good, _ in [samples(setting)] if i < len(good)}
            settings |= self.fitting(settings)
            self.assertTrue(schema_takes(settings), settings)
            self.assertTrue(server_takes(settings), settings)

    @staticmethod
    def fitting(settings: dict[str, Any]) -> dict[str, Any]:
        """What makes a set of settings consistent: files and deadlines depend on one another."""
        return {"http-tls": False, "http-page-keys": False} | ({"max-deadline": "24h"} if "max-deadline" in settings else {})

    def test_both_refuse_the_same(self) -> None:
        for setting in SETTINGS:
            for value in samples(setting)[1]:
                self.assertFalse(schema_takes({setting: value}), (setting, value))
        # The server is slow to start: one setting of each kind is enough for its units, and each
        # number is tried beyond its own bounds.
        for setting in {kind_of(s) or SETTINGS[s].get("type") == "boolean" or s: s for s in SETTINGS}.values():
            for value in samples(setting)[1]:
                self.assertFalse(server_takes({setting: value}), (setting, value))

    def test_rendered_file_is_read(self) -> None:
        values = {"config": {"max-text-bytes": 8388608, "max-queue-tokens": "4Mi", "default-deadline": 90, "page": False, "cors-origin": ["https://a.example", "*"]}}
        with helm_python.Chart.load(CHART) as chart, tempfile.TemporaryDirectory() as folder:
            objects = [o for o in yaml.safe_load_all(chart.render(values, name="x")["longspan/templates/configmap.yaml"]) if o]
            pod = yaml.safe_load(chart.render(values, name="x")["longspan/templates/deployment.yaml"])["spec"]["template"]["spec"]
            path = Path(folder) / "config.json"
            path.write_text(objects[0]["data"]["config.json"], encoding="utf-8")
            arguments = [a.replace("/etc/longspan/config.json", str(path)) for a in pod["containers"][0]["args"]]
            printed = subprocess.run([SERVER, *arguments, "--print-config"], env=ENVIRONMENT, capture_output=True, text=True, check=True).stdout
        in_force = dict(re.findall(r"^([a-z-]+) += ?(.*?) +# ", printed, re.M))
        self.assertEqual({key: in_force[key] for key in ("max-text-bytes", "max-queue-tokens", "default-deadline", "page", "cors-origin", "drain-delay", "listen", "device")},
                         {"max-text-bytes": "8MiB", "max-queue-tokens": "4Mi", "default-deadline": "1m30s", "page": "false", "cors-origin": "https://a.example,*",
                          "drain-delay": "10s", "listen": "0.0.0.0:50051", "device": "cpu"})


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
