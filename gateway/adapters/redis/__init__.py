"""The ledger on Redis or Valkey: its functions, the pipe to them, and the embedded server."""
