//! `Retry-After`: how long an answer asks to wait.

use std::time::Duration;

use azure_core::http::headers::{HeaderName, Headers, RETRY_AFTER, RETRY_AFTER_MS, X_MS_RETRY_AFTER_MS};
use azure_core::time::{OffsetDateTime, parse_rfc7231};

const DATE: HeaderName = HeaderName::from_static("date");

/// How long an answer asks to wait, from the two headers in milliseconds that some resource providers send, or from
/// `Retry-After` in seconds or as a date. Nothing, zero, a past date and nonsense are all "not at all"; a number beyond
/// all bounds is the longest duration, which `disposition` shortens.
pub(crate) fn retry_after(headers: &Headers) -> Option<Duration> {
    let number = |name: HeaderName| headers.get_optional_str(&name).and_then(whole_number);
    let asked = number(X_MS_RETRY_AFTER_MS)
        .or_else(|| number(RETRY_AFTER_MS))
        .map(Duration::from_millis)
        .or_else(|| number(RETRY_AFTER).map(Duration::from_secs))
        .or_else(|| until(headers));
    asked.filter(|pause| !pause.is_zero())
}

fn whole_number(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// How long it is until the date in `Retry-After`, counted from the answer's own date, so that a clock that is wrong here or there does no harm.
fn until(headers: &Headers) -> Option<Duration> {
    let date = |name: HeaderName| parse_rfc7231(headers.get_optional_str(&name)?.trim()).ok();
    let asked: OffsetDateTime = date(RETRY_AFTER)?;
    let answered = date(DATE).unwrap_or_else(OffsetDateTime::now_utc);
    Duration::try_from(asked - answered).ok()
}

#[cfg(test)]
mod tests {
    use azure_core::time::to_rfc7231;

    use super::*;

    fn asked(headers: &[(&'static str, &'static str)]) -> Option<Duration> {
        let mut given = Headers::new();
        for (name, value) in headers {
            given.insert(*name, *value);
        }
        retry_after(&given)
    }

    #[test]
    fn it_is_read_in_every_form_that_azure_sends() {
        let seconds = |n| Some(Duration::from_secs(n));
        assert_eq!(asked(&[("retry-after", "17")]), seconds(17));
        assert_eq!(asked(&[("retry-after", " 17 ")]), seconds(17));
        assert_eq!(
            asked(&[("x-ms-retry-after-ms", "250")]),
            Some(Duration::from_millis(250))
        );
        assert_eq!(asked(&[("retry-after-ms", "1500")]), Some(Duration::from_millis(1500)));
        assert_eq!(
            asked(&[("retry-after", "17"), ("retry-after-ms", "250")]),
            Some(Duration::from_millis(250))
        );
        assert_eq!(asked(&[("retry-after", "17"), ("retry-after-ms", "soon")]), seconds(17));
    }

    #[test]
    fn a_date_is_counted_from_the_answers_own_date() {
        let late = ("retry-after", "Fri, 01 Jan 2021 00:02:00 GMT");
        assert_eq!(
            asked(&[late, ("date", "Fri, 01 Jan 2021 00:00:00 GMT")]),
            Some(Duration::from_mins(2))
        );
        assert_eq!(
            asked(&[late, ("date", "Fri, 01 Jan 2021 00:03:00 GMT")]),
            None,
            "it is past"
        );
        assert_eq!(asked(&[late]), None, "it is past by our clock");

        let mut headers = Headers::new();
        headers.insert(
            RETRY_AFTER,
            to_rfc7231(&(OffsetDateTime::now_utc() + Duration::from_hours(1))),
        );
        let pause = retry_after(&headers).unwrap();
        assert!(
            pause > Duration::from_mins(58) && pause <= Duration::from_hours(1),
            "{pause:?}"
        );
    }

    #[test]
    fn what_is_absent_or_nonsense_asks_for_nothing() {
        assert_eq!(asked(&[]), None);
        for text in ["", "0", "-5", "1.5", "+3", "soon", "Fri, 99 Jan 2021 00:00:00 GMT"] {
            assert_eq!(asked(&[("retry-after", text)]), None, "{text:?}");
        }
    }

    #[test]
    fn a_huge_one_is_the_longest_there_is() {
        assert_eq!(
            asked(&[("retry-after", "31536000001")]),
            Some(Duration::from_secs(31_536_000_001))
        );
        assert_eq!(
            asked(&[("retry-after", "99999999999999999999999")]),
            Some(Duration::from_secs(u64::MAX))
        );
        assert!(asked(&[("retry-after", "Fri, 31 Dec 9999 23:59:59 GMT")]).unwrap() > Duration::from_hours(24));
    }
}
