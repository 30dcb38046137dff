//! Requests and answers.

use hyper::header::{HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

#[tokio::test]
async fn requests_take_turns_on_a_connection() {
    let server = Server::start(None).await;
    let poster = poster(&server.url("/a?b=c"), "authorization: {credentials: x}");
    for _ in 0..5 {
        assert_eq!(post(&poster).await.as_deref(), Ok("1 POST /a hello Bearer x"));
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn http2_without_tls_is_spoken_where_it_is_known() {
    let server = Server::start(None).await;
    let settings =
        PostSettings { versions: Versions::Http2, ..settings(&server.url("/a"), ClientConfig::default()) };
    let poster = Arc::new(Poster::new(&settings).unwrap());
    let posts: Vec<_> = (0..8)
        .map(|_| {
            let poster = Arc::clone(&poster);
            tokio::spawn(async move { post(&poster).await })
        })
        .collect();
    for one in posts {
        assert_eq!(one.await.unwrap().as_deref(), Ok("2 POST /a hello"));
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_status_is_an_answer_and_a_long_body_is_cut() {
    let server = Server::start(None).await;
    let answer = poster(&server.url("/busy"), "params: {}").post(&[], Bytes::new()).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.field("retry-after")), (429, Some("7")));
    let long = poster(&server.url("/large"), "params: {}");
    for _ in 0..2 {
        let answer = long.post(&[], Bytes::new()).await.unwrap();
        assert_eq!((answer.body.len(), answer.cut), (1024, true));
    }
    // The rest of the body stands on a connection that is not used again.
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn a_body_goes_only_where_it_may() {
    let server = Server::start(None).await;
    for (status, expected) in
        [(307, "1 POST /there hello"), (308, "1 POST /there hello"), (302, "1 POST /moved/302 hello")]
    {
        let poster = poster(&server.url(&format!("/moved/{status}")), "params: {}");
        assert_eq!(post(&poster).await.as_deref(), Ok(expected));
    }
    let poster = poster(&server.url("/moved/307"), "follow_redirects: false");
    assert_eq!(post(&poster).await.as_deref(), Ok("1 POST /moved/307 hello"));
}

/// A server that reads a request on each connection, answers with one of the texts, and closes.
async fn blunt(answers: &'static [&'static str]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/a", listener.local_addr().unwrap());
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"hello") {
                stream.read_buf(&mut request).await.unwrap();
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    url
}

#[tokio::test]
async fn an_error_says_what_the_server_may_have_seen() {
    let url = blunt(&[
        "",
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf",
        "nonsense\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood",
    ])
    .await;
    let poster = poster(&url, "params: {}");
    let failed = async || poster.post(&[], Bytes::from_static(b"hello")).await.unwrap_err();
    let error = failed().await;
    assert!(matches!(error, PostError::Unanswered(_)), "{error:?}");
    let error = failed().await;
    assert!(matches!(error, PostError::Cut(_)), "{error:?}");
    let error = failed().await;
    assert!(matches!(error, PostError::Unanswered(_)), "{error:?}");
    assert_eq!(post(&poster).await.as_deref(), Ok("good"));
    // The server listens no more.
    let error = failed().await;
    assert!(matches!(error, PostError::Connect(ConnectError::Tcp { .. })), "{error:?}");
}

#[tokio::test]
async fn who_does_not_answer_is_left_after_the_timeout() {
    for versions in [Versions::Any, Versions::Http2] {
        let server = Server::start(None).await;
        let timeout = Duration::from_millis(50);
        let settings =
            PostSettings { versions, timeout, ..settings(&server.url("/silence"), ClientConfig::default()) };
        let poster = Poster::new(&settings).unwrap();
        for _ in 0..2 {
            let error = poster.post(&[], Bytes::new()).await.unwrap_err();
            assert!(matches!(error, PostError::Timeout(limit) if limit == timeout), "{error:?}");
        }
        // A connection that has once been silent is not used again.
        assert_eq!(server.connections(), 2, "{versions:?}");
    }
}

#[tokio::test]
async fn a_connection_that_ended_while_idle_costs_nothing() {
    for versions in [Versions::Any, Versions::Http2] {
        let server = Server::start(None).await;
        let settings = PostSettings { versions, ..settings(&server.url("/a"), ClientConfig::default()) };
        let poster = Poster::new(&settings).unwrap();
        for round in 1..=3 {
            assert!(post(&poster).await.is_ok(), "{versions:?}");
            assert_eq!(server.connections(), round, "{versions:?}");
            server.hang_up().await;
            // The end has to come before the next request: one that has begun is not sent twice.
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn what_stands_behind_a_body_is_read() {
    let server = Server::start(None).await;
    let settings =
        PostSettings { versions: Versions::Http2, ..settings(&server.url("/grpc"), ClientConfig::default()) };
    let answer = Poster::new(&settings).unwrap().post(&[], Bytes::from_static(b"hello")).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.field("grpc-status")), (200, Some("7")));
    assert_eq!(&answer.body[..], b"2 POST /grpc hello");
}

#[tokio::test]
async fn headers_of_a_request_decide_over_those_of_the_settings() {
    let server = Server::start(None).await;
    let name = |name| HeaderName::from_static(name);
    let value = |text| HeaderValue::from_static(text);
    let settings = PostSettings {
        headers: vec![(name("authorization"), value("one")), (name("user-agent"), value("mine"))],
        ..settings(&server.url("/a"), ClientConfig::default())
    };
    let poster = Poster::new(&settings).unwrap();
    let answer = poster.post(&[(name("authorization"), value("other"))], Bytes::new()).await.unwrap();
    assert_eq!(&answer.body[..], b"1 POST /a  other");
    assert_eq!(post(&poster).await.as_deref(), Ok("1 POST /a hello one"));
}
