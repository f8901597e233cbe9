//! [Conditions](https://learn.microsoft.com/azure/role-based-access-control/conditions-format) of role assignments, as far
//! as they are about which roles may be assigned to whom.

use crate::access::condition_tokens::{Source, Token, tokens};
use crate::access::patterns::covers;

/// What a condition is evaluated over. An attribute that is not there has no value, and no comparison with it holds.
#[derive(Debug, Default)]
pub(crate) struct Attempt<'a> {
    pub(crate) action: &'a str,
    /// Names such as `Microsoft.Authorization/roleAssignments:RoleDefinitionId`, and their values: what the body asks for.
    pub(crate) request: Vec<(&'static str, String)>,
    /// The same of the resource as it is.
    pub(crate) resource: Vec<(&'static str, String)>,
}

/// Whether the condition holds. One in words that are not known here never does.
pub(crate) fn holds(condition: &str, attempt: &Attempt<'_>) -> bool {
    let holds = |expression: &Expression<'_>| expression.is_known() && expression.holds(attempt);
    tokens(condition).is_some_and(|tokens| parsed(&tokens).is_some_and(|expression| holds(&expression)))
}

/// Whether Azure takes the condition, also one that is about more than is known here.
pub(crate) fn is_well_formed(condition: &str) -> bool {
    tokens(condition).is_some_and(|tokens| parsed(&tokens).is_some())
}

fn parsed<'a>(tokens: &[Token<'a>]) -> Option<Expression<'a>> {
    let (expression, rest) = any(tokens)?;
    rest.is_empty().then_some(expression)
}

#[derive(Debug)]
enum Expression<'a> {
    Any(Vec<Self>),
    All(Vec<Self>),
    Not(Box<Self>),
    Action(&'a str),
    Comparison {
        source: Source,
        attribute: &'a str,
        operator: Operator,
        every: bool,
        values: Vec<&'a str>,
    },
    /// What Azure evaluates and is not simulated.
    Other,
}

#[derive(Clone, Copy, Debug)]
enum Operator {
    Equals,
    EqualsIgnoreCase,
    NotEquals,
    NotEqualsIgnoreCase,
}

type Parsed<'a, 't> = Option<(Expression<'a>, &'t [Token<'a>])>;

fn any<'a, 't>(tokens: &'t [Token<'a>]) -> Parsed<'a, 't> {
    let (terms, rest) = joined(tokens, &["OR", "||"], all)?;
    Some((Expression::Any(terms), rest))
}

fn all<'a, 't>(tokens: &'t [Token<'a>]) -> Parsed<'a, 't> {
    let (terms, rest) = joined(tokens, &["AND", "&&"], term)?;
    Some((Expression::All(terms), rest))
}

fn joined<'a, 't>(
    tokens: &'t [Token<'a>],
    by: &[&str],
    part: fn(&'t [Token<'a>]) -> Parsed<'a, 't>,
) -> Option<(Vec<Expression<'a>>, &'t [Token<'a>])> {
    let (first, mut left) = part(tokens)?;
    let mut terms = vec![first];
    while let [Token::Word(word), rest @ ..] = left
        && by.iter().any(|by| word.eq_ignore_ascii_case(by))
    {
        let (next, rest) = part(rest)?;
        terms.push(next);
        left = rest;
    }
    Some((terms, left))
}

fn term<'a, 't>(tokens: &'t [Token<'a>]) -> Parsed<'a, 't> {
    match tokens {
        [Token::Not, rest @ ..] => {
            let (negated, rest) = term(rest)?;
            Some((Expression::Not(Box::new(negated)), rest))
        }
        [Token::Open, rest @ ..] => match any(rest)? {
            (inner, [Token::Close, rest @ ..]) => Some((inner, rest)),
            _ => None,
        },
        [Token::Word("ActionMatches"), Token::Values(patterns), rest @ ..] => match patterns.as_slice() {
            [pattern] => Some((Expression::Action(pattern), rest)),
            _ => None,
        },
        [Token::Word("SubOperationMatches"), Token::Values(_), rest @ ..]
        | [Token::Word("Exists" | "NotExists"), Token::Attribute(..), rest @ ..] => Some((Expression::Other, rest)),
        [
            Token::Attribute(source, attribute),
            Token::Word(word),
            Token::Values(values),
            rest @ ..,
        ] => {
            let Some((operator, every)) = Operator::parse(word) else {
                return Operator::is_other(word).then_some((Expression::Other, rest));
            };
            let comparison = Expression::Comparison {
                source: *source,
                attribute,
                operator,
                every,
                values: values.clone(),
            };
            Some((comparison, rest))
        }
        [
            Token::Attribute(..),
            Token::Word(word),
            Token::Attribute(..) | Token::Word(_),
            rest @ ..,
        ] if Operator::parse(word).is_some() || Operator::is_other(word) => Some((Expression::Other, rest)),
        _ => None,
    }
}

// === impl Operator ===

impl Operator {
    /// The operator, and whether it must hold for every value on the right rather than for any. On the left there is one.
    fn parse(word: &str) -> Option<(Self, bool)> {
        let (quantifier, operator) = word.split_once(':').unwrap_or(("ForAnyOfAnyValues", word));
        let every = match quantifier {
            "ForAnyOfAnyValues" | "ForAllOfAnyValues" => false,
            "ForAnyOfAllValues" | "ForAllOfAllValues" => true,
            _ => return None,
        };
        let operator = match operator {
            "StringEquals" => Self::Equals,
            "StringEqualsIgnoreCase" | "GuidEquals" => Self::EqualsIgnoreCase,
            "StringNotEquals" => Self::NotEquals,
            "StringNotEqualsIgnoreCase" | "GuidNotEquals" => Self::NotEqualsIgnoreCase,
            _ => return None,
        };
        Some((operator, every))
    }

    /// Whether it is an operator of Azure's that is not simulated.
    fn is_other(word: &str) -> bool {
        let (quantifier, operator) = word.split_once(':').unwrap_or(("ForAnyOfAnyValues", word));
        let with_quantifier = [
            "ForAnyOfAnyValues",
            "ForAllOfAnyValues",
            "ForAnyOfAllValues",
            "ForAllOfAllValues",
        ];
        let kinds = [
            "String",
            "Numeric",
            "DateTime",
            "TimeOfDay",
            "Bool",
            "Guid",
            "IpMatch",
            "IpNotMatch",
            "IpIn",
        ];
        with_quantifier.contains(&quantifier) && kinds.iter().any(|kind| operator.starts_with(kind))
    }

    fn holds(self, left: &str, right: &str) -> bool {
        match self {
            Self::Equals => left == right,
            Self::EqualsIgnoreCase => left.eq_ignore_ascii_case(right),
            Self::NotEquals => left != right,
            Self::NotEqualsIgnoreCase => !left.eq_ignore_ascii_case(right),
        }
    }
}

// === impl Expression ===

impl Expression<'_> {
    fn is_known(&self) -> bool {
        match self {
            Self::Any(terms) | Self::All(terms) => terms.iter().all(Self::is_known),
            Self::Not(term) => term.is_known(),
            Self::Action(_) => true,
            Self::Comparison { source, .. } => *source != Source::Other,
            Self::Other => false,
        }
    }

    fn holds(&self, attempt: &Attempt<'_>) -> bool {
        match self {
            Self::Any(terms) => terms.iter().any(|term| term.holds(attempt)),
            Self::All(terms) => terms.iter().all(|term| term.holds(attempt)),
            Self::Not(term) => !term.holds(attempt),
            Self::Action(pattern) => covers(pattern, attempt.action),
            Self::Other => false,
            Self::Comparison {
                source,
                attribute,
                operator,
                every,
                values,
            } => {
                let of = match source {
                    Source::Request => &attempt.request,
                    Source::Resource => &attempt.resource,
                    Source::Other => return false,
                };
                let found = of.iter().find(|(name, _)| name.eq_ignore_ascii_case(attribute));
                found.is_some_and(|(_, left)| {
                    let mut verdicts = values.iter().map(|right| operator.holds(left, right));
                    if *every {
                        verdicts.all(|holds| holds)
                    } else {
                        verdicts.any(|holds| holds)
                    }
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITE: &str = "Microsoft.Authorization/roleAssignments/write";
    const DELETE: &str = "Microsoft.Authorization/roleAssignments/delete";
    const ROLE: &str = "Microsoft.Authorization/roleAssignments:RoleDefinitionId";
    const TYPE: &str = "Microsoft.Authorization/roleAssignments:PrincipalType";
    const PULL: &str = "7f951dda-4ed3-4680-a7ca-43fe172d538d";
    const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";

    fn attributes(role: &str, principal_type: &str) -> Vec<(&'static str, String)> {
        vec![(ROLE, role.to_owned()), (TYPE, principal_type.to_owned())]
    }

    fn asks(role: &str, principal_type: &str) -> Attempt<'static> {
        Attempt {
            action: WRITE,
            request: attributes(role, principal_type),
            ..Attempt::default()
        }
    }

    fn deletes(role: &str, principal_type: &str) -> Attempt<'static> {
        Attempt {
            action: DELETE,
            resource: attributes(role, principal_type),
            ..Attempt::default()
        }
    }

    /// <https://learn.microsoft.com/azure/role-based-access-control/delegate-role-assignments-examples#example-constrain-acr-management>
    #[test]
    fn a_delegate_assigns_and_deletes_one_role_of_service_principals() {
        let condition = "
(
 (
  !(ActionMatches{'Microsoft.Authorization/roleAssignments/write'})
 )
 OR
 (
  @Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {7f951dda-4ed3-4680-a7ca-43fe172d538d}
  AND
  @Request[Microsoft.Authorization/roleAssignments:PrincipalType] ForAnyOfAnyValues:StringEqualsIgnoreCase {'ServicePrincipal'}
 )
)
AND
(
 (
  !(ActionMatches{'Microsoft.Authorization/roleAssignments/delete'})
 )
 OR
 (
  @Resource[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {7f951dda-4ed3-4680-a7ca-43fe172d538d}
  AND
  @Resource[Microsoft.Authorization/roleAssignments:PrincipalType] ForAnyOfAnyValues:StringEqualsIgnoreCase {'ServicePrincipal'}
 )
)";
        for attempt in [asks, deletes] {
            assert!(holds(condition, &attempt(PULL, "ServicePrincipal")));
            assert!(holds(condition, &attempt(&PULL.to_uppercase(), "serviceprincipal")));
            assert!(!holds(condition, &attempt(OWNER, "ServicePrincipal")));
            assert!(!holds(condition, &attempt(PULL, "User")));
        }
        let reads = Attempt {
            action: "Microsoft.Authorization/roleAssignments/read",
            ..Attempt::default()
        };
        assert!(holds(condition, &reads), "other actions are not limited");
        // What is written is in the request: what the resource has does not count.
        let disguised = Attempt {
            action: WRITE,
            ..deletes(PULL, "ServicePrincipal")
        };
        assert!(!holds(condition, &disguised));
        // The type is only known when the request says it.
        let mut silent = asks(PULL, "ServicePrincipal");
        silent.request.pop();
        assert!(!holds(condition, &silent));
    }

    #[test]
    fn a_value_is_unlike_all_or_like_any_of_a_list() {
        let condition = |operator: &str| format!("@Request[{ROLE}] {operator} {{{OWNER}, {PULL}}}");
        let reader = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
        let unlike_all = condition("ForAnyOfAllValues:GuidNotEquals");
        assert!(holds(&unlike_all, &asks(reader, "")) && !holds(&unlike_all, &asks(PULL, "")));
        let unlike_any = condition("ForAnyOfAnyValues:GuidNotEquals");
        assert!(holds(&unlike_any, &asks(PULL, "")));
        let like_any = condition("ForAnyOfAnyValues:GuidEquals");
        assert!(holds(&like_any, &asks(PULL, "")) && !holds(&like_any, &asks(reader, "")));
    }

    #[test]
    fn and_binds_closer_than_or() {
        let no = format!("@Request[{TYPE}] StringEquals 'no'");
        let yes = format!("@Request[{TYPE}] StringEquals 'yes'");
        let attempt = asks(PULL, "yes");
        assert!(holds(&format!("{yes} OR {no} AND {no}"), &attempt));
        assert!(!holds(&format!("({yes} || {no}) && {no}"), &attempt));
        assert!(holds(&format!("!({no})"), &attempt) && !holds(&format!("!{yes}"), &attempt));
    }

    #[test]
    fn what_is_not_simulated_is_well_formed_and_never_holds() {
        for other in [
            "@Resource[Microsoft.Storage/x:name] StringLike 'logs*'",
            "!(@Environment[Microsoft.Network/subnets] StringEqualsIgnoreCase 'x')",
            "SubOperationMatches{'Blob.List'} OR Exists @Request[Microsoft.Storage/x:prefix]",
            "@Principal[Microsoft.Directory/x:Project] StringEquals @Resource[Microsoft.Storage/x:Project]",
            "@Environment[isPrivateLink] BoolEquals true",
        ] {
            assert!(is_well_formed(other) && !holds(other, &asks(PULL, "yes")), "{other}");
        }
        for broken in [
            "",
            "(",
            "@Request[x] stringEquals 'foo'",
            "x",
            "@Request[x] StringEquals",
        ] {
            assert!(!is_well_formed(broken), "{broken}");
        }
    }

    #[test]
    fn what_cannot_be_read_never_holds() {
        let fine = format!("@Request[{TYPE}] StringEquals 'yes'");
        assert!(holds(&fine, &asks(PULL, "yes")));
        for broken in [
            String::new(),
            format!("({fine}"),
            format!("{fine})"),
            format!("{fine} {fine}"),
            format!("{fine} OR"),
            format!("{fine} OR SubOperationMatches{{'Blob.List'}}"),
            fine.replace("StringEquals", "StringLike"),
            fine.replace("StringEquals", "ForNoneOfAnyValues:StringEquals"),
            fine.replace("@Request", "@Environment"),
            fine.replace("'yes'", "'yes"),
            fine.replace("'yes'", "}"),
        ] {
            assert!(!holds(&broken, &asks(PULL, "yes")), "{broken}");
        }
    }
}
