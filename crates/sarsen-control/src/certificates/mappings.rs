//! Port mappings of apps with a certificate: what is served on port 80 is served on 443 too.

use sarsen_domain::{AppName, PortMapping, Scheme};

use crate::control::Control;
use crate::failure::Outcome;

/// The mappings that an image asks for, with those that a certificate adds: an https one for each http one on port
/// 80, or, when none is there, https in place of http.
pub(crate) fn with_https(detected: &[PortMapping]) -> Vec<PortMapping> {
    let is_http = |mapping: &&PortMapping| mapping.scheme == Scheme::Http;
    let mut all = detected.to_vec();
    if all
        .iter()
        .any(|mapping| mapping.scheme == Scheme::Https && mapping.host == 443)
    {
        return all;
    }
    let main = detected.iter().filter(is_http).find(|http| http.host == 80);
    match main {
        Some(main) => all.push(PortMapping {
            scheme: Scheme::Https,
            host: 443,
            container: main.container,
        }),
        None => {
            for mapping in all
                .iter_mut()
                .filter(|mapping| mapping.scheme == Scheme::Http)
            {
                mapping.scheme = Scheme::Https;
            }
        }
    }
    all
}

impl Control {
    /// Adds https to the mappings that a user made, for an app that has got a certificate.
    pub(super) async fn map_https(&self, app: &AppName) -> Outcome {
        let own = self.store.ports().list(app).await?;
        let has_main = own
            .iter()
            .any(|mapping| mapping.scheme == Scheme::Http && mapping.host == 80);
        if has_main {
            let wanted = with_https(&own);
            if wanted != own {
                self.store.ports().set(app, &wanted).await?;
            }
        }
        Ok(())
    }

    /// Removes https:443 from the mappings that a user made, when the certificate is gone.
    pub(super) async fn unmap_https(&self, app: &AppName) -> Outcome {
        let own = self.store.ports().list(app).await?;
        let is_main =
            |mapping: &PortMapping| mapping.scheme == Scheme::Https && mapping.host == 443;
        if own.iter().any(is_main) {
            let kept: Vec<PortMapping> = own.into_iter().filter(|m| !is_main(m)).collect();
            self.store.ports().set(app, &kept).await?;
        }
        Ok(())
    }
}
