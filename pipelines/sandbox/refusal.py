"""The one error of the sandbox, carrying what the exchange would answer."""

from __future__ import annotations

from typing import Any, Literal

Envelope = Literal["nested", "flat", "msg", "string"]


class Refused(Exception):
    """A call the exchange turns down.

    The exchange has four shapes of error body: `nested` for authentication and business rules,
    `flat` for unreadable requests, `msg` for a parameter out of range, `string` for 429.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        details: str | None = None,
        envelope: Envelope = "nested",
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.details = details
        self.envelope = envelope

    def body(self) -> dict[str, Any]:
        """The JSON object the exchange sends for this refusal."""
        if self.envelope == "msg":
            return {"msg": self.message}
        if self.envelope == "string":
            return {"error": self.message}
        fields = {"code": self.code, "message": self.message}
        if self.details is not None:
            fields["details"] = self.details
        return {"error": fields} if self.envelope == "nested" else fields


def invalid(message: str) -> Refused:
    """400 for a parameter or body field the exchange cannot accept."""
    return Refused(400, "invalid_parameters", message)


def not_found() -> Refused:
    """404 for an id that does not exist for this caller."""
    return Refused(404, "not_found", "not found")
