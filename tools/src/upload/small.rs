//! A small file: every share in one frame, all of them in one flight.

use bytes::{BufMut, Bytes, BytesMut};
use encoder::native::{Encoder, Geometry};
use lafs::ShareNumber;
use lafs::cap::Cap;
use lafs::cap::native::{ReadCap, ReadKey};
use tokio::time::Instant;

use super::{Phase, Uploaded, Uploader};
use crate::error::Error;

impl Uploader {
    pub(super) async fn upload_small(
        &self,
        plaintext: &[u8],
        key: ReadKey,
        geometry: Geometry,
        begun: Instant,
    ) -> Result<Uploaded, Error> {
        let mut phases = vec![(Phase::Key, begun.elapsed())];
        let mut uploads = self.share_uploads(key.storage_index());

        let begun = Instant::now();
        let remembered = self.remembered(&mut uploads, &key, geometry).await;
        if remembered.is_some() {
            phases.push((Phase::Ask, begun.elapsed()));
        }
        let cap = match remembered {
            Some(cap) if uploads.plan.is_complete() => cap,
            _ => {
                uploads.ensure_feasible()?;
                let begun = Instant::now();
                let (cap, shares) = encode(plaintext, key, geometry);
                phases.push((Phase::Encode, begun.elapsed()));

                let begun = Instant::now();
                uploads
                    .put_all(|uploads, assignment| {
                        uploads.server(assignment).put(
                            &uploads.trips,
                            uploads.storage_index,
                            assignment.share,
                            shares[assignment.share.index()].clone(),
                            uploads.ended(assignment),
                        );
                    })
                    .await;
                phases.push((Phase::Acknowledge, begun.elapsed()));
                self.remember(&uploads, cap.storage_index(), cap.ueb_hash());
                cap
            }
        };
        self.observer.encoded(geometry.file_size());
        uploads.outcome()?;
        Ok(uploads.into_uploaded(Cap::NativeRead(cap), geometry.file_size(), phases))
    }
}

/// Encodes a file that fits into memory: its capability, and its shares by number.
fn encode(plaintext: &[u8], key: ReadKey, geometry: Geometry) -> (ReadCap, Vec<Bytes>) {
    let parameters = geometry.parameters();
    let mut encoder = Encoder::new(key, parameters);
    let mut shares = vec![BytesMut::new(); parameters.total()];
    let segment_len =
        usize::try_from(parameters.segment_size()).expect("a segment is at most 4 MiB");
    for segment in plaintext.chunks(segment_len) {
        let encoded = encoder.encode(segment);
        for (number, share) in numbered(&mut shares) {
            for piece in encoded.share(number) {
                share.put(piece);
            }
        }
    }
    let encoded = encoder.finish();
    for (number, share) in numbered(&mut shares) {
        share.put(encoded.share(number));
    }
    let shares = shares.into_iter().map(BytesMut::freeze).collect();
    (encoded.cap().clone(), shares)
}

fn numbered(shares: &mut [BytesMut]) -> impl Iterator<Item = (ShareNumber, &mut BytesMut)> {
    shares
        .iter_mut()
        .enumerate()
        .map(|(index, share)| (super::share_number(index), share))
}
