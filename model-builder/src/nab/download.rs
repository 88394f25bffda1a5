//! NAB's EC2 CPU files and its labels from a pinned commit, each checked before it is kept.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::hex_sha256;
use crate::files::write_whole;

/// Where NAB is: numenta/NAB at the commit of its version 1.1.
pub(crate) const SOURCE: &str =
    "https://raw.githubusercontent.com/numenta/NAB/ea702d75cc2258d9d7dd35ca8e5e2539d71f3140";

/// NAB's EC2 CPU files and the SHA-256 of each.
pub(crate) const EC2_CPU: [(&str, &str); 8] = [
    (
        "realAWSCloudwatch/ec2_cpu_utilization_24ae8d.csv",
        "ab446fbd8b9f37507eb2fdb06315826d8daeef02e241133ce06e0ee571ba53d9",
    ),
    (
        "realAWSCloudwatch/ec2_cpu_utilization_53ea38.csv",
        "8942e498de7b40f1b4a6d802755592c09b8fb73ce8f658763a09cb9ea1ea94ac",
    ),
    (
        "realAWSCloudwatch/ec2_cpu_utilization_5f5533.csv",
        "01613e6f632d067f11a5dfd40a188b0789752b388d9bc77a398bd06333878a76",
    ),
    (
        "realAWSCloudwatch/ec2_cpu_utilization_77c1ca.csv",
        "90ceabd570b449241ee24ff8a116a793979b7671ce4490707311bfea0e0aae1f",
    ),
    (
        "realAWSCloudwatch/ec2_cpu_utilization_825cc2.csv",
        "d768419037c9db269343822957314f57ee21a7d9a4d41df2add0d1ba45ba84de",
    ),
    (
        "realAWSCloudwatch/ec2_cpu_utilization_ac20cd.csv",
        "749a15c2e1a4543c21fee9cbf3338cd8a7ed5f5f8a1308b9b099b06c2c66e66b",
    ),
    (
        "realAWSCloudwatch/ec2_cpu_utilization_c6585a.csv",
        "d936cea74682ed43ac96b778352d7de294c0b0c168f4a7e6817162346cdb28c1",
    ),
    (
        "realAWSCloudwatch/ec2_cpu_utilization_fe7f93.csv",
        "f3433f8171f4dcea86c0c7af9996d0f166f812fa0f4567f1d5cd85d2d2cd69b4",
    ),
];

/// NAB's labels, and the SHA-256 of the entries of [`EC2_CPU`] in each as compact JSON with sorted
/// keys. Labels of other files may be revised without touching what is used here.
const LABELS: [(&str, &str); 2] = [
    ("combined_labels.json", "d06dfcccd152639c1762da86a4f2c96f974970f1b9f3a526df41c8597e29821e"),
    ("combined_windows.json", "53f23522dae6c191d6b115070e99b685f48be0a40299738a9320dd0beaeb9d7e"),
];

/// No file is nearly as large. More than this is not NAB.
const MAX_BYTES: u64 = 16 << 20;

/// A file to download, and what tells that it is the right one.
pub(crate) struct Pinned {
    /// Path below the source and below the folder it is kept in.
    path: String,
    sha256: String,
    check: Check,
}

/// The part of NAB that DeepGuard trains on and is evaluated on.
pub(crate) fn manifest() -> Vec<Pinned> {
    let pinned = |folder: &str, (name, sha256): (&str, &str), check: Check| Pinned {
        path: format!("{folder}/{name}"),
        sha256: sha256.into(),
        check,
    };
    let data = EC2_CPU.map(|file| pinned("data", file, check_file));
    let labels = LABELS.map(|file| pinned("labels", file, check_labels));
    data.into_iter().chain(labels).collect()
}

/// Downloads what is missing in `root` from `source`.
///
/// # Errors
/// Where a file cannot be had, or is not what was pinned; nothing of it is kept then.
pub(crate) fn fetch(root: &Path, source: &str, manifest: &[Pinned]) -> Result<()> {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(120))).build().into();
    for Pinned { path: name, sha256, check } in manifest {
        let path = root.join(name);
        if std::fs::read(&path).is_ok_and(|kept| check(&kept, sha256).is_ok()) {
            continue;
        }
        let url = format!("{source}/{name}");
        let mut response = agent.get(&url).call().with_context(|| format!("cannot download {url}"))?;
        let body = response.body_mut().with_config().limit(MAX_BYTES).read_to_vec();
        let body = body.with_context(|| format!("the download of {url} broke off"))?;
        check(&body, sha256).with_context(|| format!("{url} is not what was pinned, nothing is kept"))?;
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
    for (name, _) in EC2_CPU {
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
        let mut all: BTreeMap<&str, Value> = EC2_CPU.iter().map(|(name, _)| (*name, Value::from(vec![4242]))).collect();
        all.insert("unused", unused.into());
        serde_json::to_vec_pretty(&all).unwrap()
    }

    fn pinned() -> [Pinned; 2] {
        let used: BTreeMap<&str, Value> = EC2_CPU.iter().map(|(name, _)| (*name, Value::from(vec![4242]))).collect();
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
        fetch_from([(DATA, broken()), (LABEL, broken())], cache.path()).await.expect("all is here already");
        std::fs::write(cache.path().join(DATA), b"spoilt since").unwrap();
        fetch_from([(DATA, broken()), (LABEL, broken())], cache.path()).await.expect_err("one must be fetched again");
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
