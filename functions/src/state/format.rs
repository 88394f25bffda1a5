//! The format of the state in S3: a head and records, compressed, checked, and read one record at a
//! time.
//!
//! | bytes | what |
//! | --- | --- |
//! | 8 | `DEEPGRD` and the format's version |
//! | 32 | SHA-256 of all that follows |
//! | rest | a zlib stream of records; the first is the head |
//!
//! A record is its length (4 bytes, little-endian) and its [postcard] form.

use std::io::{Read, Take, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

/// The first bytes of every object. The last byte is the version: another version has another form
/// of the records.
const MAGIC: [u8; 8] = *b"DEEPGRD\x04";
const DIGEST: usize = 32;
/// Bytes before the compressed records: no two different objects have the same ones.
pub const BEGINNING: usize = MAGIC.len() + DIGEST;
/// The maximum length of a record. A longer one was not written by DeepGuard.
const LONGEST: u32 = 1 << 24;
/// The maximum size of an object. At some kilobytes an instance this is a hundred thousand of them.
pub const MAX_BYTES: usize = 1 << 30;
/// The maximum size of its records before compression. Otherwise a small object could fill the
/// memory.
const MAX_CONTENT: u64 = 1 << 31;

/// An object that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damaged {
    /// Not one of ours, or of another version.
    #[error("it does not begin like one of this version of DeepGuard")]
    Foreign,
    /// Cut off or altered.
    #[error("its checksum is wrong: it is damaged")]
    Checksum,
    /// Whole, and yet not readable.
    #[error("it cannot be read: {0}")]
    Record(String),
}

/// Writes an object: a head, then records.
#[derive(Debug)]
pub struct Writer {
    stream: ZlibEncoder<Vec<u8>>,
}

impl Writer {
    /// Begins with the head.
    ///
    /// # Errors
    /// Where the head has no binary form.
    pub fn new(head: &impl Serialize) -> Result<Self, Damaged> {
        let mut begun = MAGIC.to_vec();
        begun.resize(BEGINNING, 0);
        // The fastest level. Most of the data are measurements, which hardly compress, and repeats,
        // which any level finds.
        let mut writer = Self { stream: ZlibEncoder::new(begun, Compression::fast()) };
        writer.record(head)?;
        Ok(writer)
    }

    /// Adds a record.
    ///
    /// # Errors
    /// Where it has no binary form, or too long a one.
    pub fn record(&mut self, record: &impl Serialize) -> Result<(), Damaged> {
        let bytes = postcard::to_allocvec(record).map_err(unreadable)?;
        let length = u32::try_from(bytes.len()).ok().filter(|length| *length <= LONGEST);
        let length =
            length.ok_or_else(|| Damaged::Record(format!("a record has {} bytes", bytes.len())))?;
        self.stream
            .write_all(&length.to_le_bytes())
            .and_then(|()| self.stream.write_all(&bytes))
            .map_err(unreadable)
    }

    /// The object.
    ///
    /// # Errors
    /// Where compression fails, which cannot happen in memory.
    pub fn finish(self) -> Result<Vec<u8>, Damaged> {
        let mut bytes = self.stream.finish().map_err(unreadable)?;
        let digest = Sha256::digest(&bytes[BEGINNING..]);
        bytes[MAGIC.len()..BEGINNING].copy_from_slice(&digest);
        Ok(bytes)
    }
}

/// Reads an object, one record at a time.
#[derive(Debug)]
pub struct Reader<'a> {
    stream: Take<ZlibDecoder<&'a [u8]>>,
}

impl<'a> Reader<'a> {
    /// Checks the object and reads its head.
    ///
    /// # Errors
    /// [`Damaged`].
    pub fn open<H: DeserializeOwned>(bytes: &'a [u8]) -> Result<(H, Self), Damaged> {
        Self::bounded(bytes, MAX_CONTENT)
    }

    /// The same, for `most` bytes of records.
    fn bounded<H: DeserializeOwned>(bytes: &'a [u8], most: u64) -> Result<(H, Self), Damaged> {
        let rest = bytes.strip_prefix(&MAGIC).ok_or(Damaged::Foreign)?;
        let (digest, content) = rest.split_at_checked(DIGEST).ok_or(Damaged::Checksum)?;
        if Sha256::digest(content).as_slice() != digest {
            return Err(Damaged::Checksum);
        }
        let mut reader = Self { stream: ZlibDecoder::new(content).take(most) };
        let head = reader.record()?.ok_or_else(|| Damaged::Record("it has no head".into()))?;
        Ok((head, reader))
    }

    /// The next record; `None` after the last one.
    ///
    /// # Errors
    /// [`Damaged::Record`].
    pub fn record<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Damaged> {
        let mut length = [0; 4];
        match self.stream.read(&mut length[..1]).map_err(unreadable)? {
            0 if self.stream.limit() == 0 => {
                return Err(Damaged::Record("its records are larger than any of ours".into()));
            }
            0 => return Ok(None),
            _ => self.stream.read_exact(&mut length[1..]).map_err(unreadable)?,
        }
        let length = u32::from_le_bytes(length);
        if length > LONGEST {
            return Err(Damaged::Record(format!("a record has {length} bytes")));
        }
        // Reads the bytes that are there, not the number that the length claims.
        let mut bytes = Vec::new();
        (&mut self.stream).take(length.into()).read_to_end(&mut bytes).map_err(unreadable)?;
        postcard::from_bytes(&bytes).map(Some).map_err(unreadable)
    }
}

fn unreadable(error: impl std::fmt::Display) -> Damaged {
    Damaged::Record(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(records: &[(u32, Vec<f64>)]) -> Vec<u8> {
        let mut writer = Writer::new(&"head").unwrap();
        records.iter().for_each(|record| writer.record(record).unwrap());
        writer.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> Result<Vec<(u32, Vec<f64>)>, Damaged> {
        let (head, mut reader) = Reader::open::<String>(bytes)?;
        assert_eq!(head, "head");
        std::iter::from_fn(|| reader.record().transpose()).collect()
    }

    #[test]
    fn there_and_back() {
        let records = [(1, vec![]), (2, vec![1.5, -0.0, f64::MAX]), (3, vec![0.1; 1000])];
        assert_eq!(read(&object(&records)).unwrap(), records);
        assert_eq!(read(&object(&[])).unwrap(), []);
        assert_eq!(object(&records), object(&records), "the same content is the same bytes");
        assert!(object(&records).len() < 300, "repeats are worth little");
    }

    #[test]
    fn no_damage_goes_unnoticed() {
        let whole = object(&[(7, vec![1.0, 2.0]), (8, vec![3.0])]);
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_err(), "cut after {length} bytes");
        }
        for place in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] ^= 0x10;
            assert!(read(&damaged).is_err(), "altered at {place}");
        }
        for foreign in [&b"<html>"[..], b"", b"DEEPGRD\x01", &[0; 100]] {
            assert_eq!(read(foreign), Err(Damaged::Foreign));
        }
        assert!(read(&[whole.as_slice(), b"more"].concat()).is_err());
    }

    #[test]
    fn a_small_object_does_not_fill_the_memory() {
        let bomb = object(&vec![(1, vec![0.0; 100_000]); 100]);
        assert!(bomb.len() < 500_000, "{} bytes", bomb.len());
        let (_, mut reader) = Reader::bounded::<String>(&bomb, 10_000_000).unwrap();
        let read = std::iter::from_fn(|| reader.record::<(u32, Vec<f64>)>().transpose());
        let read: Vec<_> = read.take(101).collect();
        assert_eq!(read.iter().filter(|record| record.is_ok()).count(), 12);
        assert!(matches!(read[12], Err(Damaged::Record(_))));
    }

    #[test]
    fn a_length_that_is_a_lie_takes_no_memory() {
        let mut stream = ZlibEncoder::new(vec![0; BEGINNING], Compression::fast());
        stream.write_all(&LONGEST.to_le_bytes()).unwrap();
        let mut bytes = stream.finish().unwrap();
        let digest = Sha256::digest(&bytes[BEGINNING..]);
        bytes[..MAGIC.len()].copy_from_slice(&MAGIC);
        bytes[MAGIC.len()..BEGINNING].copy_from_slice(&digest);
        assert!(matches!(read(&bytes), Err(Damaged::Record(_))));
    }
}
