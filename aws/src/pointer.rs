//! The content of a pointer to a model, such as the object `models/current`.

use serde::{Deserialize, Serialize};

/// The maximum size of a pointer, in bytes. It is a line of JSON.
pub const POINTER_BYTES: usize = 4096;

/// The artifact that a pointer names. Other fields may stand beside these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Key of the artifact, in the bucket of the pointer.
    pub key: String,
    /// Its checksum: [`deepguard::Artifact::checksum`].
    pub sha256: String,
}

impl Target {
    /// The version that the key names.
    pub fn version(&self) -> &str {
        let name = self.key.rsplit('/').next().unwrap_or(&self.key);
        name.strip_suffix(".safetensors").unwrap_or(name)
    }
}
