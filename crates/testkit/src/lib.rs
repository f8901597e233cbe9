//! For tests: a fake API server, fixtures and the kstatus checker.
