"""Holds the journey of `make run` to the expected outcome, end to end. The journey itself is in
journey.py; this test repeats no part of it.

Two journeys run at the same time, one on NAB's data if there are any and one on the generated
fleet, and a third is interrupted. Each must end its own processes, and must not disturb another.
"""

import contextlib
import json
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock
from urllib.parse import urlsplit

import environment
from local_aws import Interruption, Processes, listens

JOURNEY = Path(__file__).resolve().parent / "journey.py"
DEADLINE = 300  # seconds; a journey takes less than two minutes


class Started:
    """A journey that runs on its own, with its output in a file and its result as JSON."""

    def __init__(self, folder, name, *options):
        self.output = Path(folder) / f"{name}.txt"
        self.result_file = Path(folder) / f"{name}.json"
        with open(self.output, "wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, str(JOURNEY), "--result", str(self.result_file), "--", *options],
                stdout=output, stderr=subprocess.STDOUT)

    def finish(self):
        """(exit code, result, output)"""
        try:
            code = self.process.wait(DEADLINE)
        finally:
            self.stop()
        result = json.loads(self.result_file.read_text()) if self.result_file.exists() else None
        return code, result, self.output.read_text(errors="replace")

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)


def left_running(folder):
    """Processes that still have the run's folder in their environment, as every process of the
    local AWS has."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"{folder}/scratch".encode() in (entry / "environ").read_bytes():
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                found.append(command.decode(errors="replace"))
    return found


def picture_size(path):
    """Width and height in a PNG's header, or None if it is no PNG."""
    header = Path(path).read_bytes()[:24]
    return struct.unpack(">II", header[16:24]) if header[:8] == b"\x89PNG\r\n\x1a\n" else None


class Interrupted(unittest.TestCase):
    def test_a_program_that_starts_at_that_moment_is_ended_too(self):
        popen = subprocess.Popen

        def interrupted_popen(*arguments, **options):
            process = popen(*arguments, **options)
            signal.raise_signal(signal.SIGINT)
            return process

        before = signal.getsignal(signal.SIGINT)
        self.addCleanup(signal.signal, signal.SIGINT, before)
        signal.signal(signal.SIGINT, Interruption.arrive)
        processes = Processes()
        self.addCleanup(processes.end_all)
        with tempfile.TemporaryDirectory() as folder:
            with mock.patch("subprocess.Popen", interrupted_popen):
                with self.assertRaises(KeyboardInterrupt):
                    processes.start(["sleep", "300"], f"{folder}/log")
        self.assertEqual(len(processes.started), 1)
        processes.end_all()
        self.assertIsNotNone(processes.started[0].returncode)


class EndToEnd(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        environment.programs("aws")
        environment.programs("tools")
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        started = {name: Started(cls.folder.name, name, *options)
                   for name, options in {"default": [], "generated": ["--generated"]}.items()}
        for journey in started.values():
            cls.addClassCleanup(journey.stop)
        cls.results = []
        for name, journey in started.items():
            code, result, output = journey.finish()
            print(f"--- {name}\n{output}")  # the test's log has the output, too
            if code != 0:
                raise AssertionError(f"the journey `{name}` ended with {code}; its output is above")
            cls.results.append(result)

    def test_the_schedule_invoked_the_function(self):
        for result in self.results:
            self.assertGreaterEqual(result["invoked_by_schedule"], 1)
            self.assertFalse(result["summary"]["dry_run"])
            self.assertTrue(result["summary"]["cold_start"])

    def test_every_instance_was_scored_with_the_published_model(self):
        for result in self.results:
            self.assertEqual(result["summary"]["instances"]["seen"], len(result["verdicts"]))
            self.assertEqual(result["summary"]["instances"]["scored"], len(result["verdicts"]))
            self.assertRegex(result["summary"]["model"]["source"], "^s3://")

    def test_the_alarm_rang_and_its_notification_arrived(self):
        for result in self.results:
            self.assertEqual(result["alarm"]["state"], "ALARM")
            self.assertEqual(result["notification"]["AlarmName"], result["alarm"]["name"])
            self.assertEqual(result["notification"]["NewStateValue"], "ALARM")

    def test_the_detector_is_not_taken_for_silent_or_failing(self):
        for result in self.results:
            self.assertNotIn("ALARM", result["other_alarms"].values())

    def test_anomalies_are_found_and_quiet_instances_are_told_apart(self):
        for result in self.results:
            verdicts = [verdict["verdict"] for verdict in result["verdicts"]]
            self.assertIn("found", verdicts)
            self.assertIn("silent, as expected", verdicts)
            for verdict in result["verdicts"]:
                fitting = {"anomaly": ("found", "missed"),
                           "quiet": ("silent, as expected", "false alarm")}
                self.assertIn(verdict["verdict"], fitting[verdict["expected"]])

    def test_the_picture_is_a_png_of_a_size_to_look_at(self):
        for result in self.results:
            width, height = picture_size(result["picture"])
            self.assertTrue(600 <= width <= 6000 and 400 <= height <= 12000, (width, height))

    def test_every_event_file_is_answered(self):
        for result in self.results:
            self.assertEqual({event["event"] for event in result["events"]},
                             {path.name for path in (environment.ROOT / "events").glob("*.json")})
            self.assertTrue(all(event["as_expected"] for event in result["events"]))

    def test_speed_and_memory_were_measured(self):
        for result in self.results:
            measured = result["measured"]
            self.assertGreater(measured["cold_start_ms"], 0)
            self.assertGreater(measured["warm_invoke_ms"], 0)
            if sys.platform == "linux":
                self.assertGreater(measured["peak_memory_mb"], 1)

    def test_nothing_is_left_running(self):
        for result in self.results:
            self.assert_nothing_left(result)

    def test_an_interrupted_journey_ends_what_it_started(self):
        journey = Started(self.folder.name, "interrupted", "--generated")
        self.addCleanup(journey.stop)
        deadline = time.monotonic() + DEADLINE
        while "deployed:" not in journey.output.read_text(errors="replace"):
            self.assertIsNone(journey.process.poll(), journey.output.read_text(errors="replace"))
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.1)
        journey.process.send_signal(signal.SIGINT)
        code, result, output = journey.finish()
        self.assertEqual(code, 130, output)
        self.assert_nothing_left(result)

    def assert_nothing_left(self, result):
        self.assertFalse(listens(urlsplit(result["endpoint"]).port), result["endpoint"])
        self.assertEqual(left_running(result["folder"]), [])
        self.assertFalse((Path(result["folder"]) / "scratch").exists())


if __name__ == "__main__":
    unittest.main(verbosity=2)
