use super::*;

fn decoder(settings: Settings) -> Decoder {
    Decoder::new(&[("job".to_owned(), "j".to_owned())], &settings)
}

/// Every family in a short form.
#[track_caller]
fn check(format: Format, body: &str, expected: &[&str]) {
    let decoded = decoder(Settings::default()).decode(body.as_bytes(), format).unwrap();
    let families: Vec<_> = decoded
        .families
        .iter()
        .map(|f| {
            let samples: Vec<_> = f
                .samples
                .iter()
                .map(|s| format!("{:?} {} {}", s.suffix, s.labels.replace("job=\"j\"", "J"), s.value))
                .collect();
            format!("{} {:?} {}: {}", f.name, f.kind, f.help, samples.join("; "))
        })
        .collect();
    assert_eq!(families, expected, "{body}");
}

#[test]
fn counters_of_both_formats_have_one_form() {
    check(
        Format::Text,
        "# HELP a_total H.\n# TYPE a_total counter\na_total 1\n",
        &["a Counter H.: Total J 1"],
    );
    check(Format::Text, "# TYPE a counter\na 1\n", &["a Counter : None J 1"]);
    check(
        Format::OpenMetrics,
        "# TYPE a counter\na_total 1\na_created 2\n# EOF\n",
        &["a Counter : Total J 1; Created J 2"],
    );
    check(Format::Text, "a_total 1\n", &["a_total Unknown : None J 1"]);
}

#[test]
fn histograms_and_summaries_keep_their_samples_together() {
    check(
        Format::Text,
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 2\ns_count 3\n",
        &[
            "h Histogram : Bucket J,le=\"1\" 1; Bucket J,le=\"+Inf\" 2; Sum J 3; Count J 2",
            "s Summary : None J,quantile=\"0.5\" 1; Sum J 2; Count J 3",
        ],
    );
}

#[test]
fn every_openmetrics_type_is_taken() {
    check(
        Format::OpenMetrics,
        "# TYPE i info\ni_info{v=\"1\"} 1\n# TYPE s stateset\ns{s=\"a\"} 1\n# TYPE g gaugehistogram\ng_bucket{le=\"+Inf\"} 1\ng_gcount 1\ng_gsum 2\n# EOF\n",
        &[
            "i Info : Info J,v=\"1\" 1",
            "s StateSet : None J,s=\"a\" 1",
            "g GaugeHistogram : Bucket J,le=\"+Inf\" 1; GCount J 1; GSum J 2",
        ],
    );
}

#[test]
fn a_family_in_several_places_is_one() {
    check(
        Format::Text,
        "# TYPE h histogram\n# TYPE a gauge\na{x=\"1\"} 1\nh_sum 5\na{x=\"2\"} 2\nh_count 1\n",
        &["h Histogram : Sum J 5; Count J 1", "a Gauge : None J,x=\"1\" 1; None J,x=\"2\" 2"],
    );
}

#[test]
fn exact_metadata_wins_over_a_suffix() {
    check(
        Format::Text,
        "# TYPE h histogram\n# TYPE h_count gauge\nh_sum 5\nh_count 1\n",
        &["h Histogram : Sum J 5", "h_count Gauge : None J 1"],
    );
}

#[test]
fn a_sample_that_its_type_cannot_have_is_a_family_of_its_own() {
    check(
        Format::Text,
        "# TYPE h histogram\nh_sum 5\nh 1\nh{x=\"1\"} 2\n",
        &["h Histogram : Sum J 5", "h Unknown : None J 1; None J,x=\"1\" 2"],
    );
}

#[test]
fn series_are_counted_against_the_body_before() {
    let mut decoder = decoder(Settings::default());
    let mut counts = |body: &str| decoder.decode(body.as_bytes(), Format::Text).unwrap().counts;
    assert_eq!(counts("a 1\nb 1\n"), Counts { scraped: 2, kept: 2, added: 2, duplicates: 0 });
    assert_eq!(counts("a 2\nc 1\na 3\n"), Counts { scraped: 3, kept: 2, added: 1, duplicates: 1 });
    assert_eq!(counts("a 2\nb 1\n"), Counts { scraped: 2, kept: 2, added: 1, duplicates: 0 });
    decoder.forget();
    assert_eq!(decoder.decode(b"a 2\n", Format::Text).unwrap().counts.added, 1);
}

#[test]
fn labels_of_a_known_series_are_not_made_again() {
    let mut decoder = decoder(Settings::default());
    let labels = |decoded: Decoded| Arc::clone(&decoded.families[0].samples[0].labels);
    let first = labels(decoder.decode(b"a{x=\"1\"} 1\n", Format::Text).unwrap());
    let second = labels(decoder.decode(b"a{x=\"1\"} 2\n", Format::Text).unwrap());
    assert!(Arc::ptr_eq(&first, &second));
}

#[test]
fn timestamps_are_kept_if_honored() {
    let time = |honor_timestamps| {
        let mut decoder = decoder(Settings { honor_timestamps, ..Settings::default() });
        decoder.decode(b"a 1 5\n", Format::Text).unwrap().families[0].samples[0].timestamp_ms
    };
    assert_eq!((time(true), time(false)), (Some(5), None));
}

#[test]
fn the_sample_limit_is_the_most_that_is_taken() {
    let mut decoder = decoder(Settings { sample_limit: 2, ..Settings::default() });
    assert!(decoder.decode(b"a 1\nb 1\n", Format::Text).is_ok());
    let (error, counts) = decoder.decode(b"a 1\nb 1\nc 1\n", Format::Text).unwrap_err();
    assert_eq!((error, counts.scraped), (DecodeError::SampleLimit(2), 3));
}

#[test]
fn an_error_comes_with_what_was_counted() {
    let (error, counts) = decoder(Settings::default()).decode(b"a 1\nb\n", Format::Text).unwrap_err();
    assert_eq!(error.to_string(), "cannot parse the body: line 2, column 2: expected a number");
    assert_eq!(counts.scraped, 1);
}
