"""Downloads one file of known size and sha256 over HTTPS: it can be resumed, and is complete or not there at all.

Only this module of the engine opens a connection, and only `model fetch` calls it. It uses plain urllib, which handles
proxies and certificates. What urllib doesn't do (ranges, retries, limits) is short enough to read here.
"""

from __future__ import annotations

import http.client
import os
import re
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, BinaryIO

from tessera_engine.errors import InputError, TesseraError
from tessera_engine.files.checksums import file_sha256
from tessera_engine.files.durable import sync_folder
from tessera_engine.files.text import write_text
from tessera_engine.progress import Progress

TIMEOUT = 30.0
"""Seconds without a byte, or at less than `SLOWEST`, after which a connection is closed."""

SLOWEST = 1000
"""Bytes per second. A slower server would keep the command running for days."""

PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds before each further attempt; attempts that brought some bytes don't count."""

CHUNK = 1 << 18

REDIRECTS = 5

PARTIAL, TAG = ".partial", ".etag"
"""Suffixes of the unfinished file, and of the file with the ETag: the server's name for this version of it."""


class _Again(Exception):
    """An attempt failed; another may succeed."""

    def __init__(self, why: object) -> None:
        # The server's text may have several lines
        super().__init__(" ".join(str(why).split())[:200] or type(why).__name__)


def download(url: str, path: Path, size: int, sha256: str, progress: Progress | None = None) -> None:
    """Download a file. It gets its name once its sha256 is right.

    After Ctrl-C or an error, `<path>.partial` remains, and the next call resumes from it.

    Args:
        url: https, or http if the user gave such a mirror; the sha256 protects the content either way.
        path: the file to write.
        size: its size in bytes.
        sha256: its sha256, hex.
        progress: called with the bytes done and the bytes in total.

    Raises:
        InputError: no such address, or the server refuses.
        TesseraError: no connection after several attempts, not the expected file, or no space on the disk.
    """
    _check_address(url)
    partial = path.with_name(path.name + PARTIAL)
    tries, most, started_over = 0, 0, False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            before = _size(partial)
            most = max(most, before)
            try:
                _fetch_rest(url, partial, size, progress)
                if file_sha256(partial) == sha256:
                    break
                # A resumed file may mix two versions: start over once. A file from one attempt is simply another file
                _forget(partial)
                if before == 0 or started_over:
                    raise TesseraError(
                        f"{url} is not the published file: its sha256 is not {sha256[:12]}...; nothing was kept; give "
                        "the address of a mirror as source="
                    )
                started_over = True
            except _Again as failed:
                tries = 0 if _size(partial) > most else tries + 1
                if tries > len(PAUSES):
                    raise TesseraError(
                        f"can't download {url}: {failed}; {_size(partial):,} of {size:,} bytes are kept, run the same "
                        "command again to resume"
                    ) from None
                time.sleep(PAUSES[max(0, tries - 1)])
        partial.replace(path)  # its bytes are on the disk
        sync_folder(path.parent)
        _tag(partial).unlink(missing_ok=True)
    except OSError as error:
        raise TesseraError(
            f"can't write {partial}: {error.strerror or error}; free some space and run the same command again to "
            "resume"
        ) from None


def _check_address(url: str) -> None:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise InputError(f"{url} is not a web address; give one that begins with https://")


def _fetch_rest(url: str, partial: Path, size: int, progress: Progress | None) -> None:
    """Append what is missing to the partial file.

    Raises:
        _Again: the connection or the server failed.
    """
    have = _size(partial)
    if have > size:
        _forget(partial)
        have = 0
    if have == size:
        return
    headers = {"User-Agent": "tessera-engine", "Accept-Encoding": "identity"}
    tag = _tag(partial).read_text(encoding="ascii", errors="replace") if _tag(partial).exists() else ""
    if have:
        headers["Range"] = f"bytes={have}-"
        if tag:
            headers["If-Range"] = tag
    try:
        with _open(url, headers) as response:
            start = _start(response, have, size)
            new_tag = response.headers.get("ETag", "")
            # A weak ETag doesn't guarantee the same bytes
            write_text(_tag(partial), new_tag if re.fullmatch(r'"[\x21-\x7e]*"', new_tag) else "")
            with partial.open("r+b" if start else "wb") as file:
                file.seek(start)
                _copy(response, file, start, size, progress)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:
            _forget(partial)  # the server's file is shorter than the partial one, so it is another file
        if error.code in (408, 416, 425, 429) or error.code >= 500:
            raise _Again(f"the server answers {error.code}") from None
        raise InputError(
            f"{url} answers {error.code} ({' '.join(str(error.reason).split())[:80]}); give the address of a mirror "
            "as source="
        ) from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise TesseraError(
                f"{url}: the server's certificate can't be verified ({error.reason.verify_message}); nothing was kept"
            ) from None
        raise _Again(error.reason) from None
    except TimeoutError:
        raise _Again(f"no data for {TIMEOUT:g} s") from None
    except (http.client.HTTPException, ConnectionError, ssl.SSLError) as error:
        raise _Again(error) from None


def _start(response: Any, have: int, size: int) -> int:
    """The position in the file of the answer's first byte."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise TesseraError("the server sends the file compressed, which was not requested; try a mirror")
    if response.status == 206:
        wanted = re.fullmatch(rf"bytes {have}-(\d+)/({size}|\*)", response.headers.get("Content-Range", ""))
        if wanted is None:
            raise _Again("the server sent another part of the file than the requested one")
        return have
    length = response.headers.get("Content-Length")
    if length is not None and length != str(size):
        raise TesseraError(
            f"the server's file has {length[:20]} bytes, the published one {size:,}; give the address of a mirror as "
            "source="
        )
    return 0


def _copy(response: Any, file: BinaryIO, start: int, size: int, progress: Progress | None) -> None:
    done = start
    since, then = time.monotonic(), done
    while chunk := response.read1(CHUNK):
        if done + len(chunk) > size:
            raise TesseraError(
                f"the server sends more than the {size:,} bytes of the published file; try a mirror"
            )
        file.write(chunk)
        done += len(chunk)
        if progress is not None:
            progress(done, size)
        if (now := time.monotonic()) - since > TIMEOUT:
            if done - then < SLOWEST * TIMEOUT:
                raise TimeoutError
            since, then = now, done
    file.flush()
    os.fsync(file.fileno())
    if done < size:
        raise _Again(f"the connection ended after {done:,} of {size:,} bytes")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to https, or within the server that the user gave; no others, and no endless loops."""

    max_redirections = REDIRECTS
    max_repeats = REDIRECTS

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        new, old = urllib.parse.urlsplit(newurl), urllib.parse.urlsplit(req.full_url)
        if new.scheme != "https" and (new.scheme, new.netloc) != (old.scheme, old.netloc):
            raise TesseraError(
                f"{old.netloc} redirects to {newurl[:100]!r}, which is not https: not followed; give another source="
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)

    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
        try:
            return super().http_error_302(req, fp, code, msg, headers)
        except urllib.error.HTTPError as error:
            if error.code in (301, 302, 303, 307, 308):
                error.close()
                raise TesseraError(
                    f"{req.full_url[:100]} redirects more than {REDIRECTS} times, or not to a web address; give "
                    "another source="
                ) from None
            raise

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _open(url: str, headers: dict[str, str]) -> Any:
    opener = urllib.request.build_opener(_Redirects)
    return opener.open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _tag(partial: Path) -> Path:
    return partial.with_name(partial.name.removesuffix(PARTIAL) + TAG)


def _forget(partial: Path) -> None:
    partial.unlink(missing_ok=True)
    _tag(partial).unlink(missing_ok=True)
