//! The pipeline protocol, both ends, without I/O.
