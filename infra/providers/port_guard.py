"""Port guard: every failure of a provider becomes a ``ProviderError``.

What a model or a server does outside of the contract is the provider's failure, not the pipeline's: it is
reported, the call is tried again, and the next provider of a chain is called.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from contracts.errors import ErrorCode
from contracts.policy.quoting import replace_surrogates
from contracts.ports import ProviderError
from contracts.usage import Attempt

if TYPE_CHECKING:
    from contracts.events import Params
    from contracts.ports import Completion, OnToken, Prompt, Provider

#: Characters of an error's text that are passed on.
_MAX_SAID = 200


class Guarded:
    """A provider whose every failure is a :class:`ProviderError`.

    Args:
        provider: who is asked.
        on_defect: called with an error that is outside of the contract.
    """

    def __init__(self, provider: Provider, *, on_defect: Callable[[Exception], None]) -> None:
        self.name = provider.name
        self.model = provider.model
        self._provider = provider
        self._on_defect = on_defect

    async def generate(
        self,
        prompt: Prompt,
        params: Params,
        schema: Mapping[str, Any] | None = None,
        on_token: OnToken | None = None,
    ) -> Completion:
        """Ask; the port's contract.

        Raises:
            ProviderError: the provider's own; for any other error ``GEN_PROVIDER_UNAVAILABLE``, worth a retry.
        """
        began = time.perf_counter()
        try:
            return await self._provider.generate(prompt, params, schema, on_token)
        except ProviderError:
            raise
        except Exception as error:
            self._on_defect(error)
            said = replace_surrogates(" ".join(str(error)[:_MAX_SAID].split()))
            why = f"{self.name} failed: {type(error).__name__}: {said}"
            attempt = Attempt(
                provider=self.name,
                model=self.model,
                code=ErrorCode.GEN_PROVIDER_UNAVAILABLE,
                time_ms=(time.perf_counter() - began) * 1000,
                why=why,
            )
            raise ProviderError(
                ErrorCode.GEN_PROVIDER_UNAVAILABLE, why, retryable=True, attempts=(attempt,)
            ) from error
