//! S3: holds artifacts, and the state between runs.

use aws_sdk_s3::Client;
use aws_sdk_s3::operation::get_object::GetObjectError;

use crate::client::failed;
use crate::ids::ObjectUri;
use crate::pagination::Pages;
use crate::ports::{CallError, Condition, Fetched, Listed, ObjectError, Objects, Removable};

const GET: &str = "GetObject";
const PUT: &str = "PutObject";
const DELETE: &str = "DeleteObject";
const LIST: &str = "ListObjectsV2";
/// HTTP status of a conditional request whose condition does not hold.
const NOT_MODIFIED: u16 = 304;
/// HTTP statuses of a conditional write whose condition does not hold: the object is missing,
/// another write is under way, another version is there.
const NOT_WRITTEN: [u16; 3] = [404, 409, 412];

/// S3 in one Region and account.
#[derive(Debug, Clone)]
pub struct S3 {
    client: Client,
}

impl S3 {
    /// Reads through `client`.
    pub fn new(client: Client) -> Self {
        Self { client }
    }
}

impl Objects for S3 {
    async fn get(
        &self,
        uri: &ObjectUri,
        known: Option<&str>,
        most: usize,
    ) -> Result<Fetched, ObjectError> {
        let request = self
            .client
            .get_object()
            .bucket(&uri.bucket)
            .key(&uri.key)
            .set_if_none_match(known.map(Into::into));
        let mut answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => {
                let status = error.raw_response().map(|response| response.status().as_u16());
                return match error.as_service_error() {
                    _ if known.is_some() && status == Some(NOT_MODIFIED) => Ok(Fetched::Unchanged),
                    Some(GetObjectError::NoSuchKey(_)) => {
                        Err(ObjectError::Missing { uri: uri.clone() })
                    }
                    _ => Err(ObjectError::Call { uri: uri.clone(), error: failed(GET, &error) }),
                };
            }
        };
        let too_large = |bytes| ObjectError::TooLarge { uri: uri.clone(), bytes, most };
        let announced = answer.content_length().unwrap_or_default().max(0) as u64;
        if announced > most as u64 {
            return Err(too_large(announced));
        }
        let mut bytes = Vec::with_capacity(announced as usize);
        // Counted as well: an answer need not announce its length.
        while let Some(chunk) = answer.body.next().await {
            let broken = |error: &dyn std::error::Error| CallError {
                operation: GET,
                why: error.to_string(),
            };
            let chunk = chunk
                .map_err(|error| ObjectError::Call { uri: uri.clone(), error: broken(&error) })?;
            bytes.extend_from_slice(&chunk);
            if bytes.len() > most {
                return Err(too_large(bytes.len() as u64));
            }
        }
        Ok(Fetched::Object { bytes, etag: answer.e_tag })
    }

    async fn put(
        &self,
        uri: &ObjectUri,
        condition: Condition<'_>,
        bytes: Vec<u8>,
    ) -> Result<Option<String>, ObjectError> {
        let request = self.client.put_object().bucket(&uri.bucket).key(&uri.key).body(bytes.into());
        let request = match condition {
            Condition::Unchanged(etag) => request.if_match(etag),
            Condition::New => request.if_none_match("*"),
            Condition::None => request,
        };
        match request.send().await {
            Ok(answer) => match answer.e_tag {
                Some(etag) => Ok(Some(etag)),
                None => {
                    let why = "the answer has no ETag: the endpoint is not S3".into();
                    Err(ObjectError::Call {
                        uri: uri.clone(),
                        error: CallError { operation: PUT, why },
                    })
                }
            },
            Err(error) => {
                let status = error.raw_response().map(|response| response.status().as_u16());
                let missing_bucket = error
                    .as_service_error()
                    .is_some_and(|error| error.meta().code() == Some("NoSuchBucket"));
                match status {
                    Some(status)
                        if condition != Condition::None
                            && NOT_WRITTEN.contains(&status)
                            && !missing_bucket =>
                    {
                        Ok(None)
                    }
                    _ => Err(ObjectError::Call { uri: uri.clone(), error: failed(PUT, &error) }),
                }
            }
        }
    }

    async fn list(&self, prefix: &ObjectUri) -> Result<Vec<Listed>, ObjectError> {
        let call = |error| ObjectError::Call { uri: prefix.clone(), error };
        let mut listed = Vec::new();
        let mut pages = Pages::of(LIST);
        loop {
            let request = self.client.list_objects_v2().bucket(&prefix.bucket).prefix(&prefix.key);
            let request = request.set_continuation_token(pages.token());
            let page = request.send().await.map_err(|error| call(failed(LIST, &error)))?;
            listed.extend(page.contents().iter().filter_map(|object| {
                let uri = prefix.beside(object.key()?).ok()?;
                Some(Listed { uri, written: object.last_modified().map_or(0, |time| time.secs()) })
            }));
            let next = page.next_continuation_token.filter(|_| page.is_truncated == Some(true));
            if pages.end_with(next).map_err(call)? {
                return Ok(listed);
            }
        }
    }
}

impl Removable for S3 {
    async fn remove(&self, uri: &ObjectUri) -> Result<(), ObjectError> {
        let removed = self.client.delete_object().bucket(&uri.bucket).key(&uri.key).send().await;
        let call = |error| ObjectError::Call { uri: uri.clone(), error: failed(DELETE, &error) };
        removed.map(|_| ()).map_err(call)
    }
}

#[cfg(test)]
mod tests {
    use wiremock::ResponseTemplate;

    use super::*;
    use crate::testing::scripted::Scripted;

    fn error(status: u16, code: &str) -> ResponseTemplate {
        let body = format!(
            "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>said the \
             script</Message></Error>"
        );
        ResponseTemplate::new(status).set_body_raw(body, "application/xml")
    }

    fn object(size: usize) -> ResponseTemplate {
        ResponseTemplate::new(200).insert_header("ETag", "\"one\"").set_body_bytes(vec![7; size])
    }

    async fn get(
        answers: Vec<ResponseTemplate>,
        known: Option<&str>,
    ) -> (Result<Fetched, ObjectError>, Scripted) {
        let aws = Scripted::new([("GET", answers)]).await;
        let uri = "s3://my-models/models/current".parse().unwrap();
        (aws.s3().get(&uri, known, 1000).await, aws)
    }

    #[tokio::test]
    async fn an_object_comes_with_its_etag() {
        let (fetched, aws) = get(vec![object(1000)], None).await;
        assert_eq!(
            fetched,
            Ok(Fetched::Object { bytes: vec![7; 1000], etag: Some("\"one\"".into()) })
        );
        let requests = aws.raw_requests().await;
        assert_eq!(requests[0].url.path(), "/my-models/models/current");
        assert!(!requests[0].headers.contains_key("if-none-match"));
    }

    #[tokio::test]
    async fn a_known_version_is_asked_for_by_its_etag() {
        let (fetched, aws) = get(vec![ResponseTemplate::new(304)], Some("\"one\"")).await;
        assert_eq!(fetched, Ok(Fetched::Unchanged));
        assert_eq!(aws.raw_requests().await[0].headers["if-none-match"], "\"one\"");
        assert!(
            get(vec![ResponseTemplate::new(304)], None).await.0.is_err(),
            "nothing is known that could be unchanged"
        );
    }

    #[tokio::test]
    async fn what_goes_wrong_is_told_with_the_address() {
        let cases = [
            (vec![error(404, "NoSuchKey")], "s3://my-models/models/current does not exist"),
            (vec![error(404, "NoSuchBucket")], "GetObject failed: NoSuchBucket: said the script"),
            (
                vec![error(403, "AccessDenied")],
                "AccessDenied: said the script (allow it in the function's role)",
            ),
            (
                vec![error(503, "SlowDown"), error(503, "SlowDown"), error(503, "SlowDown")],
                "SlowDown",
            ),
            (vec![object(1001)], "has 1001 bytes, more than the 1000 allowed"),
        ];
        for (answers, why) in cases {
            let error = get(answers, None).await.0.expect_err(why).to_string();
            assert!(
                error.contains(why) && error.contains("s3://my-models/models/current"),
                "{why}: {error}"
            );
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[tokio::test]
    async fn an_object_is_removed_or_it_is_told_why_not() {
        let aws = Scripted::new([(
            "DELETE",
            vec![ResponseTemplate::new(204), error(403, "AccessDenied")],
        )])
        .await;
        let uri = "s3://my-models/models/shadow".parse().unwrap();
        assert_eq!(aws.s3().remove(&uri).await, Ok(()));
        assert_eq!(aws.raw_requests().await[0].url.path(), "/my-models/models/shadow");
        let error = aws.s3().remove(&uri).await.unwrap_err().to_string();
        assert!(
            error.contains("s3://my-models/models/shadow: DeleteObject failed: AccessDenied"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_throttled_call_is_tried_again() {
        let (fetched, _) = get(vec![error(503, "SlowDown"), object(1)], None).await;
        assert!(fetched.is_ok(), "{fetched:?}");
    }
}
