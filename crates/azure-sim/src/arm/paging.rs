//! Lists in pages.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::answer::{Answer, Outcome};
use crate::arm::call::Call;

const SKIP_TOKEN: &str = "$skiptoken";

// === impl Call ===

impl Call<'_> {
    /// The page that the caller asks for. The entries come in the order of their keys; the token of the next page names
    /// the last key of this one, so that entries that come or go meanwhile shift nothing.
    pub(super) fn page(&self, entries: impl Iterator<Item = (String, Value)>) -> Outcome<Answer> {
        let size = self.page_size()?;
        let after = self.incoming.query(SKIP_TOKEN).map(read_token).transpose()?;
        let mut entries = entries
            .filter(|(key, _)| after.as_ref().is_none_or(|after| key > after))
            .peekable();
        let (mut value, mut last) = (Vec::new(), String::new());
        while value.len() < size
            && let Some((key, entry)) = entries.next()
        {
            value.push(entry);
            last = key;
        }
        let mut body = json!({ "value": value });
        if entries.peek().is_some()
            && let Some(object) = body.as_object_mut()
        {
            object.insert("nextLink".to_owned(), self.next_link(&last).into());
        }
        Ok(Answer::ok(body))
    }

    fn page_size(&self) -> Outcome<usize> {
        let most = self.config.page_size.max(1);
        let Some(top) = self.incoming.query("$top") else {
            return Ok(most);
        };
        match top.parse::<usize>() {
            Ok(top) if top > 0 => Ok(top.min(most)),
            _ => Err(Answer::bad_request(
                "InvalidQueryParameter",
                format!("The $top value '{top}' is invalid."),
            )),
        }
    }

    fn next_link(&self, last: &str) -> String {
        let others = self.incoming.raw_query.split('&').filter(|pair| {
            let name = pair.split('=').next().unwrap_or_default();
            !percent_decode_str(name)
                .decode_utf8_lossy()
                .eq_ignore_ascii_case(SKIP_TOKEN)
        });
        let token = format!("%24skiptoken={}", BASE64_URL_SAFE_NO_PAD.encode(last));
        let query: Vec<&str> = others.chain([token.as_str()]).collect();
        self.link(&self.incoming.path, &query.join("&"))
    }
}

fn read_token(token: &str) -> Outcome<String> {
    let decoded = BASE64_URL_SAFE_NO_PAD
        .decode(token)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.ok_or_else(|| Answer::bad_request("InvalidSkipToken", format!("The skip token '{token}' is invalid.")))
}
