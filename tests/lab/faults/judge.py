"""What became of six calls, read from the records of all sides, and whether it is what was written down.

The phones and the carrier are SIPp's word, the seconds are the PBX's own, the money is the journal's.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterator
from dataclasses import dataclass

from tests.lab.faults.outcomes import Either, Fate, Money, Outcome, Phase
from tests.lab.faults.scene import HELD_SECONDS, NUMBERS, Scene
from tests.lab.faults.stage import SECOND_MICROS, Stage
from tests.lab.gateway import COUNT_TOLERANCE_SECONDS, check_journal
from tests.lab.sipp import SipCall

CUT_EARLY_SECONDS = 0.1
VERDICT_SECONDS = 2.0
# What failed is back this close to a deadline: either outcome is right.
BORDER_SECONDS = 0.5
CHARGES = frozenset({"settle", "estimate"})
GRANTS = frozenset({"reserve", "extend", "register"})


@dataclass(frozen=True)
class Seen:
    """One cell, as it was."""

    phase: Phase
    fate: Fate
    status: int
    charged_seconds: float
    talked_seconds: float | None  # on the PBX's clock; None: it does not know
    carried_seconds: float | None  # as the carrier counted
    granted_seconds: float
    is_estimate: bool
    is_answered: bool
    verdict_seconds: float | None = None  # of who asks: until the carrier was dialled, or the refusal
    cut_seconds: float | None = None  # beyond the last granted second
    extended_seconds: float | None = None  # after the fault began
    booked_seconds: float | None = None  # after the end of the call

    def __str__(self) -> str:
        parts = [f"{self.fate}{f' {self.status}' if self.status else ''}"]
        if self.verdict_seconds is not None:
            parts.append(f"verdict after {self.verdict_seconds:.2f} s")
        if self.cut_seconds is not None:
            parts.append(f"cut {self.cut_seconds * 1000:+.0f} ms")
        if self.extended_seconds is not None:
            parts.append(f"extended after {self.extended_seconds:.1f} s")
        if self.talked_seconds is not None:
            parts.append(f"talked {self.talked_seconds:.2f} s")
        talked, carried = self.talked_seconds, self.carried_seconds
        if talked is not None and carried is not None and abs(carried - talked) > COUNT_TOLERANCE_SECONDS:
            parts.append(f"the carrier counted {carried:.2f} s")
        parts.append(f"charged {self.charged_seconds:g} s{' (estimate)' if self.is_estimate else ''}")
        if self.booked_seconds is not None:
            parts.append(f"booked after {self.booked_seconds:.1f} s")
        return ", ".join(parts)


class Missed(AssertionError):  # noqa: N818 - what happened
    """A call was not in its phase when the fault began: the machine was too busy, and nothing is shown."""


class Judge:
    """Reads a scene that is over."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.stage: Stage = scene.stage
        self.journal = {phase: self.stage.books.journal(phase) for phase in Phase}

    # -- was it a scene?

    def check_phases(self) -> None:
        """Prove from the records that each call was in its phase when the fault began.

        :raises Missed: when one was not.
        """
        missed = [f"{phase}: {why}" for phase in Phase if (why := self._missed(phase))]
        if missed:
            raise Missed(f"the fault met calls elsewhere than in their phase: {missed}")

    def _missed(self, phase: Phase) -> str:
        dialled, up, began_at = self.scene.dialled(phase), self.scene.up(phase), self.scene.began_at
        if phase is Phase.ASKING:
            ask = self.scene.ask(phase)
            is_met = ask is not None and ask.at < began_at and not self._before(phase, GRANTS)
        elif phase is Phase.RINGING:
            is_met = dialled is not None and dialled.at < began_at and (up is None or up.at > began_at)
        else:
            is_met = up is not None and self._is_met(phase, began_at - up.at)
        return "" if is_met else f"{began_at - up.at if up else None} s after its answer, {self._before(phase, GRANTS)}"

    def _is_met(self, phase: Phase, age_seconds: float) -> bool:
        """Of a call that was answered so long before the fault."""
        quantum_seconds, extends = self.stage.quantum_seconds, self._before(phase, {"extend"})
        half_seconds = quantum_seconds / 2
        match phase:
            case Phase.EXTENDING:
                return half_seconds - HELD_SECONDS < age_seconds < half_seconds + 1 and not extends
            case Phase.FINAL:  # an extend that was refused commits what was used: it is in the journal
                return half_seconds < age_seconds < quantum_seconds and len(extends) == 1
            case Phase.HANGING_UP:
                bye, longest_seconds = self.call(phase).bye, max(1.0, self.scene.fault.lasts_seconds)
                if bye is None or not bye.sent or not 0 < bye.at - self.scene.began_at < longest_seconds:
                    return False
        return 0 < age_seconds < half_seconds - 0.3 and not extends

    def _before(self, phase: Phase, kinds: Container[str]) -> list[dict[str, str]]:
        """Entries of before the fault; Redis' time is whole milliseconds, rounded down."""
        began_at = self.scene.began_at - 0.002
        return [each for each in self.journal[phase] if each["type"] in kinds and float(each["at"]) < began_at]

    # -- what became of it

    def call(self, phase: Phase) -> SipCall:
        """The phone's side."""
        (call,) = self.scene.phones[phase].calls
        return call

    def seen(self, phase: Phase) -> Seen:
        """One cell."""
        call, entries = self.call(phase), self.journal[phase]
        up, ended = self.scene.up(phase), self.scene.ended(phase)
        charges = [each for each in entries if each["type"] in CHARGES]
        charged = sum(int(each["revenue"]) + int(each["adjustment"]) for each in entries)
        granted_seconds = self._granted_seconds(phase)
        fate = self._fate(phase)
        talked = ended.at - up.at if up and ended else None
        return Seen(
            phase, fate, call.status or 0 if fate is Fate.REFUSED else 0,
            charged / SECOND_MICROS, talked, self._carried_seconds(phase), granted_seconds,
            any(each["type"] == "estimate" for each in charges), up is not None,
            verdict_seconds=self._verdict_seconds(phase),
            cut_seconds=talked - self._cap_seconds(talked) if talked and fate is Fate.CUT else None,
            extended_seconds=self._extended_seconds(phase),
            booked_seconds=float(charges[-1]["at"]) - ended.at if charges and ended else None,
        )  # fmt: skip

    def _fate(self, phase: Phase) -> Fate:
        call, ended = self.call(phase), self.scene.ended(phase)
        if call.status is not None and call.status != 200:
            return Fate.REFUSED
        if call.status is None or ended is None:
            return Fate.LOST
        return Fate.CONNECTED if call.bye is not None and call.bye.sent else Fate.CUT

    def _granted_seconds(self, phase: Phase) -> float:
        """Held or charged at its most, as seconds."""
        spent_micros = most_micros = 0
        for each in self.journal[phase]:
            spent_micros += int(each["revenue"]) + int(each["adjustment"])
            most_micros = max(most_micros, spent_micros + int(each["held_after"]))
        return most_micros / SECOND_MICROS

    def _cap_seconds(self, talked: float) -> int:
        """The cap that cut it: whole quanta, as the money was."""
        quantum_seconds = self.stage.quantum_seconds
        return max(1, int((talked + CUT_EARLY_SECONDS) / quantum_seconds)) * quantum_seconds

    def _carried_seconds(self, phase: Phase) -> float | None:
        call = self.scene.carried(phase)
        return call.talked_seconds if call and call.answered_at and call.bye else None

    def _verdict_seconds(self, phase: Phase) -> float | None:
        ask, dialled, call = self.scene.ask(phase), self.scene.dialled(phase), self.call(phase)
        if phase is not Phase.ASKING or ask is None:
            return None
        if dialled is not None:
            return dialled.at - ask.at
        return call.final.at - ask.at if call.final is not None else None

    def _extended_seconds(self, phase: Phase) -> float | None:
        if self._fate(phase) is not Fate.CONNECTED or phase in {Phase.ASKING, Phase.FINAL, Phase.HANGING_UP}:
            return None
        after = [float(each["at"]) for each in self.journal[phase] if each["type"] == "extend"]
        return next((at - self.scene.began_at for at in after if at > self.scene.began_at), None)

    # -- is it what was written down?

    def expected(self, phase: Phase) -> tuple[Outcome, ...]:
        """What may become of it: mostly one outcome."""
        cell = self.scene.fault.expected[phase]
        if not isinstance(cell, Either):
            return cell if isinstance(cell, tuple) else (cell,)
        left_seconds = self._deadline(phase) - self.scene.back_at
        if abs(left_seconds) < BORDER_SECONDS:
            return cell.in_time, cell.late
        return (cell.in_time,) if left_seconds > 0 else (cell.late,)

    def _deadline(self, phase: Phase) -> float:
        if phase is Phase.ASKING:
            ask = self.scene.ask(phase)
            assert ask is not None
            return ask.at + VERDICT_SECONDS
        up = self.scene.up(phase)
        return up.at + self.stage.quantum_seconds if up else self.scene.began_at

    def problems(self, seen: Seen) -> list[str]:
        """In what a cell differs from each outcome that it may have; empty when it is as written down."""
        found = [list(self._differs(seen, outcome)) for outcome in self.expected(seen.phase)]
        return [] if [] in found else [each for some in found for each in some]

    def _differs(self, seen: Seen, outcome: Outcome) -> Iterator[str]:
        if seen.fate is not outcome.fate or seen.status != outcome.status:
            yield f"{seen.phase}: {seen}; expected {outcome}"
        if outcome.within_seconds and (seen.verdict_seconds is None or seen.verdict_seconds > outcome.within_seconds):
            yield f"{seen.phase}: its verdict took {seen.verdict_seconds} s"
        if seen.cut_seconds is not None and not -CUT_EARLY_SECONDS <= seen.cut_seconds <= outcome.late_seconds:
            yield f"{seen.phase}: cut {seen.cut_seconds:+.2f} s beside its grant"
        if problem := self._money_differs(seen, outcome.money):
            yield f"{seen.phase}: {problem}; {seen}"

    def _money_differs(self, seen: Seen, money: Money) -> str:
        charged = seen.charged_seconds
        if seen.is_estimate is not (money is Money.ESTIMATE):
            return "it is no estimate" if money is Money.ESTIMATE else "it is an estimate"
        is_right = {
            Money.NOTHING: not charged and not seen.is_answered,
            Money.EXACT: self._is_exact(seen) and self._is_carriers(seen),
            Money.SWITCH: self._is_exact(seen),
            Money.ESTIMATE: 0 < charged <= seen.granted_seconds
            and (seen.fate is not Fate.LOST or self._is_exact(seen)),
            Money.GRANT: charged == seen.granted_seconds,
            Money.UNSEEN: not charged and seen.is_answered,
        }[money]
        return "" if is_right else f"not {money}, of {seen.granted_seconds:g} s that were granted"

    def _is_exact(self, seen: Seen) -> bool:
        """Of a call that died with its PBX: until then."""
        up = self.scene.up(seen.phase)
        lived_seconds = self.scene.began_at - up.at if up else 0.0
        talked_seconds = lived_seconds if seen.talked_seconds is None else seen.talked_seconds
        return abs(seen.charged_seconds - talked_seconds) <= COUNT_TOLERANCE_SECONDS

    def _is_carriers(self, seen: Seen) -> bool:
        carried = seen.carried_seconds
        return carried is not None and abs(seen.charged_seconds - carried) <= COUNT_TOLERANCE_SECONDS

    # -- the books

    def check_books(self, cells: list[Seen]) -> None:
        """The journal adds up, `callgate audit` is clean, Asterisk's records agree, and estimates come to the truth."""
        for phase in Phase:
            check_journal(self.stage.books, str(phase))
        self._audit()
        if not (self.scene.fault.kills_asterisk or self.scene.fault.spoils_records):  # who is killed writes none
            self._reconcile(cells)
            self._audit()

    def _audit(self) -> None:
        code, told = self.stage.callgate("audit")
        assert code == 0, told

    def _reconcile(self, cells: list[Seen]) -> None:
        """Each answered call agrees with its record or is named; an estimate comes to what was talked."""
        words = ("--cdr", str(self.stage.master), "--apply", "--json", "--trunk", "PJSIP/trunk-")
        _, told = self.stage.callgate("reconcile", *words)
        named = {each["tenant"]: each["finding"] for each in json.loads(told)["findings"]}
        unlike = {tenant for tenant, finding in named.items() if finding != "corrected"}
        assert unlike == {str(seen.phase) for seen in cells if self._is_to_be_named(seen)}, told
        self.journal = {phase: self.stage.books.journal(phase) for phase in Phase}
        corrected = [self.seen(seen.phase) for seen in cells if seen.is_estimate]
        print("  reconcile:", named, {str(seen.phase): seen.charged_seconds for seen in corrected})
        assert all(self._is_exact(seen) for seen in corrected), corrected

    def _is_to_be_named(self, seen: Seen) -> bool:
        return seen.is_answered and not seen.is_estimate and not self._is_exact(seen)


__all__ = ["NUMBERS", "Judge", "Missed", "Seen"]
