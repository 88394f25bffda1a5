"""Writes the texts for a person at the end of the journey."""

from pathlib import Path

import measure


def tail(path, lines):
    path = Path(path)
    if not path.exists():
        return f"({path}: none)"
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def table(headers, rows):
    """Columns as wide as their content; numbers to the right."""
    cells = [headers] + [["" if cell is None
                          else f"{cell:.2f}" if isinstance(cell, float) else str(cell)
                          for cell in row] for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(len(headers))]
    right = [any(isinstance(row[column], (int, float)) for row in rows)
             for column in range(len(headers))]
    lines = ["  ".join(cell.rjust(width) if to_right else cell.ljust(width)
                       for cell, width, to_right in zip(line, widths, right)).rstrip()
             for line in cells]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def print_result(journey):
    result = journey.result
    print("\nWhat the detector made of each instance (a score of 1.00 is the threshold)\n")
    columns = ("instance", "source", "cpu_now", "score_now", "highest_score", "expected", "verdict")
    print(table(["instance", "source", "CPU now %", "score now", "highest", "expected", "verdict"],
                [[verdict[column] for column in columns] for verdict in result["verdicts"]]))
    notes = [f"  {v['instance']}: {v['note']}" for v in result["verdicts"]
             if v["note"] and v["verdict"] in ("missed", "false alarm")]
    if notes:
        print("\nAbout the wrong ones\n" + "\n".join(notes))
    summary, alarm = result["summary"], result["alarm"]
    told, measured = result["notification"], result["measured"]
    print(f"\nRun           {summary['instances']['scored']} of {summary['instances']['seen']} "
          f"instances scored, newest datapoint {summary['newest_datapoint']},"
          f" model {summary['model']['version']} from {summary['model']['source']}")
    print(f"Alarm         {alarm['name']}: {alarm['state']}")
    print(f"  reason      {alarm['reason']}")
    print("  others      "
          + ", ".join(f"{name}: {state}" for name, state in result["other_alarms"].items()))
    print(f"Notification  {told['AlarmName']}: {told['OldStateValue']} -> {told['NewStateValue']}")
    print(f"  message     {told['AlarmDescription']}")
    print(f"  reason      {told['NewStateReason']}")
    print(f"Cold start    {milliseconds(measured['cold_start_ms'])} from the start of the process "
          f"to the answer (ready after {milliseconds(measured['cold_init_ms'])}, "
          f"first run {milliseconds(measured['cold_run_ms'])})")
    print(f"Warm invoke   {milliseconds(measured['warm_invoke_ms'])} as the caller sees it,"
          f" {milliseconds(measured['warm_run_ms'])} in the function "
          f"(median of {measured['warm_invokes']} dry runs)")
    memory = measured["peak_memory_mb"]
    print(f"Peak memory   {f'{memory:.0f} MB' if memory else 'not measured: this needs Linux'}")
    print(f"Picture       {result['picture']}")
    print(f"Took          {result['seconds']:.0f} s; the local AWS is stopped, logs are in "
          f"{result['folder']}")


def milliseconds(value):
    return "?" if value is None else f"{value:.0f} ms"


def print_failure(journey, failure):
    """Prints the failure, the logs that matter, and the place of the rest. The local AWS still runs
    at this point."""
    print(f"\nFAILED: {failure}")
    if journey.aws.endpoint is None:
        return  # nothing has run that could have a log
    print_logs(journey)
    print(f"\nEverything is in {journey.folder}. If the log above does not say it: build again "
          "(`make build`), run again"
          " (`make run`); what MiniStack cannot do is listed in docs/reference.md.")


def print_logs(stage):
    for name, group in {"detector": "/aws/lambda/deepguard",
                        "calibrator": "/aws/lambda/deepguard-calibrator"}.items():
        print(f"\n--- the log of the {name}")
        try:
            streams = measure.log_streams(stage.aws, group)
            print("\n".join(line for stream in streams[-3:] for line in stream[-20:])
                  or "(it was not invoked)")
        except Exception as error:  # an unreadable log must not hide the failure itself
            print(f"(cannot be read: {error})")
    print("\n--- the last lines of MiniStack's log\n" + tail(stage.folder / "ministack.log", 25))
