//! Who is trusted, and what is said of who is not.

use super::*;

/// What comes of posting to a server with a `tls_config`.
async fn ask(server: &Server, tls: &str) -> Result<String, String> {
    post(&poster(&server.url("/a"), &format!("tls_config: {{{tls}}}"))).await
}

#[track_caller]
fn says(result: &Result<String, String>, expected: &str) {
    let error = result.as_ref().unwrap_err();
    assert!(error.contains(expected), "{error}");
}

#[tokio::test]
async fn a_server_is_trusted_by_who_has_signed_its_certificate() {
    let (authority, other) = (Authority::new("right"), Authority::new("wrong"));
    let folder = Folder::new("signed");
    let right = format!("ca_file: {}", folder.write("ca.pem", &authority.pem()));
    let wrong = format!("ca_file: {}", folder.write("other.pem", &other.pem()));
    let server = Server::start(Some(serving(&authority.issue("localhost"), None, &[]))).await;
    assert_eq!(ask(&server, &right).await.as_deref(), Ok("1 POST /a hello"));
    says(&ask(&server, &wrong).await, "from an issuer that is not trusted");
    // One that was made anew, or made by somebody else in that name.
    let namesake = folder.write("namesake.pem", &Authority::new("right").pem());
    says(&ask(&server, &format!("ca_file: {namesake}")).await, "not signed by who it says");
    assert_eq!(ask(&server, "insecure_skip_verify: true").await.as_deref(), Ok("1 POST /a hello"));
}

#[tokio::test]
async fn a_certificate_that_its_server_has_signed_itself_is_trusted_by_name() {
    let folder = Folder::new("itself");
    let own = Issued::by_itself("localhost", 4000);
    let ca = format!("ca_file: {}", folder.write("own.pem", &own.pem));
    let server = Server::start(Some(serving(&own, None, &[]))).await;
    assert_eq!(ask(&server, &ca).await.as_deref(), Ok("1 POST /a hello"));
    says(&ask(&server, &format!("{ca}, server_name: other")).await, "has another name");
    // Another one that is as much its own authority.
    let other = folder.write("other.pem", &Issued::by_itself("localhost", 4000).pem);
    says(&ask(&server, &format!("ca_file: {other}")).await, "it is trusted when it is itself in `ca_file`");

    let old = Issued::by_itself("localhost", 2001);
    let ca = format!("ca_file: {}", folder.write("old.pem", &old.pem));
    let server = Server::start(Some(serving(&old, None, &[]))).await;
    says(&ask(&server, &ca).await, "has expired");
}

#[tokio::test]
async fn names_times_and_versions_are_looked_at() {
    let authority = Authority::new("right");
    let folder = Folder::new("looked-at");
    let ca = format!("ca_file: {}", folder.write("ca.pem", &authority.pem()));
    let server = Server::start(Some(serving(&authority.issue("other"), None, &[]))).await;
    says(&ask(&server, &ca).await, "has another name; `server_name` says which one it may have");
    assert_eq!(ask(&server, &format!("{ca}, server_name: other")).await.as_deref(), Ok("1 POST /a hello"));

    let server = Server::start(Some(serving(&authority.issue_until("localhost", 2001), None, &[]))).await;
    says(&ask(&server, &ca).await, "has expired");

    let issued = authority.issue("localhost");
    let old = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![issued.der.clone()], issued.key())
        .unwrap();
    let server = Server::start(Some(old)).await;
    assert_eq!(ask(&server, &ca).await.as_deref(), Ok("1 POST /a hello"));
    says(&ask(&server, &format!("{ca}, min_version: TLS13")).await, "from `min_version` to `max_version`");

    let plain = Server::start(None).await;
    let url = plain.url("/a").replace("http:", "https:");
    says(&post(&poster(&url, "params: {}")).await, "does not speak TLS; is the scheme `http`?");
}

#[tokio::test]
async fn a_server_may_want_to_know_who_asks() {
    let (authority, other) = (Authority::new("right"), Authority::new("wrong"));
    let folder = Folder::new("asks");
    let ca = format!("ca_file: {}", folder.write("ca.pem", &authority.pem()));
    let shows = |name: &str, issued: &Issued| {
        let cert = folder.write(&format!("{name}.pem"), &issued.pem);
        let key = folder.write(&format!("{name}.key"), &issued.key_pem);
        format!("{ca}, cert_file: {cert}, key_file: {key}")
    };
    let server =
        Server::start(Some(serving(&authority.issue("localhost"), Some(&authority), &["h2", "http/1.1"])))
            .await;
    says(&ask(&server, &ca).await, "the server asks for a certificate of ours: `cert_file` and `key_file`");
    let known = authority.issue("client");
    assert_eq!(ask(&server, &shows("known", &known)).await.as_deref(), Ok("2 POST /a hello"));
    says(&ask(&server, &shows("stranger", &other.issue("client"))).await, "does not accept our certificate");

    let (cert, key) =
        (folder.write("known.pem", &known.pem), folder.write("other.key", &other.issue("client").key_pem));
    says(&ask(&server, &format!("{ca}, cert_file: {cert}, key_file: {key}")).await, "do not go together");
    says(&ask(&server, &format!("{ca}, cert_file: {cert}, key_file: {cert}")).await, "no key in `");
    says(&ask(&server, &format!("ca_file: {key}")).await, "no certificate in `");
    says(&ask(&server, "ca_file: /nowhere/ca.pem").await, "cannot read `/nowhere/ca.pem`");
}

#[tokio::test]
async fn http2_is_agreed_on_where_both_want_it() {
    let authority = Authority::new("right");
    let folder = Folder::new("agreed");
    let keys = format!("tls_config: {{ca_file: {}}}", folder.write("ca.pem", &authority.pem()));
    let both = Server::start(Some(serving(&authority.issue("localhost"), None, &["h2", "http/1.1"]))).await;
    let two = poster(&both.url("/a"), &keys);
    for _ in 0..3 {
        assert_eq!(post(&two).await.as_deref(), Ok("2 POST /a hello"));
    }
    assert_eq!(both.connections(), 1);
    let one = poster(&both.url("/a"), &format!("{keys}, enable_http2: false"));
    assert_eq!(post(&one).await.as_deref(), Ok("1 POST /a hello"));

    let old = Server::start(Some(serving(&authority.issue("localhost"), None, &["http/1.1"]))).await;
    assert_eq!(post(&poster(&old.url("/a"), &keys)).await.as_deref(), Ok("1 POST /a hello"));
    let needed = PostSettings { versions: Versions::Http2, ..settings(&old.url("/a"), client(&keys)) };
    says(&post(&Poster::new(&needed).unwrap()).await, "none of the versions of HTTP that we offer");
    // One that agrees to nothing speaks HTTP/1.1.
    let silent = Server::start(Some(serving(&authority.issue("localhost"), None, &[]))).await;
    let needed = PostSettings { versions: Versions::Http2, ..settings(&silent.url("/a"), client(&keys)) };
    says(&post(&Poster::new(&needed).unwrap()).await, "does not agree to HTTP/2");
}

#[tokio::test]
async fn files_that_change_are_read_again() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let folder = Folder::new("change");
    let ca = folder.write("ca.pem", &old.pem());
    let shown = old.issue("client");
    let (cert, key) = (folder.write("c.pem", &shown.pem), folder.write("c.key", &shown.key_pem));
    let keys = format!("tls_config: {{ca_file: {ca}, cert_file: {cert}, key_file: {key}}}");
    for alpn in [&["h2"][..], &["http/1.1"]] {
        folder.write("ca.pem", &old.pem());
        folder.write("c.pem", &shown.pem);
        folder.write("c.key", &shown.key_pem);
        let server = Server::start(Some(serving(&old.issue("localhost"), Some(&old), alpn))).await;
        let poster = poster(&server.url("/a"), &keys);
        assert!(post(&poster).await.is_ok());

        // A certificate without its key is no reason to stop.
        let next = new.issue("client");
        folder.write("c.pem", &next.pem);
        *server.tls.lock().unwrap() = Some(Arc::new(serving(&new.issue("localhost"), Some(&new), alpn)));
        assert!(post(&poster).await.is_ok());
        folder.write("c.key", &next.key_pem);
        folder.write("ca.pem", &new.pem());
        // The connection of before goes on until the files have been looked at; then there is a new one.
        tokio::time::timeout(PATIENCE, async {
            while server.connections() < 2 {
                assert!(post(&poster).await.is_ok());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .unwrap();
    }
}
