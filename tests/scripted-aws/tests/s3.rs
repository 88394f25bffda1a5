//! S3's answers and conditions, as the SDK sees them.

mod common;

use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::primitives::ByteStream;
use common::{NOW, s3, start};

/// The status and the code of an error.
macro_rules! told {
    ($error:expr) => {{
        let error = $error.unwrap_err();
        let code =
            error.as_service_error().and_then(|error| error.code()).unwrap_or_default().to_owned();
        (error.raw_response().unwrap().status().as_u16(), code)
    }};
}

#[tokio::test]
async fn an_object_is_what_was_put() {
    let aws = start(0);
    let client = s3(&aws);
    for size in [0, 1, 100, 300_000] {
        let content: Vec<u8> = (0..size).map(|n| (n * 7) as u8).collect();
        let key = "state/fleet 1+ä.bin";
        let put = client.put_object().bucket("b").key(key).body(ByteStream::from(content.clone()));
        let etag = put.send().await.unwrap().e_tag.unwrap();
        let object = aws.object("b", key).unwrap();
        assert_eq!((&object.bytes, &object.etag, object.modified), (&content, &etag, NOW));
        let answer = client.get_object().bucket("b").key(key).send().await.unwrap();
        assert_eq!(
            (answer.e_tag(), answer.last_modified().unwrap().secs()),
            (Some(etag.as_str()), NOW)
        );
        assert_eq!(answer.body.collect().await.unwrap().into_bytes(), content);
        let head = client.head_object().bucket("b").key(key).send().await.unwrap();
        assert_eq!((head.content_length(), head.e_tag()), (Some(size as i64), Some(etag.as_str())));
    }
    assert_eq!(aws.versions("b", "state/fleet 1+ä.bin"), 4);
    let calls = aws.take_calls();
    assert_eq!(
        (calls[0].operation.as_str(), calls[0].resource.as_str()),
        ("PutObject", "b/state/fleet 1+ä.bin")
    );
    assert!(calls.iter().all(|call| call.carried_out));
}

#[tokio::test]
async fn conditions_hold_or_not() {
    let aws = start(0);
    let client = s3(&aws);
    let (get, head) =
        (|| client.get_object().bucket("b").key("k"), || client.head_object().bucket("b").key("k"));
    let put = || client.put_object().bucket("b").key("k").body(ByteStream::from_static(b"content"));
    let delete = || client.delete_object().bucket("b").key("k");
    let failed = || (412, "PreconditionFailed".to_owned());

    assert_eq!(told!(get().send().await), (404, "NoSuchKey".into()));
    assert_eq!(told!(head().send().await).0, 404);
    assert_eq!(told!(put().if_match("\"one\"").send().await), (404, "NoSuchKey".into()));
    let one = put().if_none_match("*").send().await.unwrap().e_tag.unwrap();
    assert_eq!(told!(put().if_none_match("*").send().await), failed());
    assert_eq!(told!(put().if_match("\"one\"").send().await), failed());
    let two = put().if_match(&one).send().await.unwrap().e_tag.unwrap();
    assert_ne!(one, two);
    assert_eq!(told!(put().if_match(&one).send().await), failed());
    assert_eq!(aws.versions("b", "k"), 2);

    assert_eq!(told!(get().if_none_match(&two).send().await).0, 304);
    assert_eq!(told!(head().if_none_match(&two).send().await).0, 304);
    assert!(get().if_none_match(&one).send().await.is_ok());
    assert!(get().if_match(&two).send().await.is_ok());
    assert_eq!(told!(get().if_match(&one).send().await), failed());
    assert_eq!(told!(delete().if_match(&one).send().await), failed());
    delete().send().await.unwrap();
    delete().send().await.unwrap();
    assert_eq!(aws.objects(), []);
    assert_eq!(aws.calls()[2].condition.as_deref(), Some("If-Match: \"one\""));
}

#[tokio::test]
async fn of_many_writers_one_wins() {
    let aws = start(0);
    let client = s3(&aws);
    let writers: Vec<_> = (0..20)
        .map(|n: u8| {
            let put = client
                .put_object()
                .bucket("b")
                .key("k")
                .if_none_match("*")
                .body(ByteStream::from(vec![n]));
            tokio::spawn(put.send())
        })
        .collect();
    let mut won = 0;
    for writer in writers {
        won += usize::from(writer.await.unwrap().is_ok());
    }
    assert_eq!((won, aws.versions("b", "k")), (1, 1));
}

#[tokio::test]
async fn lists_come_in_pages() {
    let aws = start(0);
    let client = s3(&aws);
    for n in 0..25 {
        aws.put_object("b", &format!("state/<{n:02}>&"), vec![0; n]);
    }
    aws.put_object("b", "other", "x");
    aws.put_object("c", "state/", "x");
    let (mut keys, mut sizes, mut token) = (Vec::new(), Vec::new(), None);
    loop {
        let list = client
            .list_objects_v2()
            .bucket("b")
            .prefix("state/")
            .max_keys(10)
            .set_continuation_token(token);
        let page = list.send().await.unwrap();
        sizes.push(page.contents().len());
        keys.extend(page.contents().iter().map(|object| object.key().unwrap().to_owned()));
        let object = page.contents().last().unwrap();
        let known = aws.object("b", object.key().unwrap()).unwrap();
        assert_eq!(
            (object.e_tag(), object.size()),
            (Some(known.etag.as_str()), Some(known.bytes.len() as i64))
        );
        assert_eq!(object.last_modified().unwrap().secs(), NOW);
        assert_eq!(page.is_truncated(), Some(page.next_continuation_token().is_some()));
        token = page.next_continuation_token;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(sizes, [10, 10, 5]);
    assert_eq!(keys, (0..25).map(|n| format!("state/<{n:02}>&")).collect::<Vec<_>>());
    assert_eq!(client.list_objects_v2().bucket("d").send().await.unwrap().key_count(), Some(0));
    assert!(aws.remove_object("b", "other") && !aws.remove_object("b", "other"));
}
