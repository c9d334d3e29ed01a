//! Lists and keys.

use super::*;

#[test]
fn comma_lists() {
    for (text, parts) in [
        ("", vec![]),
        ("a,b", vec!["a", "b"]),
        (r"a,b\,c,,d", vec!["a", "b,c", "d"]),
        (r"a\b,", vec![r"a\b"]),
        (",", vec![]),
    ] {
        assert_eq!(comma_list(text), parts, "{text}");
    }
}

#[test]
fn keys_are_made_legal() {
    assert_eq!(legal("traefik.http"), "traefik_http");
    assert_eq!(legal("a-b_c9"), "a-b_c9");
    assert_eq!(legal("größe"), "gr__e");
    assert_eq!(legal(&"x".repeat(200)).len(), 128);
}
