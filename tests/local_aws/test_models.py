"""Models on a local AWS: published, promoted, refused, shadowed, rolled back, damaged, pointed to
nothing. Each time the next run must use the right model. The test measures the time from the
command, or the damage, to the answer of that run."""

import json
import subprocess
import time
import unittest

import environment

if __name__ == "__main__":
    environment.continue_in("aws")

import measure
from environment import ROOT
from local_aws import Failure, wait_for
from stage import NAMESPACE, Stage, Staged

NEVER = "Schedules=off"  # only the runs that are asked for here
PARAMETERS = [NEVER, "ModelKey=models/current", "PublishMode=full"]
DEFAULT = ROOT / "models" / "default.safetensors"


class Scene(Stage):
    """Runs the whole scene, once for all tests. The tests only look at its results."""

    def run(self):
        self.took, self.next = {}, []
        self.prepare(["--generated"])
        outputs = self.deploy(self.put_history, PARAMETERS)
        self.function, self.bucket = outputs["FunctionName"], outputs["ModelBucketName"]
        self.group = outputs["LogGroupName"]
        self.models = f"s3://{self.bucket}/models"
        # there is no pointer yet, and nothing is loaded
        self.cold = measure.invoke(self.aws, self.function, {})

        self.default = self.publish(self.models, DEFAULT)
        self.pointer_after_publish = self.read("models/current")
        self.card = json.loads(self.read(f"models/{self.default}.json"))
        self.eager, self.lazy = self.variants()

        self.measured("promote the first", self.default, self.promote, self.default)
        self.first = json.loads(self.read("models/current"))
        broken = max(self.instances, key=lambda instance: instance.anomalous)
        labels = f"s3://{self.bucket}/settings/labels.json"
        self.builder("label", "--to", labels, "--instance", broken.id, "--from",
                     broken.anomaly_start.isoformat(), "--verdict", "confirmed", "--note",
                     "it was the deploy")
        self.labels = self.builder("label", "--to", labels, "--list").stdout

        self.refused_pages = self.builder("promote", "--to", self.models, "--version", self.eager,
                                          fails=True)
        self.refused_misses = self.builder("promote", "--to", self.models, "--version", self.lazy,
                                           fails=True)
        self.after_refusals = json.loads(self.read("models/current"))
        self.still = self.used()
        self.picture = self.folder / "pages.png"
        self.measured("promote with a reason", self.eager, self.promote, self.eager, "--because",
                      "we want every page", "--out", str(self.picture))
        self.overridden = json.loads(self.read("models/current"))
        self.records = [json.loads(self.read(key))
                        for key in sorted(self.keys("models/promotions/"))]

        self.measured("roll back", self.default, self.builder, "rollback", "--to", self.models,
                      "--because", "too many pages")
        self.builder("shadow", "--to", self.models, "--version", self.lazy)
        self.shadow = json.loads(self.read("models/shadow"))
        started = time.monotonic()
        wait_for("a run with the shadow", lambda: self.shadowed() == self.lazy, 20)
        self.took["shadow"] = time.monotonic() - started
        self.with_shadow = self.used()
        self.shadow_metrics = self.metrics("Shadow")
        self.builder("shadow", "--to", self.models, "--off")
        self.without_shadow = self.keys("models/shadow")
        started = time.monotonic()
        wait_for("a run without a shadow", lambda: self.shadowed() is None, 20)
        self.took["shadow off"] = time.monotonic() - started

        # The loaded model stays in use: the pointer goes bad in each way, and a rollback mends it.
        good = self.read("models/current")
        other = json.loads(good) | {"key": f"models/{self.lazy}.safetensors",
                                    "sha256": self.overridden["sha256"]}
        nothing = json.loads(good) | {"key": "models/nothing.safetensors", "sha256": "0" * 64}
        corrupt = json.loads(good) | {"key": "models/corrupt.safetensors", "sha256": "1" * 64}
        self.write("models/corrupt.safetensors", DEFAULT.read_bytes()[:-1] + b"\0\0")
        self.bad = {}
        for name, pointer in {"a pointer to nothing": nothing, "a corrupt artifact": corrupt,
                              "another checksum": other, "a file that is no pointer": "{"}.items():
            text = pointer if isinstance(pointer, str) else json.dumps(pointer)
            started = time.monotonic()
            self.write("models/current", text.encode())
            self.bad[name] = self.used()
            self.took[f"{name}: the last good model in use"] = time.monotonic() - started
            self.measured(f"{name}: mended by a rollback to another version", self.eager,
                          self.builder, "rollback", "--to", self.models, "--version", self.eager)
            # Not "the one before": that one could not be loaded.
            self.builder("rollback", "--to", self.models, "--version", self.default)
            self.back = self.used()
        self.aws.client("s3").delete_object(Bucket=self.bucket, Key="models/current")
        self.bad["no pointer"] = self.used()
        self.errors = self.logged("ERROR")
        for step, seconds in self.took.items():
            self.say(f"{step}: in use after {seconds:.2f} s")

    def variants(self):
        """The default network with a threshold at which it pages more, and with one at which it
        never does."""
        versions = []
        for name, threshold in {"eager": 0.5, "lazy": 1000.0}.items():
            file = self.folder / f"{name}.safetensors"
            file.write_bytes(rethreshold(DEFAULT.read_bytes(), threshold))
            versions.append(self.publish(self.models, file))
        return versions

    def promote(self, version, *more):
        return self.builder("promote", "--to", self.models, "--version", version, *more)

    def builder(self, *arguments, fails=False):
        """The output of model-builder for these arguments."""
        done = subprocess.run([self.model_builder(), *arguments], cwd=ROOT,
                              env={**self.aws.environment, "USER": "test"},
                              capture_output=True, text=True, timeout=120)
        with open(self.folder / "model-builder.log", "a") as log:
            log.write(f"$ model-builder {' '.join(arguments)}\n{done.stdout}{done.stderr}\n")
        if (done.returncode != 0) != fails:
            raise Failure(f"model-builder {' '.join(arguments)} ended with "
                          f"{done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    def measured(self, step, version, command, *arguments):
        """Does a command, then runs the function once, which must use `version`. Measures the time
        from the command's end to the answer."""
        began = time.monotonic()
        command(*arguments)
        moved = time.monotonic()
        self.next.append((step, version, self.used()))
        self.took[step] = time.monotonic() - moved
        self.say(f"{step}: the command took {moved - began:.1f} s, in use {self.took[step]:.2f} s "
                 "later")

    def used(self):
        """The version that a run uses now."""
        answer, error, _ = measure.invoke(self.aws, self.function, {})
        if error:
            raise Failure(f"the function failed: {json.dumps(answer)}")
        return answer["model"]["version"]

    def shadowed(self):
        """The version of the second model in a run now; None without a second model."""
        return measure.invoke(self.aws, self.function, {})[0].get("shadow")

    def metrics(self, beginning):
        """The names of the published metrics that begin so."""
        pages = self.aws.client("cloudwatch").get_paginator("list_metrics").paginate(
            Namespace=NAMESPACE)
        return {metric["MetricName"] for page in pages for metric in page["Metrics"]
                if metric["MetricName"].startswith(beginning)}

    def logged(self, level):
        lines = [line for stream in measure.log_streams(self.aws, self.group) for line in stream]
        return [line for line in lines if level in line]

    def keys(self, prefix):
        listed = self.aws.client("s3").list_objects_v2(Bucket=self.bucket, Prefix=prefix)
        return {found["Key"] for found in listed.get("Contents", [])}

    def read(self, key):
        s3 = self.aws.client("s3")
        try:
            return s3.get_object(Bucket=self.bucket, Key=key)["Body"].read().decode()
        except s3.exceptions.NoSuchKey:
            return None

    def write(self, key, content):
        self.aws.client("s3").put_object(Bucket=self.bucket, Key=key, Body=content)


def rethreshold(artifact, threshold):
    """The artifact with another threshold: its header's card, its length and its checksum written
    anew."""
    import hashlib
    size = int.from_bytes(artifact[:8], "little")
    header = json.loads(artifact[8:8 + size])
    card = json.loads(header["__metadata__"]["deepguard"])
    card |= {"threshold": threshold, "checksum": "0" * 64}
    header["__metadata__"]["deepguard"] = json.dumps(card, separators=(",", ":"))
    text = json.dumps(header, separators=(",", ":"))
    text += " " * (-len(text) % 8)
    whole = len(text).to_bytes(8, "little") + text.encode() + artifact[8 + size:]
    return whole.replace(b"0" * 64, hashlib.sha256(whole).hexdigest().encode(), 1)


class Models(Staged):
    Scene = Scene

    def test_a_cold_process_without_a_model_fails(self):
        answer, error, _ = self.scene.cold
        self.assertIsNotNone(error)
        self.assertIn("does not exist", answer["errorMessage"])

    def test_publishing_stores_a_card_and_moves_no_pointer(self):
        self.assertIsNone(self.scene.pointer_after_publish)
        self.assertEqual(self.scene.card["version"], self.scene.default)
        self.assertEqual(self.scene.card["file"]["bytes"], DEFAULT.stat().st_size)

    def test_the_first_promotion_moves_the_pointer(self):
        self.assertEqual(self.scene.first["key"], f"models/{self.scene.default}.safetensors")
        self.assertEqual((self.scene.first["by"], self.scene.first["previous"]), ("test", None))

    def test_what_pages_more_or_misses_a_confirmed_anomaly_is_refused(self):
        self.assertIn("times per instance and week", self.scene.refused_pages.stdout)
        self.assertIn("misses the confirmed anomaly", self.scene.refused_misses.stdout)
        for refused in (self.scene.refused_pages, self.scene.refused_misses):
            self.assertIn("--because", refused.stderr)
        self.assertIn("it was the deploy", self.scene.labels)
        self.assertEqual(self.scene.after_refusals, self.scene.first)
        self.assertEqual(self.scene.still, self.scene.default)

    def test_a_reason_overrides_and_is_recorded(self):
        self.assertEqual(self.scene.overridden["because"], "we want every page")
        self.assertEqual(self.scene.overridden["previous"]["key"], self.scene.first["key"])
        last = self.scene.records[-1]
        self.assertEqual((last["because"], last["version"]),
                         ("we want every page", self.scene.eager))
        self.assertTrue(last["objections"])
        self.assertEqual(len(last["comparison"]["instances"]), len(self.scene.instances))
        self.assertGreater(self.scene.picture.stat().st_size, 1000)

    def test_the_shadow_comes_and_goes_and_never_becomes_current(self):
        self.assertEqual(self.scene.shadow["key"], f"models/{self.scene.lazy}.safetensors")
        self.assertEqual(self.scene.with_shadow, self.scene.default)
        self.assertEqual(self.scene.without_shadow, set())
        self.assertLessEqual({"ShadowAnomalyScore", "ShadowInstancesScored",
                              "ShadowMaxAnomalyScore"},
                             self.scene.shadow_metrics)

    def test_a_bad_pointer_leaves_the_last_good_model_in_use_and_is_logged(self):
        self.assertEqual(set(self.scene.bad.values()), {self.scene.default}, self.scene.bad)
        self.assertEqual(self.scene.back, self.scene.default)
        for said in ("nothing.safetensors does not exist", "corrupt.safetensors cannot be used",
                     "has the checksum", "points to no model", "models/current does not exist"):
            self.assertTrue(any(said in line and "stays in use" in line
                                for line in self.scene.errors), said)

    def test_everything_was_in_effect_at_the_next_run(self):
        self.assertGreaterEqual(len(self.scene.next), 7)
        for step, expected, used in self.scene.next:
            self.assertEqual(used, expected, step)


if __name__ == "__main__":
    unittest.main(verbosity=2)
