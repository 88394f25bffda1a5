"""Makes the files of a release from build/bootstrap/bootstrap, in build/package/<architecture>:

- deepguard-<version>-<architecture>.zip, the package of the functions for Lambda;
- sbom.cdx.json, the crates in it and what needs what, as CycloneDX;
- THIRD_PARTY.md, whose code it is and under which licences;
- SHA256SUMS, the checksums of these, for `sha256sum --check`.

    $ python3 tests/package.py [--check]

The same bootstrap and Cargo.lock give the same bytes: there is no time stamp and no random number.
With --check it makes nothing, and tells whether the SBOM and THIRD_PARTY.md name the same crates.

The SBOM is made here, from what tests/notices.py takes for the crates of the bootstrap.
cargo-cyclonedx would list build scripts and procedural macros, which are not in it, make a file for
every member of the workspace, and name the folders of this machine. Where the module `cyclonedx`
can be had, as in the environment `lints`, the SBOM is held to the schema of CycloneDX, too.
"""

import hashlib
import importlib.util
import io
import json
import re
import shutil
import sys
import uuid
import zipfile

import notices
from notices import ROOT

BOOTSTRAP = ROOT / "build" / "bootstrap" / "bootstrap"
PACKAGES = ROOT / "build" / "package"
THIRD_PARTY, SBOM, SUMS = notices.DOCUMENT.name, "sbom.cdx.json", "SHA256SUMS"
SPECIFICATION = "1.6"
# The instruction sets by their numbers in the header of a program.
MACHINES = {62: "x86_64", 183: "arm64"}
# The earliest time that a zip can hold.
NO_TIME = (1980, 1, 1, 0, 0, 0)
DEEPGUARD = "deepguard"


def version():
    described = json.loads(notices.cargo("metadata", "--no-deps", "--format-version", "1"))
    return next(package["version"] for package in described["packages"]
                if package["name"] == "functions")


def architecture(bootstrap):
    machine = MACHINES.get(int.from_bytes(bootstrap[18:20], "little"))
    if bootstrap[:4] != b"\x7fELF" or machine is None:
        sys.exit(f"{BOOTSTRAP} is no program for Lambda; `make build` makes one")
    return machine


def zipped(bootstrap):
    """A zip with the bootstrap at its root, for everyone to run. The same version of zlib packs it
    into the same bytes."""
    entry = zipfile.ZipInfo("bootstrap", NO_TIME)
    entry.create_system = 3  # Unix, where permissions count
    entry.external_attr = 0o100755 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(entry, bootstrap, compresslevel=9)
    return target.getvalue()


def checksums():
    """{(name, version): SHA-256 of the crate's source}, from Cargo.lock."""
    lock = (ROOT / "Cargo.lock").read_text(encoding="utf-8")
    return {(name, number): checksum for name, number, checksum in re.findall(
        r'^name = "(.+)"\nversion = "(.+)"\nsource = .*\nchecksum = "(\w+)"', lock, re.MULTILINE)}


def reference(crate):
    name, number = crate
    # A package URL has no plain plus.
    return f"pkg:cargo/{name}@{number.replace('+', '%2B')}"


def needs(crates):
    """{reference: references of what it needs}. The crates of this workspace are one."""
    found = {DEEPGUARD: set(), **{reference(crate): set() for crate in crates}}
    for target in notices.TARGETS:
        above = []
        for depth, crate in notices.tree(target):
            here = reference(crate) if crate in crates else DEEPGUARD
            del above[depth:]
            if above and above[-1] != here:
                found[above[-1]].add(here)
            above.append(here)
    return found


def sbom(number, bootstrap):
    """The bill of materials, as bytes. Without a bootstrap it lists the same crates."""
    packages = {(package["name"], package["version"]): package for package in notices.crates()}
    sums = checksums()
    deepguard = {"type": "application", "bom-ref": DEEPGUARD, "name": DEEPGUARD, "version": number,
                 "licenses": [{"expression": "MIT OR Apache-2.0"}]}
    if bootstrap:
        deepguard["hashes"] = [{"alg": "SHA-256", "content": sha256(bootstrap)}]
    components = [
        {"type": "library", "bom-ref": reference(crate), "name": crate[0], "version": crate[1],
         "scope": "required", "hashes": [{"alg": "SHA-256", "content": sums[crate]}],
         "licenses": [{"expression": re.sub(r" */ *", " OR ", package["license"])}],
         "purl": reference(crate)}
        for crate, package in sorted(packages.items())]
    bill = {"bomFormat": "CycloneDX", "specVersion": SPECIFICATION, "version": 1,
            "metadata": {"component": deepguard}, "components": components,
            "dependencies": [{"ref": ref, "dependsOn": sorted(needed)}
                             for ref, needed in sorted(needs(packages).items())]}
    # Derived from the content: equal bills have equal numbers.
    serial = uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(bill, sort_keys=True))
    return (json.dumps({"serialNumber": serial.urn, **bill}, indent=1) + "\n").encode()


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def problems_of(bill, third_party):
    """The SBOM names other crates than the notices, or breaks the schema."""
    bill_text, bill = bill.decode(), json.loads(bill)
    in_bill = [(component["name"], component["version"]) for component in bill["components"]]
    in_notices = re.findall(r"^\| ([\w-]+) \| (\d\S*) \|", third_party.decode(), re.MULTILINE)
    problems = [f"{' '.join(crate)} is in {THIRD_PARTY}, and not in the SBOM"
                for crate in in_notices if crate not in in_bill]
    problems += [f"{' '.join(crate)} is in the SBOM, and not in {THIRD_PARTY}"
                 for crate in in_bill if crate not in in_notices]
    if importlib.util.find_spec("cyclonedx"):
        from cyclonedx.schema import SchemaVersion
        from cyclonedx.validation.json import JsonStrictValidator
        error = JsonStrictValidator(SchemaVersion.from_version(SPECIFICATION)).validate_str(
            bill_text)
        # The rest of it quotes the schema.
        problems += [f"the SBOM is no CycloneDX: {str(error).splitlines()[0]}"] if error else []
    return problems


def make():
    if not BOOTSTRAP.exists():
        sys.exit(f"There is no {BOOTSTRAP}; `make build` makes it")
    bootstrap, number = BOOTSTRAP.read_bytes(), version()
    machine = architecture(bootstrap)
    contents = {f"{DEEPGUARD}-{number}-{machine}.zip": zipped(bootstrap),
                SBOM: sbom(number, bootstrap), THIRD_PARTY: notices.DOCUMENT.read_bytes()}
    problems = problems_of(contents[SBOM], contents[THIRD_PARTY])
    if not problems:
        contents[SUMS] = "".join(f"{sha256(content)}  {name}\n"
                                 for name, content in contents.items()).encode()
        folder = PACKAGES / machine
        # Without the files of another version.
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name, content in contents.items():
            (folder / name).write_bytes(content)
        print("\n".join(f"{len(content):>9} {folder.relative_to(ROOT) / name}"
                        for name, content in contents.items()))
    return problems


def main():
    check = sys.argv[1:] == ["--check"]
    problems = (problems_of(sbom(version(), None), notices.DOCUMENT.read_bytes()) if check
                else make())
    for problem in problems:
        print(problem)
    if check and not problems:
        print(f"the SBOM names the crates of {THIRD_PARTY}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
