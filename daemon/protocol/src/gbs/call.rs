//! A request whose head was read: routed, authorized, and with what its endpoint needs.
//!
//! The checks come in Tahoe's order (reference, section 1.2), but for one: whether the client takes
//! CBOR is asked before the work and not after, so that a request that is refused has done nothing.
//! What Tahoe checks only after it has looked for the share, the `Range` of a read and the type of
//! an advisory, is handed on as a result for the caller to look at then.

use lafs::{LeaseSecrets, ShareNumber, StorageIndex, Swissnum, WriteEnabler, num};

use super::limits::{
    ADVISORY_LEN_MAX, ALLOCATE_LEN_MAX, IGNORED_LEN_MAX, READ_TEST_WRITE_SIZE_MAX,
};
use super::negotiation::{check_accept, check_content_type};
use super::range::ByteSpan;
use super::rejection::Rejection;
use super::route::{Endpoint, Kind};
use super::secrets::{Authorized, Secrets, UploadSecret};

/// The headers of a request, by whatever carries HTTP.
pub trait Headers {
    /// The values of all headers of this name, in their order; `name` is in lower case.
    fn values(&self, name: &'static str) -> impl Iterator<Item = &[u8]>;
}

/// Headers as pairs of name and value.
impl<N: AsRef<str>, V: AsRef<[u8]>> Headers for [(N, V)] {
    fn values(&self, name: &'static str) -> impl Iterator<Item = &[u8]> {
        self.iter()
            .filter(move |(other, _)| other.as_ref().eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_ref())
    }
}

/// What an authorized client asks, but for the body.
#[derive(Debug, PartialEq, Eq)]
pub enum Call {
    /// Say what the server is: [`VersionAnswer`](super::VersionAnswer).
    Version,
    /// Renew or add a lease on every share under the storage index: 204, or
    /// [`Rejection::NothingHeld`].
    AddOrRenewLease {
        /// The bucket or slot.
        storage_index: StorageIndex,
        /// The lease.
        lease: LeaseSecrets,
    },
    /// Begin uploads: the body is an [`AllocateRequest`](super::AllocateRequest), the answer an
    /// [`AllocateAnswer`](super::AllocateAnswer).
    AllocateBuckets {
        /// The bucket.
        storage_index: StorageIndex,
        /// The lease that the shares get, and those that are held already.
        lease: LeaseSecrets,
        /// What will be presented with each write.
        upload: UploadSecret,
    },
    /// Write the body: 200 or 201 and a [`RequiredAnswer`](super::RequiredAnswer).
    WriteShareData {
        /// The bucket.
        storage_index: StorageIndex,
        /// The share.
        share_number: ShareNumber,
        /// What was presented with the allocate.
        upload: UploadSecret,
        /// Where the body goes. A longer body is cut to it; a shorter one is
        /// [`Rejection::ShortBody`], after what is there was written.
        range: ByteSpan,
    },
    /// Give an upload up: 200.
    AbortShareUpload {
        /// The bucket.
        storage_index: StorageIndex,
        /// The share.
        share_number: ShareNumber,
        /// What was presented with the allocate.
        upload: UploadSecret,
    },
    /// List the finished shares: [`SharesAnswer`](super::SharesAnswer), empty where there are none.
    ListShares {
        /// As what they are asked for.
        kind: Kind,
        /// The bucket or slot.
        storage_index: StorageIndex,
    },
    /// Read a share: 200 and all of it, 206 and the clipped range, or 204 if that is empty.
    ReadShareChunk {
        /// As what it is asked for.
        kind: Kind,
        /// The bucket or slot.
        storage_index: StorageIndex,
        /// The share.
        share_number: ShareNumber,
        /// What is wanted of it, if not all; to be looked at once the share is found.
        range: Result<Option<ByteSpan>, Rejection>,
    },
    /// Take an [`Advisory`](super::Advisory): 200.
    AdviseCorruptShare {
        /// As what it is reported.
        kind: Kind,
        /// The bucket or slot.
        storage_index: StorageIndex,
        /// The share.
        share_number: ShareNumber,
        /// Whether the body is of the right type; to be looked at once the share is found.
        content_type: Result<(), Rejection>,
    },
    /// Read, test and write shares of a slot: the body goes through a
    /// [`ReadTestWriteDecoder`](super::ReadTestWriteDecoder), the answer is a
    /// [`ReadTestWriteAnswer`](super::ReadTestWriteAnswer).
    ReadTestWrite {
        /// The slot.
        storage_index: StorageIndex,
        /// The lease that the named shares get.
        lease: LeaseSecrets,
        /// What the slot's shares were made with.
        write_enabler: WriteEnabler,
    },
}

impl Call {
    /// Reads the head of a request; nothing of its body need have arrived.
    ///
    /// # Errors
    ///
    /// The first rule that it breaks.
    pub fn parse<H: Headers + ?Sized>(
        method: &str,
        target: &str,
        headers: &H,
        swissnum: &Swissnum,
    ) -> Result<Self, Rejection> {
        let endpoint = Endpoint::route(method, target)?;
        let authorized = Authorized::check(swissnum, headers.values("authorization"))?;
        Self::of_endpoint(endpoint, headers, authorized)
    }

    /// Reads the headers that an endpoint needs.
    ///
    /// # Errors
    ///
    /// The first rule that they break.
    pub fn of_endpoint<H: Headers + ?Sized>(
        endpoint: Endpoint,
        headers: &H,
        _: Authorized,
    ) -> Result<Self, Rejection> {
        let secrets = Secrets::parse(headers.values("x-tahoe-authorization"))?;
        let content_type = || check_content_type(headers.values("content-type"));
        let accept = || check_accept(headers.values("accept"));
        Ok(match endpoint {
            Endpoint::Version => {
                secrets.none()?;
                accept()?;
                Self::Version
            }
            Endpoint::AddOrRenewLease { storage_index } => Self::AddOrRenewLease {
                storage_index,
                lease: secrets.lease()?,
            },
            Endpoint::AllocateBuckets { storage_index } => {
                let (lease, upload) = secrets.lease_and_upload()?;
                content_type()?;
                accept()?;
                Self::AllocateBuckets {
                    storage_index,
                    lease,
                    upload,
                }
            }
            Endpoint::WriteShareData {
                storage_index,
                share_number,
            } => {
                let upload = secrets.upload()?;
                let range = ByteSpan::parse_content_range(headers.values("content-range"))?;
                accept()?;
                Self::WriteShareData {
                    storage_index,
                    share_number,
                    upload,
                    range,
                }
            }
            Endpoint::AbortShareUpload {
                storage_index,
                share_number,
            } => Self::AbortShareUpload {
                storage_index,
                share_number,
                upload: secrets.upload()?,
            },
            Endpoint::ListShares {
                kind,
                storage_index,
            } => {
                secrets.none()?;
                accept()?;
                Self::ListShares {
                    kind,
                    storage_index,
                }
            }
            Endpoint::ReadShareChunk {
                kind,
                storage_index,
                share_number,
            } => {
                secrets.none()?;
                Self::ReadShareChunk {
                    kind,
                    storage_index,
                    share_number,
                    range: ByteSpan::parse_range(headers.values("range")),
                }
            }
            Endpoint::AdviseCorruptShare {
                kind,
                storage_index,
                share_number,
            } => {
                secrets.none()?;
                Self::AdviseCorruptShare {
                    kind,
                    storage_index,
                    share_number,
                    content_type: content_type(),
                }
            }
            Endpoint::ReadTestWrite { storage_index } => {
                let (lease, write_enabler) = secrets.lease_and_write_enabler()?;
                content_type()?;
                accept()?;
                Self::ReadTestWrite {
                    storage_index,
                    lease,
                    write_enabler,
                }
            }
        })
    }

    /// The longest body of this call, or `None` for a write, which takes as much of the body as its
    /// range has.
    #[must_use]
    pub fn body_size_max(&self) -> Option<u64> {
        match self {
            Self::WriteShareData { .. } => None,
            Self::AllocateBuckets { .. } => Some(num::size(ALLOCATE_LEN_MAX)),
            Self::AdviseCorruptShare { .. } => Some(num::size(ADVISORY_LEN_MAX)),
            Self::ReadTestWrite { .. } => Some(READ_TEST_WRITE_SIZE_MAX),
            Self::Version
            | Self::AddOrRenewLease { .. }
            | Self::AbortShareUpload { .. }
            | Self::ListShares { .. }
            | Self::ReadShareChunk { .. } => Some(num::size(IGNORED_LEN_MAX)),
        }
    }

    /// Refuses a body by the length that the client announces, before any of it is read.
    ///
    /// # Errors
    ///
    /// [`Rejection::BodyTooLong`].
    pub fn check_content_length(&self, size: u64) -> Result<(), Rejection> {
        match self.body_size_max() {
            Some(size_max) if size > size_max => Err(Rejection::BodyTooLong { size_max }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
