//! A storage server: sockets, TLS, configuration.
