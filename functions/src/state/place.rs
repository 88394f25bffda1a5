//! The place in S3 where all state is stored, or none.

use deepguard_aws::ids::{NotAnObject, ObjectUri};
use deepguard_aws::ports::{Fetched, ObjectError, Objects};

use crate::state::format::{Damaged, MAX_BYTES};

/// Objects, and the address below which all state lies. Without one, nothing is stored.
#[derive(Debug, Clone)]
pub(crate) struct Place<O> {
    pub(crate) objects: O,
    pub(crate) root: Option<ObjectUri>,
}

/// An object that could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error("{0}: {1}")]
    Damaged(ObjectUri, Damaged),
    #[error(transparent)]
    Name(#[from] NotAnObject),
}

impl<O: Objects> Place<O> {
    /// The address of `key` below the root; `None` without a root.
    pub(crate) fn uri(&self, key: &str) -> Result<Option<ObjectUri>, NotAnObject> {
        self.root
            .as_ref()
            .map(|root| root.beside(&format!("{}/{key}", root.key.trim_end_matches('/'))))
            .transpose()
    }

    /// The object at `uri` as `parse` reads it, and its ETag.
    pub(crate) async fn read<T>(
        &self,
        uri: &ObjectUri,
        parse: impl Fn(&[u8]) -> Result<T, Damaged>,
    ) -> Result<(T, Option<String>), Unusable> {
        match self.objects.get(uri, None, MAX_BYTES).await? {
            Fetched::Object { bytes, etag } => {
                Ok((parse(&bytes).map_err(|error| Unusable::Damaged(uri.clone(), error))?, etag))
            }
            Fetched::Unchanged => Err(ObjectError::Missing { uri: uri.clone() }.into()),
        }
    }
}
