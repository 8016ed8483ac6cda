"""A picture of what a method logs."""

import dataclasses
from collections.abc import Mapping

_MOST_CURVES = 4  # as many as the report has colors for


@dataclasses.dataclass(frozen=True)
class Panel:
    """A picture of a few of a method's logged values, for the report of a run.

    Attributes:
      title: str.
      curves: logged name -> its label, one to four of them. Where the first was not logged, the
        panel is left out; a later one is left out if it was not logged, or is 0 throughout.
      band: logged name of the standard deviation that is drawn around the first curve; or "".
      low: the lower end of the axis; None leaves it free and draws a line at 0.

    Raises:
      ValueError: there is no curve, or more than four.
    """

    title: str
    curves: Mapping[str, str]
    band: str = ""
    low: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.curves) <= _MOST_CURVES:
            raise ValueError(
                f"a panel has 1 to {_MOST_CURVES} curves; received {len(self.curves)} for "
                f"{self.title!r}."
            )
