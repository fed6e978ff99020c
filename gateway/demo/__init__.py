"""A simulated PBX with phones, tenants and a payment desk, for the demo and the benchmarks."""
