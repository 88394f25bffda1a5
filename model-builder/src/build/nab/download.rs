//! Downloads NAB's files and labels from a pinned commit, and checks each file before storing it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::common::files::{hex_sha256, write_whole};

/// Where NAB is: numenta/NAB at the commit of its version 1.1.
pub(crate) const SOURCE: &str =
    "https://raw.githubusercontent.com/numenta/NAB/ea702d75cc2258d9d7dd35ca8e5e2539d71f3140";

/// NAB's files, each after its SHA-256.
const FILES: &str = include_str!("files.txt");

/// The names of NAB's files with their folder, and the SHA-256 of each.
pub(crate) fn files() -> impl Iterator<Item = (&'static str, &'static str)> {
    FILES.lines().filter_map(|line| line.split_once("  ")).map(|(sha256, name)| (name, sha256))
}

/// NAB's labels, and the SHA-256 of the entries that [`is_labelled`] in each, as compact JSON with
/// sorted keys. Labels of other files may be revised without touching what is used here.
const LABELS: [(&str, &str); 2] = [
    ("combined_labels.json", "4e8502ed318691a94a6b21346d09f916c303d0ad5c5c326245f16059bbafec9c"),
    ("combined_windows.json", "a4b260165562871699eb0c54c3f82c404bac151db815a0800028f3dbf2cbc020"),
];

/// Whether the labels of this file are used. They are, except for AWS files that are no EC2 CPU.
pub(crate) fn is_labelled(name: &str) -> bool {
    !name.starts_with("realAWSCloudwatch/") || is_ec2_cpu(name)
}

/// Whether this file is the CPU of an EC2 instance.
pub(crate) fn is_ec2_cpu(name: &str) -> bool {
    name.contains("/ec2_cpu_utilization_")
}

/// No file is nearly as large. More than this is not NAB.
const MAX_BYTES: u64 = 16 << 20;

/// A file to download, and the check for its content.
pub(crate) struct Pinned {
    /// Path below the source and below the folder it is kept in.
    path: String,
    sha256: String,
    check: Check,
}

impl Pinned {
    /// A file that is stored unchanged.
    pub(crate) fn file(path: &str, sha256: &str) -> Self {
        Self { path: path.into(), sha256: sha256.into(), check: check_file }
    }
}

/// The part of NAB that DeepGuard trains on and is evaluated on.
pub(crate) fn manifest() -> Vec<Pinned> {
    let pinned = |folder: &str, (name, sha256): (&str, &str), check: Check| Pinned {
        path: format!("{folder}/{name}"),
        sha256: sha256.into(),
        check,
    };
    let data = files().map(|file| pinned("data", file, check_file));
    let labels = LABELS.map(|file| pinned("labels", file, check_labels));
    data.chain(labels).collect()
}

/// Downloads what is missing in `root` from `source`.
///
/// # Errors
/// Where a file cannot be downloaded, or differs from its pin. Such a file is not stored.
pub(crate) fn fetch(root: &Path, source: &str, manifest: &[Pinned]) -> Result<()> {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(120))).build().into();
    for Pinned { path: name, sha256, check } in manifest {
        let path = root.join(name);
        if std::fs::read(&path).is_ok_and(|kept| check(&kept, sha256).is_ok()) {
            continue;
        }
        let url = format!("{source}/{name}");
        let mut response =
            agent.get(&url).call().with_context(|| format!("cannot download {url}"))?;
        let body = response.body_mut().with_config().limit(MAX_BYTES).read_to_vec();
        let body = body.with_context(|| format!("the download of {url} broke off"))?;
        check(&body, sha256)
            .with_context(|| format!("{url} is not the pinned file, and is not kept"))?;
        write_whole(&path, &body)?;
    }
    Ok(())
}

type Check = fn(&[u8], &str) -> Result<()>;

fn check_file(body: &[u8], sha256: &str) -> Result<()> {
    let found = hex_sha256(body);
    ensure!(found == sha256, "SHA-256 {found}, expected {sha256}");
    Ok(())
}

fn check_labels(body: &[u8], sha256: &str) -> Result<()> {
    let all: BTreeMap<String, Value> = serde_json::from_slice(body).context("no JSON object")?;
    let mut used = BTreeMap::new();
    for (name, _) in files().filter(|(name, _)| is_labelled(name)) {
        match all.get(name) {
            Some(entry) => used.insert(name, entry),
            None => bail!("no entry for {name}"),
        };
    }
    check_file(&serde_json::to_vec(&used)?, sha256)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wiremock::matchers::{any, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    const DATA: &str = "data/folder/file.csv";
    const LABEL: &str = "labels/labels.json";
    const ROWS: &[u8] = b"timestamp,value\n1970-01-01 00:00:00,1\n";

    /// Labels with an entry for each file, and one that is not used.
    fn labels(unused: u32) -> Vec<u8> {
        let mut all: BTreeMap<&str, Value> = files()
            .filter(|(name, _)| is_labelled(name))
            .map(|(name, _)| (name, Value::from(vec![4242])))
            .collect();
        all.insert("unused", unused.into());
        serde_json::to_vec_pretty(&all).unwrap()
    }

    fn pinned() -> [Pinned; 2] {
        let used: BTreeMap<&str, Value> = files()
            .filter(|(name, _)| is_labelled(name))
            .map(|(name, _)| (name, Value::from(vec![4242])))
            .collect();
        let sha256 = hex_sha256(&serde_json::to_vec(&used).unwrap());
        [
            Pinned { path: DATA.into(), sha256: hex_sha256(ROWS), check: check_file },
            Pinned { path: LABEL.into(), sha256, check: check_labels },
        ]
    }

    fn ok(body: impl AsRef<[u8]>) -> ResponseTemplate {
        ResponseTemplate::new(200).set_body_bytes(body.as_ref())
    }

    async fn fetch_from(answers: [(&str, ResponseTemplate); 2], into: &Path) -> Result<()> {
        let server = MockServer::start().await;
        for (name, answer) in answers {
            Mock::given(path(format!("/{name}"))).respond_with(answer).mount(&server).await;
        }
        Mock::given(any()).respond_with(ResponseTemplate::new(404)).mount(&server).await;
        let (source, into) = (server.uri(), into.to_path_buf());
        tokio::task::spawn_blocking(move || fetch(&into, &source, &pinned())).await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_was_pinned_is_kept_and_not_fetched_twice() {
        let cache = tempfile::tempdir().unwrap();
        fetch_from([(DATA, ok(ROWS)), (LABEL, ok(labels(1)))], cache.path()).await.unwrap();
        assert_eq!(std::fs::read(cache.path().join(DATA)).unwrap(), ROWS);
        let broken = || ResponseTemplate::new(500);
        fetch_from([(DATA, broken()), (LABEL, broken())], cache.path())
            .await
            .expect("all is here already");
        std::fs::write(cache.path().join(DATA), b"spoilt since").unwrap();
        fetch_from([(DATA, broken()), (LABEL, broken())], cache.path())
            .await
            .expect_err("one must be fetched again");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_altered_or_cut_off_is_not_kept() {
        let mut altered = ROWS.to_vec();
        altered[20] ^= 1;
        let relabelled = String::from_utf8(labels(1)).unwrap().replace("4242", "4243");
        let cases = [
            (DATA, ok(&ROWS[..ROWS.len() / 2]), "SHA-256"),
            (DATA, ok(altered), "SHA-256"),
            (DATA, ResponseTemplate::new(404), "cannot download"),
            (LABEL, ok(&labels(1)[..99]), "no JSON object"),
            (LABEL, ok("{}"), "no entry for"),
            (LABEL, ok(relabelled), "SHA-256"),
        ];
        for (spoilt, answer, told) in cases {
            let cache = tempfile::tempdir().unwrap();
            let answers = if spoilt == DATA {
                [(DATA, answer), (LABEL, ok(labels(1)))]
            } else {
                [(DATA, ok(ROWS)), (LABEL, answer)]
            };
            let error = format!("{:#}", fetch_from(answers, cache.path()).await.unwrap_err());
            assert!(error.contains(told), "{error:?} does not say {told:?}");
            assert!(error.contains(spoilt), "{error:?} does not name {spoilt}");
            assert!(!cache.path().join(spoilt).exists());
        }
    }

    #[test]
    fn a_transfer_that_breaks_off_is_not_kept() {
        use std::io::{BufRead, BufReader, Write};
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let source = format!("http://{}", server.local_addr().unwrap());
        let answering = std::thread::spawn(move || {
            let (mut stream, _) = server.accept().unwrap();
            let request = BufReader::new(stream.try_clone().unwrap()).lines();
            request.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", ROWS.len()).unwrap();
            stream.write_all(&ROWS[..9]).unwrap();
        });
        let cache = tempfile::tempdir().unwrap();
        let error = format!("{:#}", fetch(cache.path(), &source, &pinned()).unwrap_err());
        answering.join().unwrap();
        assert!(error.contains("broke off") && error.contains(DATA), "{error}");
        assert!(!cache.path().join(DATA).exists());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn labels_of_other_files_may_change() {
        let cache = tempfile::tempdir().unwrap();
        fetch_from([(DATA, ok(ROWS)), (LABEL, ok(labels(2)))], cache.path()).await.unwrap();
    }
}
