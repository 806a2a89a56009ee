//! Which settings of a node are as they were, for its operator to read.

use std::fmt;

use crate::config::Choices;
use crate::printable::Printable;

/// A setting, by its name in `tahoed.toml`, and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The key.
    pub key: &'static str,
    /// The value, in words.
    pub value: Printable,
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, value } = self;
        write!(f, "{key}: {value}")
    }
}

/// What an operator would look for in a new configuration.
pub(super) fn over(choices: &Choices) -> Vec<Taken> {
    let mut taken = Vec::new();
    let mut take = |key, value: &str| {
        let value = Printable::new(value);
        taken.push(Taken { key, value });
    };
    if !choices.nickname.is_empty() {
        take("nickname", &choices.nickname);
    }
    for address in &choices.listen {
        take("listen", &address.to_string());
    }
    for location in &choices.location {
        take("location", &location.to_string());
    }
    let reserved = choices.store.reserved_space.0;
    take("store.reserved_space", &format!("{reserved} bytes"));
    if choices.store.read_only {
        take("store.read_only", "true");
    }
    take("expire", &choices.expire.to_string());
    taken
}
