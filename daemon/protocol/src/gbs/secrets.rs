//! The headers that let a client in and that carry its secrets.
//!
//! ```text
//! Authorization: Tahoe-LAFS BASE64             the swissnum
//! X-Tahoe-Authorization: KIND BASE64           a secret, one header each
//! ```
//!
//! Base64 is the standard alphabet with padding, in its one spelling (Tahoe skips characters that
//! are not of it). Nothing here repeats or prints what a client presented.

use std::fmt;

use data_encoding::BASE64;
use lafs::{CancelSecret, LeaseSecrets, RenewSecret, Swissnum, WriteEnabler};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::limits::SECRET_VALUE_LEN_MAX;
use super::rejection::Rejection;

/// Proof that a request presented this server's swissnum.
///
/// Only [`Authorized::check`] makes one, and no call is parsed without it.
#[must_use]
#[derive(Debug)]
pub struct Authorized(());

impl Authorized {
    /// Compares the first `Authorization` header with the one that `swissnum` makes, byte for byte.
    ///
    /// # Errors
    ///
    /// [`Rejection::BadAuthorization`] if it is not UTF-8, else [`Rejection::WrongAuthorization`].
    pub fn check<'a>(
        swissnum: &Swissnum,
        mut values: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Self, Rejection> {
        let value = values.next().ok_or(Rejection::WrongAuthorization)?;
        let value = std::str::from_utf8(value).map_err(|_| Rejection::BadAuthorization)?;
        // A base64 text has one spelling here, so that comparing what it spells compares the text.
        let presented = trim(value)
            .strip_prefix("Tahoe-LAFS ")
            .filter(|text| text.len() <= BASE64.encode_len(Swissnum::LEN_MAX))
            .and_then(|text| BASE64.decode(text.as_bytes()).ok())
            .map(Zeroizing::new)
            .ok_or(Rejection::WrongAuthorization)?;
        match swissnum.admits(&presented) {
            true => Ok(Self(())),
            false => Err(Rejection::WrongAuthorization),
        }
    }
}

/// The upload secret that a client presents: any bytes, at least one.
///
/// Tahoe's client makes 20 random bytes for each allocate.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct UploadSecret(Vec<u8>);

impl UploadSecret {
    /// The bytes, in the clear.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq for UploadSecret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for UploadSecret {}

impl fmt::Debug for UploadSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UploadSecret(..)")
    }
}

/// The secrets that a request carries, by kind; which it must carry is the endpoint's to say.
///
/// Each of the methods gives what one kind of endpoint needs, and refuses more as well as less: a
/// secret that is sent where it is not needed is one that leaks.
#[derive(Debug, Default)]
pub struct Secrets {
    renew: Option<RenewSecret>,
    cancel: Option<CancelSecret>,
    upload: Option<UploadSecret>,
    write_enabler: Option<WriteEnabler>,
}

impl Secrets {
    /// Reads the values of all `X-Tahoe-Authorization` headers; of two of one kind the last counts.
    ///
    /// # Errors
    ///
    /// A [`Rejection`] of status 400 for any that is not a secret.
    pub fn parse<'a>(values: impl Iterator<Item = &'a [u8]>) -> Result<Self, Rejection> {
        let mut secrets = Self::default();
        for value in values {
            secrets.take(value)?;
        }
        Ok(secrets)
    }

    /// For an endpoint that needs no secret.
    ///
    /// # Errors
    ///
    /// [`Rejection::SecretSet`] if there is one.
    pub fn none(self) -> Result<(), Rejection> {
        match (self.renew, self.cancel, self.upload, self.write_enabler) {
            (None, None, None, None) => Ok(()),
            _ => Err(Rejection::SecretSet { required: "none" }),
        }
    }

    /// For an endpoint that needs the secrets of a lease.
    ///
    /// # Errors
    ///
    /// [`Rejection::SecretSet`] if one is missing, or there is another.
    pub fn lease(self) -> Result<LeaseSecrets, Rejection> {
        match (self.renew, self.cancel, self.upload, self.write_enabler) {
            (Some(renew), Some(cancel), None, None) => Ok(LeaseSecrets { renew, cancel }),
            _ => Err(Rejection::SecretSet {
                required: "lease-renew-secret, lease-cancel-secret",
            }),
        }
    }

    /// For an endpoint that needs the secret of an upload.
    ///
    /// # Errors
    ///
    /// [`Rejection::SecretSet`] if it is missing, or there is another.
    pub fn upload(self) -> Result<UploadSecret, Rejection> {
        match (self.renew, self.cancel, self.upload, self.write_enabler) {
            (None, None, Some(upload), None) => Ok(upload),
            _ => Err(Rejection::SecretSet {
                required: "upload-secret",
            }),
        }
    }

    /// For an endpoint that needs the secrets of a lease and of an upload.
    ///
    /// # Errors
    ///
    /// [`Rejection::SecretSet`] if one is missing, or there is another.
    pub fn lease_and_upload(self) -> Result<(LeaseSecrets, UploadSecret), Rejection> {
        match (self.renew, self.cancel, self.upload, self.write_enabler) {
            (Some(renew), Some(cancel), Some(upload), None) => {
                Ok((LeaseSecrets { renew, cancel }, upload))
            }
            _ => Err(Rejection::SecretSet {
                required: "lease-renew-secret, lease-cancel-secret, upload-secret",
            }),
        }
    }

    /// For an endpoint that needs the secrets of a lease and a write enabler.
    ///
    /// # Errors
    ///
    /// [`Rejection::SecretSet`] if one is missing, or there is another.
    pub fn lease_and_write_enabler(self) -> Result<(LeaseSecrets, WriteEnabler), Rejection> {
        match (self.renew, self.cancel, self.upload, self.write_enabler) {
            (Some(renew), Some(cancel), None, Some(write_enabler)) => {
                Ok((LeaseSecrets { renew, cancel }, write_enabler))
            }
            _ => Err(Rejection::SecretSet {
                required: "lease-renew-secret, lease-cancel-secret, write-enabler",
            }),
        }
    }

    fn take(&mut self, value: &[u8]) -> Result<(), Rejection> {
        if value.len() > SECRET_VALUE_LEN_MAX {
            return Err(Rejection::SecretForm);
        }
        let value = std::str::from_utf8(value).map_err(|_| Rejection::SecretForm)?;
        let (kind, text) = trim(value).split_once(' ').ok_or(Rejection::SecretForm)?;
        if !KINDS.contains(&kind) {
            return Err(Rejection::SecretKind);
        }
        let secret = BASE64
            .decode(text.as_bytes())
            .map(Zeroizing::new)
            .map_err(|_| Rejection::SecretForm)?;
        if secret.is_empty() {
            return Err(Rejection::SecretForm);
        }
        let of_32_bytes = <[u8; 32]>::try_from(&secret[..]);
        match kind {
            "lease-renew-secret" => {
                let bytes = of_32_bytes.map_err(|_| Rejection::LeaseSecretLen)?;
                self.renew = Some(RenewSecret::new(bytes));
            }
            "lease-cancel-secret" => {
                let bytes = of_32_bytes.map_err(|_| Rejection::LeaseSecretLen)?;
                self.cancel = Some(CancelSecret::new(bytes));
            }
            "upload-secret" => self.upload = Some(UploadSecret(secret.to_vec())),
            _ => {
                let bytes = of_32_bytes.map_err(|_| Rejection::WriteEnablerLen)?;
                self.write_enabler = Some(WriteEnabler::new(bytes));
            }
        }
        Ok(())
    }
}

/// Without the blanks that HTTP allows around a value.
fn trim(value: &str) -> &str {
    value.trim_matches([' ', '\t'])
}

const KINDS: [&str; 4] = [
    "lease-renew-secret",
    "lease-cancel-secret",
    "upload-secret",
    "write-enabler",
];

#[cfg(test)]
mod tests {
    use super::*;

    const SWISSNUM: &str = "gbsfixtureswissnum234567abcdefgh";
    const HEADER: &str = "Tahoe-LAFS Z2JzZml4dHVyZXN3aXNzbnVtMjM0NTY3YWJjZGVmZ2g=";

    fn check(values: &[&[u8]]) -> Result<(), Rejection> {
        let swissnum = Swissnum::new(SWISSNUM).unwrap();
        Authorized::check(&swissnum, values.iter().copied()).map(|_| ())
    }

    fn parse(values: &[&str]) -> Result<Secrets, Rejection> {
        Secrets::parse(values.iter().map(|value| value.as_bytes()))
    }

    fn of(kind: &str, bytes: &[u8]) -> String {
        format!("{kind} {}", BASE64.encode(bytes))
    }

    #[test]
    fn the_header_that_tahoe_sends_is_admitted() {
        assert_eq!(check(&[HEADER.as_bytes()]), Ok(()));
        assert_eq!(check(&[format!(" {HEADER}\t").as_bytes()]), Ok(()));
        assert_eq!(check(&[HEADER.as_bytes(), b"Basic eDp4"]), Ok(()));
    }

    #[test]
    fn any_other_header_is_not() {
        let (scheme, base64) = HEADER.split_once(' ').unwrap();
        for value in [
            String::new(),
            scheme.into(),
            base64.into(),
            format!("{scheme} "),
            format!("{scheme} {SWISSNUM}"),
            format!("{scheme}  {base64}"),
            format!("{scheme}\t{base64}"),
            format!("{}{base64}", scheme.to_lowercase()),
            format!("tahoe-lafs {base64}"),
            format!("Bearer {base64}"),
            format!("{scheme} {}", base64.trim_end_matches('=')),
            format!("{scheme} {base64}="),
            // The same bytes with a spare bit set.
            format!("{scheme} {}h=", base64.strip_suffix("g=").unwrap()),
            format!("{scheme} {}", BASE64.encode(b"wrong")),
            format!("{scheme} {}", BASE64.encode(&SWISSNUM.as_bytes()[1..])),
            format!("{scheme} {}", BASE64.encode(&[b'x'; 4096])),
            HEADER.replace('Z', "-"),
        ] {
            let wrong = Err(Rejection::WrongAuthorization);
            assert_eq!(check(&[value.as_bytes()]), wrong, "{value}");
            assert_eq!(check(&[value.as_bytes(), HEADER.as_bytes()]), wrong);
        }
        assert_eq!(check(&[]), Err(Rejection::WrongAuthorization));
        assert_eq!(
            check(&[b"Tahoe-LAFS \xff\xfe"]),
            Err(Rejection::BadAuthorization)
        );
    }

    #[test]
    fn each_bit_of_the_header_counts() {
        for index in 0..HEADER.len() {
            for bit in 0..8 {
                let mut value = HEADER.as_bytes().to_vec();
                value[index] ^= 1 << bit;
                assert!(check(&[&value]).is_err(), "bit {bit} of byte {index}");
            }
        }
        for len in 0..HEADER.len() {
            assert!(check(&[&HEADER.as_bytes()[..len]]).is_err(), "length {len}");
        }
    }

    #[test]
    fn each_endpoint_gets_its_secrets_and_refuses_every_other_set() {
        let all = [
            of("lease-renew-secret", &[1; 32]),
            of("lease-cancel-secret", &[2; 32]),
            of("upload-secret", b"x"),
            of("write-enabler", &[4; 32]),
        ];
        for set in 0_usize..16 {
            let values: Vec<&str> = (0..4)
                .filter(|index| set >> index & 1 == 1)
                .map(|index| &all[index][..])
                .collect();
            let secrets = || parse(&values).unwrap();
            assert_eq!(secrets().none().is_ok(), set == 0b0000);
            assert_eq!(secrets().lease().is_ok(), set == 0b0011);
            assert_eq!(secrets().upload().is_ok(), set == 0b0100);
            assert_eq!(secrets().lease_and_upload().is_ok(), set == 0b0111);
            assert_eq!(secrets().lease_and_write_enabler().is_ok(), set == 0b1011);
        }
        let values = all.each_ref().map(|value| &value[..]);
        let (lease, upload) = parse(&values[..3]).unwrap().lease_and_upload().unwrap();
        assert_eq!(lease.renew.as_bytes(), &[1; 32]);
        assert_eq!(lease.cancel.as_bytes(), &[2; 32]);
        assert_eq!(upload.as_bytes(), b"x");
        let values = [values[0], values[1], values[3]];
        let (_, enabler) = parse(&values).unwrap().lease_and_write_enabler().unwrap();
        assert_eq!(enabler.as_bytes(), &[4; 32]);
    }

    #[test]
    fn of_two_secrets_of_one_kind_the_last_counts_and_both_are_judged() {
        let (one, two) = (of("upload-secret", b"one"), of("upload-secret", b"two"));
        let secret = parse(&[&one, &two]).unwrap().upload().unwrap();
        assert_eq!(secret.as_bytes(), b"two");
        let bad = parse(&["upload-secret !", &two]).map(|_| ());
        assert_eq!(bad, Err(Rejection::SecretForm));
    }

    #[test]
    fn what_is_not_a_secret_is_refused_by_the_rule_it_breaks() {
        let long = of("upload-secret", &vec![0; SECRET_VALUE_LEN_MAX]);
        let renew = of("lease-renew-secret", &[1; 32]);
        for (value, rejection) in [
            ("", Rejection::SecretForm),
            ("upload-secret", Rejection::SecretForm),
            ("upload-secret ", Rejection::SecretForm),
            ("upload-secret\teA==", Rejection::SecretForm),
            ("upload-secret  eA==", Rejection::SecretForm),
            ("upload-secret eA", Rejection::SecretForm),
            ("upload-secret eA=", Rejection::SecretForm),
            ("upload-secret eB==", Rejection::SecretForm),
            ("upload-secret e A=", Rejection::SecretForm),
            ("upload-secret ====", Rejection::SecretForm),
            ("upload-secret e_-=", Rejection::SecretForm),
            (&long, Rejection::SecretForm),
            (
                &format!("{renew}, upload-secret eA=="),
                Rejection::SecretForm,
            ),
            ("foo-secret eA==", Rejection::SecretKind),
            ("Upload-Secret eA==", Rejection::SecretKind),
            (
                &of("lease-renew-secret", &[1; 31]),
                Rejection::LeaseSecretLen,
            ),
            (
                &of("lease-cancel-secret", &[1; 33]),
                Rejection::LeaseSecretLen,
            ),
            (&of("write-enabler", &[1; 31]), Rejection::WriteEnablerLen),
            (&of("write-enabler", &[1; 33]), Rejection::WriteEnablerLen),
        ] {
            let refused = parse(&[value]).map(|_| ());
            assert_eq!(refused, Err(rejection), "{value}");
            assert_eq!(rejection.status(), 400);
        }
        let refused = Secrets::parse([&b"upload-secret \xff"[..]].into_iter()).map(|_| ());
        assert_eq!(refused, Err(Rejection::SecretForm));
    }

    // Tahoe repeats the whole header in its answer (reference, section 9).
    #[test]
    fn nothing_secret_is_printed() {
        let values = [
            of("upload-secret", b"upload-secret-000001"),
            of("write-enabler", &[b'w'; 32]),
        ];
        let secrets = parse(&values.each_ref().map(|value| &value[..])).unwrap();
        let printed = format!("{secrets:?}");
        let printed = format!("{printed} {}", secrets.none().unwrap_err());
        assert_eq!(
            printed,
            "Secrets { renew: None, cancel: None, upload: Some(UploadSecret(..)), \
             write_enabler: Some(WriteEnabler(..)) } \
             X-Tahoe-Authorization headers must be exactly: none"
        );
    }
}
