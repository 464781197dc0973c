"""What the parts of the playbook reader share: the document, the problems found so far, and rendering."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ddcplay.config.values import Rendered, is_template
from ddcplay.config.yaml_marks import Loc, Marked
from ddcplay.errors import ConfigError, DdcplayError, Place, Problem
from ddcplay.model.playbook import FilterEntry

Render = Callable[[str, Mapping[str, object], Place], object]
"""`render(text, variables, place)`: a lone `{{ x }}` keeps its type; raises `TemplateError`."""

MAX_PROBLEMS = 50


@dataclass(slots=True)
class Reading:
    """One playbook on its way in.

    Args:
        marked: the document.
        render: renders text that may use play variables and `-e` only; None refuses templates there.
        problems: everything found wrong so far.
        user_filters: entries of chains that are user code, with the way to their options.
        filter_classes: built-in filters that were loaded already; finding one reads every package's metadata.
    """

    marked: Marked
    render: Render | None
    problems: list[Problem] = field(default_factory=list)
    user_filters: list[tuple[FilterEntry, Loc]] = field(default_factory=list)
    filter_classes: dict[str, Any] = field(default_factory=dict)

    def report(self, place: Place, message: str, hint: str = "") -> None:
        """Note one thing that is wrong."""
        self.problems.append(Problem(place, message, hint))

    def rendered(self, value: object, loc: Loc, variables: Mapping[str, object]) -> object:
        """Render every template in a value of a play.

        Args:
            value: text, or a list or mapping with text in it.
            loc: where it stands.
            variables: the play's variables with `-e` over them.

        Raises:
            UnrenderedError: a template failed; the problem is noted already.
        """
        if isinstance(value, Mapping):
            return {key: self.rendered(part, (*loc, key), variables) for key, part in value.items()}
        if isinstance(value, list):
            return [self.rendered(part, (*loc, index), variables) for index, part in enumerate(value)]
        return self._text(value, loc, variables) if isinstance(value, str) and is_template(value) else value

    def _text(self, text: str, loc: Loc, variables: Mapping[str, object]) -> object:
        place = self.marked.place(loc)
        if self.render is None:
            self.report(
                place, f"{text!r} is a template, and nothing renders it here", "write the value itself"
            )
            raise UnrenderedError
        try:
            result = self.render(text, variables, place)
        except DdcplayError as error:
            self.report(error.place or place, error.message, error.hint)
            raise UnrenderedError from error
        return Rendered(result) if isinstance(result, str) else result


class UnrenderedError(Exception):
    """A template failed and was noted; the value has to be left out."""


def stop_on(problems: list[Problem], first_file: str) -> None:
    """Raise what was found, in file order, if anything was.

    Args:
        problems: in any order.
        first_file: its problems come before those of files it names.

    Raises:
        ConfigError: at most 50 problems, and how many more there are.
    """
    if not problems:
        return
    unique = list(dict.fromkeys(problems))
    unique.sort(
        key=lambda item: (item.place.file != first_file, item.place.file, item.place.line, item.place.column)
    )
    shown = unique[:MAX_PROBLEMS]
    if len(unique) > MAX_PROBLEMS:
        shown.append(
            Problem(Place(first_file), f"and {len(unique) - MAX_PROBLEMS} more", "correct these first")
        )
    raise ConfigError(shown)


def as_mapping(value: Any) -> dict[Any, Any] | None:
    """Return a mapping as a dict, anything else as None."""
    return dict(value) if isinstance(value, Mapping) else None
