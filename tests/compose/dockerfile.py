"""The Dockerfile's instructions, as far as this project uses them."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from tests.compose.compose_file import ROOT

DOCKERFILE = ROOT / "Dockerfile"
DOCKERIGNORE = ROOT / ".dockerignore"

Instruction = tuple[str, str]


def read_stages() -> list[list[Instruction]]:
    """The instructions of each stage, each a word and its arguments."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text("utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    stages: list[list[Instruction]] = []
    for line in filter(None, (each.strip() for each in text.splitlines())):
        word, _, arguments = line.partition(" ")
        if word == "FROM":
            stages.append([])
        stages[-1].append((word, arguments.strip()))
    return stages


def arguments_of(word: str, stage: list[Instruction]) -> list[str]:
    """The arguments of every such instruction of a stage."""
    return [arguments for name, arguments in stage if name == word]


def environment_of(stage: list[Instruction]) -> dict[str, str]:
    """What the stage's ENV instructions set."""
    pairs = (pair for arguments in arguments_of("ENV", stage) for pair in shlex.split(arguments))
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}


def entrypoint_of(stage: list[Instruction]) -> list[str]:
    """The words that come before a container's command."""
    (arguments,) = arguments_of("ENTRYPOINT", stage)
    words: list[str] = json.loads(arguments)
    return words


def copied_sources() -> Iterator[Path]:
    """Every file and folder of the project that is copied into the image."""
    for stage in read_stages():
        for arguments in arguments_of("COPY", stage):
            words = arguments.split()
            if not words[0].startswith("--from"):
                yield from (ROOT / word for word in words[:-1])


def let_into_the_build() -> set[str]:
    """The names at the first level that .dockerignore, which shuts out all, lets in again."""
    lines = DOCKERIGNORE.read_text("utf-8").splitlines()
    assert "*" in lines
    return {line.removeprefix("!") for line in lines if line.startswith("!")}
