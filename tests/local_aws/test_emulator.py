"""The same bootstrap under cargo-lambda's emulator of the Lambda Runtime API, invoked with every
file of events/, as the README shows it for development. CloudWatch is the local AWS with a
generated fleet; the model is the compiled-in one, as in a deployment without ModelKey."""

import json
import subprocess
import tempfile
import unittest
from pathlib import Path

import environment
from environment import ROOT, TARGET

if __name__ == "__main__":
    environment.continue_in("aws")

import fleet
import measure
from local_aws import LocalAws, Processes, free_port, listens, wait_for
from stage import BOOTSTRAP


class Emulator(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cargo_lambda = str(environment.programs("tools") / "cargo-lambda")
        temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(temporary.cleanup)
        cls.folder = Path(temporary.name)
        processes = Processes()
        cls.addClassCleanup(processes.end_all)
        cls.aws = LocalAws(processes, environment.programs("aws"), cls.folder / "scratch",
                           cls.folder / "ministack.log")
        cls.aws.start()
        subprocess.run([str(TARGET / "debug" / "model-builder"), "replay", "--generated",
                        "--out", str(cls.folder / "replay"), "--now",
                        fleet.settled()],
                       check=True, stdout=subprocess.DEVNULL)
        _, cls.instances = fleet.read_fleet(cls.folder / "replay")
        fleet.put_history(cls.aws.client("cloudwatch"), cls.instances)
        cls.port = str(free_port())
        # Without --only-lambda-apis it would compile the function for itself, into a target folder
        # of its own.
        cls.watch = processes.start([cls.cargo_lambda, "lambda", "watch", "--only-lambda-apis",
                                     "-A", "127.0.0.1",
                                     "-P", cls.port], cls.folder / "watch.log", cwd=ROOT,
                                    env=cls.aws.environment)
        wait_for("cargo lambda watch to listen", 
                 lambda: listens(cls.port) or cls.watch.poll() is not None, 30)
        if cls.watch.poll() is not None:
            raise AssertionError(f"cargo lambda watch has ended:\n{cls.log('watch')}")
        cls.bootstrap = processes.start([str(BOOTSTRAP)], cls.folder / "bootstrap.log", env={
            **cls.aws.environment,
            "_HANDLER": "detector",
            "AWS_LAMBDA_RUNTIME_API": f"http://127.0.0.1:{cls.port}/.rt",
            "AWS_LAMBDA_FUNCTION_NAME": "_",  # the emulator's name for a function that is not named
            "AWS_LAMBDA_FUNCTION_VERSION": "1",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        })

    @classmethod
    def log(cls, name):
        path = cls.folder / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def invoke(self, path):
        """`cargo lambda invoke` with the event, moved to this fleet: (the answer or None, the
        output)."""
        event = json.loads(path.read_text())
        if path.name not in measure.REFUSED:
            measure.move_to_this_fleet(event, self.instances)
        sent = self.folder / path.name
        sent.write_text(json.dumps(event))
        done = subprocess.run([self.cargo_lambda, "lambda", "invoke", "-A", "127.0.0.1", "-P",
                               self.port,
                               "--data-file", str(sent)], cwd=ROOT, env=self.aws.environment,
                              timeout=60, capture_output=True, text=True)
        self.assertIsNone(self.bootstrap.poll(),
                          f"the bootstrap has ended:\n{self.log('bootstrap')}")
        answer = json.loads(done.stdout) if done.returncode == 0 else None
        return answer, done.stdout + done.stderr

    def test_every_event_file(self):
        for path in sorted((ROOT / "events").glob("*.json")):
            with self.subTest(path.name):
                answer, printed = self.invoke(path)
                if path.name in measure.REFUSED:
                    self.assertIsNone(answer, printed)
                    self.assertIn("rror", printed)
                else:
                    self.assertIsNotNone(answer, printed)
                    if path.name == "test-alerts.json":
                        # It has neither bus nor topic here.
                        self.assertEqual(set(answer["test"].values()), {0})
                        continue
                    self.assertIn("scored", answer["instances"])
                    self.assertEqual(answer["shard"]["shards"], 4 if "shard" in path.name else 1)

    def test_a_direct_event_scores_the_fleet_with_the_compiled_in_model(self):
        answer, printed = self.invoke(ROOT / "events" / "direct.json")
        self.assertIsNotNone(answer, printed)
        self.assertEqual(measure.has_score(answer), len(self.instances))
        self.assertFalse(answer["model"]["source"].startswith("s3://"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
