//! S3: objects, conditions and lists.

use std::collections::{BTreeMap, HashMap};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use bytes::Bytes;
use hyper::Method;
use hyper::http::request::Parts;

use crate::answer::Answer;
use crate::hash;

const MOST_KEYS: usize = 1000;

/// A stored object, as GetObject gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its content.
    pub bytes: Vec<u8>,
    /// Its ETag, with the quotes.
    pub etag: String,
    /// When it was put, by the virtual clock.
    pub modified: i64,
    /// How many times an object was put under this key.
    pub version: u64,
}

/// All objects, by bucket and key.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    pub(crate) objects: BTreeMap<(String, String), Object>,
    versions: HashMap<(String, String), u64>,
}

impl Objects {
    pub(crate) fn put(&mut self, bucket: &str, key: &str, bytes: Vec<u8>, now: i64) -> String {
        let name = (bucket.to_owned(), key.to_owned());
        let version = self.versions.entry(name.clone()).or_default();
        *version += 1;
        let etag = format!("\"{:016x}{:016x}\"", hash::bytes(&bytes), hash::of(&[*version]));
        self.objects
            .insert(name, Object { bytes, etag: etag.clone(), modified: now, version: *version });
        etag
    }

    pub(crate) fn versions(&self, bucket: &str, key: &str) -> u64 {
        self.versions.get(&(bucket.to_owned(), key.to_owned())).copied().unwrap_or_default()
    }
}

/// A request to S3.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) operation: &'static str,
    bucket: String,
    key: String,
    query: HashMap<String, String>,
    if_match: Option<String>,
    if_none_match: Option<String>,
    /// `None` when the body differs from its announcement.
    body: Option<Bytes>,
    head: bool,
}

impl Request {
    pub(crate) fn of(parts: &Parts, body: Bytes) -> Self {
        let path = parts.uri.path().trim_start_matches('/');
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let pairs =
            parts.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (unescape(name), unescape(value))
        };
        let query: HashMap<String, String> = pairs.map(pair).collect();
        let operation = match (&parts.method, key.is_empty()) {
            (&Method::GET, false) => "GetObject",
            (&Method::HEAD, false) => "HeadObject",
            (&Method::PUT, false) => "PutObject",
            (&Method::DELETE, false) => "DeleteObject",
            (&Method::GET, true) if query.get("list-type").is_some_and(|kind| kind == "2") => {
                "ListObjectsV2"
            }
            (&Method::HEAD, true) => "HeadBucket",
            (&Method::PUT, true) => "CreateBucket",
            _ => "Unknown",
        };
        let header = |name: &str| Some(parts.headers.get(name)?.to_str().ok()?.to_owned());
        let chunked = header("content-encoding")
            .is_some_and(|encoding| encoding.contains("aws-chunked"))
            || header("x-amz-content-sha256").is_some_and(|hash| hash.starts_with("STREAMING-"));
        let body = if chunked {
            let length =
                header("x-amz-decoded-content-length").and_then(|length| length.parse().ok());
            unchunk(&body)
                .filter(|body| length.is_none_or(|length: usize| length == body.len()))
                .map(Bytes::from)
        } else {
            Some(body)
        };
        Self {
            operation,
            bucket: unescape(bucket),
            key: unescape(key),
            query,
            if_match: header("if-match"),
            if_none_match: header("if-none-match"),
            body,
            head: parts.method == Method::HEAD,
        }
    }

    pub(crate) fn resource(&self) -> String {
        let key = if self.key.is_empty() {
            self.query.get("prefix").map_or("", String::as_str)
        } else {
            &self.key
        };
        format!("{}/{key}", self.bucket)
    }

    pub(crate) fn condition(&self) -> Option<String> {
        let named = |name: &str, value: &Option<String>| {
            value.as_ref().map(|value| format!("{name}: {value}"))
        };
        named("If-Match", &self.if_match).or_else(|| named("If-None-Match", &self.if_none_match))
    }

    pub(crate) fn is_next_page(&self) -> bool {
        self.query.contains_key("continuation-token")
    }

    pub(crate) fn error(&self, status: u16, code: &str, message: &str) -> Answer {
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <Error><Code>{code}</Code><Message>{message}</Message>\
             <Resource>/{}</Resource><RequestId>0</RequestId></Error>",
            escape(&self.resource())
        );
        // The answer to HEAD has no body, not even of an error.
        let mut answer =
            Answer::new(status, "application/xml", if self.head { String::new() } else { body });
        answer.error = Some(code.into());
        answer
    }

    pub(crate) fn run(self, objects: &mut Objects, now: i64) -> Answer {
        let found = objects.objects.get(&(self.bucket.clone(), self.key.clone()));
        match self.operation {
            "GetObject" | "HeadObject" => self.read(found),
            "PutObject" => self.refused(found).unwrap_or_else(|| match self.body {
                Some(bytes) => {
                    let etag = objects.put(&self.bucket, &self.key, bytes.to_vec(), now);
                    Answer::new(200, "", "").with("etag", etag)
                }
                None => self.error(400, "IncompleteBody", "The body is not as it was announced."),
            }),
            "DeleteObject" => self.refused(found).unwrap_or_else(|| {
                objects.objects.remove(&(self.bucket, self.key));
                Answer::new(204, "", "")
            }),
            "ListObjectsV2" => self.list(objects),
            "HeadBucket" | "CreateBucket" => Answer::new(200, "", ""),
            _ => self.error(501, "NotImplemented", "This operation is not played here."),
        }
    }

    fn read(&self, found: Option<&Object>) -> Answer {
        let Some(object) = found else {
            return self.error(404, "NoSuchKey", "The specified key does not exist.");
        };
        if self.if_match.as_ref().is_some_and(|etags| !matches(etags, &object.etag)) {
            return self.failed();
        }
        let modified =
            DateTime::from_secs(object.modified).fmt(Format::HttpDate).expect("a time of this era");
        let answer = |status, content_type, body: Vec<u8>| {
            let answer = Answer::new(status, content_type, body);
            answer.with("etag", object.etag.clone()).with("last-modified", modified.clone())
        };
        if self.if_none_match.as_ref().is_some_and(|etags| matches(etags, &object.etag)) {
            return answer(304, "", Vec::new());
        }
        match self.head {
            true => answer(200, "binary/octet-stream", Vec::new())
                .with("content-length", object.bytes.len().to_string()),
            false => answer(200, "binary/octet-stream", object.bytes.clone()),
        }
    }

    /// Why the object may not be written or deleted, if its condition does not hold.
    fn refused(&self, found: Option<&Object>) -> Option<Answer> {
        match (&self.if_match, &self.if_none_match, found) {
            (Some(_), _, None) => {
                Some(self.error(404, "NoSuchKey", "The specified key does not exist."))
            }
            (Some(etags), _, Some(object)) if !matches(etags, &object.etag) => Some(self.failed()),
            (_, Some(etags), Some(object)) if matches(etags, &object.etag) => Some(self.failed()),
            _ => None,
        }
    }

    fn failed(&self) -> Answer {
        let message = "At least one of the pre-conditions you specified did not hold";
        self.error(412, "PreconditionFailed", message)
    }

    fn list(&self, objects: &Objects) -> Answer {
        let asked = |name: &str| self.query.get(name).map_or("", String::as_str);
        let after = match self.query.get("continuation-token") {
            Some(token) => match token.strip_prefix("after-").and_then(unhex) {
                Some(key) => key,
                None => {
                    return self.error(
                        400,
                        "InvalidArgument",
                        "The continuation token provided is incorrect",
                    );
                }
            },
            None => asked("start-after").to_owned(),
        };
        let most = match asked("max-keys") {
            "" => MOST_KEYS,
            number => match number.parse::<usize>() {
                Ok(number) => number.min(MOST_KEYS),
                Err(_) => return self.error(400, "InvalidArgument", "max-keys is not a number"),
            },
        };
        let prefix = asked("prefix");
        let all = objects.objects.iter().filter(|((bucket, key), _)| {
            *bucket == self.bucket && key.starts_with(prefix) && (after.is_empty() || *key > after)
        });
        let mut all = all.map(|((_, key), object)| (key, object)).peekable();
        let (mut contents, mut count, mut last) = (String::new(), 0, None);
        while let Some((key, object)) = all.next_if(|_| count < most) {
            let modified = DateTime::from_secs(object.modified)
                .fmt(Format::DateTime)
                .expect("a time of this era");
            contents += &format!(
                "<Contents><Key>{}</Key><LastModified>{modified}</LastModified>\
                 <ETag>{}</ETag><Size>{}</Size>\
                 <StorageClass>STANDARD</StorageClass></Contents>",
                escape(key),
                escape(&object.etag),
                object.bytes.len()
            );
            count += 1;
            last = Some(key);
        }
        let more = last.filter(|_| all.peek().is_some());
        let token = more.map_or(String::new(), |key| {
            format!("<NextContinuationToken>after-{}</NextContinuationToken>", hex(key))
        });
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>{}</Name>\
             <Prefix>{}</Prefix><KeyCount>{count}</KeyCount><MaxKeys>{most}</MaxKeys>\
             <IsTruncated>{}</IsTruncated>{token}{contents}</ListBucketResult>",
            escape(&self.bucket),
            escape(prefix),
            more.is_some()
        );
        Answer::new(200, "application/xml", body)
    }
}

/// Whether an ETag is in a list of them.
fn matches(etags: &str, etag: &str) -> bool {
    let bare = |etag: &str| etag.trim().trim_matches('"').to_owned();
    etags.split(',').any(|one| one.trim() == "*" || bare(one) == bare(etag))
}

/// The content of an aws-chunked body: chunks of `size[;signature]`, then trailers.
fn unchunk(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    loop {
        let end = body.windows(2).position(|two| two == b"\r\n")?;
        let line = std::str::from_utf8(&body[..end]).ok()?;
        let size = usize::from_str_radix(line.split(';').next()?.trim(), 16).ok()?;
        body = &body[end + 2..];
        if size == 0 {
            return Some(content);
        }
        content.extend_from_slice(body.get(..size)?);
        body = body.get(size..)?.strip_prefix(b"\r\n")?;
    }
}

pub(crate) fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match (first, digits.and_then(|digits| u8::from_str_radix(digits, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(digits: &str) -> Option<String> {
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else { return None };
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    String::from_utf8(pairs.iter().map(byte).collect::<Option<_>>()?).ok()
}
