//! Changes that the program makes in a configuration file: what it does not change stays as the
//! operator wrote it, comments and all.

use std::path::Path;

use bucketfs::StoreId;
use toml_edit::{DocumentMut, Item, table, value};

use super::{Config, Store};

/// Puts a store's identifier into the text of a configuration, and its path if it is another one.
///
/// `None` if that cannot be done: the text is no configuration, or the path is not text.
pub(crate) fn with_store(text: &str, path: &Path, id: StoreId) -> Option<String> {
    let unnamed = Path::new("tahoed.toml");
    let before = Config::parse(text, unnamed).ok()?;
    let mut document: DocumentMut = text.parse().ok()?;
    let store = document.entry("store").or_insert(table());
    let store = store.as_table_like_mut()?;
    if before.store.path != path {
        set(store, "path", path.to_str()?);
    }
    set(store, "id", &id.to_string());
    let text = document.to_string();
    let after = Config::parse(&text, unnamed).ok()?;
    let expected = Config {
        store: Store {
            path: path.to_owned(),
            id: Some(id),
            ..before.store.clone()
        },
        ..before
    };
    (after == expected).then_some(text)
}

/// Sets a key; a comment behind its old value stays.
fn set(table: &mut dyn toml_edit::TableLike, key: &str, text: &str) {
    let mut new = value(text);
    let old = table.get(key).and_then(Item::as_value);
    if let (Some(old), Some(new)) = (old, new.as_value_mut()) {
        *new.decor_mut() = old.decor().clone();
    }
    table.insert(key, new);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(text: &str, path: &str) -> String {
        with_store(text, Path::new(path), StoreId::new([0xab; 16])).unwrap()
    }

    // Whoever wrote a comment wants to find it again.
    #[test]
    fn what_is_not_changed_stays_as_it_was_written() {
        let id = "id = \"abababababababababababababababab\"";
        for (text, expected) in [
            (
                "# a\nlisten = ['[::]:1'] # b\n\n[store] # c\n# d\n#path = 'x'\n\n[log]\n# e\n",
                format!(
                    "# a\nlisten = ['[::]:1'] # b\n\n[store] # c\n{id}\n# d\n#path = 'x'\n\n[log]\n# e\n"
                ),
            ),
            (
                "listen = ['[::]:1']\nstore.read_only = true # a\nlog.level = 'debug'\n",
                format!(
                    "listen = ['[::]:1']\nstore.read_only = true # a\nstore.{id}\nlog.level = 'debug'\n"
                ),
            ),
            (
                "listen = ['[::]:1']\n",
                format!("listen = ['[::]:1']\n\n[store]\n{id}\n"),
            ),
            (
                "listen = ['[::]:1']\n[store]\nid = '00000000000000000000000000000000' # a\n",
                format!("listen = ['[::]:1']\n[store]\n{id} # a\n"),
            ),
        ] {
            assert_eq!(edited(text, "storage"), expected);
        }
    }

    #[test]
    fn another_path_is_set_beside_the_identifier() {
        let text = "listen = ['[::]:1']\n[store]\npath = 'storage' # a\n";
        let edited = edited(text, "/mnt/disk");
        assert!(edited.contains("path = \"/mnt/disk\" # a\n"), "{edited}");
        let config = Config::parse(&edited, Path::new("tahoed.toml")).unwrap();
        assert_eq!(config.store.path, Path::new("/mnt/disk"));
        let inline = "listen = ['[::]:1']\nstore = { read_only = true }\n";
        let edited = self::edited(inline, "storage");
        assert!(edited.contains("read_only = true"), "{edited}");
        assert!(edited.contains("id = \"abab"), "{edited}");
    }

    #[test]
    fn what_is_no_configuration_is_not_touched() {
        let id = StoreId::new([0; 16]);
        for text in ["", "listen = [", "listen = ['[::]:1']\nstore = 5"] {
            assert_eq!(with_store(text, Path::new("storage"), id), None, "{text}");
        }
    }
}
