"""From a tenant's [recharge] to the rule of its recharges."""

from pathlib import Path

from gateway.core.recharge import Mode, RechargeRule, fault_of
from gateway.settings.reading import Document, is_file
from gateway.settings.tenant_file import RechargeSection, TenantFile

_HERE = "recharge"


def recharge_of(document: Document[TenantFile], credit_limit_micros: int) -> RechargeRule | None:
    """The rule; None where there is none, or where it cannot be: then what is wrong with it is noted."""
    section = document.content.recharge
    _check_command(document, section)
    if section.trigger is None and section.amount is None:
        return None
    is_whole = section.trigger is not None and (section.amount is not None or section.mode is Mode.NONE)
    if not is_whole:
        missing, other = ("trigger", "amount") if section.trigger is None else ("amount", "trigger")
        document.wrong((_HERE, other), f"there is no {missing} beside it", f"write {missing} too, or neither")
        return None
    rule = RechargeRule(
        mode=section.mode,
        trigger_micros=section.trigger or 0,
        amount_micros=section.amount or 0,
        recharges_a_day=section.recharges_per_day,
        micros_a_day=section.amount_per_day,
        retry_seconds=section.retry_seconds,
        give_up_after=section.give_up_after,
        timeout_seconds=section.timeout_seconds,
        forecast_minutes=section.forecast_minutes,
    )
    fault = fault_of(rule, credit_limit_micros)
    if fault is not None:
        document.wrong((_HERE, fault.key), fault.what, fault.remedy)
        return None
    if document.content.webhook is None and not section.command:
        what = "events of recharge have nowhere to go"
        document.warn((_HERE,), what, "add [webhook] with url and secrets")
    return rule


def _check_command(document: Document[TenantFile], section: RechargeSection) -> None:
    """It is run as it is, by no shell: what a shell would look up or take apart is not."""
    if not section.command:
        return
    program = Path(section.command[0])
    at = (_HERE, "command")
    if not program.is_absolute():
        document.wrong(at, f"{section.command[0]!a} is no full path", 'write one, such as ["/usr/local/bin/pay"]')
    elif not is_file(program):
        document.wrong(at, f"there is no file {program}", "put the program there, or name another")
