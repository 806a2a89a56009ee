//! The grid client and its command line.
