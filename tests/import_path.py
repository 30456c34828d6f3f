"""Import path of children: this checkout's application and client, whatever is installed."""

import os
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
#: For ``PYTHONPATH``.
IMPORT_PATH: Final = os.pathsep.join((str(ROOT), str(ROOT / "infra" / "client")))
