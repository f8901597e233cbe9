//! A proof: a service account's token, exchanged at Entra once, for an access token that is looked at and thrown away.
//!
//! Nothing is cached: a cache hides that a federated credential was taken away. A new proof is a new request.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, Secret, TokenCredential, TokenRequestOptions};
use azure_core::http::headers::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use azure_core::http::{HttpClient, Method, Request};
use azure_core::time::OffsetDateTime;
use serde::Deserialize;
use tokio::time::timeout;
use url::{Url, form_urlencoded};
use wio_core::entra::code_in;
use wio_core::fault::BudgetShort;
use wio_core::names::{ClientId, TenantId};

use crate::client::{Azure, Entra};
use crate::cloud::{Endpoints, InvalidEndpoint};
use crate::gate::{Budget, Gate};
use crate::jwt::{Claims, claims, without_tokens};
use crate::policies::PRODUCT;
use crate::retry_after::retry_after;
use crate::send_error::reasons;
use crate::sign_in::environment;
use crate::transport::{self, Capped};

/// How long an exchange may take.
const LIMIT: Duration = Duration::from_secs(30);
/// The longest text of a refusal that is kept.
const MESSAGE_CHARS: usize = 2_000;
/// How long an access token is taken for good that does not say when it ends.
const UNKNOWN_LIFETIME: Duration = Duration::from_mins(5);

/// Whoever proves: the way to the Entra and the Azure Resource Manager of a cloud.
#[derive(Clone, Debug)]
pub struct Prover {
    transport: Arc<dyn HttpClient>,
    authority: Url,
    endpoints: Endpoints,
    /// The gate that each exchange passes; none for a person, who proves one binding.
    gate: Option<Gate>,
}

/// A token that is presented or was given. It is not shown.
#[derive(Clone)]
pub struct Token(Secret);

/// What is asked of Entra.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// The tenant of the identity.
    pub tenant: TenantId,
    /// The identity.
    pub client: ClientId,
    /// What the access token is for, and `/.default`.
    pub scope: &'a str,
    /// The service account's token.
    pub assertion: &'a Token,
}

/// Why Entra gave no access token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAccess {
    /// It refused.
    #[error("{0}")]
    Refused(Refusal),
    /// It was not asked, or did not answer as Entra does: nothing is proven.
    #[error("{0}")]
    NotTried(String),
}

/// What Entra said when it refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The number behind `AADSTS`, if there is one.
    pub code: Option<u32>,
    /// Its words, without the ids of the request.
    pub message: String,
    /// The id by which Microsoft finds the request.
    pub trace_id: Option<String>,
}

/// An answer, as far as it is read.
struct Sent {
    status: u16,
    retry_after: Option<Duration>,
    body: Vec<u8>,
}

/// Why there is nobody who could prove.
#[derive(Debug, thiserror::Error)]
pub enum NoProver {
    /// TLS cannot be set up.
    #[error(
        "cannot make an HTTPS client: {0}; are there trusted certificates, or does SSL_CERT_FILE name a file of them?"
    )]
    Transport(#[from] reqwest::Error),
    /// The address of Entra cannot be used.
    #[error("AZURE_AUTHORITY_HOST: {0}")]
    Authority(#[from] InvalidEndpoint),
}

/// The form of an answer: <https://www.rfc-editor.org/rfc/rfc6749#section-5>.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    access_token: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
    error_codes: Vec<u32>,
    trace_id: Option<String>,
}

// === impl Prover ===

impl Prover {
    /// One whose requests `transport` carries. `authority` is Entra's, for example `https://login.microsoftonline.com`.
    ///
    /// # Errors
    /// When `authority` is anything but `https://host[:port]`: tokens are sent there.
    pub fn new(transport: Arc<dyn HttpClient>, authority: &str, endpoints: Endpoints) -> Result<Self, InvalidEndpoint> {
        Ok(Self {
            transport: Arc::new(Capped(transport)),
            authority: InvalidEndpoint::unless_bare("authority of Entra", authority)?,
            endpoints,
            gate: None,
        })
    }

    /// One over the connections of a client of Azure, and through its gate.
    ///
    /// # Errors
    /// When the environment names no address of Entra that can be used.
    pub fn over(azure: &Azure) -> Result<Self, InvalidEndpoint> {
        let Entra {
            transport,
            authority,
            endpoints,
        } = &azure.entra;
        Ok(Self {
            gate: Some(azure.gate().clone()),
            ..Self::new(Arc::clone(transport), authority, endpoints.clone())?
        })
    }

    /// One for HTTPS. Entra is where `AZURE_AUTHORITY_HOST` says, or else the cloud's own. The process must have installed its TLS
    /// provider before (docs/adr/0003).
    ///
    /// # Errors
    /// When there are no trusted certificates, or the variable holds no address.
    pub fn from_environment(endpoints: Endpoints) -> Result<Self, NoProver> {
        let authority = environment("AZURE_AUTHORITY_HOST").filter(|host| !host.is_empty());
        let authority = authority.unwrap_or_else(|| endpoints.cloud.authority().to_owned());
        Ok(Self::new(transport::https()?, &authority, endpoints)?)
    }

    /// Where it asks for access tokens.
    #[must_use]
    pub fn authority(&self) -> String {
        self.authority.origin().ascii_serialization()
    }

    /// The scope of access tokens for Azure Resource Manager.
    #[must_use]
    pub const fn arm_scope(&self) -> &'static str {
        self.endpoints.cloud.arm_scope()
    }

    /// A client of Azure Resource Manager that has this access token and no other.
    #[must_use]
    pub fn azure(&self, token: &Token) -> Azure {
        Azure::new(
            Arc::clone(&self.transport),
            Arc::new(token.clone()),
            self.endpoints.clone(),
        )
    }

    /// Asks Entra, once, for an access token in exchange for the service account's.
    ///
    /// # Errors
    /// Why there is none, without any token in it.
    pub async fn exchange(&self, asked: &Asked<'_>) -> Result<Token, NoAccess> {
        let mut url = self.authority.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.clear()
                .push(&asked.tenant.to_string())
                .extend(["oauth2", "v2.0", "token"]);
        }
        let mut request = Request::new(url, Method::Post);
        request.insert_header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        request.insert_header(ACCEPT, "application/json");
        request.insert_header(USER_AGENT, PRODUCT);
        request.set_body(asked.form());
        let leave = match &self.gate {
            Some(gate) => Some(
                gate.pass(&[Budget::token_exchanges()])
                    .await
                    .map_err(|why| short(&why))?,
            ),
            None => None,
        };
        let Ok(sent) = timeout(LIMIT, self.send(&request)).await else {
            return Err(NoAccess::NotTried(format!(
                "no answer of {} within {} s",
                self.authority(),
                LIMIT.as_secs()
            )));
        };
        let Sent {
            status,
            retry_after,
            body,
        } = sent.map_err(|why| NoAccess::NotTried(format!("{}: {why}", self.authority())))?;
        if let Some(leave) = leave {
            leave.refused((status == 429).then(|| retry_after.unwrap_or_default()));
        }
        judge(status, &body)
    }

    async fn send(&self, request: &Request) -> Result<Sent, String> {
        let told = |error: azure_core::Error| without_tokens(&reasons(&error));
        let response = self.transport.execute_request(request).await.map_err(told)?;
        let (status, headers, body) = response.try_into_raw_response().await.map_err(told)?.deconstruct();
        Ok(Sent {
            status: u16::from(status),
            retry_after: retry_after(&headers),
            body: body.as_ref().to_vec(),
        })
    }
}

/// Why Entra is not asked now: the gate admits no more.
fn short(short: &BudgetShort) -> NoAccess {
    NoAccess::NotTried(format!("{} are spent for now", short.budget))
}

/// What an answer came to. Only what is in the form of Entra's errors is a refusal: a proxy may answer too.
fn judge(status: u16, body: &[u8]) -> Result<Token, NoAccess> {
    let answer: Answer = serde_json::from_slice(body).unwrap_or_default();
    match (status, answer) {
        (
            200..=299,
            Answer {
                access_token: Some(token),
                ..
            },
        ) => Ok(Token::from(token)),
        (400..=499, answer @ Answer { error: Some(_), .. }) if status != 429 => {
            Err(NoAccess::Refused(Refusal::from(answer)))
        }
        (_, answer) => {
            let said = Refusal::from(answer).message;
            let said = if said.is_empty() { said } else { format!(": {said}") };
            Err(NoAccess::NotTried(format!(
                "it was answered with {status}, and neither with a token nor with a refusal{said}"
            )))
        }
    }
}

// === impl Asked ===

impl Asked<'_> {
    /// <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow#third-case-access-token-request-with-a-federated-credential>
    fn form(&self) -> String {
        form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", &self.client.to_string())
            .append_pair("scope", self.scope)
            .append_pair(
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            )
            .append_pair("client_assertion", self.assertion.0.secret())
            .finish()
    }
}

// === impl Refusal ===

impl From<Answer> for Refusal {
    fn from(answer: Answer) -> Self {
        let whole = answer.error_description.or(answer.error).unwrap_or_default();
        // The ids of the request follow, each on its line.
        let words = whole.split(['\r', '\n']).next().unwrap_or_default();
        let words = words.split(" Trace ID:").next().unwrap_or_default();
        Self {
            code: answer.error_codes.first().copied().or_else(|| code_in(words)),
            message: without_tokens(words).trim().chars().take(MESSAGE_CHARS).collect(),
            trace_id: answer.trace_id,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

// === impl Token ===

impl Token {
    /// What it says of itself; none when it is no JSON Web Token. Whether it is true, whoever it is for looks at.
    #[must_use]
    pub fn claims(&self) -> Option<Claims> {
        claims(self.0.secret())
    }
}

impl From<String> for Token {
    fn from(text: String) -> Self {
        Self(Secret::new(text))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

#[async_trait]
impl TokenCredential for Token {
    async fn get_token(&self, _: &[&str], _: Option<TokenRequestOptions<'_>>) -> azure_core::Result<AccessToken> {
        let expires = self.claims().and_then(|claims| claims.expires);
        let expires = expires.and_then(|at| OffsetDateTime::from_unix_timestamp(at.as_second()).ok());
        let expires = expires.unwrap_or_else(|| OffsetDateTime::now_utc() + UNKNOWN_LIFETIME);
        Ok(AccessToken::new(self.0.clone(), expires))
    }
}
