//! Where an answer leads.

use hyper::Uri;

/// The place that an answer from `base` names, or why nothing can be asked there.
/// <https://www.rfc-editor.org/rfc/rfc3986#section-5.2>
pub(crate) fn elsewhere(base: &Uri, location: &str) -> Result<Uri, String> {
    let (reference, _fragment) = location.split_once('#').unwrap_or((location, ""));
    let (own, authority) =
        (base.scheme_str().unwrap_or("http"), base.authority().map_or("", |host| host.as_str()));
    let scheme = reference.split_once("://").filter(|(scheme, _)| !scheme.contains(['/', '?']));
    let text = match reference {
        _ if scheme.is_some() => reference.to_owned(),
        _ if reference.starts_with("//") => format!("{own}:{reference}"),
        "" => base.to_string(),
        _ if reference.starts_with('?') => format!("{own}://{authority}{}{reference}", base.path()),
        _ => {
            let (path, query) = reference.split_at(reference.find('?').unwrap_or(reference.len()));
            let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            let path = if path.starts_with('/') { path.to_owned() } else { format!("{folder}/{path}") };
            format!("{own}://{authority}{}{query}", without_dots(&path))
        }
    };
    let url: Uri = text.parse().map_err(|_| format!("`{location}` is no place to go"))?;
    match url.scheme_str() {
        Some("http" | "https") if !url.host().unwrap_or_default().is_empty() => Ok(url),
        Some("http" | "https") | None => Err(format!("`{location}` is no place to go")),
        Some(other) => {
            Err(format!("`{location}` has the scheme `{other}`; only `http` and `https` are supported"))
        }
    }
}

/// A path without its `.` and `..`.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for part in path.split('/').skip(1) {
        match part {
            "." => {}
            ".." => drop(kept.pop()),
            part => kept.push(part),
        }
    }
    // What ends with a dot is a folder.
    if path.ends_with("/.") || path.ends_with("/..") {
        kept.push("");
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_leads_where_its_location_says() {
        let base: Uri = "http://h:1/a/b?c=d".parse().unwrap();
        for (location, expected) in [
            ("http://o:2/x?y", "http://o:2/x?y"),
            ("http://o", "http://o/"),
            ("//o/x", "http://o/x"),
            ("https://o/x", "https://o/x"),
            ("/x?y#z", "http://h:1/x?y"),
            ("x", "http://h:1/a/x"),
            ("./x?y=/../z", "http://h:1/a/x?y=/../z"),
            ("../x", "http://h:1/x"),
            ("../../../x/..", "http://h:1/"),
            ("?x", "http://h:1/a/b?x"),
            ("", "http://h:1/a/b?c=d"),
        ] {
            assert_eq!(elsewhere(&base, location).unwrap().to_string(), expected, "{location}");
        }
        for (location, expected) in [
            ("ftp://o/x", "`ftp://o/x` has the scheme `ftp`; only `http` and `https` are supported"),
            ("http:///x", "`http:///x` is no place to go"),
            ("/a b", "`/a b` is no place to go"),
            ("/a\r\nb: c", "`/a\r\nb: c` is no place to go"),
        ] {
            assert_eq!(elsewhere(&base, location), Err(expected.to_owned()));
        }
        let base: Uri = "https://h:1/a/b".parse().unwrap();
        for (location, expected) in
            [("/x", "https://h:1/x"), ("//o/x", "https://o/x"), ("?x", "https://h:1/a/b?x")]
        {
            assert_eq!(elsewhere(&base, location).unwrap().to_string(), expected, "{location}");
        }
    }
}
