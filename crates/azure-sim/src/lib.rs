//! A faithful simulator of Azure Resource Manager, managed identities and the Entra token endpoint.
