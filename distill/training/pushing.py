"""A student or a merged model on the hub: what serving needs is sent, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from ...chains.student.card import CARD_FILE, StudentCard, StudentError
from ...chains.student.weights import EMBEDDED, check_student, is_student
from .cards import MODEL_CARD
from .merging import MERGED_FILE

# By name, so that logs, checkpoints, reports and whatever else lies there stay at home.
_TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
)
_WEIGHTS = ("model.safetensors", "model-*-of-*.safetensors", "model.safetensors.index.json")
_WHOLE = ("config.json", "generation_config.json", *_WEIGHTS)
_ADAPTER = ("adapter_config.json", "adapter_model.safetensors")
_ALWAYS = (*_TOKENIZER, MODEL_CARD)


@dataclass(frozen=True)
class Parcel:
    """What a push sends: the files by name with their sizes in bytes, to which repository."""

    folder: Path
    repo: str
    files: dict[str, int]

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(self.files.values())


def parcel(folder: Path, repo: str) -> Parcel:
    """What `push` would send of a run folder or a merged model's folder. Raises StudentError.

    An adapter over a base that is a folder of this machine is refused: nobody else has that base.
    """
    if is_student(str(folder)):
        card = check_student(folder)
        _check_base(card, folder)
        wanted: tuple[str, ...] = (CARD_FILE, *_ADAPTER, *_WHOLE, *_ALWAYS)
    elif (folder / MERGED_FILE).is_file():
        wanted = (MERGED_FILE, *_WHOLE, *_ALWAYS)
    else:
        raise StudentError(
            f"{folder} is neither a student's run folder nor a merged model; train or merge first"
        )
    names = sorted(
        entry.name
        for entry in folder.iterdir()
        if entry.is_file() and any(fnmatch(entry.name, pattern) for pattern in wanted)
    )
    return Parcel(folder, repo, {name: (folder / name).stat().st_size for name in names})


def push(folder: Path, repo: str, *, private: bool = True, token: str | None = None) -> str:
    """Send the parcel to `repo` ("user/name") on the hub, in one commit; returns its address.

    The repository is made where there is none, `private` unless told otherwise. `token` None is
    what huggingface_hub finds (HF_TOKEN, or a login). Raises StudentError, which never says the
    token.
    """
    import httpx
    from huggingface_hub import CommitOperationAdd, HfApi, errors

    sent = parcel(folder, repo)
    api = HfApi(token=token, library_name="understudy")
    operations = [
        CommitOperationAdd(path_in_repo=name, path_or_fileobj=str(folder / name))
        for name in sent.files
    ]
    try:
        address = api.create_repo(repo, private=private, exist_ok=True)
        api.create_commit(repo, operations, commit_message=f"A student: {folder.resolve().name}")
    except errors.HFValidationError as error:
        raise StudentError(f"{repo} is no repository's name; give user/name") from error
    except errors.HfHubHTTPError as error:
        raise _refused(repo, error.response.status_code) from error
    except (OSError, httpx.HTTPError) as error:
        raise StudentError(f"{repo}: the hub cannot be reached; nothing was published") from error
    return str(address)


def _check_base(card: StudentCard, folder: Path) -> None:
    whole = card.training.get("adapter") == "full"
    local = card.base != EMBEDDED and Path(card.base).expanduser().exists()
    if local and not whole:
        raise StudentError(
            f"student {card.name} is an adapter over the folder {card.base}, which nobody else "
            f"has; merge it first (understudy merge {folder} OUT) and push the merged model"
        )


def _refused(repo: str, status: int) -> StudentError:
    why = {
        401: "it does not know you: set HF_TOKEN to a token that may write",
        403: "your token may not write there: give one that may, or another repository",
        409: "the repository changed meanwhile: push again",
        429: "too many requests: try again later",
    }
    return StudentError(f"{repo}: the hub refused ({status}), {why.get(status, 'try again later')}")
