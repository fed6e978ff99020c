"""Why something that a person or a program asked for cannot be done."""


class DeskError(Exception):
    """What was asked for cannot be done; ``code`` says why, stable for programs, and the text is one sentence.

    Codes: ``unknown_tenant``, ``unknown_call``, ``unknown_recharge``, ``call_ended``, ``other_gateway``,
    ``switch_unavailable``, ``wrong_currency``, ``bad_recharge``, ``not_available``, ``invalid``, ``unknown_country``.
    """

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
