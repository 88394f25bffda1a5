"""Training on a fleet's own history on a local AWS: fifty instances over two weeks, once without
faults and once with faults during a twentieth of the time. The threshold hardly moves, and training
reports the instances that it leaves out. Then explain draws one of the faults."""

import json
import os
import re
import subprocess
import unittest
from datetime import datetime, timezone

import environment

if __name__ == "__main__":
    environment.continue_in("aws")

import fleet
from environment import ROOT
from local_aws import Failure
from stage import Stage, Staged

INSTANCES, DAYS, PERCENT, SEED = 50, 14, 5, 1
MOST = 0.10  # by how much faults may move the threshold
MARGIN = 1800  # seconds that are left out before an anomaly


class Scene(Stage):
    """Runs the whole scene, once for all tests. The tests only look at its results."""

    def run(self):
        self.now = fleet.settled()
        self.fleets = {"clean": self.generate("clean", 0),
                       "faulty": self.generate("faulty", PERCENT)}
        self.aws.start()
        cloudwatch = self.aws.client("cloudwatch")
        for name, instances in self.fleets.items():
            points = fleet.put_history(cloudwatch, instances)
            self.say(f"{name} fleet: {points:,} datapoints of {len(instances)} instances are in "
                     "CloudWatch")
        self.trained = {name: self.train(name) for name in self.fleets}
        self.again = self.builder(
            *self.command_of("faulty", self.folder / "again.safetensors")).stdout
        for name, (card, _) in self.trained.items():
            self.say(f"threshold of the {name} fleet: {card['threshold']}")
        self.explained = self.explain()

    def generate(self, name, percent):
        folder = self.folder / name
        self.builder("replay", "--generated", "--machines", str(INSTANCES), "--days", str(DAYS),
                     "--faulty", str(percent),
                     "--seed", str(SEED), "--now", self.now, "--out", str(folder))
        return fleet.read_fleet(folder)[1]

    def command_of(self, name, out):
        chosen = [word for instance in self.fleets[name] for word in ("--instance", instance.id)]
        return ["train", "--cloudwatch", "--days", str(DAYS), *chosen, "--cache",
                str(self.folder / "cache"),
                "--out", str(out), "--card", str(self.folder / f"{name}.md")]

    def train(self, name):
        """The card of the artifact, and the output of the command."""
        out = self.folder / f"{name}.safetensors"
        said = self.builder(*self.command_of(name, out)).stdout
        self.say(f"trained on the {name} fleet")
        return json.loads(self.builder("inspect", "--json", "--artifact", str(out)).stdout), said

    def explain(self):
        """Lets explain draw the worst instance that the training has left out."""
        card, _ = self.trained["faulty"]
        worst = card["training"]["fleet"]["left_out"][0]
        at = datetime.fromtimestamp(worst["from"] + MARGIN, timezone.utc)
        self.picture = self.folder / "explained.png"
        return self.builder("explain", "--artifact", str(self.folder / "faulty.safetensors"),
                            "--instance", worst["instance"],
                            "--at", fleet.format_time(at), "--hours", "24", "--out",
                            str(self.picture)).stdout

    def builder(self, *arguments):
        done = subprocess.run([self.model_builder(), *arguments], cwd=ROOT,
                              env=self.aws.environment or os.environ,
                              capture_output=True, text=True, timeout=600)
        if done.returncode != 0:
            raise Failure(f"model-builder {arguments[0]} failed:\n{done.stdout}\n{done.stderr}")
        return done


class Training(Staged):
    Scene = Scene

    def test_the_threshold_hardly_moves_with_faults_in_a_twentieth_of_the_time(self):
        clean, faulty = (self.scene.trained[name][0]["threshold"] for name in ("clean", "faulty"))
        print(f"threshold {clean} on the clean fleet, {faulty} on the faulty one: "
              f"{100 * (faulty / clean - 1):+.1f} %")
        self.assertLessEqual(abs(faulty / clean - 1), MOST)

    def test_what_was_left_out_is_reported(self):
        card, said = self.scene.trained["faulty"]
        own = card["training"]["fleet"]
        self.assertEqual(own["instances"], INSTANCES)
        # CloudWatch refuses datapoints older than two weeks. The first datapoints became too old
        # before they were put.
        self.assertAlmostEqual(own["datapoints"] + own["left_out_datapoints"],
                               INSTANCES * DAYS * 288, delta=INSTANCES * 12)
        self.assertGreater(own["left_out_stretches"], 0)
        for stretch in own["left_out"]:
            self.assertIn(stretch["instance"], said)
        clean = self.scene.trained["clean"][0]["training"]["fleet"]
        self.assertLess(clean["left_out_datapoints"], own["left_out_datapoints"])

    def test_the_card_says_what_is_found(self):
        text = (self.scene.folder / "faulty.md").read_text()
        for part in ("Injected faults", "all faults", "budget", "Left out:", "](faulty.png)"):
            self.assertIn(part, text)
        self.assertTrue((self.scene.folder / "faulty.png").read_bytes().startswith(b"\x89PNG"))

    def test_a_second_run_reads_only_today_and_gives_the_same(self):
        found = re.search(r"history: 50 instances over 14 days; (\d+) days read, (\d+) known from",
                          self.scene.again)
        read, known = map(int, found.groups())
        self.assertEqual((self.scene.folder / "again.safetensors").read_bytes(),
                         (self.scene.folder / "faulty.safetensors").read_bytes())
        # today, and yesterday where that is not long over
        self.assertLessEqual(read, 2 * INSTANCES)
        self.assertGreaterEqual(known, (DAYS - 1) * INSTANCES)

    def test_a_fault_is_drawn_from_cloudwatch_and_told_of(self):
        self.assertRegex(self.scene.explained,
                         r"at \S+Z CPU was [\d.]+ %, expected [\d.]+ % \([\d.]+ to [\d.]+ %\)")
        self.assertTrue(self.scene.picture.read_bytes().startswith(b"\x89PNG"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
