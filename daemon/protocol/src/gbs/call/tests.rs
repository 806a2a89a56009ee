use super::*;

const AUTHORIZATION: (&str, &str) = (
    "Authorization",
    "Tahoe-LAFS Z2JzZml4dHVyZXN3aXNzbnVtMjM0NTY3YWJjZGVmZ2g=",
);
const RENEW: (&str, &str) = (
    "X-Tahoe-Authorization",
    "lease-renew-secret AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
);
const CANCEL: (&str, &str) = (
    "x-tahoe-authorization",
    "lease-cancel-secret ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=",
);
const UPLOAD: (&str, &str) = (
    "X-TAHOE-AUTHORIZATION",
    "upload-secret dXBsb2FkLXNlY3JldC0wMDAwMDE=",
);
const WRITE_ENABLER: (&str, &str) = (
    "X-Tahoe-Authorization",
    "write-enabler QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl8=",
);
const WRITTEN: (&str, &str) = ("Content-Range", "bytes 0-812/*");
const BUCKET: &str = "/storage/v1/immutable/aeaqcaibaeaqcaibaeaqcaibae";
const SLOT: &str = "/storage/v1/mutable/aeaqcaibaeaqcaibaeaqcaibae";
const LEASE: &str = "/storage/v1/lease/aeaqcaibaeaqcaibaeaqcaibae";

fn parse(method: &str, target: &str, headers: &[(&str, &str)]) -> Result<Call, Rejection> {
    let swissnum = Swissnum::new("gbsfixtureswissnum234567abcdefgh").unwrap();
    Call::parse(method, target, headers, &swissnum)
}

/// Method, target, and headers but for the authorization.
type Example = (&'static str, String, Vec<(&'static str, &'static str)>);

/// A valid request of each endpoint.
fn examples() -> Vec<Example> {
    let mut examples = vec![
        ("GET", "/storage/v1/version".into(), vec![]),
        ("PUT", LEASE.into(), vec![RENEW, CANCEL]),
        ("POST", BUCKET.into(), vec![RENEW, CANCEL, UPLOAD]),
        ("PATCH", format!("{BUCKET}/1"), vec![UPLOAD, WRITTEN]),
        ("PUT", format!("{BUCKET}/1/abort"), vec![UPLOAD]),
        (
            "POST",
            format!("{SLOT}/read-test-write"),
            vec![RENEW, CANCEL, WRITE_ENABLER],
        ),
    ];
    for bucket in [BUCKET, SLOT] {
        examples.push(("GET", format!("{bucket}/shares"), vec![]));
        examples.push(("GET", format!("{bucket}/1"), vec![("Range", "bytes=0-9")]));
        examples.push(("POST", format!("{bucket}/1/corrupt"), vec![]));
    }
    examples
}

#[test]
fn a_request_of_each_endpoint_becomes_its_call() {
    for (method, target, mut headers) in examples() {
        headers.push(AUTHORIZATION);
        headers.push(("Accept", "application/cbor"));
        headers.push(("Content-Type", "application/cbor"));
        let call = parse(method, &target, &headers);
        assert!(call.is_ok(), "{method} {target}: {call:?}");
    }
    let headers = [UPLOAD, AUTHORIZATION, WRITTEN];
    let call = parse("PATCH", &format!("{BUCKET}/007"), &headers).unwrap();
    let Call::WriteShareData {
        storage_index,
        share_number,
        upload,
        range,
    } = call
    else {
        panic!("{call:?}");
    };
    assert_eq!(storage_index, StorageIndex::new([1; 16]));
    assert_eq!(share_number, ShareNumber::new(7));
    assert_eq!(upload.as_bytes(), b"upload-secret-000001");
    assert_eq!((range.offset(), range.size()), (0, 813));
}

// Unauthorized peers learn which paths there are and nothing else (reference, section 1.2).
#[test]
fn nothing_is_looked_at_before_the_swissnum() {
    for (method, target, mut headers) in examples() {
        headers.extend([
            ("X-Tahoe-Authorization", "nonsense"),
            ("Content-Type", "text/plain"),
            ("Accept", "text/plain"),
            ("Range", "fish"),
        ]);
        let refused = parse(method, &target, &headers);
        assert_eq!(refused, Err(Rejection::WrongAuthorization), "{target}");
        headers.push(AUTHORIZATION);
        let refused = parse(method, &target, &headers);
        assert_eq!(refused, Err(Rejection::SecretForm), "{target}");
        let refused = parse("DELETE", &target, &headers).unwrap_err();
        assert_eq!(refused.status(), 405);
    }
}

#[test]
fn each_endpoint_refuses_a_secret_too_few_and_one_too_many() {
    let secrets = [RENEW, CANCEL, UPLOAD, WRITE_ENABLER];
    for (method, target, headers) in examples() {
        for secret in secrets {
            let mut changed: Vec<_> = headers.clone();
            match changed.iter().position(|header| *header == secret) {
                Some(index) => {
                    changed.remove(index);
                }
                None => changed.push(secret),
            }
            changed.push(AUTHORIZATION);
            let refused = parse(method, &target, &changed).unwrap_err();
            assert!(
                matches!(refused, Rejection::SecretSet { .. }),
                "{method} {target} {secret:?}: {refused}"
            );
        }
    }
}

#[test]
fn types_are_judged_where_there_is_something_of_that_type() {
    for (method, target, headers) in examples() {
        let with = |header| {
            let mut headers = headers.clone();
            headers.extend([AUTHORIZATION, header]);
            parse(method, &target, &headers)
        };
        let call = with(("Accept", "*/*"));
        let answers_cbor = !matches!(
            call,
            Ok(Call::AddOrRenewLease { .. }
                | Call::AbortShareUpload { .. }
                | Call::ReadShareChunk { .. }
                | Call::AdviseCorruptShare { .. })
        );
        assert_eq!(call == Err(Rejection::Accept), answers_cbor, "{target}");
        let json = with(("Content-Type", "application/json"));
        match with(("Content-Type", "application/cbor")).unwrap() {
            Call::AllocateBuckets { .. } | Call::ReadTestWrite { .. } => {
                assert_eq!(json, Err(Rejection::ContentType), "{target}");
            }
            // Tahoe looks for the share first.
            Call::AdviseCorruptShare { .. } => assert!(matches!(
                json,
                Ok(Call::AdviseCorruptShare {
                    content_type: Err(Rejection::ContentType),
                    ..
                })
            )),
            _ => assert!(json.is_ok(), "{target}"),
        }
    }
}

#[test]
fn a_bad_range_is_kept_until_the_share_is_found() {
    for bucket in [BUCKET, SLOT] {
        let range = |value| {
            let headers = [AUTHORIZATION, ("Range", value)];
            match parse("GET", &format!("{bucket}/1"), &headers) {
                Ok(Call::ReadShareChunk { range, .. }) => range,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(range("bytes=1-"), Err(Rejection::Range));
        assert_eq!(range("bytes=1-3"), Ok(ByteSpan::new(1, 3)));
    }
}

#[test]
fn a_body_is_refused_by_its_announced_length() {
    for (method, target, mut headers) in examples() {
        headers.push(AUTHORIZATION);
        let call = parse(method, &target, &headers).unwrap();
        match call.body_size_max() {
            Some(size_max) => {
                assert_eq!(call.check_content_length(size_max), Ok(()));
                assert_eq!(
                    call.check_content_length(size_max + 1),
                    Err(Rejection::BodyTooLong { size_max })
                );
            }
            None => assert_eq!(call.check_content_length(u64::MAX), Ok(())),
        }
    }
}
