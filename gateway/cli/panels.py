"""The list of commands, as ``callgate --help`` shows it."""

from typing import Final

PANELS: Final = {
    "Money": {
        "topup": ("money:topup", "Add funds to a tenant's account."),
        "reverse": (
            "money:reverse",
            "Take a top-up back, once (a chargeback). What of it was spent is owed; what of it has expired is not.",
        ),
        "balance": (
            "money:balance",
            "Show balances: what is there, what calls hold, what is available, what expires next.",
        ),
        "lots": ("journal:lots", "Show what is left of each top-up and when it expires, the soonest first."),
        "journal": (
            "journal:journal",
            "Show the newest movements of a tenant's money, of the archive and of Redis, oldest first.",
        ),
        "close": (
            "money:close",
            "Close an account: no new calls, no top-ups, until it is reopened. What is in it stays.",
        ),
        "reopen": ("money:reopen", "Open a closed account again."),
        "audit": (
            "audit:audit",
            "Add up the journal, archive and Redis, and prove balances, holds and each call's charge. Calls may go on.",
        ),
        "reconcile": (
            "reconcile:reconcile",
            (
                "Compare callgate's calls with Asterisk's CDRs, and correct estimated charges. Exit code 1 where they "
                "disagree."
            ),
        ),
        "recharge": ("recharge:recharges", "Recharges: the rule, where the last one is, and what to do about it."),
    },
    "Calls and fraud": {
        "explain": (
            "explain:explain",
            "Show what was decided about a call, on what figures, and each movement of its money.",
        ),
        "refusals": (
            "desk:refusals",
            "Show the last refused calls of a tenant, newest first, each with its reason and on what figures.",
        ),
        "quarantine": (
            "desk:quarantine",
            "Refuse the metered calls of a tenant, or of one caller. Emergency passes.",
        ),
        "lift": ("desk:lift", "Take back a quarantine, or what a guard has paused."),
        "restrictions": ("desk:restrictions", "Show who is in quarantine, and what guards have paused."),
        "allow-country": (
            "desk:allow_country",
            "Let calls to a country pass that a guard holds, as none had gone there before.",
        ),
        "cut": (
            "api:cut",
            "End a call now; it is charged up to its end, as usual. Asks the gateway that runs it (CALLGATE_TOKEN).",
        ),
        "calls": ("calls:calls", "Show the calls whose books are open: what each holds and was granted."),
    },
    "Prices": {
        "quote": (
            "prices:quote",
            "Show what a call costs, and how that comes about: row, blocks, limits, the exact sum and what is charged.",
        ),
        "rates": (
            "prices:rates",
            "Show all prices of a tenant: its own, then its plan's, then the default's, as far as they price calls.",
        ),
        "replay": (
            "replay:replay",
            (
                "Show what past calls would have cost, and which would have been refused, by another tariff or other "
                "limits."
            ),
        ),
    },
    "Config": {
        "init": (
            "init:init",
            "Write a config with a first tenant, and what the PBX needs, with a secret of its own.",
        ),
        "check": (
            "config:check",
            "Check the config: each problem with its file, line, key and remedy. Exit code 1 when it cannot be used.",
        ),
        "diff": (
            "reload:diff",
            "Show what a reload would change, in values that are in force. Nothing is changed by this.",
        ),
        "reload": (
            "reload:reload",
            (
                "Have the gateway that runs take the config, whole. Exit code 1, and nothing changes, when it "
                "cannot be used."
            ),
        ),
        "schema": ("config:schema", "Print the JSON Schema of a file of the config, for editors."),
        "show": ("shows:shows", "Show every value that is in force, and where it comes from."),
    },
    "The gateway": {
        "serve": (
            "serve:serve",
            (
                "Gate calls until stopped (SIGTERM, SIGINT); SIGHUP reloads. A stop settles nothing: the PBX keeps its "
                "caps."
            ),
        ),
        "status": ("status:status", "Show the gateways on these books, and which of them owns which switch."),
        "drain": (
            "status:drain",
            (
                "Have the gateway that runs give its switches to others, without a gap. It keeps what no other gateway "
                "hears."
            ),
        ),
        "doctor": ("doctor:doctor", "Find what is wrong with config, books and PBX, and say what to do about it."),
        "mail-test": (
            "mail:mail_test",
            "Send a notice to each address of a tenant, now, once; the books are not asked.",
        ),
        "demo": (
            "demo:demo",
            (
                "Watch the gate at work: a simulated PBX, a dozen tenants, an embedded ledger. Proves the books at the "
                "end."
            ),
        ),
        "outbox": ("outbox:outbox", "Events for webhooks: what waits, what was given up."),
        "token": ("api:tokens", "Tokens for the HTTP API."),
    },
}
"""By panel of ``--help`` and by name: the module here and what of it is run, and the first words of its own help."""
