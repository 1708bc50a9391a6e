"""What an HTTP error means at the host that gave it, and what the user can do."""

from __future__ import annotations

from urllib.parse import urlsplit

from noderack_registry.schema import ModelManifest

from noderack_cli.errors import FetchError
from noderack_cli.sources import Access

MEANING = {
    404: "there is no such file",
    410: "it is not there any more",
    429: "too many requests",
    451: "withheld by law",
}
_ELSEWHERE = "Find another address: nodes models search NAME, then nodes models get URL --folder FOLDER."
NEXT = {404: _ELSEWHERE, 410: _ELSEWHERE, 451: _ELSEWHERE, 429: "Try later: what came is kept."}


def refusal(
    url: str, status: int, code: str, manifest: ModelManifest, access: Access | None = None
) -> FetchError:
    """The error for an answer of `status` (and `code`, Hugging Face's X-Error-Code) to a request of `url`."""
    access = access or Access()
    if "/api/download/models/" in url or access.is_civitai(url):
        return _civitai(url, status, manifest, access)
    if access.is_hf(url) or code:
        return _hugging_face(url, status, code, manifest, access)
    if status in (401, 403):
        host = urlsplit(url).hostname or url
        hint = f"If it needs a token: nodes models login {host}"
        return FetchError(f"{host} refuses {manifest.name} (HTTP {status}): a login is needed", hint)
    return _plain(url, status)


def _plain(url: str, status: int) -> FetchError:
    meant = MEANING.get(status, "the server failed" if status >= 500 else "it does not give the file")
    return FetchError(
        f"{url} answers HTTP {status}: {meant}", NEXT.get(status, "Look at its page in a browser.")
    )


def _hugging_face(url: str, status: int, code: str, manifest: ModelManifest, access: Access) -> FetchError:
    host = urlsplit(url).hostname or url
    page = manifest.page or url.partition("/resolve/")[0].partition("?")[0]
    token = access.token_for(url)
    if code == "GatedRepo" and not token:
        hint = f"Open {page}, accept its terms, and set HF_TOKEN (or: nodes models login huggingface.co)."
        return FetchError(f"{manifest.name} is gated at {host}, and you are not logged in", hint)
    if code == "GatedRepo":
        hint = f"Open {page} with the account of HF_TOKEN and accept its terms; some owners answer by hand."
        return FetchError(f"{manifest.name} is gated at {host}, and your account is not let in", hint)
    if code == "RepoNotFound" or (status == 401 and not token):
        hint = f"If it is private, set HF_TOKEN to a token that may read it; if not, look at {page}."
        said = "it is private or does not exist; Hugging Face does not say which"
        return FetchError(f"{host} does not show {manifest.name} to {_who(token)}: {said}", hint)
    if code in ("EntryNotFound", "RevisionNotFound"):
        what = "file" if code == "EntryNotFound" else "revision"
        return FetchError(f"{page} is there, but has no such {what}: {url}", f"Look at {page}/tree/main")
    if status in (401, 403):
        hint = "Make a token that may read it at huggingface.co/settings/tokens, and set HF_TOKEN."
        return FetchError(
            f"{host} refuses {manifest.name} (HTTP {status}): HF_TOKEN is wrong or too weak", hint
        )
    return _plain(url, status)


def _who(token: str | None) -> str:
    return "this HF_TOKEN" if token else "people without a token"


def _civitai(url: str, status: int, manifest: ModelManifest, access: Access) -> FetchError:
    host = urlsplit(url).hostname or url
    if status in (401, 403) and manifest.gated == "early-access":
        hint = f"Open {manifest.page or host}: it can be bought now, or downloaded later with CIVITAI_TOKEN."
        return FetchError(f"{host} refuses {manifest.name}: it is in early access", hint)
    if status in (401, 403) and not access.token_for(url):
        hint = "Make a key in your account there, and set CIVITAI_TOKEN (or: nodes models login civitai.com)."
        return FetchError(f"{host} refuses {manifest.name}: a login is needed", hint)
    if status in (401, 403):
        hint = f"Open {manifest.page or host} with that account; make a new key if it is old."
        return FetchError(f"{host} refuses {manifest.name}: CIVITAI_TOKEN is wrong, or may not have it", hint)
    return _plain(url, status)


def not_a_file(url: str, manifest: ModelManifest) -> FetchError:
    """The error for a web page where a model was expected, as login walls send them with 200."""
    host = urlsplit(url).hostname or url
    hint = f"Open it in a browser; if it needs a login: nodes models login {host}"
    return FetchError(f"{url} is a web page, not {manifest.name}", hint)
