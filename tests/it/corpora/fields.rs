//! Structured fields (RFC 9651): the one that callers send, and the ones that we write.
