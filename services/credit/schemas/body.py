"""What the shapes of credit share."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

ID = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
Id = Annotated[str, Field(pattern=ID)]


class Body(BaseModel):
    """A request body: what it does not name, it does not take."""

    model_config = ConfigDict(extra="forbid")


def _printable(text: str) -> str:
    if "\x00" in text:
        message = "a text holds no NUL"
        raise ValueError(message)
    return text


Text = Annotated[str, StringConstraints(min_length=3, max_length=1000), AfterValidator(_printable)]
