//! Azure Resource Manager and Entra: the one pipeline and the typed clients on it.
