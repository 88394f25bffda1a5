"""The old API on a local AWS: the real bootstrap as the function `predictor`, asked directly and
with the events of a function URL. The inputs, good and bad, are of the kinds that the earlier
service got. MiniStack stores a function URL but does not serve it."""

import base64
import json
import math
import shutil
import tempfile
import unittest
import zipfile
from pathlib import Path

import environment
from environment import ROOT

if __name__ == "__main__":
    environment.continue_in("aws")

import measure
from local_aws import LocalAws, Processes, wait_for
from stage import BOOTSTRAP

NAME = "deepguard-predictor"
CALM = [12 + 0.5 * math.sin(i / 8) + (i * 7 % 5) / 5 for i in range(50)]


def with_value(index, value):
    return [*CALM[:index], value, *CALM[index + 1:]]


# The request, and the expected verdict: an anomaly or not.
GOOD = {
    "fifty calm values": (CALM, False),
    "a spike": (with_value(30, 99.0), True),
    "a spike at the end": (with_value(49, 99.0), True),
    "a drop of a busy machine": ([*(value + 70 for value in CALM[:40]), 0.0,
                                  *(value + 70 for value in CALM[41:])], True),
    "a constant": ([12.5] * 50, False),
    "whole numbers": ([round(value) for value in CALM], False),
    "a window, the least": (CALM[:32], False),
}
# The request, and the expected error message.
BAD = {
    "too few": ({"sequence": CALM[:10]}, "it has 10 values: give 32 to 4032"),
    "too many": ({"sequence": [1.0] * 4033}, "it has 4033 values"),
    "no number": ({"sequence": with_value(7, "high")}, "holds at 7 (counted from 0) \"high\""),
    "nothing in between": ({"sequence": with_value(7, None)}, "holds at 7 (counted from 0) null"),
    "more than a processor": ({"sequence": with_value(7, 130.0)},
                              "its value 7 (counted from 0) is 130"),
    "no list": ({"sequence": 12.5}, "invalid type"),
    "another name": ({"values": CALM}, "unknown field `values`"),
    "nothing": ({}, "missing field `sequence`"),
}


class Predict(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, folder, ignore_errors=True)
        processes = Processes()
        cls.addClassCleanup(processes.end_all)
        cls.aws = LocalAws(processes, environment.programs("aws"), folder / "scratch",
                           folder / "ministack.log")
        cls.aws.start()
        package = folder / "bootstrap.zip"
        with zipfile.ZipFile(package, "w", zipfile.ZIP_DEFLATED) as archive:
            entry = zipfile.ZipInfo("bootstrap")
            entry.external_attr = 0o755 << 16
            archive.writestr(entry, BOOTSTRAP.read_bytes())
        cls.functions = cls.aws.client("lambda")
        cls.create(NAME, package, {})
        cls.create("without-model", package, {"MODEL_URI": "s3://nobody/models/current"})

    @classmethod
    def create(cls, name, package, variables):
        cls.functions.create_function(FunctionName=name, Runtime="provided.al2023",
                                      Handler="predictor", MemorySize=512,
                                      Role="arn:aws:iam::000000000000:role/predictor", Timeout=60,
                                      Architectures=["x86_64"],
                                      Environment={"Variables": variables},
                                      Code={"ZipFile": package.read_bytes()})
        wait_for(f"{name} to be active",
                 lambda: cls.functions.get_function(
                     FunctionName=name)["Configuration"].get("State", "Active") == "Active", 60)

    def ask(self, event, function=NAME):
        payload, error, _ = measure.invoke(self.aws, function, event)
        return payload, error

    def http(self, method, path, body=None, function=NAME, encoded=False):
        text = body if isinstance(body, str) or body is None else json.dumps(body)
        if encoded:
            text = base64.b64encode(text.encode()).decode()
        event = {"version": "2.0", "rawPath": path, "body": text, "isBase64Encoded": encoded,
                 "requestContext": {"http": {"method": method, "path": path}}}
        answer, error = self.ask(event, function)
        self.assertIsNone(error, answer)
        return answer["statusCode"], json.loads(answer["body"])

    def test_good_input(self):
        for name, (sequence, is_anomaly) in GOOD.items():
            with self.subTest(name):
                direct, error = self.ask({"sequence": sequence})
                self.assertIsNone(error, direct)
                self.assertEqual(direct["is_anomaly"], is_anomaly, direct)
                self.assertEqual(direct["is_anomaly"], direct["score"] >= 1.0)
                self.assertEqual(direct["is_anomaly"],
                                 direct["reconstruction_error"] >= direct["threshold"])
                self.assertEqual(len(direct["expected"]), len(sequence))
                for encoded in (False, True):
                    self.assertEqual(self.http("POST", "/predict", {"sequence": sequence},
                                               encoded=encoded), (200, direct))
                print(f"{name}: error {direct['reconstruction_error']:.2f}, threshold "
                      f"{direct['threshold']:.2f}, "
                      f"score {direct['score']:.2f}")

    def test_bad_input(self):
        for name, (question, why) in BAD.items():
            with self.subTest(name):
                status, body = self.http("POST", "/predict", question)
                self.assertEqual(status, 400)
                self.assertIn(why, body["error"])
                answer, error = self.ask(question)
                self.assertIsNotNone(error, "a direct question gets an error of the function")
                self.assertEqual(answer["errorType"], "InputError")
                self.assertIn(why, answer["errorMessage"])
                print(f"{name}: {body['error']}")
        self.assertEqual(self.http("POST", "/predict", '{"sequence": [NaN]}')[0], 400)

    def test_other_ways(self):
        self.assertEqual([self.http("GET", "/predict")[0], self.http("POST", "/other", {})[0]],
                         [405, 404])

    def test_health_is_honest(self):
        status, body = self.http("GET", "/health")
        self.assertEqual((status, body["status"], body["model"]["source"]), (200, "ok", "builtin"))
        status, body = self.http("GET", "/health", function="without-model")
        self.assertEqual((status, body["status"]), (503, "no model"))
        self.assertEqual(self.http("POST", "/predict", {"sequence": CALM},
                                   function="without-model")[0], 503)

    def test_the_samples(self):
        for path in sorted((ROOT / "samples").glob("predict-*.json")):
            answer, error = self.ask(json.loads(path.read_text()))
            self.assertIsNone(error, answer)
            self.assertIn(answer.get("statusCode", 200), [200])

    def test_the_log_has_the_metrics(self):
        self.ask({"sequence": with_value(30, 99.0)})
        lines = [json.loads(line)
                 for stream in measure.log_streams(self.aws, f"/aws/lambda/{NAME}")
                 for line in stream
                 if line.startswith('{"_aws"') or '"_aws"' in line]
        self.assertTrue(any(line.get("deepguard_anomalies_total") == 1 for line in lines), lines)


if __name__ == "__main__":
    unittest.main(verbosity=2)
