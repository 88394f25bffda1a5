"""Checks of template.yaml that its linters do not make. Its table of parameters in
docs/reference.md is right. Each parameter is explained and in one group, and a whole number takes
the range that it states. Its version is the workspace's, and `sam publish` takes what
it says of itself. The functions know every setting that it gives them, and Lambda takes all of them
at their longest. The policy for a key of one's own lets in the services that need it.

With --write it writes the table into docs/reference.md instead of complaining about it. It needs
cfn-lint, which reads the template's own kind of YAML: `make template` runs it.
"""

import argparse
import json
import re
import sys
from pathlib import Path

from cfnlint.decode import cfn_yaml

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = "docs/reference.md"
VARIABLES = "functions/src/settings/variables.rs"
BEGIN, END = "<!-- parameters: begin -->", "<!-- parameters: end -->"
HEADING = """## Parameters

`make deploy PARAMETERS='MOfN="2 of 5" Direction=up'` sets them; the others stay as they are.
This table is made of the template, by `make reference`.
"""
# Only a value of these types has no bound but its type.
BOUNDS = ("AllowedValues", "AllowedPattern", "MinValue", "MaxValue")
# Numbers that may have a fraction. All others are whole: Lambda and Step Functions would refuse
# 2.5, but only in the middle of the deployment.
FRACTIONS = {"MinDeviation", "PagesPerWeek", "SettleMinutes", "PublishFrom",
             "ReadCallsPerSecond", "ReadDatapointsPerSecond"}
# What the Serverless Application Repository takes. (CreateApplicationRequest)
APPLICATION = {
    "Name": r"[a-zA-Z0-9-]{1,140}",
    "Description": r"(?s:.{1,256})",
    "Author": r"(?=.{1,127}$)[a-z0-9](([a-z0-9]|-(?!-))*[a-z0-9])?",
    "SpdxLicenseId": r"[A-Za-z0-9.-]+",
    "SemanticVersion": r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?",
    "LicenseUrl": r".+",
    "ReadmeUrl": r".+",
}
KEY_POLICY = "samples/key-policy.json"
# Texts whose ConstraintDescription has a range of something else than the value.
TEXTS = {"Namespace", "PagesPerInstanceWeek", "PagesPerWeek", "SettleMinutes"}
# Bytes of a function's variables, of ASCII texts. (AWS Lambda quotas)
ENVIRONMENT = 4096
# The longest number of a parameter.
NUMBER = 12
# Bytes of texts without a MaxLength, by their patterns.
SHORT = {"MOfN": 8, "EventBusName": 256, "Namespace": 255, "ModelPublicKey": 44,
         "PredictorConcurrency": 4}
# Bytes of names that CloudFormation makes: a stack has up to 128 characters, a bucket 63. The
# topic's ARN has the stack's name, the resource's, and twelve characters.
LENGTHS = {"AWS::StackName": 128, "ModelBucket": 63, "AWS::NoValue": 0, "AlarmTopic": 220}
LABEL, MOST_LABELS = r"[a-zA-Z0-9+_:/@-]{1,127}", 10


def load(path):
    """The template as plain dicts and lists, with intrinsic functions written out (`Fn::Sub`)."""
    return cfn_yaml.load(str(path))


def groups(template):
    return template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]


def allowed(parameter):
    """The values that a parameter may have, in words."""
    if "AllowedValues" in parameter:
        return ", ".join(f"`{value}`" for value in parameter["AllowedValues"])
    return parameter.get("ConstraintDescription", "").rstrip(".")


def cell(text):
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;")


def table(template):
    """The rows are in the order in which the console asks."""
    lines = ["| parameter | default | values | what it does |", "| --- | --- | --- | --- |"]
    for group in groups(template):
        lines.append(f"| **{group['Label']['default']}** | | | |")
        for name in group["Parameters"]:
            parameter = template["Parameters"].get(name, {})
            default = parameter.get("Default", "")
            shown = f"`{default}`" if default != "" else "empty"
            lines.append(f"| `{name}` | {shown} | {cell(allowed(parameter))} | "
                         f"{cell(parameter.get('Description', ''))} |")
    return "\n".join(lines)


def section(template):
    return f"{BEGIN}\n{HEADING}\n{table(template)}\n{END}"


def with_section(reference, text):
    """The reference with the new section in place of the old one, or before the first section."""
    if BEGIN in reference and END in reference:
        before, rest = reference.split(BEGIN, 1)
        return before + text + rest.split(END, 1)[1]
    at = re.search(r"^## ", reference, re.MULTILINE)
    if not at:
        raise SystemExit(f"{REFERENCE} has no section; the table belongs before the first one.")
    return reference[:at.start()] + text + "\n\n" + reference[at.start():]


def reference_problems(template, reference):
    if BEGIN not in reference or END not in reference:
        return [f"{REFERENCE} has no table of the parameters; `make reference` writes it"]
    if with_section(reference, section(template)) == reference:
        return []
    there = reference.split(BEGIN, 1)[1].split(END, 1)[0].splitlines()
    wanted = section(template).splitlines()[1:-1]
    missing = [f"  is missing: {line}" for line in wanted if line not in there]
    wrong = [f"  is wrong:   {line}" for line in there if line and line not in wanted]
    return ["\n".join([f"{REFERENCE}: the table of the parameters is not the template's; "
                       "`make reference` writes it", *missing, *wrong])]


def takes_fraction(parameter):
    """Does a parameter whose default is a whole number also take one with a fraction?"""
    default = str(parameter.get("Default", ""))
    if not default.isdecimal():
        return parameter["Type"] == "Number"
    if "AllowedValues" in parameter:
        return not all(str(value).isdecimal() for value in parameter["AllowedValues"])
    pattern = parameter.get("AllowedPattern", ".*")
    return any(re.fullmatch(pattern, default + end) for end in (".5", ".0", "e1"))


def parameter_problems(template):
    problems = []
    grouped = [name for group in groups(template) for name in group["Parameters"]]
    labels = template["Metadata"]["AWS::CloudFormation::Interface"].get("ParameterLabels", {})
    for name, parameter in template["Parameters"].items():
        if (count := grouped.count(name)) != 1:
            problems.append(f"parameter {name} is in {count} groups, and not in one")
        if name not in labels:
            problems.append(f"parameter {name} has no label")
        if not parameter.get("Description"):
            problems.append(f"parameter {name} has no description")
        if not any(bound in parameter for bound in BOUNDS):
            problems.append(f"parameter {name} has neither bounds nor a pattern nor "
                            "a list of values")
        if name not in FRACTIONS and takes_fraction(parameter):
            problems.append(f"parameter {name} is a whole number and takes a fraction: it has to "
                            "be a String with a pattern")
        if "AllowedValues" not in parameter and not parameter.get("ConstraintDescription"):
            problems.append(f"parameter {name} has no ConstraintDescription, which names the "
                            "right values after a wrong one")
    for name in [*grouped, *labels]:
        if name not in template["Parameters"]:
            problems.append(f"{name} is in a group or has a label, and is no parameter")
    return problems


def range_problems(template):
    """Whole numbers as text: the pattern takes each number of the stated range, and no other."""
    problems = []
    for name, parameter in template["Parameters"].items():
        stated = re.search(r"(\d[\d,]*) to (\d[\d,]*)", parameter.get("ConstraintDescription", ""))
        if not stated or parameter["Type"] != "String" or name in FRACTIONS | TEXTS:
            continue
        least, most = (int(number.replace(",", "")) for number in stated.groups())
        for number in range(-1, 2 * most + 2):
            if bool(re.fullmatch(parameter["AllowedPattern"], str(number))) != (
                    least <= number <= most):
                problems.append(f"parameter {name} says {stated[0]}, and its pattern is wrong "
                                f"about {number}")
        for text in (f"0{least}", f"{least}.5", f" {least}", f"+{least}"):
            if re.fullmatch(parameter["AllowedPattern"], text):
                problems.append(f"parameter {name} takes `{text}`")
    return problems


def longest(value, template):
    """The length that a text of the template may have at most."""
    if not isinstance(value, dict):
        return len(str(value))
    [(function, argument)] = value.items()
    if function == "Ref" and argument in template["Parameters"]:
        parameter = template["Parameters"][argument]
        if "AllowedValues" in parameter:
            return max(len(str(allowed)) for allowed in parameter["AllowedValues"])
        if parameter["Type"] == "Number":
            return NUMBER
        return parameter.get("MaxLength", SHORT.get(argument, 0)) or longest_unbounded(argument)
    if function == "Ref":
        return LENGTHS[argument]
    if function == "Fn::If":
        return max(longest(branch, template) for branch in argument[1:])
    if function == "Fn::Sub":
        names = re.findall(r"\$\{(.*?)\}", argument)
        rest = re.sub(r"\$\{.*?\}", "", argument)
        return len(rest) + sum(longest({"Ref": name}, template) for name in names)
    raise SystemExit(f"{function} is new in the environment: say here how long it may be")


def longest_unbounded(name):
    raise SystemExit(f"parameter {name} is in the environment and needs a MaxLength, or its "
                     "length in SHORT")


def environment_problems(template):
    """Lambda takes 4 KB of variables. Texts at their bounds must not fail the deployment."""
    problems = []
    common = template["Globals"]["Function"]["Environment"]["Variables"]
    for name, resource in template["Resources"].items():
        if resource["Type"] != "AWS::Serverless::Function":
            continue
        own = resource["Properties"].get("Environment", {}).get("Variables", {})
        size = sum(len(variable) + longest(value, template)
                   for variable, value in {**common, **own}.items())
        if size > ENVIRONMENT:
            problems.append(f"the variables of {name} may take {size} bytes, and Lambda takes "
                            f"{ENVIRONMENT}")
    return problems


def key_problems(template, policy):
    """The services that a key of one's own has to let in: those that the template lets write to the
    topic, and CloudWatch Logs. No other."""
    [topic] = [resource for resource in template["Resources"].values()
               if resource["Type"] == "AWS::SNS::TopicPolicy"]
    statements = topic["Properties"]["PolicyDocument"]["Statement"]
    statements = [statement["Fn::If"][1] if "Fn::If" in statement else statement
                  for statement in statements]
    needed = {statement["Principal"]["Service"] for statement in statements
              if statement["Effect"] == "Allow"} | {"logs.us-east-1.amazonaws.com"}
    let_in = {statement["Principal"]["Service"]: statement for statement in policy["Statement"]
              if "Service" in statement["Principal"]}
    problems = []
    if set(let_in) != needed:
        problems.append(f"{KEY_POLICY} lets in {sorted(let_in)}, and the template needs "
                        f"{sorted(needed)}")
    for service, statement in let_in.items():
        if "Condition" not in statement:
            problems.append(f"{KEY_POLICY} lets in {service} for any account")
        if not {"kms:Decrypt", "kms:GenerateDataKey*"} <= set(statement["Action"]):
            problems.append(f"{KEY_POLICY}: {service} cannot write")
    for name, resource in template["Resources"].items():
        if resource["Type"] == "AWS::SQS::Queue" and "KmsMasterKeyId" in resource["Properties"]:
            problems.append(f"{name} is encrypted with the key, and has to take what that key "
                            "makes fail")
    return problems


def version_problems(template):
    # Does not use tomllib, which Python 3.10 lacks.
    cargo = re.search(r'^\[workspace\.package\]\nversion = "(.+?)"',
                      (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
    version = template["Metadata"]["AWS::ServerlessRepo::Application"]["SemanticVersion"]
    if version == cargo:
        return []
    return [f"SemanticVersion is {version}, and the version in Cargo.toml {cargo}"]


def application_problems(template):
    """What `sam publish` would refuse."""
    application = template["Metadata"]["AWS::ServerlessRepo::Application"]
    problems = [f"{name} of the application is {application.get(name)!r}, and has to match "
                f"{pattern}"
                for name, pattern in APPLICATION.items()
                if not re.fullmatch(pattern, str(application.get(name, "")))]
    problems += [f"{name} of the application is {application[name]}, and no such file is there"
                 for name in ("LicenseUrl", "ReadmeUrl")
                 if not (ROOT / application.get(name, "")).is_file()]
    labels = application.get("Labels", [])
    problems += [f"label {label} of the application has to match {LABEL}"
                 for label in labels if not re.fullmatch(LABEL, str(label))]
    if len(labels) > MOST_LABELS:
        problems.append(f"the application has {len(labels)} labels, and may have {MOST_LABELS}")
    return problems


def variables_of(template):
    """{variable: functions that are given it}"""
    given = {}
    for variable in template["Globals"]["Function"]["Environment"]["Variables"]:
        given.setdefault(variable, []).append("all functions")
    for name, resource in template["Resources"].items():
        if resource["Type"] == "AWS::Serverless::Function":
            for variable in resource["Properties"].get("Environment", {}).get("Variables", {}):
                given.setdefault(variable, []).append(name)
    return given


def known_variables(settings):
    """The names in VARIABLES of settings/variables.rs, through the constants that it lists."""
    constant = r'^pub\(super\) const (\w+): Variable = Variable \{\s*name: "(\w+)"'
    names = dict(re.findall(constant, settings, re.MULTILINE))
    listed = re.search(r"^pub const VARIABLES: \[Variable; \d+\] = \[(.*?)\];", settings,
                       re.MULTILINE | re.DOTALL)
    return {names[constant] for constant in re.findall(r"\w+", listed[1])} if listed else set()


def variable_problems(template, settings):
    given, known = variables_of(template), known_variables(settings)
    problems = [f"{name}, which {' and '.join(functions)} are given, is not in VARIABLES of "
                f"{VARIABLES}"
                for name, functions in given.items() if name not in known]
    return problems + [f"{name} of {VARIABLES} is given to no function"
                       for name in sorted(known - set(given))]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true",
                        help=f"write the table of the parameters into {REFERENCE}")
    options = parser.parse_args()
    template = load(ROOT / "template.yaml")
    path = ROOT / REFERENCE
    if options.write:
        path.write_text(with_section(path.read_text(), section(template)))
    problems = (parameter_problems(template) + version_problems(template)
                + variable_problems(template, (ROOT / VARIABLES).read_text())
                + reference_problems(template, path.read_text()))
    problems += application_problems(template) + range_problems(template)
    problems += environment_problems(template)
    problems += key_problems(template, json.loads((ROOT / KEY_POLICY).read_text()))
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problems" if problems
          else f"template.yaml, {REFERENCE} and the settings agree")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
