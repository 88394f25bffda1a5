//! Signed artifacts: Ed25519 (RFC 8032) over the checksum of an artifact.
//!
//! The signature stands beside the artifact in S3, in base64, under the artifact's key and `.sig`.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use aws_smithy_types::base64;

/// The end of a signature's key, after that of its artifact.
pub const SIGNATURE: &str = ".sig";
/// The maximum size of a stored signature, in bytes. It is a line of 88 characters.
pub const SIGNATURE_BYTES: usize = 256;
/// The lines around the key in a PEM file of PKCS #8. (RFC 7468)
const PEM: [&str; 2] = ["-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----"];

/// The key that signatures are checked with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

/// A text that is no public key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it is not an Ed25519 public key: give 32 bytes in base64, 44 characters")]
pub struct NotAPublicKey;

/// A signature that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not a signature at all.
    #[error("its signature is not 64 bytes in base64")]
    Shape,
    /// Of another artifact, or by another key.
    #[error("its signature is not by this key, or not of this artifact")]
    Wrong,
}

impl FromStr for PublicKey {
    type Err = NotAPublicKey;

    fn from_str(text: &str) -> Result<Self, NotAPublicKey> {
        let bytes = base64::decode(text).map_err(|_| NotAPublicKey)?;
        Ok(Self(bytes.try_into().map_err(|_| NotAPublicKey)?))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&base64::encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PublicKey({self})")
    }
}

impl PublicKey {
    /// Checks the stored `signature` of the artifact with this [checksum](deepguard::Artifact).
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn check(&self, checksum: &str, signature: &[u8]) -> Result<(), SignatureError> {
        let text = str::from_utf8(signature).map_err(|_| SignatureError::Shape)?;
        let signature = base64::decode(text.trim_end()).map_err(|_| SignatureError::Shape)?;
        if signature.len() != 64 {
            return Err(SignatureError::Shape);
        }
        UnparsedPublicKey::new(&ED25519, self.0)
            .verify(signed(checksum).as_bytes(), &signature)
            .map_err(|_| SignatureError::Wrong)
    }
}

/// A key to sign with.
#[derive(Debug)]
pub struct SigningKey(Ed25519KeyPair);

/// A file that holds no key to sign with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is not an Ed25519 private key in PEM (PKCS #8): make one with `openssl genpkey -algorithm \
     ed25519 -out key.pem`"
)]
pub struct NotASigningKey;

impl FromStr for SigningKey {
    type Err = NotASigningKey;

    /// Reads a PEM file.
    fn from_str(text: &str) -> Result<Self, NotASigningKey> {
        let [begin, end] = PEM;
        let (_, rest) = text.split_once(begin).ok_or(NotASigningKey)?;
        let (body, _) = rest.split_once(end).ok_or(NotASigningKey)?;
        let body: String = body.split_whitespace().collect();
        let key = base64::decode(body).map_err(|_| NotASigningKey)?;
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(&key).map(Self).map_err(|_| NotASigningKey)
    }
}

impl SigningKey {
    /// The signature of the artifact with this checksum, as it is stored.
    pub fn sign(&self, checksum: &str) -> String {
        format!("{}\n", base64::encode(self.0.sign(signed(checksum).as_bytes())))
    }

    /// The key to check it with.
    pub fn public_key(&self) -> Option<PublicKey> {
        self.0.public_key().as_ref().try_into().ok().map(PublicKey)
    }
}

/// The signed text. Its beginning keeps a signature of something else from being one of a model.
fn signed(checksum: &str) -> String {
    format!("DeepGuard model, sha256 {checksum}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032, section 7.1, test 1, as PKCS #8.
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
        -----END PRIVATE KEY-----\n";
    /// Its public key there (d75a9801 ... f707511a), in base64.
    const PUBLIC: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

    #[test]
    fn a_signature_is_of_one_artifact_and_by_one_key() {
        let key: SigningKey = KEY.parse().unwrap();
        assert_eq!(key.public_key().unwrap().to_string(), PUBLIC);
        let public: PublicKey = PUBLIC.parse().unwrap();
        let signature = key.sign("abc");
        assert!(signature.len() <= SIGNATURE_BYTES);
        assert_eq!(public.check("abc", signature.as_bytes()), Ok(()));
        assert_eq!(public.check("abd", signature.as_bytes()), Err(SignatureError::Wrong));
        let other = PublicKey([7; 32]);
        assert_eq!(other.check("abc", signature.as_bytes()), Err(SignatureError::Wrong));
        for wrong in ["", "abc", "\u{20ac}", &base64::encode([0; 63])] {
            assert_eq!(
                public.check("abc", wrong.as_bytes()),
                Err(SignatureError::Shape),
                "{wrong}"
            );
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for wrong in ["", "abc", PEM[0], &KEY.replace("MC4C", "MC4D")] {
            assert_eq!(wrong.parse::<SigningKey>().unwrap_err(), NotASigningKey, "{wrong}");
        }
        for wrong in ["", "abc", &PUBLIC[..40]] {
            assert_eq!(wrong.parse::<PublicKey>(), Err(NotAPublicKey), "{wrong}");
        }
    }
}
