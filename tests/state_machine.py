"""Prints shards.asl.json as a template of its own, with the definition in it. So `cfn-lint` checks
its states; it does not where a template names a file."""

import json
from pathlib import Path

DEFINITION = Path(__file__).resolve().parent.parent / "shards.asl.json"
SUBSTITUTIONS = {"FunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:detector",
                 "Shards": "4"}

if __name__ == "__main__":
    print(json.dumps({"Resources": {"Shards": {
        "Type": "AWS::StepFunctions::StateMachine",
        "Properties": {"RoleArn": "arn:aws:iam::123456789012:role/shards",
                       "DefinitionSubstitutions": SUBSTITUTIONS,
                       "Definition": json.loads(DEFINITION.read_text())}}}}))
