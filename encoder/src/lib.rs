//! Share bytes: encryption, erasure codes, hash trees, UEB. No I/O.
