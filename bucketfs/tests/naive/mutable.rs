//! The mutable container as Tahoe-LAFS changes it: in place, write by write, with no thought for
//! crashes. The oracle: what the store leaves must be these bytes.

use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest};
use lafs::{LeaseSecrets, WriteEnabler};

const DATA: usize = 468;
const RECORD: usize = 92;

/// A file of a slot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Naive(pub(crate) Vec<u8>);

impl Naive {
    /// `MutableShareFile.create`, of version 2.
    pub(crate) fn create(node_id: [u8; 20], write_enabler: &WriteEnabler) -> Self {
        let mut file = vec![0; DATA + 4];
        file[..32].copy_from_slice(b"Tahoe mutable container v2\n\xc3\x55\x21\x99\x25");
        file[32..52].copy_from_slice(&node_id);
        file[52..84].copy_from_slice(write_enabler.as_bytes());
        let mut naive = Self(file);
        naive.set(92, DATA);
        naive
    }

    /// Size of the share.
    pub(crate) fn data(&self) -> usize {
        self.get(84)
    }

    /// Where the extra leases are.
    pub(crate) fn extra(&self) -> usize {
        self.get(92)
    }

    /// The share.
    pub(crate) fn share(&self) -> &[u8] {
        &self.0[DATA..DATA + self.data()]
    }

    /// `_write_share_data`.
    pub(crate) fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        let data = self.data();
        if end >= data {
            if DATA + end > self.extra() {
                self.change_container_size(end);
            }
            if offset > data {
                self.put(DATA + data, &vec![0; offset - data]);
            }
            self.set(84, end);
        }
        self.put(DATA + offset, bytes);
    }

    /// The end of `writev`.
    pub(crate) fn cut(&mut self, size: usize) {
        if size < self.data() {
            self.set(84, size);
        }
    }

    /// `add_or_renew_lease`. Returns whether anything changed.
    pub(crate) fn lease(
        &mut self,
        secrets: &LeaseSecrets,
        expiration: u32,
        node_id: [u8; 20],
    ) -> bool {
        let renew = self.kept(secrets.renew.as_bytes());
        let places: Vec<usize> = (0..4).map(|place| 100 + RECORD * place).collect();
        let extra = (0..self.count()).map(|index| self.extra() + 4 + RECORD * index);
        let places: Vec<usize> = places.into_iter().chain(extra).collect();
        let word = |file: &[u8], at: usize| {
            u32::from_be_bytes([file[at], file[at + 1], file[at + 2], file[at + 3]])
        };
        for place in &places {
            let owned = word(&self.0, *place) != 0;
            if owned && self.0[place + 8..place + 40] == renew {
                let later = word(&self.0, place + 4) < expiration;
                if later {
                    self.put(place + 4, &expiration.to_be_bytes());
                }
                return later;
            }
        }
        let cancel = self.kept(secrets.cancel.as_bytes());
        let owner = 1_u32.to_be_bytes();
        let expiration = expiration.to_be_bytes();
        let record = [&owner[..], &expiration, &renew, &cancel, &node_id].concat();
        let empty = places.iter().find(|place| word(&self.0, **place) == 0);
        if let Some(place) = empty.copied() {
            self.put(place, &record);
        } else {
            let count = self.count();
            self.put(self.extra() + 4 + RECORD * count, &record);
            let count = u32::try_from(count + 1).unwrap();
            self.put(self.extra(), &count.to_be_bytes());
        }
        true
    }

    fn change_container_size(&mut self, size: usize) {
        let extra = self.extra();
        let len = 4 + RECORD * self.count();
        let block = self.0[extra..extra + len].to_vec();
        self.put(extra, &vec![0; len]);
        self.put(DATA + size, &block);
        self.set(92, DATA + size);
    }

    fn kept(&self, secret: &[u8; 32]) -> [u8; 32] {
        match self.0[25] {
            b'1' => *secret,
            _ => Blake2b::<U32>::digest(secret).into(),
        }
    }

    fn count(&self) -> usize {
        let at = self.extra();
        let count = self.0[at..at + 4].try_into().unwrap();
        usize::try_from(u32::from_be_bytes(count)).unwrap()
    }

    fn get(&self, at: usize) -> usize {
        let word = self.0[at..at + 8].try_into().unwrap();
        usize::try_from(u64::from_be_bytes(word)).unwrap()
    }

    fn set(&mut self, at: usize, to: usize) {
        let word = u64::try_from(to).unwrap().to_be_bytes();
        self.put(at, &word);
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        let end = at + bytes.len();
        if self.0.len() < end {
            self.0.resize(end, 0);
        }
        self.0[at..end].copy_from_slice(bytes);
    }
}
