"""The built lab, on the same terms as for the tests of the lab."""

from tests.lab.conftest import lab_root

__all__ = ["lab_root"]
