"""Child process that serves one GGUF file with llama.cpp; started by :mod:`infra.providers.llama_server`.

It reads its configuration as JSON from standard input, writes one line of JSON to standard output when the model is
loaded, and ends when standard input does.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import msgspec

from infra.engine.files import Unloadable
from infra.providers.merged_adapters import merge

_LOCALHOST: Final = "127.0.0.1"


class ChildConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the child serves, and how."""

    #: Path of the GGUF file, and of LoRA adapters beside it.
    model: str
    adapters: tuple[str, ...] = ()
    #: Name of the file with the adapters in its weights; empty: they stay beside the model.
    merged: str = ""
    #: Requests at once, and tokens of prompt and answer of each.
    rows: int
    max_len: int
    threads: int
    #: Layers on a GPU; -1: as many as it holds.
    gpu_layers: int = 0
    #: Key that each request must show: other users of the machine reach the port too.
    api_key: str


def main() -> None:
    """Serve until standard input ends."""
    config = msgspec.json.decode(sys.stdin.buffer.readline(), type=ChildConfig)
    # llama.cpp writes to standard output and standard error; the answer has a channel of its own.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    # 100 MB, and without type stubs.
    library: Any = import_module("xllamacpp")
    config, unmerged = _merged(config)
    server = library.Server(_parameters(library, config))
    answers.write(json.dumps({"url": server.listening_address, "unmerged": unmerged}) + "\n")
    answers.flush()
    sys.stdin.buffer.read()
    # Its threads do not end while they write an answer.
    os._exit(0)


def _merged(config: ChildConfig) -> tuple[ChildConfig, str]:
    """The configuration with the merged file, or as it is and why."""
    if not config.merged:
        return config, ""
    try:
        file = merge(Path(config.model), tuple(map(Path, config.adapters)), config.merged)
    except (Unloadable, ImportError, OSError, ValueError, NotImplementedError) as error:
        return config, str(error) or type(error).__name__
    return msgspec.structs.replace(config, model=str(file), adapters=()), ""


def _parameters(library: Any, config: ChildConfig) -> Any:
    made = library.CommonParams()
    made.model.path = config.model
    adapters: list[Any] = []
    for path in config.adapters:
        adapter = library.CommonAdapterLoraInfo()
        adapter.path, adapter.scale = path, 1.0
        adapters.append(adapter)
    made.lora_adapters = adapters
    made.hostnames = [_LOCALHOST]
    made.port = 0
    made.api_keys = [config.api_key]
    made.n_parallel = config.rows
    made.n_ctx = config.rows * config.max_len
    made.n_gpu_layers = config.gpu_layers
    made.cpuparams.n_threads = made.cpuparams_batch.n_threads = config.threads
    made.use_jinja = True
    made.ui = False
    made.verbosity = 0
    # What all prompts of a kind begin with is computed once and copied from one request's memory to another's.
    made.cache_prompt = True
    return made


if __name__ == "__main__":
    main()
