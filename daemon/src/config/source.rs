//! The text of a configuration file as tables of keys, read so that every mistake is told by place,
//! key and what would do instead.

use std::ops::{Range, RangeInclusive};
use std::path::Path;
use std::str::FromStr;

use toml_edit::{Document, Item, TableLike, TomlError};

use super::error::{ConfigError, KeyAdvice, Place, Rule};
use crate::printable::Printable;

/// Every key of one table.
pub(super) struct Schema {
    /// As in `[table]`; empty for what stands before the first one.
    pub(super) table: &'static str,
    /// The keys in it.
    pub(super) keys: &'static [&'static str],
}

/// A file that is TOML, and has no keys but those of the schema.
pub(super) struct Source<'a> {
    path: &'a Path,
    document: Document<&'a str>,
}

/// One table of a file; empty if the file does not have it.
#[derive(Clone, Copy)]
pub(super) struct Table<'a> {
    source: &'a Source<'a>,
    name: &'static str,
    items: Option<&'a dyn TableLike>,
}

impl<'a> Source<'a> {
    pub(super) fn parse(
        text: &'a str,
        path: &'a Path,
        schemas: &'static [Schema],
    ) -> Result<Self, ConfigError> {
        let document = Document::parse(text).map_err(|error| syntax(path, text, &error))?;
        let source = Self { path, document };
        for (key, item) in source.document.as_table().iter() {
            let key_place = source.place_of(source.document.as_table(), key);
            let Some(schema) = schemas.iter().find(|schema| schema.table == key) else {
                source.check_key(schemas, "", key, key_place)?;
                continue;
            };
            let Some(table) = item.as_table_like() else {
                return Err(ConfigError::NotATable {
                    place: key_place,
                    table: schema.table,
                });
            };
            for (key, _) in table.iter() {
                let place = source.place_of(table, key);
                source.check_key(schemas, schema.table, key, place)?;
            }
        }
        Ok(source)
    }

    /// What stands before the first table.
    pub(super) fn root(&'a self) -> Table<'a> {
        Table {
            source: self,
            name: "",
            items: Some(self.document.as_table()),
        }
    }

    pub(super) fn table(&'a self, name: &'static str) -> Table<'a> {
        let item = self.document.as_table().get(name);
        Table {
            source: self,
            name,
            items: item.and_then(Item::as_table_like),
        }
    }

    fn check_key(
        &self,
        schemas: &'static [Schema],
        table: &'static str,
        key: &str,
        place: Place,
    ) -> Result<(), ConfigError> {
        let known = schemas.iter().find(|schema| schema.table == table);
        let known = known.map_or(&[][..], |schema| schema.keys);
        if known.contains(&key) {
            return Ok(());
        }
        let full = full_name(table, key);
        Err(ConfigError::UnknownKey {
            place,
            key: Printable::new(&full),
            advice: match nearest(schemas, table, key) {
                Some(nearest) => KeyAdvice::Nearest(nearest),
                None => KeyAdvice::All(known),
            },
        })
    }

    fn place_of(&self, table: &dyn TableLike, key: &str) -> Place {
        let at = table.key(key).and_then(toml_edit::Key::span);
        let at = at.or_else(|| table.get(key).and_then(Item::span));
        Place::of(
            self.path,
            self.document.raw(),
            at.map_or(0, |span| span.start),
        )
    }
}

impl Table<'_> {
    /// A text that means something to its type.
    pub(super) fn text<T: FromStr>(
        &self,
        key: &'static str,
        rule: &'static str,
    ) -> Result<Option<T>, ConfigError> {
        let Some(item) = self.get(key) else {
            return Ok(None);
        };
        let value = item.as_str().and_then(|text| text.parse().ok());
        let value = value.ok_or_else(|| self.fault(key, item, Rule::Text(rule)));
        value.map(Some)
    }

    /// A text or a number, as sizes are written.
    pub(super) fn text_or_number<T: FromStr>(
        &self,
        key: &'static str,
        rule: &'static str,
    ) -> Result<Option<T>, ConfigError> {
        match self.get(key).and_then(Item::as_integer) {
            Some(number) => {
                let value = number.to_string().parse().ok();
                let item = self.get(key).expect("it is a number");
                let value = value.ok_or_else(|| self.fault(key, item, Rule::Text(rule)));
                value.map(Some)
            }
            None => self.text(key, rule),
        }
    }

    /// Texts, as many as are allowed.
    pub(super) fn texts<T: FromStr>(
        &self,
        key: &'static str,
        counts: RangeInclusive<usize>,
        rule: &'static str,
    ) -> Result<Option<Vec<T>>, ConfigError> {
        let Some(item) = self.get(key) else {
            return Ok(None);
        };
        let fault = || self.fault(key, item, Rule::Text(rule));
        let array = item.as_array().ok_or_else(fault)?;
        if !counts.contains(&array.len()) {
            return Err(fault());
        }
        let each = array.iter().map(|value| {
            let parsed = value.as_str().and_then(|text| text.parse().ok());
            parsed.ok_or_else(|| ConfigError::Value {
                place: self.place(value.span()),
                key: full_name(self.name, key),
                found: self.as_written(value.span()),
                rule: Rule::Text(rule),
            })
        });
        each.collect::<Result<_, _>>().map(Some)
    }

    /// A whole number.
    pub(super) fn number(
        &self,
        key: &'static str,
        range: RangeInclusive<u64>,
    ) -> Result<Option<u64>, ConfigError> {
        let Some(item) = self.get(key) else {
            return Ok(None);
        };
        let number = item
            .as_integer()
            .and_then(|number| u64::try_from(number).ok());
        match number.filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => Err(self.fault(key, item, Rule::Number(range))),
        }
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, key: &'static str) -> Result<Option<bool>, ConfigError> {
        let Some(item) = self.get(key) else {
            return Ok(None);
        };
        let flag = item.as_bool();
        let flag = flag.ok_or_else(|| self.fault(key, item, Rule::Text("true or false")));
        flag.map(Some)
    }

    /// One of a few names.
    pub(super) fn choice<T: Copy>(
        &self,
        key: &'static str,
        choices: &[(&'static str, T)],
    ) -> Result<Option<T>, ConfigError> {
        let Some(item) = self.get(key) else {
            return Ok(None);
        };
        let named = choices.iter().find(|(name, _)| item.as_str() == Some(name));
        match named {
            Some((_, choice)) => Ok(Some(*choice)),
            None => {
                let names = choices.iter().map(|(name, _)| *name).collect();
                Err(self.fault(key, item, Rule::OneOf(names)))
            }
        }
    }

    /// The error for a key that is there, reads well, and must not stand with the others.
    pub(super) fn rejected(&self, key: &'static str, rule: &'static str) -> ConfigError {
        match self.get(key) {
            Some(item) => self.fault(key, item, Rule::Text(rule)),
            None => self.missing(key, rule),
        }
    }

    /// The error for a key that must be there and is not.
    pub(super) fn missing(&self, key: &'static str, rule: &'static str) -> ConfigError {
        ConfigError::Missing {
            path: self.source.path.to_owned(),
            key: full_name(self.name, key),
            rule,
        }
    }

    fn get(&self, key: &str) -> Option<&Item> {
        self.items.and_then(|items| items.get(key))
    }

    fn fault(&self, key: &'static str, item: &Item, rule: Rule) -> ConfigError {
        ConfigError::Value {
            place: self.place(item.span()),
            key: full_name(self.name, key),
            found: self.as_written(item.span()),
            rule,
        }
    }

    fn as_written(&self, span: Option<Range<usize>>) -> Printable {
        let text = self.source.document.raw();
        Printable::new(span.and_then(|span| text.get(span)).unwrap_or(""))
    }

    fn place(&self, span: Option<Range<usize>>) -> Place {
        let at = span.map_or(0, |span| span.start);
        Place::of(self.source.path, self.source.document.raw(), at)
    }
}

fn syntax(path: &Path, text: &str, error: &TomlError) -> ConfigError {
    let at = error.span().map_or(text.len(), |span| span.start);
    ConfigError::Syntax {
        place: Place::of(path, text, at),
        what: Printable::new(error.message()),
    }
}

fn full_name(table: &str, key: &str) -> String {
    match table {
        "" => key.to_owned(),
        table => format!("{table}.{key}"),
    }
}

/// The known key or table that somebody may have meant.
fn nearest(schemas: &[Schema], table: &str, key: &str) -> Option<String> {
    let keys = schemas.iter().flat_map(|schema| {
        let keys = schema.keys.iter();
        keys.map(|known| (schema.table, *known))
    });
    // A table's name is a key of the root.
    let tables = schemas.iter().map(|schema| ("", schema.table));
    let candidates = keys.chain(tables).filter(|(_, known)| !known.is_empty());
    let distance = |(of, known): &(&str, &str)| {
        let spelling = match known.starts_with(key) && key.len() >= PREFIX_LEN_MIN {
            true => 1,
            false => strsim::osa_distance(key, known),
        };
        // In the same table if there is a choice.
        (spelling, *of != table)
    };
    let best = candidates.min_by_key(distance)?;
    let (spelling, _) = distance(&best);
    let is_near = spelling <= key.chars().count().div_ceil(3);
    is_near.then(|| full_name(best.0, best.1))
}

/// A shorter beginning of a key could be of any.
const PREFIX_LEN_MIN: usize = 3;
