//! What a person can do about an error of Azure or Kubernetes, in the imperative.

pub(crate) const BY_ITSELF: &str = "The operator tries again by itself";
pub(crate) const GIVE_ROLE: &str =
    "Give the operator's own identity a role that allows it; the operator tries again by itself";
pub(crate) const CHECK_CREDENTIALS: &str = "Check the operator's own credentials; it tries again by itself";
pub(crate) const DENY_ASSIGNMENT: &str =
    "No role helps against a deny assignment: have the operator's own identity excluded from it, or have it removed";
pub(crate) const OTHER_CLOUD: &str =
    "Correct the operator's setting of the Azure cloud, or of the endpoint of Azure Resource Manager";
pub(crate) const CHECK_PROXIES: &str =
    "Check the proxies between the operator and Azure: they must not change the headers of a request";
pub(crate) const AZURE_POLICY: &str = "Make the spec agree with that Azure Policy, or have an exemption made";
pub(crate) const LOCK: &str = "Have the lock removed; the operator tries again by itself";
pub(crate) const CREATE_GROUP: &str = "Create it, or correct the operator's configuration or the spec";
pub(crate) const GROUP_GOES: &str = "The operator waits until it is gone";
pub(crate) const CHECK_SUBSCRIPTION: &str = "Correct the subscription in the spec or in the operator's configuration, or \
                                             give the operator's own identity a role in it";
pub(crate) const ENABLE_SUBSCRIPTION: &str = "Have the subscription enabled again; the operator tries again by itself";
pub(crate) const OTHER_TENANT: &str = "Use a subscription of the operator's own tenant. One that was transferred a moment \
                                       ago is known in its new tenant within the hour";
pub(crate) const REGISTER_PROVIDER: &str = "Have it registered once: az provider register --namespace \
                                            Microsoft.ManagedIdentity --subscription <its id>; the operator tries again \
                                            by itself";
pub(crate) const OTHER_REGION: &str = "Federated credentials need an identity in another region";
pub(crate) const CHANGE_SPEC: &str = "Change what Azure objects to in the spec or in the operator's configuration";
pub(crate) const LOOKS_AGAIN: &str = "The operator looks again";
pub(crate) const REPLICATION: &str =
    "Azure can take four minutes to know a new identity everywhere; the operator tries again by itself";
pub(crate) const OTHER_WRITER: &str = "Somebody else changes the same identity; the operator tries again by itself";
pub(crate) const PRINCIPAL: &str = "Azure can take some minutes to know a new identity as one that can have roles; \
                                    the operator tries again by itself";
pub(crate) const ROLE_ACCESS: &str = "Give the operator's own identity a role that allows it, and whose condition \
                                      allows this role; the operator tries again by itself";
pub(crate) const ROLE_EXISTS: &str =
    "Somebody else assigned the same role; the operator leaves it as it is and looks again";
pub(crate) const ROLE_NAME: &str = "Another assignment has the name that is derived for this one; find out who made \
                                    it, and delete it";
pub(crate) const ROLE_LIMIT: &str = "Azure allows 4000 role assignments in a subscription; have some removed, or \
                                     assign the role at a wider scope";
pub(crate) const ROLE_SCOPE: &str = "Create it, or correct the scope in spec.roleAssignments";
pub(crate) const CHECK_RBAC: &str =
    "Check the operator's RBAC, quotas and admission webhooks; the operator tries again by itself";
