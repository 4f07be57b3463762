"""Open a user's file: everything that can be wrong with it before its content is looked at."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from gatewise.errors import DataError, UsageError

_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_LONGEST_NAME = 60  # characters; file systems allow 255 bytes, and a run's name still gets a suffix


def read_bytes(path: str | Path) -> bytes:
    """Return the content of a regular file that is not empty.

    Raises
    ------
    UsageError
        If there is no such file, or it is a directory or cannot be read.
    DataError
        If it is empty.
    """
    file = Path(path)
    if file.is_dir():
        raise UsageError(f"{path} is a directory; give a file")
    if not file.exists():
        raise UsageError(f"no file named {path}")
    if not file.is_file():
        raise UsageError(f"{path} is not a regular file; save the data first, so that a run can be repeated on them")
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    if not content:
        raise DataError(f"{path} is empty")
    return content


def decode(content: bytes, path: str | Path) -> str:
    r"""Return the text of `content`: UTF-8, without a byte order mark, every line ending as ``\n``.

    Raises
    ------
    DataError
        If the bytes are not a UTF-8 text, or hold nothing but white space.
    """
    if content.startswith(_UTF16_MARKS):
        raise DataError(f"{path} is UTF-16; save it as UTF-8")
    if b"\0" in content:
        raise DataError(f"{path} is binary, not text; a table must be saved as .csv, .tsv or .parquet")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path} is not UTF-8: line {line} holds the byte {content[error.start]:#04x}") from error
    if not text.strip():
        raise DataError(f"{path} is empty: it holds nothing but white space")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def sha256(content: bytes) -> str:
    """Return the SHA-256 of `content` in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def folder_name(text: str) -> str:
    """Return `text` with all that a folder's name had better not hold replaced by hyphens.

    >>> folder_name("power / kW (mean)")
    'power-kW-mean'
    """
    safe = re.sub(r"[^\w.]+", "-", text).strip("-.")[:_LONGEST_NAME]
    return safe or "unnamed"


def grouped(number: int) -> str:
    """Return `number` with its digits in groups of three.

    >>> grouped(412345)
    '412 345'
    """
    return f"{number:,}".replace(",", " ")
