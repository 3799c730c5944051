"""Unpacking an image, next to umoci: crates/oci/examples/unpack.rs does both in turn."""

import os
import subprocess

from common import PLACE, ROOT, debian, title

MIB, ROUNDS = os.environ.get("MIB", "256"), os.environ.get("ROUNDS", "3")


def main():
    title("Unpack: goal ≥ 2 × umoci")
    at = debian("umoci", "umoci")
    environment = {**os.environ, "TMPDIR": str(PLACE), "PATH": f"{at}/usr/bin:{os.environ['PATH']}"}
    subprocess.run(["cargo", "run", "--release", "-q", "-p", "oci", "--example", "unpack", "--", MIB, ROUNDS],
                   cwd=ROOT, env=environment, check=True)
