"""From a tenant's [failure] to the rule of what becomes of its calls when the ledger cannot be asked."""

from gateway.core.exposure import FailureRule, Policy
from gateway.settings.reading import Document
from gateway.settings.tenant_file import TenantFile

_HERE = "failure"


def failure_of(document: Document[TenantFile]) -> FailureRule | None:
    """The rule; None, and what is wrong noted, where there cannot be one."""
    section = document.content.failure
    bounds = {"exposure": section.exposure, "exposure_minutes": section.exposure_minutes}
    given = [name for name, bound in bounds.items() if bound is not None]
    if section.policy is not Policy.CONTINUE:
        for name in given:
            remedy = f'write policy = "{Policy.CONTINUE}", or remove {name}'
            document.wrong((_HERE, name), f"the policy is {section.policy}, which exposes nothing", remedy)
        return None if given else FailureRule(section.policy)
    if not given:
        remedy = "write exposure, an amount, or exposure_minutes, or both"
        document.wrong((_HERE, "policy"), "calls would go on without any bound", remedy)
        return None
    if section.exposure == 0:
        document.wrong(
            (_HERE, "exposure"), "no call could go on with it", f'raise it, or policy = "{Policy.TERMINATE}"'
        )
        return None
    minutes = section.exposure_minutes
    return FailureRule(section.policy, section.exposure, None if minutes is None else minutes * 60)
