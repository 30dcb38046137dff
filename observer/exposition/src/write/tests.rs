use super::*;

const COUNTER: Header<'_> = Header {
    name: "io_bytes",
    suffix: "_total",
    kind: Kind::Counter,
    help: "Say \"a\\b\"\nc",
    unit: "bytes",
};

#[track_caller]
fn check(format: Format, names: Names, write: impl Fn(&mut Writer<'_>), expected: &str) {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out, format, names);
    write(&mut writer);
    writer.finish();
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn a_counter_is_named_as_its_format_wants() {
    let write = |w: &mut Writer<'_>| {
        w.family(&COUNTER);
        w.sample("io_bytes", "_total", "x=\"1\"", 2.5, Some(1500));
    };
    check(
        Format::Text,
        Names::Underscores,
        write,
        "# HELP io_bytes_total Say \"a\\\\b\"\\nc\n# TYPE io_bytes_total counter\nio_bytes_total{x=\"1\"} 2.5 1500\n",
    );
    check(
        Format::OpenMetrics,
        Names::Underscores,
        write,
        "# HELP io_bytes Say \\\"a\\\\b\\\"\\nc\n# TYPE io_bytes counter\n# UNIT io_bytes bytes\nio_bytes_total{x=\"1\"} 2.5 1.500\n# EOF\n",
    );
}

#[test]
fn a_counter_without_total_is_unknown_to_openmetrics() {
    let write = |w: &mut Writer<'_>| w.family(&Header { suffix: "", help: "", unit: "", ..COUNTER });
    check(Format::Text, Names::Underscores, write, "# TYPE io_bytes counter\n");
    check(Format::OpenMetrics, Names::Underscores, write, "# TYPE io_bytes unknown\n# EOF\n");
}

#[test]
fn info_and_state_are_gauges_in_the_text_format() {
    let write = |w: &mut Writer<'_>| {
        w.family(&Header { name: "build", suffix: "_info", kind: Kind::Info, help: "", unit: "x" });
        w.sample("build", "_info", "", 1.0, None);
        w.family(&Header { name: "s", suffix: "", kind: Kind::StateSet, help: "", unit: "" });
    };
    check(Format::Text, Names::Underscores, write, "# TYPE build_info gauge\nbuild_info 1\n# TYPE s gauge\n");
    check(
        Format::OpenMetrics,
        Names::Underscores,
        write,
        "# TYPE build info\nbuild_info 1\n# TYPE s stateset\n# EOF\n",
    );
}

#[test]
fn a_unit_that_the_name_does_not_end_in_is_left_out() {
    let write = |w: &mut Writer<'_>| {
        w.family(&Header { name: "a", suffix: "", kind: Kind::Gauge, help: "", unit: "bytes" });
    };
    check(Format::OpenMetrics, Names::Underscores, write, "# TYPE a gauge\n# EOF\n");
}

#[test]
fn foreign_names_are_escaped_or_quoted_as_the_reader_asked() {
    let write = |w: &mut Writer<'_>| {
        w.family(&Header { name: "1.é", suffix: "", kind: Kind::Gauge, help: "", unit: "" });
        w.sample("1.é", "", "\"a.b\"=\"x,\",c=\"\\\"\"", 1.0, None);
        w.sample("1.é", "", "", 1.0, None);
    };
    check(Format::Text, Names::Underscores, write, "# TYPE ___ gauge\n___{a_b=\"x,\",c=\"\\\"\"} 1\n___ 1\n");
    check(
        Format::Text,
        Names::Quoted,
        write,
        "# TYPE \"1.é\" gauge\n{\"1.é\",\"a.b\"=\"x,\",c=\"\\\"\"} 1\n{\"1.é\"} 1\n",
    );
}

#[test]
fn times_before_the_epoch_keep_their_sign() {
    let write = |w: &mut Writer<'_>| w.sample("a", "", "", 1.0, Some(-50));
    check(Format::OpenMetrics, Names::Underscores, write, "a 1 -0.050\n# EOF\n");
}

#[test]
fn labels_that_become_one_are_written_once() {
    let write = |w: &mut Writer<'_>| {
        w.sample("a", "", "\"x.y\"=\"1\",\"x/y\"=\"2\",x_y=\"3\",z=\"4\"", 1.0, None);
        w.sample("a", "", "\"0x\"=\"1\",\"é:\"=\"2\"", 1.0, None);
    };
    check(Format::Text, Names::Underscores, write, "a{x_y=\"3\",z=\"4\"} 1\na{_x=\"1\",__=\"2\"} 1\n");
}
