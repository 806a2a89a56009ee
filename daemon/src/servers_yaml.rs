//! `tahoed servers-yaml`: what a Tahoe-LAFS client needs to know of this server.
//!
//! The text of a `private/servers.yaml`, or an entry for one (reference: storage server, section 7).
//! It holds the swissnum.

use crate::config::{Config, quote};
use crate::directory::Directory;
use crate::error::DirectoryError;

/// Returns the entry of the server in `directory`; `port` stands where a location has none.
///
/// # Errors
///
/// There is no NURL to tell: identity or swissnum cannot be read, or no location is configured.
pub fn servers_yaml(
    directory: &Directory,
    config: &Config,
    port: Option<u16>,
) -> Result<String, DirectoryError> {
    let nurls = directory.nurls(config, port)?;
    let names = directory.names(config)?;
    let mut lines = vec![
        "storage:".to_owned(),
        format!("  {}:", names.server_id),
        "    ann:".to_owned(),
    ];
    if !config.nickname.is_empty() {
        lines.push(format!("      nickname: {}", quote(&config.nickname)));
    }
    // The client takes the TubID from it and uses nothing else of it.
    let furl = format!("pb://{}@unused/unused", names.node_id);
    lines.push(format!("      anonymous-storage-FURL: {}", quote(&furl)));
    lines.push("      anonymous-storage-NURLs:".to_owned());
    let each = nurls.iter().map(|nurl| quote(&nurl.to_string()));
    lines.extend(each.map(|nurl| format!("        - {nurl}")));
    let seed = quote(&names.permutation_seed.to_string());
    lines.push(format!("      permutation-seed-base32: {seed}\n"));
    Ok(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Choices;

    #[test]
    fn an_entry_has_all_that_a_client_asks_for() {
        let temporary = tempfile::tempdir().unwrap();
        let directory = Directory::new(temporary.path().join("node"));
        let choices = Choices {
            nickname: "a \"b\": c".to_owned(),
            listen: vec!["127.0.0.1:4001".parse().unwrap()],
            location: vec!["a.example".parse().unwrap(), "[::1]:9".parse().unwrap()],
            store: crate::config::Store::default(),
            expire: crate::config::Expire::default(),
        };
        crate::init(&directory, &choices).unwrap();
        let config = directory.config().unwrap();
        let nurls = directory.nurls(&config, None).unwrap();
        let names = directory.names(&config).unwrap();
        let expected = format!(
            r#"storage:
  {}:
    ann:
      nickname: "a \"b\": c"
      anonymous-storage-FURL: "pb://{}@unused/unused"
      anonymous-storage-NURLs:
        - "{}"
        - "{}"
      permutation-seed-base32: "{}"
"#,
            names.server_id, names.node_id, nurls[0], nurls[1], names.permutation_seed
        );
        assert_eq!(servers_yaml(&directory, &config, None).unwrap(), expected);
    }

    #[test]
    fn without_a_location_there_is_nothing_to_tell() {
        let temporary = tempfile::tempdir().unwrap();
        let directory = Directory::new(temporary.path().join("node"));
        let choices = Choices {
            nickname: String::new(),
            listen: vec!["127.0.0.1:4001".parse().unwrap()],
            location: Vec::new(),
            store: crate::config::Store::default(),
            expire: crate::config::Expire::default(),
        };
        crate::init(&directory, &choices).unwrap();
        let config = directory.config().unwrap();
        let error = servers_yaml(&directory, &config, None).unwrap_err();
        assert!(matches!(error, DirectoryError::NoLocation { .. }));
    }
}
