"""The tests on other versions of what callgate stands on."""
