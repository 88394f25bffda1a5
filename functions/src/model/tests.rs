use super::*;
use crate::testing::memory::Bucket;
use crate::testing::{artifact, artifact_with_threshold, pointer};

const CURRENT: &str = "s3://my-models/models/current";
const ONE: &str = "s3://my-models/models/one.safetensors";
const TWO: &str = "s3://my-models/models/two.safetensors";

fn models(uri: &str) -> (Models<Rc<Bucket>>, Rc<Bucket>) {
    let bucket = Rc::new(Bucket::default());
    let source = ModelSource::Object(uri.parse().unwrap());
    (Models::new(source, Rc::clone(&bucket), Tuning::default()), bucket)
}

fn gets(bucket: &Bucket) -> Vec<(String, bool)> {
    bucket.gets.take()
}

fn got(uri: &str, content: bool) -> (String, bool) {
    (uri.into(), content)
}

/// The model that the source names now.
async fn current<O: Objects>(models: &mut Models<O>) -> Rc<Detector> {
    let Current { detector, stale } = models.current().await.unwrap();
    assert_eq!(stale, None);
    detector
}

#[tokio::test]
async fn the_builtin_model_needs_no_store() {
    let mut models =
        Models::new(ModelSource::Builtin, Rc::new(Bucket::default()), Tuning::default());
    let first = current(&mut models).await;
    assert_eq!(first.artifact(), &artifact());
    assert!(Rc::ptr_eq(&first, &current(&mut models).await));
}

#[tokio::test]
async fn an_artifact_is_loaded_again_only_when_it_changed() {
    let (mut models, bucket) = models(ONE);
    bucket.store(ONE, artifact().to_bytes().unwrap());
    let first = current(&mut models).await;
    assert!(Rc::ptr_eq(&first, &current(&mut models).await));
    let changed = artifact_with_threshold(3.0);
    bucket.store(ONE, changed.to_bytes().unwrap());
    assert_eq!(current(&mut models).await.artifact(), &changed);
    assert_eq!(gets(&bucket), [got(ONE, true), got(ONE, false), got(ONE, true)]);
}

#[tokio::test]
async fn a_pointer_is_followed_when_it_moves() {
    let (mut models, bucket) = models(CURRENT);
    let (one, two) = (artifact(), artifact_with_threshold(3.0));
    bucket.store(ONE, one.to_bytes().unwrap());
    bucket.store(TWO, two.to_bytes().unwrap());
    bucket.store(CURRENT, pointer("models/one.safetensors", &one));
    let first = current(&mut models).await;
    assert_eq!(first.artifact(), &one);
    assert_eq!(gets(&bucket), [got(CURRENT, true), got(ONE, true)]);

    assert!(Rc::ptr_eq(&first, &current(&mut models).await));
    assert_eq!(gets(&bucket), [got(CURRENT, false)]);

    bucket.store(CURRENT, pointer("models/one.safetensors", &one));
    assert!(Rc::ptr_eq(&first, &current(&mut models).await), "written again, to the same artifact");
    assert_eq!(gets(&bucket), [got(CURRENT, true)]);
    current(&mut models).await;
    assert_eq!(gets(&bucket), [got(CURRENT, false)]);

    bucket.store(CURRENT, pointer("models/two.safetensors", &two));
    assert_eq!(current(&mut models).await.artifact(), &two);
    assert_eq!(gets(&bucket), [got(CURRENT, true), got(TWO, true)]);
}

#[tokio::test]
async fn what_cannot_be_loaded_is_told_where_nothing_was_loaded_before() {
    let one = artifact();
    let bytes = one.to_bytes().unwrap();
    let mut damaged = bytes.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let to_one = pointer("models/one.safetensors", &one);
    let other = pointer("models/one.safetensors", &artifact_with_threshold(3.0));
    type Object = (&'static str, Vec<u8>);
    let cases: [(&str, Vec<Object>, &str); 13] = [
        (ONE, vec![], "s3://my-models/models/one.safetensors does not exist"),
        (
            ONE,
            vec![(ONE, damaged.clone())],
            "the model s3://my-models/models/one.safetensors cannot be used: the artifact is \
             damaged",
        ),
        (ONE, vec![(ONE, bytes[..bytes.len() / 2].to_vec())], "not whole"),
        (ONE, vec![(ONE, vec![])], "not a DeepGuard artifact"),
        (ONE, vec![(ONE, to_one.clone().into())], "not a DeepGuard artifact"),
        (ONE, vec![(ONE, vec![0; MAX_BYTES + 1])], "more than the 67108864 allowed"),
        (CURRENT, vec![], "s3://my-models/models/current does not exist"),
        (
            CURRENT,
            vec![(CURRENT, to_one.clone().into())],
            "s3://my-models/models/one.safetensors does not exist",
        ),
        (CURRENT, vec![(CURRENT, to_one.into()), (ONE, damaged)], "damaged"),
        (CURRENT, vec![(CURRENT, other.into()), (ONE, bytes.clone())], "has the checksum"),
        (CURRENT, vec![(CURRENT, bytes)], "bytes, more than the 4096 allowed"),
        (
            CURRENT,
            vec![(CURRENT, b"models/one.safetensors".to_vec())],
            "s3://my-models/models/current points to no model",
        ),
        (CURRENT, vec![(CURRENT, br#"{"key": "", "sha256": "0"}"#.to_vec())], "points to no model"),
    ];
    for (uri, objects, why) in cases {
        let (mut models, bucket) = models(uri);
        for (uri, bytes) in objects {
            bucket.store(uri, bytes);
        }
        for _ in 0..2 {
            let error = models.current().await.expect_err(why).to_string();
            assert!(error.contains(why), "{why}: {error}");
        }
    }
}

#[tokio::test]
async fn what_is_loaded_stays_in_use_until_the_pointer_is_mended() {
    let (mut models, bucket) = models(CURRENT);
    let (one, two) = (artifact(), artifact_with_threshold(3.0));
    bucket.store(ONE, one.to_bytes().unwrap());
    let to_two = pointer("models/two.safetensors", &two);
    let mut damaged = two.to_bytes().unwrap();
    *damaged.last_mut().unwrap() ^= 1;
    type Bad = (&'static str, Box<dyn Fn(&Bucket)>);
    let cases: [Bad; 6] = [
        ("does not exist", Box::new(|bucket| bucket.remove(CURRENT))),
        ("points to no model", Box::new(|bucket| bucket.store(CURRENT, "{"))),
        ("two.safetensors does not exist", Box::new(|bucket| bucket.remove(TWO))),
        ("damaged", Box::new(move |bucket| bucket.store(TWO, damaged.clone()))),
        (
            "has the checksum",
            Box::new(|bucket| bucket.store(TWO, artifact_with_threshold(4.0).to_bytes().unwrap())),
        ),
        ("said the script", Box::new(|bucket| bucket.down.set(true))),
    ];
    for (why, make) in cases {
        bucket.down.set(false);
        bucket.store(CURRENT, pointer("models/one.safetensors", &one));
        let good = current(&mut models).await;
        assert_eq!(good.artifact(), &one, "{why}: mended");
        bucket.store(TWO, two.to_bytes().unwrap());
        bucket.store(CURRENT, to_two.clone());
        make(&bucket);
        for _ in 0..2 {
            let Current { detector, stale } = models.current().await.unwrap();
            assert!(Rc::ptr_eq(&detector, &good), "{why}");
            assert!(
                stale.as_ref().is_some_and(|error| error.to_string().contains(why)),
                "{why}: {stale:?}"
            );
        }
        let mut cold = Models::new(models.source().clone(), Rc::clone(&bucket), Tuning::default());
        assert!(
            cold.current().await.is_err(),
            "{why}: a process that has loaded nothing has nothing to go on with"
        );
    }
    bucket.down.set(false);
    bucket.store(TWO, two.to_bytes().unwrap());
    assert_eq!(current(&mut models).await.artifact(), &two);
}

#[tokio::test]
async fn a_pointer_may_say_more() {
    let (mut models, bucket) = models(CURRENT);
    let one = artifact();
    bucket.store(ONE, one.to_bytes().unwrap());
    let previous = serde_json::json!({ "key": "models/two.safetensors", "sha256": "0" });
    let pointer = serde_json::json!({ "key": "models/one.safetensors", "sha256": one.checksum(),
        "promoted": "2026-01-15T12:00:00Z", "by": "me", "because": null, "previous": previous });
    bucket.store(CURRENT, pointer.to_string());
    assert_eq!(current(&mut models).await.artifact(), &one);
}

#[tokio::test]
async fn an_optional_model_comes_and_goes_with_its_pointer() {
    let bucket = Rc::new(Bucket::default());
    let mut shadow =
        MaybeModel::new(CURRENT.parse().unwrap(), Rc::clone(&bucket), Tuning::default());
    assert!(shadow.current().await.unwrap().is_none());
    let one = artifact();
    bucket.store(CURRENT, pointer("models/one.safetensors", &one));
    let error = shadow.current().await.unwrap_err().to_string();
    assert!(
        error.contains("one.safetensors does not exist"),
        "a pointer to nothing is not no pointer: {error}"
    );
    bucket.store(ONE, one.to_bytes().unwrap());
    let Some(Current { detector, stale: None }) = shadow.current().await.unwrap() else {
        panic!("no shadow")
    };
    assert_eq!(detector.artifact(), &one);
    bucket.store(CURRENT, "{");
    assert!(matches!(
        shadow.current().await.unwrap(),
        Some(Current { stale: Some(ModelError::Pointer { .. }), .. })
    ));
    bucket.remove(CURRENT);
    assert!(
        shadow.current().await.unwrap().is_none(),
        "without a pointer there is no shadow, whatever was loaded"
    );
    bucket.store(CURRENT, "{");
    assert!(shadow.current().await.is_err(), "nor is it remembered");
}

/// RFC 8032, section 7.1, test 1, as PKCS #8.
const SIGNER: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
    -----END PRIVATE KEY-----\n";

#[tokio::test]
async fn a_model_without_a_signature_is_refused_where_one_is_asked_for() {
    let key: deepguard_aws::signature::SigningKey = SIGNER.parse().unwrap();
    let tuning = Tuning { signer: key.public_key(), ..Tuning::default() };
    let signed = artifact();
    for uri in [ONE, CURRENT] {
        let bucket = Rc::new(Bucket::default());
        let source = ModelSource::Object(uri.parse().unwrap());
        let mut models = Models::new(source, Rc::clone(&bucket), tuning.clone());
        bucket.store(ONE, signed.to_bytes().unwrap());
        bucket.store(CURRENT, pointer("models/one.safetensors", &signed));
        let error = models.current().await.unwrap_err().to_string();
        assert!(error.contains(&format!("there is no {ONE}.sig")), "{error}");

        bucket.store(&format!("{ONE}.sig"), key.sign("another checksum"));
        let error = models.current().await.unwrap_err().to_string();
        assert!(error.contains("not by this key, or not of this artifact"), "{error}");

        bucket.store(&format!("{ONE}.sig"), key.sign(signed.checksum()));
        let first = current(&mut models).await;

        // Another model without a signature: the signed one stays in use, and the alarm rings.
        let other = artifact_with_threshold(3.0);
        bucket.store(TWO, other.to_bytes().unwrap());
        bucket.store(CURRENT, pointer("models/two.safetensors", &other));
        bucket.store(ONE, other.to_bytes().unwrap());
        let Current { detector, stale } = models.current().await.unwrap();
        assert!(Rc::ptr_eq(&first, &detector));
        assert!(matches!(stale, Some(ModelError::Signature { .. })), "{stale:?}");
    }
    let mut builtin = Models::new(ModelSource::Builtin, Rc::new(Bucket::default()), tuning);
    assert_eq!(current(&mut builtin).await.artifact(), &signed, "the program itself has it");
}
