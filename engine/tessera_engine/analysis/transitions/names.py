"""Names and colours of transitions."""

from __future__ import annotations

from tessera_engine.pictures.colours import Colour, class_colour

PAPER = 0.65
"""How much white the colour of an unchanged class has: what changed has to stand out."""


def transition_name(before: str, after: str) -> str:
    """The name of a transition, for people."""
    return f"{before} unchanged" if before == after else f"{before} to {after}"


def unchanged_colour(colour: Colour) -> Colour:
    """The colour of an unchanged class: that of the class, paler."""
    red, green, blue = (round(255 * PAPER + value * (1 - PAPER)) for value in colour)
    return red, green, blue


def transition_colours(pairs: list[tuple[str, str]], classes: dict[str, Colour]) -> list[Colour]:
    """A colour for each transition.

    Args:
        pairs: class before and class after.
        classes: colours of the classes.
    """
    changed, found = 0, []
    for before, after in pairs:
        if before == after:
            found.append(unchanged_colour(classes[before]))
        else:
            found.append(class_colour(changed % 254))
            changed += 1
    return found
