"""What all algorithms share: how they appear, and how they call the program."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qgis.core import QgsProcessingAlgorithm, QgsProcessingException

from tessera_qgis import settings
from tessera_qgis.child import run
from tessera_qgis.lines import ERROR, WARNING, Message, Progress, failure, in_dialog, read_line
from tessera_qgis.program import clean_environment
from tessera_qgis.words import command_line, shown


class Algorithm(QgsProcessingAlgorithm):
    """A command of the program.

    Attributes:
        NAME: as scripts name it.
        COMMAND: that it calls.
        TITLE: as people read it.
        GROUP: title of the group in the toolbox.
        HELP: what it does, in paragraphs.
    """

    NAME = COMMAND = TITLE = GROUP = HELP = ""

    def name(self) -> str:
        """As scripts name it."""
        return self.NAME

    def displayName(self) -> str:
        """As people read it."""
        return self.TITLE

    def group(self) -> str:
        """Title of its group."""
        return self.GROUP

    def groupId(self) -> str:
        """Name of its group."""
        return self.GROUP.lower().replace(" ", "_")

    def shortHelpString(self) -> str:
        """What it does, as HTML."""
        paragraphs = (" ".join(each.split()) for each in self.HELP.split("\n\n"))
        return "".join(f"<p>{each}</p>" for each in paragraphs)

    def createInstance(self) -> QgsProcessingAlgorithm:
        """One to run."""
        return type(self)()

    def canExecute(self) -> tuple[bool, str]:
        """Whether the program is there; QGIS shows the text when the algorithm is opened."""
        try:
            settings.program()
        except FileNotFoundError as error:
            return False, str(error)
        return True, ""

    def call(
        self, inputs: Sequence[Any], options: Mapping[str, Any], folder: Path, feedback: Any
    ) -> dict[str, Any]:
        """Run the command to its end.

        Args:
            inputs: its arguments.
            options: see `tessera_qgis.words.command_line`.
            folder: where it runs, and writes what has no other place.
            feedback: gets progress and messages, and says whether the user has cancelled.

        Returns:
            Its result; empty if it was cancelled.

        Raises:
            QgsProcessingException: it failed; the text is the program's own.
        """
        said: list[Message] = []
        titles = {each.name(): each.description() for each in self.parameterDefinitions()}

        def heard(line: str) -> None:
            found = read_line(in_dialog(line, titles))
            if isinstance(found, Progress):
                feedback.setProgress(found.percent)
            elif found is not None:
                said.append(found)
                if found.kind == WARNING:
                    feedback.pushWarning(found.text)
                elif found.kind != ERROR:  # an error becomes the algorithm's
                    feedback.pushInfo(found.text)

        words = [str(self._program()), *command_line(self.COMMAND, inputs, options)]
        feedback.pushCommandInfo(shown(words))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            ended = run(words, folder, clean_environment(os.environ), heard, feedback.isCanceled)
        except OSError as error:
            raise QgsProcessingException(f"can't run {words[0]} in {folder}: {error.strerror}") from None
        if ended.cancelled:
            return {}
        if ended.code != 0:
            raise QgsProcessingException(failure(ended.code, said))
        feedback.setProgress(100)
        try:
            result = json.loads(ended.output)
            return {**result, "out": folder / result["out"]} if "out" in result else dict(result)
        except (ValueError, TypeError):
            raise QgsProcessingException(
                f"{words[0]} printed no result; is it a tessera-engine of version 0.2 or newer?"
            ) from None

    def _program(self) -> Path:
        try:
            return settings.program()
        except FileNotFoundError as error:
            raise QgsProcessingException(str(error)) from None
