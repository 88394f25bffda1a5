"""The replayed fleet: puts the output of `model-builder replay` into CloudWatch, and reads the
scores of the detector."""

import csv
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path

PERIOD = 300  # seconds; EC2's basic monitoring
STEP = timedelta(seconds=PERIOD)
PUT_LIMIT = 1000  # datums that PutMetricData takes
QUERY_LIMIT = 500  # queries that GetMetricData takes
SCORE_METRICS = ("AnomalyScore", "ReconstructionError")


class Instance:
    """One replayed instance: the source of its data, whether it should raise the alarm, and its
    datapoints."""

    def __init__(self, described, folder):
        self.id = described["instance"]
        self.source = described["source"]
        self.anomalous = described["expected"] == "anomaly"
        start = described.get("anomaly_start")
        self.anomaly_start = parse_time(start) if start else None
        self.note = described.get("note", "")
        with open(Path(folder) / f"{self.id}.csv", newline="") as file:
            self.datapoints = [(parse_time(row["time"]), float(row["value"]))
                               for row in csv.DictReader(file)]


def read_fleet(folder):
    """The output of `model-builder replay --out folder`, as (kind of source, instances)."""
    replay = json.loads((Path(folder) / "replay.json").read_text())
    return replay["source"], [Instance(described, folder) for described in replay["instances"]]


def put_history(cloudwatch, instances, since=None, until=None):
    """Puts every instance's CPU into CloudWatch as EC2 would have, from `since` until before
    `until` where they are given. Returns the number of datapoints."""
    batches = []
    for instance in instances:
        dimensions = [{"Name": "InstanceId", "Value": instance.id}]
        datums = [{"MetricName": "CPUUtilization", "Dimensions": dimensions, "Timestamp": time,
                   "Value": value, "Unit": "Percent"} for time, value in instance.datapoints
                  if (since is None or time >= since) and (until is None or time < until)]
        batches += [datums[i:i + PUT_LIMIT] for i in range(0, len(datums), PUT_LIMIT)]
    # Two at a time: the server is one process, so more calls would only wait there.
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(
            lambda batch: cloudwatch.put_metric_data(Namespace="AWS/EC2", MetricData=batch),
            batches))
    return sum(map(len, batches))


def read_published(cloudwatch, namespace, instances, since, until, statistic="Maximum"):
    """The published scores, as rows (instance, time, metric, value), oldest first. Maximum, as the
    alarm: a datapoint that was published twice is still one datapoint."""
    queries = [{"Id": f"q{number}", "Label": f"{instance.id} {metric}", "MetricStat": {
                    "Metric": {"Namespace": namespace, "MetricName": metric,
                               "Dimensions": [{"Name": "InstanceId", "Value": instance.id}]},
                    "Period": PERIOD, "Stat": statistic}}
               for number, (instance, metric) in enumerate(
                   (i, m) for i in instances for m in SCORE_METRICS)]
    rows = []
    for start in range(0, len(queries), QUERY_LIMIT):
        pages = cloudwatch.get_paginator("get_metric_data").paginate(
            MetricDataQueries=queries[start:start + QUERY_LIMIT], StartTime=since,
            EndTime=until + STEP, ScanBy="TimestampAscending")
        for page in pages:
            for result in page["MetricDataResults"]:
                instance, metric = result["Label"].split(" ")
                rows += [(instance, time, metric, value)
                         for time, value in zip(result["Timestamps"], result["Values"])]
    return sorted(rows, key=lambda row: (row[0], row[2], row[1]))


def write_published(path, rows):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("instance", "time", "metric", "value"))
        writer.writerows((instance, format_time(time), metric, value)
                         for instance, time, metric, value in rows)


def verdicts(instances, rows):
    """The detector's verdict on each instance, as a list of dicts. 1.0 is the threshold of
    AnomalyScore."""
    result = []
    for instance in instances:
        scores = [(time, value) for name, time, metric, value in rows
                  if name == instance.id and metric == "AnomalyScore"]
        highest = max((value for _, value in scores), default=None)
        # Only an alarm since the beginning of an anomaly is a find.
        raised = any(value >= 1.0 for time, value in scores
                     if instance.anomaly_start is None or time >= instance.anomaly_start)
        if highest is None:
            verdict = "not scored"
        elif instance.anomalous:
            verdict = "found" if raised else "missed"
        else:
            verdict = "false alarm" if raised else "silent, as expected"
        result.append({
            "instance": instance.id, "source": instance.source,
            "expected": "anomaly" if instance.anomalous else "quiet",
            "cpu_now": instance.datapoints[-1][1], "score_now": scores[-1][1] if scores else None,
            "highest_score": highest, "verdict": verdict, "note": instance.note})
    return result


def parse_time(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))  # Python 3.10 does not know the Z


def settled():
    """The time up to which the detector scores now: two minutes ago (`SettleMinutes`)."""
    return format_time(datetime.now(timezone.utc) - timedelta(minutes=2))


def format_time(time):
    return time.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
