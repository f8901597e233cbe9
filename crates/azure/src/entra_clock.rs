//! The clock of Entra, by the date of one of its answers.

use std::time::Duration;

use azure_core::http::headers::{HeaderName, USER_AGENT};
use azure_core::http::{HttpClient, Method, Request};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use tokio::time::timeout;

use crate::client::{Azure, Entra};
use crate::cloud::InvalidEndpoint;
use crate::policies::PRODUCT;
use crate::send_error::reasons;
use crate::transport::Capped;

const DATE: HeaderName = HeaderName::from_static("date");
/// How long it may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Why it is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoClock {
    /// The address of Entra cannot be used.
    #[error("AZURE_AUTHORITY_HOST: {0}")]
    Authority(#[from] InvalidEndpoint),
    /// It did not answer.
    #[error("Entra gave no answer: {0}")]
    NoAnswer(String),
    /// Its answer says no time.
    #[error("the answer of Entra carries no date")]
    NoDate,
}

// === impl Azure ===

impl Azure {
    /// The time as Entra has it, to the second. It is asked for a public document, without anybody's login; what else it answers says nothing.
    ///
    /// # Errors
    /// Why it is not known.
    pub async fn time_of_entra(&self) -> Result<Timestamp, NoClock> {
        let Entra {
            transport, authority, ..
        } = &self.entra;
        let mut url = InvalidEndpoint::unless_bare("authority of Entra", authority)?;
        if let Ok(mut path) = url.path_segments_mut() {
            path.clear()
                .extend(["common", "v2.0", ".well-known", "openid-configuration"]);
        }
        let mut request = Request::new(url, Method::Get);
        request.insert_header(USER_AGENT, PRODUCT);
        let capped = Capped(transport.clone());
        let answer = timeout(LIMIT, capped.execute_request(&request)).await;
        let answer = answer.map_err(|_| NoClock::NoAnswer(format!("not within {} s", LIMIT.as_secs())))?;
        let answer = answer.map_err(|error| NoClock::NoAnswer(reasons(&error)))?;
        let date = answer.headers().get_optional_string(&DATE).ok_or(NoClock::NoDate)?;
        DateTimeParser::new()
            .parse_timestamp(&date)
            .map_err(|_| NoClock::NoDate)
    }
}
