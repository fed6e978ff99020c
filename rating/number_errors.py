"""Why a dialled number, or a plan of how to dial, was refused."""

from __future__ import annotations

from enum import StrEnum


class NumberReason(StrEnum):
    """Why a number was refused: a closed list, fit to be a metric's label."""

    CARRIER_CODE = "number_carrier_code"
    CHARACTERS = "number_characters"
    COUNTRY_CODE = "number_country_code"
    LENGTH = "number_length"
    NOT_IN_PLAN = "number_not_in_plan"
    TRUNK_PREFIX = "number_trunk_prefix"


class NumberError(ValueError):
    """A dialled number that is no number: `reason_code` for machines, `sentence` for people."""

    def __init__(self, reason_code: NumberReason, sentence: str) -> None:
        super().__init__(sentence)
        self.reason_code = reason_code
        self.sentence = sentence


class PlanError(ValueError):
    """A number plan that cannot be taken, in one sentence that says what to write instead.

    `where` is the field of the plan, and within `classes` the prefix.
    """

    def __init__(self, sentence: str, *where: str) -> None:
        super().__init__(sentence)
        self.where = where
