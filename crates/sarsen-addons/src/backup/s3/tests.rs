//! What is said of storages that refuse. Buckets that take files are met end to end.

use super::*;

#[test]
fn a_storage_s_reason_is_passed_on() {
    let text = "<?xml version=\"1.0\"?><Error><Code>NoSuchBucket</Code><Message>The specified bucket does not exist</Message></Error>";
    let error = refused(StatusCode::NOT_FOUND, text).to_string();
    assert_eq!(
        error,
        "The S3 storage refuses with 404 Not Found: NoSuchBucket: The specified bucket does not exist"
    );
    assert!(
        refused(StatusCode::BAD_GATEWAY, "<html>")
            .to_string()
            .ends_with("it does not say why")
    );
}

#[tokio::test]
async fn messages_show_no_signed_address() {
    let access = S3Access {
        key_id: "AKID".to_owned(),
        secret: "s3cret".to_owned().into(),
        region: "eu-west-1".to_owned(),
        // Nobody listens there.
        endpoint: Some("http://127.0.0.1:1".to_owned()),
    };
    let storage = S3Storage::new(&access, "bucket").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let error = storage
        .get("x", &folder.path().join("x"))
        .await
        .unwrap_err();
    let error = error.to_string();
    assert!(
        error.starts_with("The S3 storage does not answer: "),
        "{error}"
    );
    assert!(
        !error.contains("Signature") && !error.contains("AKID"),
        "{error}"
    );
    let odd = S3Access {
        endpoint: Some("ftp://x".to_owned()),
        ..access
    };
    assert!(S3Storage::new(&odd, "bucket").is_err());
}
