"""What providers say on training with their models' outputs, as far as we have read it.

Not legal advice: sentences of our own on texts that change. What is not here is not known to us,
and is said so; a note that a person made in the store is never overwritten.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from langchain_core.language_models import BaseChatModel

from ..chains.offline import RuleTeacher
from ..chains.teachers import model_name, model_parameters
from ..store.provenance import set_terms, terms_of
from ..store.rows import Terms
from ..store.store import Store
from .labelling.prices import provider_of
from .runs import now

UNKNOWN = "not known to us; read your provider's terms before you train on its outputs"
_READ = "2026-11-25"  # the day on which the texts, or what others quote of them, were looked up
_HOSTED = "The terms of whoever hosts the model hold as well."


@dataclass(frozen=True)
class _Text:
    """A service's terms (`service`), or an open model's licence (`family`, of its name)."""

    source: str
    dated: str
    note: str
    service: str = ""
    family: str = ""
    licence: str | None = None


_TEXTS = (
    _Text(
        service="openai",
        source="https://openai.com/policies/services-agreement/ 3.3(e)",
        dated="2026-01-01",
        note="Outputs may not be used to develop AI models that compete with OpenAI; models that "
        "mainly classify or organise data are excepted as long as they are not distributed or sold "
        "to others.",
    ),
    _Text(
        service="anthropic",
        source="https://www.anthropic.com/legal/aup, https://www.anthropic.com/legal/"
        "commercial-terms D.4",
        dated="2025-09-15 and 2025-06-17",
        note="Outputs may not be used to train an AI model without Anthropic's prior "
        "authorisation, whether or not the model competes.",
    ),
    _Text(
        service="google_genai",
        source="https://ai.google.dev/gemini-api/terms",
        dated="2026-03-23",
        note="The service may not be used to develop models that compete with the Gemini API or "
        "AI Studio, nor to extract or replicate its models.",
    ),
    _Text(
        service="xai",
        source="https://x.ai/legal/terms-of-service-enterprise 3.2",
        dated="2026-08-14",
        note="Outputs may not be used to train AI systems unless an order form with xAI expressly "
        "allows it.",
    ),
    _Text(
        service="mistralai",
        source="https://legal.mistral.ai/terms/commercial-terms-of-service 3.3",
        dated="2026-09-25",
        note="The customer owns the outputs; a limit on training names image outputs only, and "
        "outputs may not be used to reverse engineer Mistral's products.",
    ),
    _Text(
        service="deepseek",
        source="https://cdn.deepseek.com/policies/en-US/"
        "deepseek-open-platform-terms-of-service.html 4.2(3)",
        dated="2026-04-29",
        note="Outputs may be used to train other models, distillation is named.",
    ),
    _Text(
        service="cohere",
        source="https://cohere.com/saas-agreement",
        dated="2026-09-18, as read by others",
        note="The service may not be used for the benefit of a direct competitor, which includes "
        "whoever offers language models for licence or sale; no word on training was found.",
    ),
    _Text(
        family=r"deepseek-r1-distill-llama",
        licence="MIT and Llama Community License",
        source="https://github.com/deepseek-ai/DeepSeek-R1 README 7",
        dated="2026-09-14, as read by others",
        note="DeepSeek allows distillation, but the model was made from Llama 3.1 or 3.3, whose "
        "licence asks that a model trained on outputs and passed on has a name that starts with "
        f"Llama. {_HOSTED}",
    ),
    _Text(
        family=r"deepseek-?r1",
        licence="MIT",
        source="https://github.com/deepseek-ai/DeepSeek-R1 README 7",
        dated="2026-09-14, as read by others",
        note=f"Distillation for training other language models is named as allowed. {_HOSTED}",
    ),
    _Text(
        family=r"llama[-_ ]?(3[._-][123](?![\db])|4(?![\db]))",
        licence="Llama Community License",
        source="https://github.com/meta-llama/llama-models models/llama3_1/LICENSE, "
        "models/llama4/LICENSE 1.b.i",
        dated="2024-07-23 to 2025-04-05",
        note="Outputs may be used to train a model; one that is passed on must have a name that "
        f"starts with Llama. {_HOSTED}",
    ),
    _Text(
        family=r"llama[-_ ]?[23](?![\db._])",
        licence="Llama 2 or Meta Llama 3 Community License",
        source="https://github.com/meta-llama/llama3 LICENSE 1.b.v",
        dated="2024-04-18",
        note="Outputs may not be used to improve any other large language model than Llama "
        f"itself. {_HOSTED}",
    ),
    _Text(
        family=r"qwen-?3(\.\d+)?[-:_](0\.6|1\.7|4|8|14|27|30|32|235)b",
        licence="Apache-2.0",
        source="https://github.com/QwenLM/Qwen3 README",
        dated="2026-07-06, as read by others",
        note=f"The weights' licence sets no limit on outputs. {_HOSTED}",
    ),
    _Text(
        family=r"gpt-oss-(20|120)b|gpt-oss:",
        licence="Apache-2.0",
        source="https://huggingface.co/openai/gpt-oss-120b",
        dated="2026-10-01, as read by others",
        note=f"The weights' licence sets no limit on outputs. {_HOSTED}",
    ),
    _Text(
        family=r"gemma[-_]?4",
        licence="Apache-2.0",
        source="https://ai.google.dev/gemma/docs/gemma_4_license",
        dated="2026-04-01",
        note=f"The weights' licence sets no limit on outputs. {_HOSTED}",
    ),
    _Text(
        family=r"gemma[-_]?[123](?![\db])",
        licence="Gemma Terms of Use",
        source="https://ai.google.dev/gemma/terms",
        dated="2026-04-01",
        note="A model trained on its outputs to behave like it counts as a derivative of Gemma: "
        f"it may be passed on with Gemma's terms and use restrictions. {_HOSTED}",
    ),
)
_HOSTS = {
    "api.openai.com": "openai",
    "api.anthropic.com": "anthropic",
    "generativelanguage.googleapis.com": "google_genai",
    "api.x.ai": "xai",
    "api.mistral.ai": "mistralai",
    "api.deepseek.com": "deepseek",
    "api.cohere.com": "cohere",
    "api.cohere.ai": "cohere",
}


def known_terms(model: BaseChatModel) -> Terms | None:
    """What we know of the terms on training with this model's outputs; None is: nothing.

    A service's own terms come first, by where the calls go; then the licence of an open model, by
    its name.
    """
    name = model_name(model)
    if isinstance(model, RuleTeacher):
        return Terms(
            model=name,
            licence="Apache-2.0",
            note="Rules of this program itself: its outputs may be used for any training.",
            noted=now(),
        )
    service = _service(model)
    found = next((text for text in _TEXTS if text.service and text.service == service), None)
    found = found or next((t for t in _TEXTS if t.family and re.search(t.family, name, re.I)), None)
    if found is None:
        return None
    return Terms(
        model=name,
        licence=found.licence,
        note=f"{found.note} Text of {found.dated}, looked up {_READ}.",
        source=found.source,
        noted=now(),
    )


def told_terms(model: BaseChatModel, noted: Terms | None = None) -> str:
    """One line for a person: the model, what is `noted` in the store or else known, the source."""
    terms = noted or known_terms(model)
    if terms is None:
        return f"terms of {model_name(model)}: {UNKNOWN}"
    source = f" ({terms.source})" if terms.source else ""
    return f"terms of {model_name(model)}: {terms.note}{source}"


def note_terms(store: Store, models: Sequence[BaseChatModel]) -> list[Terms]:
    """Note what is known of each model's terms under its name, where nothing was noted before.

    Returns what the store says now of those of which it says something. Raises StoreError.
    """
    found = []
    for model in models:
        terms = terms_of(store, model_name(model))
        if terms is None and (terms := known_terms(model)) is not None:
            set_terms(store, terms)
        found += [terms] if terms else []
    return found


def _service(model: BaseChatModel) -> str:
    """Whose terms the calls fall under, by the address they go to; "" for any other host."""
    url = model_parameters(model).get("base_url")
    if url is None:
        return provider_of(model)
    return _HOSTS.get(urlsplit(str(url)).hostname or "", "")
