"""callgate: prepaid call authorization for Asterisk.

The house, from the inside out (imports run one way, held by import-linter)::

    rating    what a call costs; pure
    core      what a call is; pure: facts in, effects out
    ports     what the core needs from the world
    service   carries the effects out
    adapters  AMI, Redis, HTTP, webhooks
    bootstrap wires them together; cli speaks to people
"""
