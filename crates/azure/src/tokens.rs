//! The operator's token for Azure: one cache, and one attempt at a time however many ask.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use azure_core::credentials::{AccessToken, Secret, TokenCredential};
use azure_core::time::OffsetDateTime;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, timeout};
use wio_core::names::ClientId;

use crate::jwt::{application, without_tokens};
use crate::send_error::reasons;

/// How long an attempt to get a token may take. The client of the instance metadata service alone would try for more
/// than 100 s.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(30);
/// How long before its end a token is renewed.
const RENEW_BEFORE: Duration = Duration::from_mins(5);
/// The pause between attempts to renew a token that is still good, and the age below which a rejected token is not
/// thrown away: another one, just as new, would be rejected too.
const SETTLE: Duration = Duration::from_secs(30);

/// The operator's token for Azure Resource Manager.
pub(crate) struct Tokens {
    credential: Arc<dyn TokenCredential>,
    scope: &'static str,
    held: RwLock<Option<CachedToken>>,
    failures: AtomicU64,
    attempting: Mutex<Option<Failure>>,
}

/// The last token that was obtained.
#[derive(Clone)]
struct CachedToken {
    token: AccessToken,
    obtained: Instant,
    issued_to: Option<ClientId>,
    rejected: bool,
}

/// The last attempt, where it failed.
struct Failure {
    number: u64,
    at: Instant,
    why: String,
}

// === impl Tokens ===

impl Tokens {
    pub(crate) fn new(credential: Arc<dyn TokenCredential>, scope: &'static str) -> Self {
        Self {
            credential,
            scope,
            held: RwLock::new(None),
            failures: AtomicU64::new(0),
            attempting: Mutex::new(None),
        }
    }

    /// Returns a token that is good now.
    ///
    /// # Errors
    /// Why there is none, without any secret.
    pub(crate) async fn get(&self) -> Result<Secret, String> {
        let held = self.held();
        if let Some(fresh) = held.as_ref().filter(|held| held.lasts(RENEW_BEFORE)) {
            return Ok(fresh.token.token.clone());
        }
        let Some(still_good) = held.filter(|held| held.lasts(Duration::ZERO)) else {
            return self.wait_for_one().await;
        };
        // While the old one is good nobody waits for another's attempt to renew it.
        let Ok(mut last) = self.attempting.try_lock() else {
            return Ok(still_good.token.token);
        };
        if last.as_ref().is_some_and(|failure| failure.at.elapsed() < SETTLE) {
            return Ok(still_good.token.token);
        }
        Ok(self.attempt(&mut last).await.unwrap_or(still_good.token.token))
    }

    async fn wait_for_one(&self) -> Result<Secret, String> {
        let failures_before = self.failures.load(Ordering::Acquire);
        let mut last = self.attempting.lock().await;
        if let Some(fresh) = self.held().filter(|held| held.lasts(RENEW_BEFORE)) {
            return Ok(fresh.token.token);
        }
        // An attempt that failed while we waited for it is our answer too. Otherwise each of many would make its own.
        match last.as_ref() {
            Some(failure) if failure.number > failures_before => Err(failure.why.clone()),
            _ => self.attempt(&mut last).await,
        }
    }

    async fn attempt(&self, last: &mut MutexGuard<'_, Option<Failure>>) -> Result<Secret, String> {
        let why = match timeout(ATTEMPT_LIMIT, self.credential.get_token(&[self.scope], None)).await {
            Ok(Ok(token)) => {
                let secret = token.token.clone();
                let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
                // A token that does not name the application does not make the operator another one.
                let before = held.as_ref().and_then(|held| held.issued_to);
                *held = Some(CachedToken {
                    issued_to: application(secret.secret()).or(before),
                    token,
                    obtained: Instant::now(),
                    rejected: false,
                });
                drop(held);
                **last = None;
                return Ok(secret);
            }
            Ok(Err(error)) => without_tokens(&reasons(&error)),
            Err(_) => format!("no answer within {} s", ATTEMPT_LIMIT.as_secs()),
        };
        let number = self.failures.fetch_add(1, Ordering::AcqRel) + 1;
        **last = Some(Failure {
            number,
            at: Instant::now(),
            why: why.clone(),
        });
        Err(why)
    }

    /// Azure rejected the token: the next request gets another one.
    pub(crate) fn rejected(&self, secret: &Secret) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = held.as_mut()
            && held.token.token == *secret
            && held.obtained.elapsed() >= SETTLE
        {
            held.rejected = true;
        }
    }

    /// The application that the last token was issued to that names one, also when Azure rejected it since: the operator is who it
    /// is.
    pub(crate) fn issued_to(&self) -> Option<ClientId> {
        self.held()?.issued_to
    }

    fn held(&self) -> Option<CachedToken> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

// === impl CachedToken ===

impl CachedToken {
    fn lasts(&self, how_long: Duration) -> bool {
        !self.rejected && self.token.expires_on > OffsetDateTime::now_utc() + how_long
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use async_trait::async_trait;
    use azure_core::Error;
    use azure_core::credentials::TokenRequestOptions;
    use azure_core::error::ErrorKind;
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;
    use tokio::sync::Notify;

    use super::*;

    /// Gives what it is told, when it is told.
    #[derive(Debug)]
    struct Scripted {
        asked: AtomicUsize,
        answers: std::sync::Mutex<Vec<Result<u64, &'static str>>>,
        go: Option<Notify>,
        token: fn(usize) -> String,
    }

    #[async_trait]
    impl TokenCredential for Scripted {
        async fn get_token(
            &self,
            scopes: &[&str],
            _: Option<TokenRequestOptions<'_>>,
        ) -> azure_core::Result<AccessToken> {
            assert_eq!(scopes, ["scope"]);
            let asked = self.asked.fetch_add(1, Ordering::SeqCst);
            if let Some(go) = &self.go {
                go.notified().await;
            }
            let next = self.answers.lock().unwrap().pop();
            match next {
                Some(Ok(seconds)) => {
                    let expires_on = OffsetDateTime::now_utc() + Duration::from_secs(seconds);
                    Ok(AccessToken::new((self.token)(asked), expires_on))
                }
                Some(Err(why)) => Err(Error::with_message(ErrorKind::Credential, why)),
                None => std::future::pending().await,
            }
        }
    }

    fn scripted(answers: &[Result<u64, &'static str>], go: Option<Notify>) -> (Arc<Scripted>, Tokens) {
        scripted_as(|asked| format!("token {asked}"), answers, go)
    }

    fn scripted_as(
        token: fn(usize) -> String,
        answers: &[Result<u64, &'static str>],
        go: Option<Notify>,
    ) -> (Arc<Scripted>, Tokens) {
        let answers = std::sync::Mutex::new(answers.iter().rev().copied().collect());
        let credential = Arc::new(Scripted {
            asked: AtomicUsize::new(0),
            answers,
            go,
            token,
        });
        let tokens = Tokens::new(Arc::clone(&credential) as Arc<dyn TokenCredential>, "scope");
        (credential, tokens)
    }

    async fn got(tokens: &Tokens) -> Result<String, String> {
        tokens.get().await.map(|secret| secret.secret().to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_asked_for_once_and_renewed_before_it_ends() {
        let (credential, tokens) = scripted(&[Ok(3600), Ok(3600)], None);
        assert_eq!(got(&tokens).await.unwrap(), "token 0");
        assert_eq!(got(&tokens).await.unwrap(), "token 0");
        let (_, tokens) = scripted(&[Ok(299), Ok(3600)], None);
        assert_eq!(got(&tokens).await.unwrap(), "token 0");
        assert_eq!(got(&tokens).await.unwrap(), "token 1");
        assert_eq!(credential.asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_that_fails_leaves_the_old_token_in_use_and_is_not_tried_at_once_again() {
        let (credential, tokens) = scripted(&[Ok(299), Err("Entra is down"), Ok(3600)], None);
        for _ in 0..3 {
            assert_eq!(got(&tokens).await.unwrap(), "token 0");
        }
        assert_eq!(credential.asked.load(Ordering::SeqCst), 2);
        tokio::time::advance(SETTLE).await;
        assert_eq!(got(&tokens).await.unwrap(), "token 2");
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_for_an_attempt_share_its_failure_and_the_next_one_tries_again() {
        let (credential, tokens) = scripted(&[Err("AADSTS700016: unknown"), Ok(3600)], Some(Notify::new()));
        let go = async {
            tokio::task::yield_now().await;
            credential.go.as_ref().unwrap().notify_one();
        };
        let (first, second, third, ()) = tokio::join!(got(&tokens), got(&tokens), got(&tokens), go);
        for shared in [first, second, third] {
            assert_eq!(shared.unwrap_err(), "AADSTS700016: unknown");
        }
        assert_eq!(credential.asked.load(Ordering::SeqCst), 1);
        credential.go.as_ref().unwrap().notify_one();
        assert_eq!(
            got(&tokens).await.unwrap(),
            "token 1",
            "permission came back, without a restart"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_hangs_ends() {
        let (_, tokens) = scripted(&[], None);
        assert_eq!(got(&tokens).await.unwrap_err(), "no answer within 30 s");
    }

    #[tokio::test(start_paused = true)]
    async fn a_rejected_token_is_replaced_unless_it_is_brand_new() {
        let (credential, tokens) = scripted(&[Ok(3600), Ok(3600)], None);
        let first = tokens.get().await.unwrap();
        tokens.rejected(&first);
        assert_eq!(
            got(&tokens).await.unwrap(),
            "token 0",
            "another one, just as new, would be rejected too"
        );
        tokio::time::advance(SETTLE).await;
        tokens.rejected(&first);
        assert_eq!(got(&tokens).await.unwrap(), "token 1");
        tokio::time::advance(SETTLE).await;
        tokens.rejected(&first);
        assert_eq!(
            got(&tokens).await.unwrap(),
            "token 1",
            "it was not this one that was rejected"
        );
        assert_eq!(credential.asked.load(Ordering::SeqCst), 2);
    }

    /// A token of the application that is numbered as the attempt is; that of the third one is no JSON Web Token.
    fn issued(asked: usize) -> String {
        let claims = format!(r#"{{"appid":"00000000-0000-0000-0000-00000000000{asked}"}}"#);
        match asked {
            3 => "opaque".to_owned(),
            _ => format!("e30.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode(claims)),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_known_to_whom_the_last_token_was_issued() {
        let answers = [Err("Entra is down"), Ok(299), Ok(3600), Ok(3600)];
        let (_, tokens) = scripted_as(issued, &answers, None);
        let client = |number| Some(ClientId::from(uuid::Uuid::from_u128(number)));
        assert_eq!(tokens.issued_to(), None, "there is no token yet");
        got(&tokens).await.unwrap_err();
        assert_eq!(tokens.issued_to(), None, "there is none still");
        tokens.get().await.unwrap();
        assert_eq!(tokens.issued_to(), client(1));
        let renewed = tokens.get().await.unwrap();
        assert_eq!(tokens.issued_to(), client(2), "it changes with the token");
        tokio::time::advance(SETTLE).await;
        tokens.rejected(&renewed);
        assert_eq!(
            tokens.issued_to(),
            client(2),
            "a rejected one was issued to somebody, too"
        );
        assert_eq!(got(&tokens).await.unwrap(), "opaque");
        assert_eq!(
            tokens.issued_to(),
            client(2),
            "the operator is who it was, though this one does not say it"
        );
    }
}
