use proptest::prelude::*;

use super::native::{ReadCap, ReadKey, VerifyCap, Version};
use super::*;
use crate::{Parameters, ParametersError, base32};

fn read_cap() -> ReadCap {
    cap_of_version(Version::CURRENT)
}

fn cap_of_version(version: Version) -> ReadCap {
    let parameters = Parameters::default_for(3, 10).unwrap();
    let (key, hash) = (ReadKey::new([1; 32]), UebHash::new([2; 32]));
    ReadCap::of_version(version, key, hash, parameters, 1000).unwrap()
}

/// As caps of version 1 were first printed.
fn without_check(printed: &str) -> String {
    let mut fields: Vec<&str> = printed.split(':').collect();
    assert_eq!(fields.remove(2).len(), 7);
    fields.join(":")
}

#[test]
fn caps_print_as_documented_and_parse_back() {
    for (version, text) in [
        (
            Version::V1,
            "URI:TLN1:h2dchhq:aeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaq:\
             aibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaiba:3:10:1000:196608",
        ),
        (
            Version::V2,
            "URI:TLN2:ukgsyii:aeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaq:\
             aibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaiba:3:10:1000:196608",
        ),
    ] {
        let read = cap_of_version(version);
        assert_eq!(read.to_string(), text);
        assert_eq!(text.parse(), Ok(Cap::NativeRead(read.clone())));
        let verify = read.verify_cap();
        assert_eq!((read.version(), verify.version()), (version, version));
        assert_eq!(verify.to_string().parse(), Ok(Cap::NativeVerify(verify)));
    }
}

// A file of one version is no file of another, so the text of one must be none of the other.
#[test]
fn caps_of_two_versions_are_two_caps_and_a_check_is_of_its_version() {
    let [first, second] = Version::ALL.map(cap_of_version);
    assert_ne!(
        Cap::NativeRead(first.clone()),
        Cap::NativeRead(second.clone())
    );
    assert_ne!(first.verify_cap(), second.verify_cap());
    for (text, other) in [
        (first.to_string(), "TLN2"),
        (first.verify_cap().to_string(), "TLN2"),
        (second.to_string(), "TLN1"),
        (second.verify_cap().to_string(), "TLN1"),
    ] {
        let renamed = text.replacen(&text[4..8], other, 1);
        assert_ne!(renamed, text);
        assert_eq!(refused(&renamed), CapError::Check);
        // Without a check there is only version 1.
        assert_eq!(
            without_check(&text).parse::<Cap>().is_ok(),
            other == "TLN2",
            "{text}"
        );
        assert_eq!(
            without_check(&renamed).parse::<Cap>().is_ok(),
            other == "TLN1",
            "{renamed}"
        );
    }
}

// Whoever gets a cap of a later version is told so, and not that it was copied wrongly.
#[test]
fn a_cap_of_a_later_version_is_said_to_be_one() {
    let read = read_cap();
    for text in [read.to_string(), read.verify_cap().to_string()] {
        for (version, error) in [
            ("TLN3", CapError::Newer),
            ("TLN10", CapError::Newer),
            ("TLN0", CapError::UnknownKind),
            ("TLN03", CapError::UnknownKind),
            ("TLN", CapError::UnknownKind),
            ("TLN3x", CapError::UnknownKind),
            ("TLN99999999999", CapError::UnknownKind),
        ] {
            assert_eq!(
                refused(&text.replacen("TLN2", version, 1)),
                error,
                "{version}"
            );
        }
    }
    assert_eq!("URI:TLN3".parse::<Cap>(), Err(CapError::UnknownKind));
}

// Caps without a check were given out, and somebody keeps them on paper.
#[test]
fn the_first_texts_are_read_for_ever_and_print_with_a_check() {
    let read_cap = || cap_of_version(Version::V1);
    let read = "URI:TLN1:aeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaq:\
                aibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaiba:3:10:1000:196608";
    assert_eq!(read.parse(), Ok(Cap::NativeRead(read_cap())));
    assert_eq!(without_check(&read_cap().to_string()), read);
    let verify = read_cap().verify_cap();
    let text = without_check(&verify.to_string());
    assert!(text.starts_with("URI:TLN1-Verifier:"), "{text}");
    assert_eq!(text.parse(), Ok(Cap::NativeVerify(verify)));
}

// The same text as Tahoe's, so that small files and their caps move freely between the two.
#[test]
fn literals_are_tahoes() {
    assert_eq!(Literal::new(b"").unwrap().to_string(), "URI:LIT:");
    assert_eq!(
        Literal::new(b"hello").unwrap().to_string(),
        "URI:LIT:nbswy3dp"
    );
    assert_eq!(
        "URI:LIT:nbswy3dp".parse::<Literal>().unwrap().as_bytes(),
        b"hello"
    );
    assert!(Literal::new(&[0; 55]).is_some());
    assert_eq!(Literal::new(&[0; 56]), None);
    let large = format!("URI:LIT:{}", base32::encode(&[7; 1000]));
    assert_eq!(large.parse::<Literal>().unwrap().to_string(), large);
}

// Only a text without a check can be wrong in these ways, or one whose check was made for it.
#[test]
fn each_error_of_a_field_is_provoked() {
    let good = without_check(&cap_of_version(Version::V1).to_string());
    let fields: Vec<&str> = good.split(':').collect();
    let with = |index: usize, text: &str| {
        let mut fields = fields.clone();
        fields[index] = text;
        let (prefix, rest) = (format!("URI:{}:", fields[1]), fields[2..].join(":"));
        let parsed = fields.join(":").parse::<Cap>();
        if fields[0] == "URI" && fields[2].len() != 7 {
            let checked = check::insert(&prefix, &rest).parse::<Cap>();
            assert_eq!(checked, parsed, "with a check");
        }
        parsed
    };
    assert_eq!(with(0, "uri"), Err(CapError::Kind));
    assert_eq!(with(1, "CHK"), Err(CapError::Tahoe(tahoe::Kind::Chk)));
    assert_eq!(with(1, "TLN3"), Err(CapError::Newer));
    assert_eq!(with(2, "short"), Err(CapError::ReadKey));
    assert_eq!(with(2, &fields[2].to_uppercase()), Err(CapError::ReadKey));
    assert_eq!(with(3, &fields[3][1..]), Err(CapError::UebHash));
    for (index, number) in [(4, "03"), (4, "+3"), (5, ""), (6, "-1"), (7, "4294967296")] {
        assert_eq!(with(index, number), Err(CapError::Number), "{number:?}");
    }
    assert_eq!(with(6, "18446744073709551616"), Err(CapError::Number));
    assert_eq!(with(6, "1152921504606846977"), Err(CapError::Size));
    assert!(with(6, "1152921504606846976").is_ok());
    assert_eq!(
        with(4, "11"),
        Err(CapError::Parameters(ParametersError::Counts {
            needed: 11,
            total: 10
        }))
    );
    let cut = good.rsplit_once(':').unwrap().0;
    assert_eq!(cut.parse::<Cap>(), Err(CapError::FieldCount));
    let joined = format!("{good}::");
    assert_eq!(joined.parse::<Cap>(), Err(CapError::FieldCount));
    assert_eq!("URI:LIT:a".parse::<Cap>(), Err(CapError::Literal));
    assert_eq!(
        with(1, "TLN1-Verifier"),
        Err(CapError::StorageIndex),
        "a read key in a verify cap"
    );
    assert_eq!(good.parse::<VerifyCap>(), Err(CapError::Kind));
}

/// Caps of different shapes, read and verify, as they are printed.
fn printed() -> Vec<String> {
    let mut printed = Vec::new();
    for (needed, total, segment_size, size, seed) in [
        (3, 10, 196_608, 1000, 1_u8),
        (1, 1, 64, 0, 0),
        (1, 11, 1280, 111, 77),
        (22, 22, 22 * 64, 22_222_222, 0xff),
        (256, 256, 4 << 20, Parameters::FILE_SIZE_MAX, 0x5a),
    ] {
        let parameters = Parameters::new(needed, total, segment_size).unwrap();
        let bytes = |salt: u8| *blake3::hash(&[seed, salt]).as_bytes();
        let key = ReadKey::new(if seed == 0 { [0; 32] } else { bytes(0) });
        let hash = UebHash::new(bytes(1));
        for version in Version::ALL {
            let key = key.clone();
            let read = ReadCap::of_version(version, key, hash, parameters, size).unwrap();
            printed.extend([read.to_string(), read.verify_cap().to_string()]);
        }
    }
    printed
}

/// Asserts that a text is refused, and that the reason gives nothing of it away.
fn refused(mistyped: &str) -> CapError {
    let error = mistyped.parse::<Cap>().expect_err(mistyped);
    let message = error.to_string();
    let secrets = mistyped.split(':').filter(|field| field.len() > 20);
    for secret in secrets {
        assert!(!message.contains(secret), "{message}");
    }
    error
}

// A mistyped cap names servers' shares that nobody has: every server would be asked, and blamed.
#[test]
fn every_wrong_character_is_found() {
    for good in printed() {
        for index in 0..good.len() {
            for wrong in ' '..='~' {
                if good[index..].starts_with(wrong) {
                    continue;
                }
                let mut mistyped = good.clone();
                mistyped.replace_range(index..=index, &wrong.to_string());
                let error = refused(&mistyped);
                let is_prefix = index < good.find(':').unwrap() + "TLN1-Verifier:".len();
                assert!(
                    error == CapError::Check
                        || is_prefix
                        || wrong == ':'
                        || good[index..].starts_with(':'),
                    "{error} of {mistyped}"
                );
            }
        }
    }
}

#[test]
fn neighbours_that_changed_places_and_characters_lost_or_doubled_are_found() {
    for good in printed() {
        for index in 0..good.len() {
            let (before, after) = good.split_at(index);
            let (first, rest) = after.split_at(1);
            refused(&format!("{before}{rest}"));
            refused(&format!("{before}{first}{after}"));
            if !rest.is_empty() && !rest.starts_with(first) {
                let (second, rest) = rest.split_at(1);
                refused(&format!("{before}{second}{first}{rest}"));
            }
        }
    }
}

#[test]
fn a_text_that_was_cut_off_anywhere_is_found_as_incomplete() {
    for good in printed() {
        let check = good[4..].find(':').unwrap() + 5;
        for len in 0..good.len() {
            let error = refused(&good[..len]);
            if len > check + check::LEN {
                assert_eq!(error, CapError::Check, "{}", &good[..len]);
            }
            refused(&good[good.len() - len..]);
        }
    }
}

// Whoever comes from Tahoe learns what is missing here, and is not told to copy the text again.
#[test]
fn what_a_tahoe_capability_is_gets_said() {
    let key = "qyc24trmbszguxeb4uksbkiszy";
    let hash = "pnjmaavgxgpn4n3yeshucebfaffrzfrwbprrs77xcuxaveyfpp4q";
    for kind in tahoe::Kind::ALL {
        let text = format!("URI:{}:{key}:{hash}:3:10:1000", kind.name());
        for text in [text.clone(), format!("ro.{text}"), format!("imm.{text}")] {
            assert_eq!(text.parse::<Cap>(), Err(CapError::Tahoe(kind)));
            assert!(!refused(&text).to_string().contains(key));
        }
    }
    assert_eq!(
        format!("URI:CHK:{key}:{hash}:3:10:1000")
            .parse::<Cap>()
            .unwrap_err()
            .to_string(),
        "this is a Tahoe-LAFS immutable file capability (CHK); this version reads native \
         capabilities only (they begin with URI:TLN2:, URI:TLN1: or URI:LIT:)"
    );
    assert_eq!(
        CapError::Tahoe(tahoe::Kind::Dir2MdmfReadOnly).to_string(),
        "this is a Tahoe-LAFS directory read capability (DIR2-MDMF-RO); this version reads native \
         capabilities only (they begin with URI:TLN2:, URI:TLN1: or URI:LIT:)"
    );
    for (text, error) in [
        ("URI:DIR2", CapError::UnknownKind),
        ("URI:CHK2:a:b:1:1:1", CapError::UnknownKind),
        ("URI:", CapError::UnknownKind),
        ("uri:chk:a", CapError::Kind),
        ("CHK:a", CapError::Kind),
        ("", CapError::Kind),
    ] {
        assert_eq!(text.parse::<Cap>(), Err(error), "{text:?}");
    }
}

// A cap is copied out of a browser, a script, a mail.
#[test]
fn a_pasted_capability_is_taken_out_of_what_surrounds_it() {
    let cap = Cap::NativeRead(read_cap());
    let text = cap.to_string();
    let encoded = text.replace(':', "%3A");
    for pasted in [
        text.clone(),
        format!("\t {text}\r\n"),
        encoded.clone(),
        encoded.to_lowercase().replace("uri%3atln2", "URI%3aTLN2"),
        encoded.replacen("%3A", ":", 3),
        text.replace("TLN2", "T%4c%4E2"),
        format!("http://127.0.0.1:3456/uri/{encoded}"),
        format!("https://example.net/uri/{text}"),
        format!("HTTP://[::1]:3456/tahoe/uri/{encoded}/"),
        format!("http://host/uri/{encoded}?filename=a%20b.txt&save=true#top"),
        format!("http://host/file/{encoded}/@@named=/a.txt"),
        format!("http://host/uri/{encoded}/@@named=/URI:LIT:/a.txt"),
        format!("http://host/named/{encoded}/a.txt"),
        format!("http://host/cap/{encoded}"),
        format!("http://host/uri?t=json&uri={encoded}"),
    ] {
        assert_eq!(Cap::from_pasted(&pasted), Ok(cap.clone()), "{pasted}");
    }
    assert_eq!(
        Cap::from_pasted("http://host/uri/URI%3ALIT%3Anbswy3dp")
            .unwrap()
            .to_string(),
        "URI:LIT:nbswy3dp"
    );
}

#[test]
fn what_is_pasted_and_no_capability_is_named_for_what_it_is() {
    let key = "qyc24trmbszguxeb4uksbkiszy";
    let chk = format!("URI%3ACHK%3A{key}%3Aabc%3A3%3A10%3A5");
    let dir2 = format!("URI%3ADIR2%3A{key}%3Aabc");
    let read = read_cap().to_string();
    for (pasted, error) in [
        (chk.clone(), CapError::Tahoe(tahoe::Kind::Chk)),
        (
            format!("http://h/uri/{chk}"),
            CapError::Tahoe(tahoe::Kind::Chk),
        ),
        (
            format!("http://h/uri/{dir2}/a/b"),
            CapError::Tahoe(tahoe::Kind::Dir2),
        ),
        (
            format!("http://h/uri/ro.{dir2}/"),
            CapError::Tahoe(tahoe::Kind::Dir2),
        ),
        (format!("http://h/uri/{read}/a"), CapError::Path),
        (
            format!("http://h/uri/{}", &read[..read.len() - 1]),
            CapError::Check,
        ),
        ("http://h/".to_owned(), CapError::Address),
        ("http://h".to_owned(), CapError::Address),
        ("http://URI:TLN1:a".to_owned(), CapError::Address),
        ("http://h/status?uri=a".to_owned(), CapError::Address),
        ("ftp://h/uri/URI:LIT:".to_owned(), CapError::Kind),
        ("URI%3".to_owned(), CapError::Kind),
        ("%".to_owned(), CapError::Kind),
        ("%ff%FF".to_owned(), CapError::Kind),
        ("%+1".to_owned(), CapError::Kind),
        (" ".to_owned(), CapError::Kind),
    ] {
        assert_eq!(Cap::from_pasted(&pasted), Err(error), "{pasted:?}");
        assert!(!error.to_string().contains(key));
    }
}

// A log line must not give the file away.
#[test]
fn a_key_is_not_printed_for_debugging() {
    let cap = read_cap();
    let key = base32::encode(cap.read_key().as_bytes());
    let debug = format!(
        "{:?} {:?}",
        Cap::NativeRead(cap.clone()),
        Literal::new(b"secret")
    );
    assert!(!debug.contains(&key) && !debug.contains("aeaqcaibaeaqcaibaeaqcaibaea"));
    assert!(debug.ends_with("Some(Literal(6 bytes))"), "{debug}");
}

// Without a check every character still matters: no flip may leave a text that means the same file.
#[test]
fn a_flipped_bit_of_a_first_text_is_an_error_or_another_cap() {
    let cap = Cap::NativeRead(cap_of_version(Version::V1));
    let text = without_check(&cap.to_string()).into_bytes();
    for index in 0..text.len() {
        for bit in 0..8 {
            let mut flipped = text.clone();
            flipped[index] ^= 1 << bit;
            let Ok(flipped) = String::from_utf8(flipped) else {
                continue;
            };
            if let Ok(other) = flipped.parse::<Cap>() {
                assert_ne!(other, cap, "byte {index} bit {bit}");
                assert_eq!(without_check(&other.to_string()), flipped);
            }
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_refused_or_printed_back_unchanged(
        text in "(URI:(TLN[12]|TLN[12]-Verifier|LIT):)?[a-z2-7]{0,60}(:[a-z2-7]{50,54})?(:[0-9]{0,7}){0,5}"
    ) {
        crate::fuzz::capability(text.as_bytes());
    }

    #[test]
    fn whatever_is_pasted_is_taken_without_panic(
        text in "(https?://[a-z:/]{0,9}|uri=)?(/uri/)?(URI(:|%3[Aa])(LIT|CHK|DIR2)(:|%3A))?[ -~\u{e9}]{0,40}"
    ) {
        crate::fuzz::capability(text.as_bytes());
    }

    // Errors of many characters: one in 2^32 of them is missed.
    #[test]
    fn a_text_with_many_wrong_characters_is_refused(
        wrong in proptest::collection::vec((9..190_usize, "[a-z2-70-9]"), 1..12)
    ) {
        for good in printed() {
            let mut mistyped = good.clone();
            for (index, wrong) in &wrong {
                let index = index % good.len();
                if index > 17 && !good[index..].starts_with(':') {
                    mistyped.replace_range(index..=index, wrong);
                }
            }
            if mistyped != good {
                prop_assert_eq!(mistyped.parse::<Cap>(), Err(CapError::Check));
            }
        }
    }
}
