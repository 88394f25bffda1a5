//! A file that people write, in S3: read again in each run where it has changed.
//!
//! A file with a part that cannot be parsed is refused whole, with its errors. Half a list would
//! not do what its author expects.

use std::rc::Rc;

use crate::ids::ObjectUri;
use crate::ports::{Fetched, ObjectError, Objects};

/// The number of faulty entries that an error describes.
const TOLD: usize = 5;

/// What such a file holds. Without a file it is the default.
pub trait Content: Default {
    /// The largest file that is read.
    const MAX_BYTES: usize;
    /// The ends of its name, by the kind of file.
    const ENDINGS: &'static [&'static str];

    /// Parses the content of a file whose name ends with `ending`.
    ///
    /// # Errors
    /// The errors of the entries that cannot be parsed, one by one.
    fn read(bytes: &[u8], ending: &str) -> Result<Self, Vec<String>>;

    /// Parses the content of the file at `uri`.
    ///
    /// # Errors
    /// [`FileError`] names the entries that cannot be parsed, and their errors.
    fn parse(uri: &ObjectUri, bytes: &[u8]) -> Result<Self, FileError> {
        let key = uri.key.to_ascii_lowercase();
        let ending = Self::ENDINGS.iter().find(|ending| key.ends_with(**ending));
        let ending = ending.ok_or_else(|| FileError::Kind {
            uri: uri.clone(),
            endings: Self::ENDINGS.join(" or "),
        })?;
        let most = Self::MAX_BYTES;
        let parsed = match bytes.len() {
            length if length > most => {
                Err(vec![format!("it has {length} bytes, more than the {most} allowed")])
            }
            _ => Self::read(bytes, ending),
        };
        parsed.map_err(|mut wrong| {
            let others = wrong.len().saturating_sub(TOLD);
            wrong.truncate(TOLD);
            FileError::Content { uri: uri.clone(), wrong, others }
        })
    }
}

/// A file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// A file of another kind.
    #[error("{uri} cannot be used: its name has to end with {endings}")]
    Kind {
        /// Its address.
        uri: ObjectUri,
        /// How its name may end.
        endings: String,
    },
    /// Its content cannot be parsed.
    #[error("{uri} cannot be used: {}{}", .wrong.join("; "), more(*.others))]
    Content {
        /// Its address.
        uri: ObjectUri,
        /// The errors of the first of the faulty entries.
        wrong: Vec<String>,
        /// How many other faulty entries there are.
        others: usize,
    },
    /// It cannot be read.
    #[error(transparent)]
    Object(#[from] ObjectError),
}

fn more(others: usize) -> String {
    if others == 0 { String::new() } else { format!("; and {others} more") }
}

/// The file, and the last version of it that could be used.
#[derive(Debug)]
pub struct SettingsFile<O, T> {
    /// `None`: there is no such file.
    uri: Option<ObjectUri>,
    objects: O,
    etag: Option<String>,
    content: Rc<T>,
}

impl<O: Objects, T: Content> SettingsFile<O, T> {
    /// Nothing read yet.
    pub fn new(uri: Option<ObjectUri>, objects: O) -> Self {
        Self { uri, objects, etag: None, content: Rc::default() }
    }

    /// The current content, and the reason why it may be out of date: the file cannot be read or
    /// used. In that case the last content stays in use. Where there is no file, it is the default.
    pub async fn current(&mut self) -> (Rc<T>, Option<FileError>) {
        let Some(uri) = &self.uri else { return (Rc::clone(&self.content), None) };
        let stale = match self.objects.get(uri, self.etag.as_deref(), T::MAX_BYTES).await {
            Ok(Fetched::Unchanged) => None,
            Ok(Fetched::Object { bytes, etag }) => match T::parse(uri, &bytes) {
                Ok(content) => {
                    (self.content, self.etag) = (Rc::new(content), etag);
                    None
                }
                // Not remembered as read: the error is reported in each run until the file is
                // mended.
                Err(error) => Some(error),
            },
            Err(ObjectError::Missing { .. }) => {
                (self.content, self.etag) = (Rc::default(), None);
                None
            }
            Err(error) => Some(error.into()),
        };
        (Rc::clone(&self.content), stale)
    }
}
