"""What stands in for stages where only their supervision is tested?

Run as a program: ``understudied.py FOLDER STAGE…``.  What it does on purpose is told by files in
FOLDER: ``exit-N`` (removed when seen, unless ``always`` is there too; what it holds is told as the
mistake), ``deaf`` (to SIGTERM), ``mute`` (never beats), ``unready`` (never ready), ``heir`` (leaves a
process behind that holds its output).
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit


def main() -> None:
    folder, stages = Path(sys.argv[1]), sys.argv[2:]
    name = "+".join(stages)
    for file in folder.glob("exit-*"):
        problem = file.read_text()
        if not (folder / "always").exists():
            file.unlink(missing_ok=True)
        if problem:
            sys.stdout.write(json.dumps({"problem": problem}) + "\n")
        sys.exit(int(file.name.removeprefix("exit-")))

    def stop(_number: int, _frame: object) -> None:
        url = urlsplit(os.environ["UNDERSTUDY_NATS_URL"])
        with socket.socket() as probe:
            there = probe.connect_ex((url.hostname, url.port)) == 0
        (folder / f"stopped-{name}-{os.getpid()}").write_text("broker up" if there else "broker gone")
        sys.exit(0)

    signal.signal(signal.SIGTERM, signal.SIG_IGN if (folder / "deaf").exists() else stop)
    if (folder / "heir").exists():
        # Holds the output open for longer than this process lives.
        heir = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        (folder / f"heir-of-{os.getpid()}").write_text(str(heir.pid))
    sys.stdout.write("a line for people\n")
    if not (folder / "unready").exists():
        sys.stdout.write(json.dumps({"ready": True, "stages": stages}) + "\n")
    sys.stdout.flush()
    beats_to = int(os.environ["SUPERVISOR_BEATS_FD"])
    while True:
        if not (folder / "mute").exists():
            os.write(beats_to, b".")
        time.sleep(0.05)


main()
