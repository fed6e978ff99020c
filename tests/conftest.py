"""What holds for all tests."""

from hypothesis import HealthCheck, settings

# A busy machine is no fault of the code: nothing is judged by how long it took, examples neither.
settings.register_profile("callgate", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("callgate")
