//! Requests and answers.

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
