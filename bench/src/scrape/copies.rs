//! A page with as many series as are wanted: each family's samples once more for every copy, with a label that tells them apart.

/// The lines that are samples.
pub(super) fn samples(page: &str) -> impl Iterator<Item = &str> {
    page.lines().filter(|line| is_sample(line))
}

fn is_sample(line: &str) -> bool {
    !line.is_empty() && !line.starts_with('#')
}

/// How many sample lines the later page has that the earlier one has not at their place.
pub(super) fn changed(earlier: &str, later: &str) -> usize {
    samples(earlier).zip(samples(later)).filter(|(earlier, later)| earlier != later).count()
}

/// The page with `times` as many series. Families stay together, as the format wants it.
pub(super) fn of(page: &str, times: usize) -> String {
    let mut out = String::with_capacity(page.len() * times * 5 / 4);
    let mut family = Vec::new();
    for line in page.lines() {
        if is_sample(line) {
            family.push(line);
            continue;
        }
        write(&mut out, &mut family, times);
        out.push_str(line);
        out.push('\n');
    }
    write(&mut out, &mut family, times);
    out
}

fn write(out: &mut String, family: &mut Vec<&str>, times: usize) {
    for copy in 0..times {
        for line in &*family {
            let name = line.find(['{', ' ']).unwrap_or(line.len());
            let (name, rest) = line.split_at(name);
            let (labels, rest) = match rest.strip_prefix('{') {
                Some(rest) if rest.starts_with('}') => ("", rest),
                Some(rest) => (",", rest),
                None => ("}", rest),
            };
            out.push_str(&format!("{name}{{copy=\"{copy}\"{labels}{rest}\n"));
        }
    }
    family.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_stay_together_and_series_differ() {
        let page = "# TYPE a gauge\na 1\na{x=\"y z\"} 2\na{} 3 5\n# TYPE b counter\nb_total{l=\"m\"} 4\n";
        assert_eq!(
            of(page, 2),
            "# TYPE a gauge\n\
             a{copy=\"0\"} 1\na{copy=\"0\",x=\"y z\"} 2\na{copy=\"0\"} 3 5\n\
             a{copy=\"1\"} 1\na{copy=\"1\",x=\"y z\"} 2\na{copy=\"1\"} 3 5\n\
             # TYPE b counter\nb_total{copy=\"0\",l=\"m\"} 4\nb_total{copy=\"1\",l=\"m\"} 4\n"
        );
        assert_eq!(samples(page).count(), 4);
        assert_eq!(changed("a 1\nb 2\n", "# TYPE a gauge\na 1\nb 3\n"), 1);
    }
}
