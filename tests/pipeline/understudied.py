"""What stands in for stages where only their supervision is tested?

Run as a program: ``understudied.py FOLDER STAGE…``.  What it does on purpose is told by files in
FOLDER: ``exit-N`` (removed when seen, unless ``always`` is there too), ``deaf``.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit


def main() -> None:
    folder, stages = Path(sys.argv[1]), sys.argv[2:]
    name = "+".join(stages)
    for file in folder.glob("exit-*"):
        if not (folder / "always").exists():
            file.unlink(missing_ok=True)
        sys.exit(int(file.name.removeprefix("exit-")))

    def stop(_number: int, _frame: object) -> None:
        url = urlsplit(os.environ["UNDERSTUDY_NATS_URL"])
        with socket.socket() as probe:
            there = probe.connect_ex((url.hostname, url.port)) == 0
        (folder / f"stopped-{name}-{os.getpid()}").write_text("broker up" if there else "broker gone")
        sys.exit(0)

    signal.signal(signal.SIGTERM, signal.SIG_IGN if (folder / "deaf").exists() else stop)
    sys.stdout.write("a line for people\n")
    sys.stdout.write(json.dumps({"ready": True, "stages": stages}) + "\n")
    sys.stdout.flush()
    while True:
        signal.pause()


main()
