//! GBS, as clients of Tahoe-LAFS speak it.

mod cbor;
mod flights;
mod hostile;
pub(crate) mod http;
mod replay;
mod sharing;
mod slots;
mod uploads;

use lafs::{ShareNumber, StorageIndex};
use protocol::gbs::{AllocateAnswer, AllocateRequest, RequiredAnswer, SharesAnswer};

use http::{Ask, Heard, Http};

/// What a client of Tahoe-LAFS does with immutable shares.
impl Http {
    fn bucket(&self, method: &str, bucket: StorageIndex, rest: &str) -> Ask {
        self.ask(method, &format!("/storage/v1/immutable/{bucket}{rest}"))
    }

    fn allocating(&self, bucket: StorageIndex, numbers: &[u8], size: u64, salt: u8) -> Ask {
        let body = AllocateRequest {
            share_numbers: numbers.iter().copied().map(ShareNumber::new).collect(),
            allocated_size: size,
        };
        let ask = self.bucket("POST", bucket, "");
        ask.lease(salt).upload_secret(salt).body(body.encode())
    }

    /// What was allocated and what was there already.
    pub(crate) async fn allocate(
        &mut self,
        bucket: StorageIndex,
        numbers: &[u8],
        size: u64,
        salt: u8,
    ) -> AllocateAnswer {
        let heard = self
            .answer(&self.allocating(bucket, numbers, size, salt))
            .await;
        assert_eq!(heard.status, 200, "{heard:?}");
        AllocateAnswer::decode(&heard.body).unwrap()
    }

    fn writing(&self, bucket: StorageIndex, number: u8, offset: usize, bytes: &[u8]) -> Ask {
        let range = format!("bytes {offset}-{}/*", offset + bytes.len() - 1);
        self.bucket("PATCH", bucket, &format!("/{number}"))
            .header("Content-Range", range)
            .body(bytes)
    }

    /// Writes with the secret of `salt`; the status, and what is missing.
    async fn write_part(
        &mut self,
        bucket: StorageIndex,
        number: u8,
        offset: usize,
        bytes: &[u8],
        salt: u8,
    ) -> (u16, Vec<(u64, u64)>) {
        let ask = self
            .writing(bucket, number, offset, bytes)
            .upload_secret(salt);
        let heard = self.answer(&ask).await;
        let missing = match heard.status {
            200 | 201 => RequiredAnswer::decode(&heard.body).unwrap().required,
            _ => Vec::new(),
        };
        (heard.status, missing)
    }

    /// Uploads a share whole.
    async fn store(&mut self, bucket: StorageIndex, number: u8, share: &[u8]) {
        let size = lafs::num::size(share.len());
        let allocated = self.allocate(bucket, &[number], size, 1).await.allocated;
        assert_eq!(allocated, [ShareNumber::new(number)]);
        assert_eq!(
            self.write_part(bucket, number, 0, share, 1).await,
            (201, vec![])
        );
    }

    async fn list(&mut self, bucket: StorageIndex) -> Vec<ShareNumber> {
        let heard = self.answer(&self.bucket("GET", bucket, "/shares")).await;
        assert_eq!(heard.status, 200, "{heard:?}");
        SharesAnswer::decode(&heard.body).unwrap().share_numbers
    }

    async fn read(&mut self, bucket: StorageIndex, number: u8) -> Heard {
        self.answer(&self.bucket("GET", bucket, &format!("/{number}")))
            .await
    }
}
