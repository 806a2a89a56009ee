//! The store: containers, the bucket tree, the journal, durability.
