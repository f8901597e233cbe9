//! What goes wrong, and what others change in Azure.

use wio_azure_sim::TagPolicy;
use wio_testkit::{Effect, Matcher, Verb};

use super::Player;
use crate::history::Cut;
use crate::plan::{Act, ApiEffect, ApiFault, Struck};
use crate::world::{ISSUERS, SUBSCRIPTION};

impl Player<'_> {
    pub(super) fn on_watches(&self, act: &Act) -> bool {
        let cluster = &self.world.cluster;
        match act {
            Act::LoseEvent(what) => cluster.lose_events(what, 1),
            Act::HoldEvents(what) => cluster.hold_events(what),
            Act::ReleaseEvents(what) => cluster.release_events(what),
            Act::Relist => {
                cluster.compact();
                cluster.expire_watches();
            }
            _ => cluster.break_watches(),
        }
        true
    }
    pub(super) fn say_issuer(&mut self, n: usize) -> bool {
        let Some(issuer) = ISSUERS.get(n).filter(|_| n != self.issuer) else {
            return false;
        };
        self.issuer = n;
        self.world.cluster.set_issuer(issuer);
        let at = self.world.elapsed();
        self.history.issuers.push((at, (*issuer).to_owned()));
        true
    }

    pub(super) fn on_azure(&self, act: &Act) -> bool {
        if matches!(act, Act::TagPolicy) {
            self.world.azure.reconfigure(|config| {
                config.tag_policies = vec![TagPolicy {
                    scope: format!("/subscriptions/{SUBSCRIPTION}"),
                    tag: "costcenter".to_owned(),
                    value: Some("42".to_owned()),
                }];
            });
            return true;
        }
        let mut done = false;
        self.world.change_azure(|azure| {
            if matches!(act, Act::LoseIdentity) {
                let ours = |name: &str| self.history.owners.iter().any(|owned| owned.identity == name);
                let at = azure.identities.iter().position(|identity| ours(&identity.id.name));
                done = at.map(|at| azure.identities.remove(at)).is_some();
                return;
            }
            for identity in &mut azure.identities {
                let at = identity
                    .credentials
                    .iter()
                    .position(|credential| self.history.owner(&credential.name).is_some());
                let Some(at) = at else { continue };
                if matches!(act, Act::LoseCredential) {
                    identity.credentials.remove(at);
                } else if let Some(credential) = identity.credentials.get_mut(at) {
                    credential.audiences = vec!["api://somebody-elses".to_owned()];
                }
                done = true;
                return;
            }
        });
        done
    }

    /// What Azure as a whole is like from now on.
    pub(super) fn on_cloud(&self, act: &Act) -> bool {
        let azure = &self.world.azure;
        match act {
            Act::Withdraw => ISSUERS.iter().for_each(|issuer| self.world.documents.withdraw(issuer)),
            Act::Unheard(by) => azure.reconfigure(|config| config.credential_propagation = *by),
            Act::Lag(by) => azure.reconfigure(|config| (config.list_lag, config.read_lag) = (*by, *by)),
            _ => self.world.publish(),
        }
        true
    }

    pub(super) fn on_connection(&mut self, cut: bool) -> bool {
        if !cut {
            let was = !self.cut.is_empty();
            self.cut.drain(..).for_each(|fault| fault.remove());
            if was {
                self.crash();
            }
            return was;
        }
        let Some(first) = self.first.as_ref().filter(|_| self.cut.is_empty()) else {
            return false;
        };
        let at = self.world.elapsed();
        self.history.cuts.push(Cut {
            life: first.life,
            at,
            until: at + first.lease,
        });
        let all = Matcher::any().client(&first.client);
        self.cut.push(self.world.cluster.inject(all, Effect::hang()));
        self.world.cluster.break_watches();
        true
    }

    pub(super) fn arm_api(&mut self, fault: &ApiFault, kind: String) {
        let struck = struck(fault.struck).skip(fault.skip).once();
        let effect = match fault.effect {
            ApiEffect::Status(403) => Effect::forbidden(),
            ApiEffect::Status(409) => Effect::conflict(),
            ApiEffect::Status(422) => Effect::status(422, "Invalid", "the object is invalid"),
            ApiEffect::Status(429) => Effect::too_many_requests(2),
            ApiEffect::Status(503) => Effect::unavailable(),
            ApiEffect::Status(_) => Effect::internal_error(),
            ApiEffect::Drop => Effect::connection_error(),
            ApiEffect::Hang | ApiEffect::Crash => Effect::hang(),
        };
        let effect = if fault.executed { effect.after_serving() } else { effect };
        let armed = self.world.cluster.inject(struck, effect);
        if fault.effect == ApiEffect::Crash {
            self.crashes.push((armed, kind));
        } else {
            self.faults.push((armed, kind));
        }
    }
}

fn struck(struck: Struck) -> Matcher {
    match struck {
        Struck::Writes => Matcher::writes(),
        Struck::Pods => Matcher::any().resource("pods").verb(Verb::List),
        Struck::Makers => Matcher::any().group("apps"),
        Struck::Restarts => Matcher::writes().group("apps"),
        Struck::Tokens => Matcher::any().resource("serviceaccounts").subresource("token"),
        Struck::ConfigMaps => Matcher::any().resource("configmaps"),
    }
}
