//! Who may do what in Kubernetes: the one table from which `config` and the chart come.

use std::fmt::Write;

/// A ClusterRole, or a Role.
#[derive(Debug)]
pub(crate) struct Role {
    pub(crate) name: &'static str,
    pub(crate) reach: Reach,
    /// What it is for.
    pub(crate) purpose: &'static str,
    /// The built-in ClusterRoles that take its permissions in.
    pub(crate) aggregated_to: &'static [&'static str],
    pub(crate) permissions: &'static [Permission],
}

/// Where a role holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// In the whole cluster, or wherever it is bound.
    Cluster,
    /// In the operator's own namespace alone.
    OwnNamespace,
}

/// One rule of a role.
#[derive(Debug)]
pub(crate) struct Permission {
    /// Why it is needed.
    pub(crate) reason: &'static str,
    pub(crate) group: &'static str,
    pub(crate) resource: &'static str,
    /// The objects to which it is limited; all when empty.
    pub(crate) names: &'static [&'static str],
    pub(crate) verbs: &'static [&'static str],
}

/// The Lease of the election.
const LEASE: &str = wio_api::keys::FIELD_MANAGER;

/// The operator's namespace in `config`.
const NAMESPACE: &str = "workload-identity-system";

/// Every role.
pub(crate) const ROLES: &[Role] = &[
    Role {
        name: "workload-identity-operator",
        reach: Reach::Cluster,
        purpose: "What the operator itself may do in the whole cluster: it reads everything that it decides by. It writes bindings here, and not only where it acts: \
                  when a namespace is deleted a RoleBinding there goes first, and nobody could take the finalizers off the bindings any more.",
        aggregated_to: &[],
        permissions: &[
            Permission {
                reason: "It follows bindings, reads one again before it gives something, and sets and removes its finalizer.",
                group: wio_api::GROUP,
                resource: "workloadidentitybindings",
                names: &[],
                verbs: &["get", "list", "watch", "patch"],
            },
            Permission {
                reason: "It says in the status what works and what does not.",
                group: wio_api::GROUP,
                resource: "workloadidentitybindings/status",
                names: &[],
                verbs: &["patch"],
            },
            Permission {
                reason: "What bindings may have, policies say.",
                group: wio_api::GROUP,
                resource: "workloadidentitypolicies",
                names: &[],
                verbs: &["list", "watch"],
            },
            Permission {
                reason: "It says in their status whether it decides by them, and what of them cannot be used.",
                group: wio_api::GROUP,
                resource: "workloadidentitypolicies/status",
                names: &[],
                verbs: &["patch"],
            },
            Permission {
                reason: "It merges the policies for admission, and writes that again when somebody changed it.",
                group: wio_api::GROUP,
                resource: "workloadidentityeffectivepolicies",
                names: &[],
                verbs: &["list", "watch", "create", "patch"],
            },
            Permission {
                reason: "Before it takes anything away it looks whether a definition, and so all its objects, is being deleted.",
                group: "apiextensions.k8s.io",
                resource: "customresourcedefinitions",
                names: &[
                    "workloadidentitybindings.workloadidentity.dev",
                    "workloadidentitypolicies.workloadidentity.dev",
                ],
                verbs: &["get"],
            },
            Permission {
                reason: "It follows those that are bound, and reads one before it writes it or lets go of it.",
                group: "",
                resource: "serviceaccounts",
                names: &[],
                verbs: &["get", "list", "watch"],
            },
            Permission {
                reason: "The UID of this namespace is the cluster's id, which names in Azure carry.",
                group: "",
                resource: "namespaces",
                names: &["kube-system"],
                verbs: &["get"],
            },
            Permission {
                reason: "Policies select namespaces by their labels. It reads no more of them than their metadata.",
                group: "",
                resource: "namespaces",
                names: &[],
                verbs: &["list", "watch"],
            },
        ],
    },
    Role {
        name: "workload-identity-operator-accounts",
        reach: Reach::Cluster,
        purpose: "What the operator writes in the namespaces of bindings. Where it acts in some namespaces alone (watchNamespaces of the chart) it has this, and each \
                  of the four roles below that is wanted, in those.",
        aggregated_to: &[],
        permissions: &[Permission {
            reason: "It annotates bound service accounts, creates missing ones, and deletes those that it created.",
            group: "",
            resource: "serviceaccounts",
            names: &[],
            verbs: &["create", "patch", "delete"],
        }],
    },
    Role {
        name: "workload-identity-operator-events",
        reach: Reach::Cluster,
        purpose: "How the operator tells of what happens: of a binding in its namespace, of a policy in default, as Kubernetes does with what is the cluster's.",
        aggregated_to: &[],
        permissions: &[Permission {
            reason: "It reports transitions of bindings and policies.",
            group: "events.k8s.io",
            resource: "events",
            names: &[],
            verbs: &["create", "patch"],
        }],
    },
    Role {
        name: "workload-identity-operator-exports",
        reach: Reach::Cluster,
        purpose: "What the operator needs besides where bindings export ids into ConfigMaps (spec.export). Nobody has it before config/exports, or exports.enabled of \
                  the chart, binds it: names of ConfigMaps are the users' to choose, so it holds for all of them.",
        aggregated_to: &[],
        permissions: &[Permission {
            reason: "It writes the ids of an identity into the ConfigMap that its binding names, reads that one for it, and deletes it.",
            group: "",
            resource: "configmaps",
            names: &[],
            verbs: &["get", "create", "patch", "delete"],
        }],
    },
    Role {
        name: "workload-identity-operator-verification",
        reach: Reach::Cluster,
        purpose: "What the operator needs besides where the readiness of bindings is proven (spec.verification). Nobody has it before config/verification, or \
                  verification.enabled of the chart, binds it: with it tokens of every service account can be minted.",
        aggregated_to: &[],
        permissions: &[Permission {
            reason: "It mints a token of a bound service account, exchanges it with Microsoft Entra, and throws it away.",
            group: "",
            resource: "serviceaccounts/token",
            names: &[],
            verbs: &["create"],
        }],
    },
    Role {
        name: "workload-identity-operator-workloads",
        reach: Reach::Cluster,
        purpose: "What the operator needs besides where it looks at pods (--workloads). Nobody has it before config/workloads, or workloads.enabled of the \
                  chart, binds it: a pod's variables may hold what its owner would not show.",
        aggregated_to: &[],
        permissions: &[Permission {
            reason: "It tells in status.workloads which pods of bound service accounts have a token. It watches none.",
            group: "",
            resource: "pods",
            names: &[],
            verbs: &["list"],
        }],
    },
    Role {
        name: "workload-identity-operator-rollouts",
        reach: Reach::Cluster,
        purpose: "What the operator needs besides where it restarts owners of pods that lack their token (spec.rollout, --rollouts). Nobody has it before \
                  config/rollouts, or rollouts.enabled of the chart, binds it, with a rule of admission that lets it change one annotation of pod templates and \
                  nothing else.",
        aggregated_to: &[],
        permissions: &[
            Permission {
                reason: "It reads whether a restart would help, and annotates the pod template.",
                group: "apps",
                resource: "deployments",
                names: &[],
                verbs: &["get", "patch"],
            },
            Permission {
                reason: "The same.",
                group: "apps",
                resource: "statefulsets",
                names: &[],
                verbs: &["get", "patch"],
            },
            Permission {
                reason: "The same.",
                group: "apps",
                resource: "daemonsets",
                names: &[],
                verbs: &["get", "patch"],
            },
            Permission {
                reason: "Which Deployment a pod is of, its ReplicaSet says.",
                group: "apps",
                resource: "replicasets",
                names: &[],
                verbs: &["get"],
            },
        ],
    },
    Role {
        name: "workload-identity-operator-election",
        reach: Reach::OwnNamespace,
        purpose: "How the replicas of the operator elect one that leads.",
        aggregated_to: &[],
        permissions: &[
            Permission {
                reason: "Whoever leads renews the lease, and whoever stands by sees when it ends. It is replaced as a whole, so that of two who take it one is refused.",
                group: "coordination.k8s.io",
                resource: "leases",
                names: &[LEASE],
                verbs: &["get", "list", "watch", "update"],
            },
            Permission {
                reason: "The first one makes it. RBAC cannot limit a creation to a name.",
                group: "coordination.k8s.io",
                resource: "leases",
                names: &[],
                verbs: &["create"],
            },
        ],
    },
    Role {
        name: "workload-identity-operator-view",
        reach: Reach::Cluster,
        purpose: "Whoever may view a namespace may view its bindings; edit and admin take view in.",
        aggregated_to: &["view"],
        permissions: &[
            Permission {
                reason: "A binding holds no secret.",
                group: wio_api::GROUP,
                resource: "workloadidentitybindings",
                names: &[],
                verbs: &["get", "list", "watch"],
            },
            Permission {
                reason: "For tools that read the status alone.",
                group: wio_api::GROUP,
                resource: "workloadidentitybindings/status",
                names: &[],
                verbs: &["get"],
            },
        ],
    },
    Role {
        name: "workload-identity-operator-policy-view",
        reach: Reach::Cluster,
        purpose: "Whoever may view all namespaces may view the policies. A RoleBinding gives nothing of the cluster's, so tenants \
                  get it by a ClusterRoleBinding of this role. Nobody but cluster administrators writes policies.",
        aggregated_to: &["view"],
        permissions: &[
            Permission {
                reason: "A policy holds no secret, and says what a binding may have.",
                group: wio_api::GROUP,
                resource: "workloadidentitypolicies",
                names: &[],
                verbs: &["get", "list", "watch"],
            },
            Permission {
                reason: "For tools that read the status alone.",
                group: wio_api::GROUP,
                resource: "workloadidentitypolicies/status",
                names: &[],
                verbs: &["get"],
            },
            Permission {
                reason: "What the operator made of them, and what of them cannot be used.",
                group: wio_api::GROUP,
                resource: "workloadidentityeffectivepolicies",
                names: &[],
                verbs: &["get", "list", "watch"],
            },
        ],
    },
    Role {
        name: "workload-identity-operator-edit",
        reach: Reach::Cluster,
        purpose: "Whoever may edit a namespace may edit its bindings; what a binding may get, policies decide.",
        aggregated_to: &["edit", "admin"],
        permissions: &[Permission {
            reason: "The status stays the operator's.",
            group: wio_api::GROUP,
            resource: "workloadidentitybindings",
            names: &[],
            verbs: &["create", "update", "patch", "delete", "deletecollection"],
        }],
    },
];

/// The roles as YAML documents, with reasons as comments.
pub(crate) fn yaml(roles: &[Role]) -> String {
    let documents: Vec<String> = roles.iter().map(role).collect();
    documents.join("---\n")
}

fn role(role: &Role) -> String {
    let (kind, namespace) = match role.reach {
        Reach::Cluster => ("ClusterRole", String::new()),
        Reach::OwnNamespace => ("Role", format!("  namespace: {NAMESPACE}\n")),
    };
    let mut text = format!(
        "# {}\napiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\nmetadata:\n  name: {}\n{namespace}  labels:\n    \
         app.kubernetes.io/name: workload-identity-operator\n",
        role.purpose, role.name
    );
    for target in role.aggregated_to {
        let _ = writeln!(text, "    rbac.authorization.k8s.io/aggregate-to-{target}: \"true\"");
    }
    text += "rules:\n";
    for permission in role.permissions {
        let group = if permission.group.is_empty() {
            "\"\""
        } else {
            permission.group
        };
        let _ = write!(
            text,
            "  # {}\n  - apiGroups: [{group}]\n    resources: [{}]\n",
            permission.reason, permission.resource
        );
        if !permission.names.is_empty() {
            let _ = writeln!(text, "    resourceNames: [{}]", permission.names.join(", "));
        }
        let _ = writeln!(text, "    verbs: [{}]", permission.verbs.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operator() -> &'static Role {
        ROLES
            .iter()
            .find(|role| role.name == "workload-identity-operator")
            .unwrap()
    }

    /// Its roles that hold in other namespaces than its own.
    fn operators() -> impl Iterator<Item = &'static Role> {
        ROLES
            .iter()
            .filter(|role| role.aggregated_to.is_empty() && role.reach == Reach::Cluster)
    }

    const VERIFICATION: &str = "workload-identity-operator-verification";
    const READS: [&str; 3] = ["get", "list", "watch"];

    #[test]
    fn what_it_may_write_in_the_whole_cluster_is_of_its_own_kinds() {
        let written: Vec<_> = operator()
            .permissions
            .iter()
            .filter(|permission| !permission.verbs.iter().all(|verb| READS.contains(verb)))
            .collect();
        assert_eq!(written.len(), 4);
        assert!(
            written.iter().all(|permission| permission.group == wio_api::GROUP),
            "{written:?}"
        );
    }

    #[test]
    fn tokens_are_minted_by_a_role_that_has_no_other_right_and_that_nothing_takes_in() {
        let role = ROLES.iter().find(|role| role.name == VERIFICATION).unwrap();
        assert!(role.aggregated_to.is_empty());
        let rights: Vec<_> = role
            .permissions
            .iter()
            .map(|right| (right.group, right.resource, right.verbs))
            .collect();
        assert_eq!(rights, [("", "serviceaccounts/token", &["create"][..])]);
    }

    #[test]
    fn no_role_has_a_wildcard_a_secret_or_a_way_to_more() {
        // Minting tokens is a way to more: it is of a role that nobody has before somebody binds it.
        let others = ROLES.iter().filter(|role| role.name != VERIFICATION);
        for permission in others.flat_map(|role| role.permissions) {
            for word in [permission.group, permission.resource].iter().chain(permission.verbs) {
                assert!(!word.contains('*'), "{permission:?}");
                assert!(
                    !["secrets", "escalate", "bind", "impersonate", "serviceaccounts/token"].contains(word),
                    "{permission:?}"
                );
            }
            assert!(
                !permission.verbs.is_empty() && permission.reason.ends_with('.'),
                "{permission:?}"
            );
        }
    }

    #[test]
    fn the_operator_replaces_no_object_but_its_own_lease() {
        // Everything else that it writes is an apply or a patch of its own fields.
        assert!(
            operators()
                .flat_map(|role| role.permissions)
                .all(|permission| !permission.verbs.contains(&"update"))
        );
        let elects = ROLES.iter().filter(|role| role.reach == Reach::OwnNamespace);
        for permission in elects.flat_map(|role| role.permissions) {
            assert_eq!(permission.resource, "leases");
            assert!(
                permission.names == [LEASE] || permission.verbs == ["create"],
                "{permission:?}"
            );
        }
    }

    #[test]
    fn the_operator_changes_no_namespace_and_no_policy() {
        for resource in ["namespaces", "workloadidentitypolicies"] {
            let verbs: Vec<&str> = operators()
                .flat_map(|role| role.permissions)
                .filter(|permission| permission.resource == resource)
                .flat_map(|permission| permission.verbs)
                .copied()
                .collect();
            assert!(!verbs.is_empty(), "{resource}");
            assert!(verbs.iter().all(|verb| READS.contains(verb)), "{resource}: {verbs:?}");
        }
    }

    #[test]
    fn nobody_is_given_the_right_to_write_policies_and_only_the_operator_merges_them() {
        for role in ROLES {
            for permission in role
                .permissions
                .iter()
                .filter(|it| it.resource.ends_with("effectivepolicies"))
            {
                assert!(role.name == operator().name || permission.verbs == READS, "{role:?}");
            }
        }
        for permission in ROLES.iter().flat_map(|role| role.permissions) {
            let reads = permission.verbs.iter().all(|verb| READS.contains(verb));
            assert!(
                reads || permission.resource != "workloadidentitypolicies",
                "{permission:?}"
            );
        }
    }

    #[test]
    fn people_get_what_the_built_in_roles_take_in() {
        let aggregated: Vec<&str> = ROLES.iter().flat_map(|role| role.aggregated_to).copied().collect();
        assert_eq!(aggregated, ["view", "view", "edit", "admin"]);
        assert_eq!(operators().count(), 7);
    }

    #[test]
    fn a_role_is_written_with_its_reasons() {
        let text = yaml(&[Role {
            name: "reader",
            reach: Reach::Cluster,
            purpose: "To read.",
            aggregated_to: &["view"],
            permissions: &[Permission {
                reason: "Because.",
                group: "",
                resource: "pods",
                names: &["one", "two"],
                verbs: &["get", "list"],
            }],
        }]);
        assert_eq!(
            text,
            "# To read.\n\
             apiVersion: rbac.authorization.k8s.io/v1\n\
             kind: ClusterRole\n\
             metadata:\n  \
               name: reader\n  \
               labels:\n    \
                 app.kubernetes.io/name: workload-identity-operator\n    \
                 rbac.authorization.k8s.io/aggregate-to-view: \"true\"\n\
             rules:\n  \
               # Because.\n  \
               - apiGroups: [\"\"]\n    \
                 resources: [pods]\n    \
                 resourceNames: [one, two]\n    \
                 verbs: [get, list]\n"
        );
    }
}
