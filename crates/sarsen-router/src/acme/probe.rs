//! Whether a name leads here: looked at the way an authority would, before one is asked.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::acme::Challenges;

/// For the whole look.
const PATIENCE: Duration = Duration::from_secs(5);

/// An answer of ours is shorter.
const MAX_ANSWER: u64 = 4096;

impl Challenges {
    /// Fetches a text of our own under a name. The error says what is in the way.
    pub async fn reach(&self, host: &str, port: u16) -> Result<(), String> {
        let token = format!("{:032x}", rand::random::<u128>());
        let proof = format!("{:032x}", rand::random::<u128>());
        let _guard = self.answer_token(&token, &proof);
        let answer = tokio::time::timeout(PATIENCE, fetch(host, port, &token)).await;
        match answer {
            Ok(Ok(answer)) if answer.ends_with(&proof) => Ok(()),
            Ok(Ok(_)) => Err(format!("{host} leads to another server on port {port}")),
            Ok(Err(why)) => Err(why),
            Err(_) => Err(format!("{host} does not answer on port {port}")),
        }
    }
}

async fn fetch(host: &str, port: u16, token: &str) -> Result<String, String> {
    let addresses: Vec<_> = tokio::net::lookup_host((host, port))
        .await
        .map_err(|error| format!("{host} is not in DNS: {error}"))?
        .collect();
    let failed = |error: std::io::Error| format!("{host} does not answer on port {port}: {error}");
    let mut stream = TcpStream::connect(addresses.as_slice())
        .await
        .map_err(failed)?;
    let request = format!(
        "GET /.well-known/acme-challenge/{token} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.map_err(failed)?;
    let mut answer = Vec::new();
    stream
        .take(MAX_ANSWER)
        .read_to_end(&mut answer)
        .await
        .map_err(failed)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{Router, RouterSettings};

    #[tokio::test]
    async fn only_a_name_that_leads_here_is_reached() {
        let router = Router::new(RouterSettings::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let stop = CancellationToken::new();
        let serving = router.serve(listener, stop.clone());
        let looking = async {
            router.challenges().reach("localhost", port).await.unwrap();
            let other = Challenges::default().reach("localhost", port).await;
            assert!(other.unwrap_err().contains("another server"));
            let nowhere = router
                .challenges()
                .reach("no-such-name.invalid", port)
                .await;
            assert!(nowhere.unwrap_err().contains("not in DNS"));
            stop.cancel();
        };
        let (served, ()) = tokio::join!(serving, looking);
        served.unwrap();
    }
}
