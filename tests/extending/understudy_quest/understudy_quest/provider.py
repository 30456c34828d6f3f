import json

from contracts.policy.quoting import extract_last_quote
from contracts.ports import Completion
from infra.providers.spec import ProviderSpec


class Echo:
    """Writes what it is asked for, and structures it as a quest of one step."""

    name = "echo"
    model = "echo-1"

    async def generate(self, prompt, params, schema=None, on_token=None):
        words = extract_last_quote(prompt.text).strip()
        quest = {"goal": words, "title": words[:60], "steps": [words]}
        text = words if schema is None else json.dumps(quest)
        if on_token is not None:
            on_token(text)
        return Completion(text=text, provider=self.name, model=self.model, finish_reason="stop", amount=0.0)


ECHO = ProviderSpec(make=lambda *_: Echo())
