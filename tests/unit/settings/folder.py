"""A config folder to break: right as it is made, so that a test's problem is the one that it put there."""

from pathlib import Path

from gateway.settings import Problem, check

GATEWAY = """\
[redis]
url = "embedded"

[[switch]]
name = "pbx1"
host = "127.0.0.1"
secret_env = "PBX1_SECRET"
"""

TENANT = """\
currency = "USD"
tariff = "default.csv"
accountcodes = ["{name}"]

[numbers]
home_country = "US"
international_prefixes = ["011"]
trunk_prefix = "1"

[recharge]
trigger = "10.00"
amount = 25.00

[webhook]
url = "http://127.0.0.1:8787/hook"
secret_env = "HOOK_SECRETS"
"""

TARIFF = """\
prefix,destination,connect_fee,rate_per_minute,initial_increment,increment
1800,Toll-free,0,0.02,60,60
44,United Kingdom,0,0.02,30,6
1212,New York,0,0.02,6,6
"""

HOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ENVIRON = {"PBX1_SECRET": "a secret", "HOOK_SECRETS": HOOK_SECRET}


class Folder:
    """A config folder with one gateway file, one tariff and the tenants asked for."""

    def __init__(self, root: Path, *tenants: str) -> None:
        self.root = root
        self.environ = dict(ENVIRON)
        self.write("gateway.toml", GATEWAY)
        self.write("tariffs/default.csv", TARIFF)
        for name in tenants:
            self.write(f"tenants/{name}.toml", TENANT.format(name=name))

    def write(self, name: str, text: str | bytes) -> Path:
        """Write a file that only its owner can read."""
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        file.chmod(0o600)
        return file

    def change(self, name: str, old: str, new: str) -> None:
        """Replace the one place where ``old`` stands."""
        text = (self.root / name).read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {name}"
        self.write(name, text.replace(old, new))

    def check(self) -> list[Problem]:
        """What ``callgate check`` finds."""
        return check(self.root, self.environ)

    def problem(self) -> Problem:
        """The one problem of a folder that has just one."""
        problems = self.check()
        assert len(problems) == 1, [str(problem) for problem in problems]
        return problems[0]
