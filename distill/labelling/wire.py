"""Chat completions of the openai package, as data: without walking its types for every call.

The package's own `create` and `parse` walk the request along the types of its parameters and build
a typed answer, which langchain-openai turns back into data: that is half of a call's processor time
on the client's side. `post` is the package's public way to ask for JSON; headers, authentication,
errors and timeouts are the same.
"""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

_PATH = "/chat/completions"
_RAW = {"X-Stainless-Raw-Response": "true"}  # what `with_raw_response` adds
_OPTIONS = {"extra_headers": "headers", "extra_query": "params", "extra_body": "extra_json"}


def lean(model: Any, root: Any) -> Any:
    """The client `root` of a model of langchain-openai, whose chat completions are data.

    Only for the package's own classes: those that build on them may read the typed answer.
    """
    if not type(model).__module__.startswith("langchain_openai."):
        return root
    return _Lean(root, chat=SimpleNamespace(completions=_Completions(root)))


class _Lean:
    """An object with some of its attributes replaced."""

    def __init__(self, whole: Any, **replaced: Any) -> None:
        vars(self).update(replaced, _whole=whole)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)


class _Completions(_Lean):
    def __init__(self, client: Any) -> None:
        super().__init__(client.chat.completions)
        raw = self._whole.with_raw_response
        self.with_raw_response = _Lean(
            raw, create=self._post(raw.create), parse=self._post(raw.parse)
        )
        self._client = client

    def _post(self, whole: Any) -> Any:
        async def post(**payload: Any) -> Any:
            if payload.get("stream") or isinstance(payload.get("response_format"), type):
                return await whole(**payload)
            options: dict[str, Any] = {
                name: value
                for key, name in _OPTIONS.items()
                if (value := payload.pop(key, None)) is not None
            }
            options["headers"] = {**options.get("headers", {}), **_RAW}
            if "timeout" in payload:
                options["timeout"] = payload.pop("timeout")
            raw = await self._client.post(_PATH, cast_to=object, body=payload, options=options)
            return _Lean(raw, parse=lambda: _data(raw))

        return post


def _data(raw: Any) -> Any:
    """The answer as JSON data, or typed where the model refuses: only so it is told.

    Raises APIResponseValidationError for a body that is no JSON object, e.g. a proxy's page.
    """
    data = raw.parse()
    if isinstance(data, str):
        try:
            data = json.loads(data)
        except ValueError:
            data = None
    if not isinstance(data, dict):
        from openai import APIResponseValidationError

        raise APIResponseValidationError(response=raw.http_response, body=None)
    choices = data.get("choices")
    if isinstance(choices, list) and any(_refused(choice) for choice in choices):
        from openai.types.chat import ChatCompletion

        return raw.parse(to=ChatCompletion)
    return data


def _refused(choice: Any) -> bool:
    message = choice.get("message") if isinstance(choice, dict) else None
    return isinstance(message, dict) and bool(message.get("refusal"))
