"""What the Hugging Face hub holds: bases, and students that somebody has pushed there."""

from __future__ import annotations

from pathlib import Path

from .card import CARD_FILE, StudentError

# Weights in other formats and duplicates of the same weights stay on the hub.
_WANTED = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
_UNWANTED = ["consolidated*", "original/*", "onnx/*"]
_BARE: set[str] = set()  # repositories of which the hub has said that they hold no card


def hub_card(model: str) -> Path | None:
    """The card of the student that the hub repository `model` holds; None where it holds none.

    Also where the hub cannot be asked and the cache has none: whoever then loads a base says why.
    """
    from huggingface_hub import errors, hf_hub_download

    if model in _BARE:
        return None
    try:
        return Path(hf_hub_download(model, CARD_FILE))
    except errors.LocalEntryNotFoundError:
        return None
    except errors.EntryNotFoundError:
        _BARE.add(model)
        return None
    except (errors.HfHubHTTPError, errors.HFValidationError, OSError):
        return None


def download(base: str, revision: str | None) -> Path:
    """The files of a repository that a model needs, from the cache or the hub."""
    from huggingface_hub import errors, snapshot_download

    try:
        folder = snapshot_download(
            base, revision=revision, allow_patterns=_WANTED, ignore_patterns=_UNWANTED
        )
    except errors.GatedRepoError as error:
        raise _refused(base, error.response.status_code) from error
    except errors.RevisionNotFoundError as error:
        raise StudentError(f"{base}: the hub has no revision {revision}; give another") from error
    except errors.RepositoryNotFoundError as error:
        # The hub answers 401 alike for a model that is private and one that is not there.
        raise StudentError(
            f"{base}: the hub has no such model, or it is private (401); check the name, or set "
            "HF_TOKEN. For a folder of your own give its path, starting with ./"
        ) from error
    except errors.HFValidationError as error:
        raise StudentError(f"{base} is neither a folder nor a hub id; check the name") from error
    except (errors.HfHubHTTPError, OSError) as error:
        raise _unreachable(base, error) from error
    return Path(folder)


def _unreachable(base: str, error: Exception) -> StudentError:
    """What the hub answered; huggingface_hub hides it behind "not in the cache"."""
    answers = (getattr(one, "response", None) for one in (error, error.__cause__))
    status = next((answer.status_code for answer in answers if answer is not None), None)
    if status in (401, 403):
        return _refused(base, status)
    if status is not None:
        return StudentError(f"{base}: the hub answers with status {status}; try again later")
    return StudentError(
        f"{base} is not in the local cache and the hub cannot be reached; connect, or give a "
        "model's folder"
    )


def _refused(base: str, status: int) -> StudentError:
    return StudentError(
        f"{base}: the hub refused ({status}). Accept the licence at https://huggingface.co/{base} "
        "and set HF_TOKEN"
    )
