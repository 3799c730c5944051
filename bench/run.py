#!/usr/bin/env python3
"""`python3 bench/run.py [NAME…]`: all benchmarks, or those named. See bench/README.md."""

import importlib
import os
import platform
import subprocess
import sys

from common import BOXSHIP, PLACE, ROOT

NAMES = ["api", "rest", "start", "many", "lines", "registry", "unpack", "balancer", "services", "scale"]


def main():
    names = sys.argv[1:] or NAMES
    if unknown := [name for name in names if name not in NAMES]:
        sys.exit(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}")
    PLACE.mkdir(parents=True, exist_ok=True)
    if "BOXSHIP" not in os.environ:
        subprocess.run(["cargo", "build", "--release", "--bin", "boxship"], cwd=ROOT, check=True)
    print(f"{BOXSHIP}: {BOXSHIP.stat().st_size >> 20} MiB; {os.cpu_count()} processors, kernel {platform.release()}, "
          f"load {os.getloadavg()[0]:.1f}", flush=True)
    for name in names:
        importlib.import_module(f"bench_{name}").main()


if __name__ == "__main__":
    main()
