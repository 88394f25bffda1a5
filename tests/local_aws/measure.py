"""Measures the deployed function: its runs in the log, speed, memory, answers to events."""

import json
import re
import statistics
import time

import fleet
from environment import ROOT
from local_aws import Failure, peak_memory_mb

WARM_INVOKES = 5
# the files of events/ that must be answered with an error
REFUSED = ("malformed.json", "foreign.json", "label.json")  # there is no such incident


class Run:
    """One invocation, as the function's log tells it."""

    def __init__(self, lines):
        self.summary = next((found for line in lines if (found := find_summary(line))), None)
        duration = re.search(r"^REPORT.*?\bDuration: (\d+) ms", "\n".join(lines), re.MULTILINE)
        self.duration_ms = int(duration[1]) if duration else None
        self.ended = any(line.startswith("END ") for line in lines)
        self.error = None
        if self.ended and not self.summary:
            own = [line for line in lines if not re.match(r"(START|END|REPORT) ", line)]
            self.error = ("\n".join(own) or "it wrote no log, so it ended before it was ready; "
                          "see MiniStack's log")


def find_summary(line):
    """The run's summary in a line of the log, however deep the log's format wraps it; None if the
    line has no summary."""
    try:
        return search(json.loads(line))
    except ValueError:
        return None


def search(value):
    if isinstance(value, str) and value.startswith("{"):
        return find_summary(value)
    if isinstance(value, dict):
        if "instances" in value and "duration_ms" in value:
            return value
        return next((found for part in value.values() if (found := search(part))), None)
    return None


def log_streams(aws, group):
    """The log, a list of lines for each stream, oldest stream first. MiniStack opens a stream for
    every invocation."""
    logs = aws.client("logs")
    try:
        pages = logs.get_paginator("describe_log_streams").paginate(logGroupName=group)
        streams = [stream for page in pages for stream in page["logStreams"]]
    except logs.exceptions.ResourceNotFoundException:
        return []
    streams.sort(key=lambda stream: stream.get("firstEventTimestamp") or 0)
    return [[event["message"] for event in logs.get_log_events(
        logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True)["events"]]
            for stream in streams]


def scheduled_runs(aws, group):
    """The finished runs. The schedule alone invokes the function as long as the journey waits for
    the alarm."""
    return [run for run in map(Run, log_streams(aws, group)) if run.ended]


def invoke(aws, function, event):
    """(the answer, the error it is or None, milliseconds as the caller sees them)"""
    started = time.monotonic()
    answer = aws.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
    payload = json.loads(answer["Payload"].read() or "null")
    return payload, answer.get("FunctionError"), (time.monotonic() - started) * 1000


def speed_and_memory(aws, function, first):
    """Measures the cold start of the first scheduled run, warm invokes by hand, and the peak memory
    of the process that did both."""
    warm = []
    for _ in range(WARM_INVOKES):
        payload, error, milliseconds = invoke(aws, function, {"dry_run": True})
        if error:
            raise Failure(f"A dry run by hand failed: {json.dumps(payload)}")
        warm.append((milliseconds, payload["duration_ms"]))
    memory = [peak for pid in aws.lambda_processes() if (peak := peak_memory_mb(pid))]
    return {
        # From the start of the process to the answer, as MiniStack's REPORT line has it.
        "cold_start_ms": first.duration_ms,
        "cold_init_ms": first.summary.get("init_ms"),
        "cold_run_ms": first.summary.get("duration_ms"),
        "was_cold": first.summary.get("cold_start"),
        "warm_invokes": WARM_INVOKES,
        "warm_invoke_ms": statistics.median(seen for seen, _ in warm),
        "warm_run_ms": statistics.median(said for _, said in warm),
        "peak_memory_mb": max(memory, default=None),
    }


def each_event(aws, function, instances):
    """Invokes the function with every file of events/: a summary, or a clear error for those that
    must be refused."""
    answers = []
    for path in sorted((ROOT / "events").glob("*.json")):
        event = json.loads(path.read_text())
        refused = path.name in REFUSED
        if not refused:
            move_to_this_fleet(event, instances)
        payload, error, _ = invoke(aws, function, event)
        if refused:
            fine = error is not None and bool(payload.get("errorMessage"))
        else:
            fine = error is None and is_answered(event, payload, instances)
        answers.append({"event": path.name, "refused": refused, "as_expected": fine,
                        "answer": payload})
    return answers


def is_answered(event, summary, instances):
    """Is it about all the instances that the event asks for? A shard has only some of them, and
    this program cannot tell which."""
    if "test" in event:
        return summary == {"test": {"events": 1, "messages": 1, "chats": 0, "failed": 0}}
    whole = {"shard": event.get("shard", 0), "shards": event.get("shards", 1)}
    seen = summary["instances"]["seen"]
    asked = seen if "shard" in event else len(event.get("instances", instances))
    return summary["shard"] == whole and asked == seen == has_score(summary)


def has_score(summary):
    """Instances that have a score of their newest datapoint, given in this run or in one before
    it."""
    return summary["instances"]["scored"] + summary["instances"]["unchanged"]


def move_to_this_fleet(event, instances):
    """Gives an event of the files the time of now and an instance of the local AWS. The files have
    a fixed time and an instance that does not exist."""
    if "time" in event:
        event["time"] = fleet.format_time(instances[0].datapoints[-1][0] + 2 * fleet.STEP)
    if "instances" in event:
        event["instances"] = [instances[0].id]
