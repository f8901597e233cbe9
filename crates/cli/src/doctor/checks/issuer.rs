//! E: the issuer, clocks, and what went before.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use wio_api::ConditionType;
use wio_core::names::Issuer;

use super::super::facts::{Facts, Looked, Unseen, seen};
use super::super::finding::Verdict;
use super::super::words::{ago, counted, some};

/// Entra lets a token be this much too young or too old.
const TOLERATED: SignedDuration = SignedDuration::from_mins(5);
const NOTICED: SignedDuration = SignedDuration::from_secs(30);
const PRIVATE_IS_MEANT: &str = "WIO_ALLOW_PRIVATE_ISSUER";
const SHOW: &str = "kubectl get --raw /.well-known/openid-configuration";

pub(super) fn issuer(facts: &Facts) -> Looked<Verdict> {
    let discovery = seen(&facts.discovery)?;
    let issuer: Issuer = match discovery.issuer.parse() {
        Ok(issuer) => issuer,
        Err(_) => return Ok(Verdict::red(format!("{} is none that Entra takes", discovery.issuer)).fix(SHOW)),
    };
    if !discovery.algorithms.iter().any(|one| one == "RS256") {
        let signed = discovery.algorithms.join(", ");
        return Ok(
            Verdict::red(format!("tokens are signed with {signed}, and Entra takes RS256 alone"))
                .detail(discovery.issuer.clone())
                .fix(SHOW),
        );
    }
    let meant = facts
        .operator
        .settings
        .as_ref()
        .ok()
        .and_then(|settings| settings.get(PRIVATE_IS_MEANT));
    Ok(match issuer.unreachable() {
        None => Verdict::green(format!("{issuer}, with RS256")),
        Some(why) if meant.is_some_and(|meant| meant == "true") => {
            Verdict::yellow(format!("{issuer}: {why}; the operator's settings say that it is meant")).fix(SHOW)
        }
        Some(why) if has_ready_binding(facts, &discovery.issuer) => Verdict::yellow(format!(
            "{issuer}: {why}; bindings with it are ready, so the operator was told that it is meant"
        ))
        .fix(SHOW),
        Some(why) => Verdict::red(format!(
            "{issuer}: {why}, so no token of this cluster is good for Entra"
        ))
        .detail("on AKS:")
        .fix(facts.aks_update("--enable-oidc-issuer")),
    })
}

/// The operator has no binding ready with an issuer that Entra cannot reach, unless it was told to.
fn has_ready_binding(facts: &Facts, issuer: &str) -> bool {
    let mut recorded = facts.bindings.iter().flatten().filter_map(|one| one.status.as_ref());
    recorded.any(|status| {
        let ready = status.condition(ConditionType::Ready);
        status.issuer.as_deref() == Some(issuer) && ready.is_some_and(|ready| ready.status == "True")
    })
}

/// Entra compares byte for byte: a binding of another issuer gets no token.
pub(super) fn of_bindings(facts: &Facts) -> Looked<Verdict> {
    let issuer = &seen(&facts.discovery)?.issuer;
    let bindings = facts.own_bindings()?;
    let mut others: BTreeMap<&str, usize> = BTreeMap::new();
    let recorded = bindings
        .iter()
        .filter_map(|binding| binding.status.as_ref()?.issuer.as_deref());
    let mut same = 0;
    for recorded in recorded {
        if recorded == issuer {
            same += 1;
        } else {
            *others.entry(recorded).or_default() += 1;
        }
    }
    Ok(if others.is_empty() {
        Verdict::green(if same == 0 {
            "none has one yet".to_owned()
        } else {
            format!("that of the cluster, {}", counted(same, "binding"))
        })
    } else {
        let many: usize = others.values().sum();
        Verdict::red(format!(
            "{} another issuer than the cluster's, and Entra refuses their pods",
            have(many)
        ))
        .with_details(some(others.iter().map(|(issuer, count)| format!("{count}: {issuer}"))))
        .detail(format!("the cluster's: {issuer}"))
        .fix(SHOW)
        .fix("kubectl wib status --all-namespaces")
    })
}

fn have(bindings: usize) -> String {
    if bindings == 1 {
        "1 binding has".to_owned()
    } else {
        format!("{bindings} bindings have")
    }
}

/// A token says in the API server's time from when to when it is good, and Entra looks at its own clock. Whoever runs this is a third one, which only
/// stands in for Entra's where that was not asked.
pub(super) fn clock(facts: &Facts) -> Looked<Verdict> {
    clocks(facts.now, &facts.ahead, &facts.azure.ahead)
}

/// By how far the API server's and Entra's are ahead of the one here.
fn clocks(now: Timestamp, there: &Looked<SignedDuration>, entra: &Looked<SignedDuration>) -> Looked<Verdict> {
    let there = *seen(there)?;
    let (other, apart) = match entra {
        Ok(entra) => ("Entra's", (there - *entra).abs()),
        // What was to be asked and was not is no green.
        Err(Unseen::Unknown(why)) if there.abs() < NOTICED => return Err(Unseen::Unknown(why.clone())),
        Err(Unseen::Unknown(_) | Unseen::Nothing(_)) => ("the one here", there.abs()),
    };
    let says = format!("the API server's and {other} are {} apart", ago(apart));
    let of_entra = entra.as_ref().map(|ahead| format!(", Entra {}", now + *ahead));
    let all = format!("here {now}, API server {}{}", now + there, of_entra.unwrap_or_default());
    Ok(if apart >= TOLERATED {
        Verdict::red(format!(
            "{says}: Entra tolerates 5 min between a token and its own clock"
        ))
        .detail(all)
        .fix("timedatectl status")
    } else if apart >= NOTICED {
        Verdict::yellow(says).detail(all).fix("timedatectl status")
    } else {
        Verdict::green(says)
    })
}

pub(super) fn pod_identity(facts: &Facts) -> Looked<Verdict> {
    let found = seen(&facts.pod_identity)?;
    Ok(if found.is_empty() {
        Verdict::green("not there")
    } else {
        Verdict::yellow(
            "it is still there: Microsoft retired it, and its node agent answers for the instance metadata service",
        )
        .with_details(found.iter().cloned())
        .fix("kubectl get azureidentities,azureidentitybindings --all-namespaces")
        .fix(facts.aks_update("--disable-pod-identity"))
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::finding::Level;
    use super::*;

    #[test]
    fn entras_clock_counts_where_it_was_asked_and_else_the_one_here() {
        let ahead = |seconds| Ok(SignedDuration::from_secs(seconds));
        let nothing = || Err(Unseen::nothing("not asked"));
        let unknown = || Err(Unseen::from("no answer"));
        for (there, entra, level, says) in [
            (ahead(0), nothing(), Some(Level::Green), "the one here are 0 s"),
            (ahead(-31), nothing(), Some(Level::Yellow), "the one here are 31 s"),
            (ahead(300), nothing(), Some(Level::Red), "Entra tolerates"),
            // The one here is wrong alone.
            (ahead(900), ahead(899), Some(Level::Green), "Entra's are 1 s"),
            // The API server's is, and the one here with it.
            (ahead(0), ahead(-301), Some(Level::Red), "Entra's are 5 min"),
            (ahead(0), unknown(), None, ""),
            (ahead(400), unknown(), Some(Level::Red), "the one here"),
            (nothing(), ahead(0), None, ""),
        ] {
            let found = clocks(Timestamp::UNIX_EPOCH, &there, &entra);
            assert_eq!(
                found.as_ref().ok().map(|found| found.level),
                level,
                "{there:?} {entra:?}"
            );
            assert!(
                found.is_err() || found.is_ok_and(|found| found.says.contains(says)),
                "{says}"
            );
        }
    }
}
