//! The domain, pure: names, validation, authorization, desired and observed state, plan, dispositions, status.
