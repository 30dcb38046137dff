//! `export: ndjson`

use super::*;

#[test]
fn places_are_told_apart() {
    let text = "export: {ndjson: [{path: '-'}, {path: 'unix:/run/x'}, {path: /var/log/x, name: n}]}";
    let config = good(text);
    let places: Vec<_> =
        config.export.ndjson.iter().map(|ndjson| (&*ndjson.name, ndjson.place.clone())).collect();
    assert_eq!(
        places,
        [
            ("ndjson", Place::Stdout),
            ("ndjson unix:/run/x", Place::Socket("/run/x".into())),
            ("n", Place::File("/var/log/x".into())),
        ]
    );
}

#[test]
fn every_key_of_ndjson_is_read() {
    let text = "export: {ndjson: [{path: x, match: ['{a=\"b\"}', c], changed_only: true, max_size: 1KiB, max_age: 1h, max_files: 2}]}";
    let ndjson = good(text).export.ndjson.remove(0);
    let rotation = Rotation { bytes: 1024, age: Some(Duration::from_secs(3600)), files: 2 };
    assert_eq!((ndjson.rotation, ndjson.changed_only, ndjson.conditions().len()), (rotation, true, 2));
    assert!(rotation.is_due(1024, 0) && rotation.is_due(0, 3_600_000) && !rotation.is_due(1023, 3_599_999));
    assert!(!rotation.is_due(1023, -1));
}

#[test]
fn what_ndjson_cannot_be_is_named() {
    for (keys, expected) in [
        ("name: n", "lines of JSON without a `path`"),
        ("path: 'unix:'", "expected a path, `unix:` and a path, or `-`"),
        ("path: x}, {path: x", "a second export named `ndjson x`: give each a `name`"),
    ] {
        let error = read(&format!("export: {{ndjson: [{{{keys}}}]}}")).unwrap_err();
        assert_eq!((error.line, &*error.message), (1, expected), "{keys}");
        assert!(error.column > 16, "{error}");
    }
    let error = read("export: {ndjson: [{path: x, match: ['{a=~\"(\"}']}]}").unwrap_err();
    assert!(error.line == 1 && error.column > 18, "{error}");
}
