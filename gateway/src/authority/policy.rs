//! Policies of buckets: read, judged, and asked.
//!
//! A policy fails closed. What is not understood as a whole is refused when it is put, so that no statement of a policy
//! that stands is passed over; and what a condition asks for and nobody knows allows nothing, and denies.
//!
//! ```text
//! statement: effect + principals + actions + resources + conditions; it speaks where all of them fit
//! policy:    one that denies counts more than any that allow; where none speaks it is silent
//! ```

pub mod condition;

use s3s::{S3Error, S3ErrorCode, S3Result};
use serde_json::{Map, Value};

use self::condition::Condition;
use super::Identity;
use super::facts::{self, Facts};
use crate::names;

/// The longest policy: what S3 allows.
pub const POLICY_BYTES_MAX: usize = 20 * 1024;

/// What resources of S3 begin with.
const ARN: &str = "arn:aws:s3:::";

/// What a policy says to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    Silent,
    /// It may be.
    Allow,
    /// It may not be, whatever else allows it.
    Deny,
}

/// Whom a statement is about.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Principal {
    Everyone,
    /// A user's id.
    User(String),
    /// A user's access key.
    Key(String),
}

/// Patterns, and whether it is what fits none of them that is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Patterns {
    patterns: Vec<String>,
    inverted: bool,
}

impl Patterns {
    fn fit(&self, text: &str) -> bool {
        self.patterns.iter().any(|pattern| fits(pattern, text)) != self.inverted
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Statement {
    allows: bool,
    principals: Vec<Principal>,
    everyone_but: bool,
    actions: Patterns,
    resources: Patterns,
    conditions: Vec<Condition>,
}

/// A policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    statements: Vec<Statement>,
}

/// A refusal of a policy.
pub fn malformed(message: &str) -> S3Error {
    let message = names::xml_text(message.to_owned());
    let mut error = S3Error::with_message(S3ErrorCode::MalformedPolicy, message);
    error.set_status_code(http::StatusCode::BAD_REQUEST);
    error
}

/// Whether a text fits a pattern, in which `*` stands for any characters and `?` for one.
pub fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut read) = (0, 0);
    // Where the last star stood, and how much of the text it stands for so far.
    let mut star: Option<(usize, usize)> = None;
    while read < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, read));
                at += 1;
            }
            Some(&char) if char == '?' || char == text[read] => (at, read) = (at + 1, read + 1),
            _ => match &mut star {
                Some((begin, taken)) => {
                    *taken += 1;
                    (at, read) = (*begin + 1, *taken);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|char| *char == '*')
}

fn texts(value: &Value, what: &str) -> S3Result<Vec<String>> {
    let text = |value: &Value| match value {
        // Variables would have to be put in place of themselves, and are not.
        Value::String(text) if text.contains("${") => Err(malformed("Policy variables are not implemented.")),
        Value::String(text) => Ok(text.clone()),
        _ => Err(malformed(&format!("{what} must be a text or a list of texts."))),
    };
    match value {
        Value::Array(values) if !values.is_empty() => values.iter().map(text).collect(),
        Value::Array(_) => Err(malformed(&format!("{what} is empty."))),
        value => Ok(vec![text(value)?]),
    }
}

/// One of two members, of which exactly one must be there.
fn either(members: &mut Map<String, Value>, name: &str) -> S3Result<(Value, bool)> {
    match (members.remove(name), members.remove(&format!("Not{name}"))) {
        (Some(value), None) => Ok((value, false)),
        (None, Some(value)) => Ok((value, true)),
        _ => Err(malformed(&format!("A statement has either {name} or Not{name}."))),
    }
}

fn principals(value: &Value) -> S3Result<Vec<Principal>> {
    let named = match value {
        Value::String(text) if text == "*" => return Ok(vec![Principal::Everyone]),
        Value::Object(kinds) if !kinds.is_empty() => kinds,
        _ => return Err(malformed("Invalid principal in policy")),
    };
    let mut principals = Vec::new();
    for (kind, value) in named {
        for text in texts(value, "Principal")? {
            principals.push(match (kind.as_str(), text.as_str()) {
                ("AWS", "*") => Principal::Everyone,
                ("AWS" | "CanonicalUser", id) if is_user_id(id) => Principal::User(id.to_owned()),
                ("AWS", arn) if arn.starts_with("arn:aws:iam::") => {
                    let user = arn.split_once(":user/").map(|(_, user)| user).filter(|user| !user.contains('*'));
                    let user = user.ok_or_else(|| malformed("Invalid principal in policy"))?;
                    match is_user_id(user) {
                        true => Principal::User(user.to_owned()),
                        false => Principal::Key(user.to_owned()),
                    }
                }
                _ => return Err(malformed("Invalid principal in policy")),
            });
        }
    }
    Ok(principals)
}

fn is_user_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl Statement {
    fn parse(value: Value, bucket: &str) -> S3Result<Self> {
        let Value::Object(mut members) = value else { return Err(malformed("A statement must be an object.")) };
        if members.remove("Sid").is_some_and(|sid| !sid.is_string()) {
            return Err(malformed("Sid must be a text."));
        }
        let allows = match members.remove("Effect") {
            Some(Value::String(effect)) if effect == "Allow" => true,
            Some(Value::String(effect)) if effect == "Deny" => false,
            _ => return Err(malformed("Effect must be Allow or Deny.")),
        };
        let (principal, everyone_but) = either(&mut members, "Principal")?;
        if everyone_but && allows {
            return Err(malformed("Allow with NotPrincipal is not supported."));
        }
        let principals = principals(&principal)?;
        let (action, inverted) = either(&mut members, "Action")?;
        let mut actions = Patterns { patterns: Vec::new(), inverted };
        for action in texts(&action, "Action")? {
            let lower = action.to_ascii_lowercase();
            let name = if lower == "*" { Some("*") } else { lower.strip_prefix("s3:") };
            actions.patterns.push(name.ok_or_else(|| malformed("Policy has invalid action"))?.to_owned());
        }
        let (resource, inverted) = either(&mut members, "Resource")?;
        let mut resources = Patterns { patterns: Vec::new(), inverted };
        for resource in texts(&resource, "Resource")? {
            let pattern = if resource == "*" { Some("*") } else { resource.strip_prefix(ARN) };
            let pattern = pattern.ok_or_else(|| malformed("Policy has invalid resource"))?;
            if !fits(pattern.split('/').next().unwrap_or_default(), bucket) {
                return Err(malformed("Policy has invalid resource"));
            }
            resources.patterns.push(pattern.to_owned());
        }
        let conditions = members.remove("Condition").map_or(Ok(Vec::new()), |value| condition::parse(&value))?;
        match members.keys().next() {
            Some(name) => Err(malformed(&format!("Unknown field {name}"))),
            None => Ok(Self { allows, principals, everyone_but, actions, resources, conditions }),
        }
    }

    fn is_about(&self, identity: &Identity) -> bool {
        let is = |principal: &Principal| match (principal, identity) {
            (Principal::Everyone, _) => true,
            (Principal::User(named), Identity::User { id, .. }) => named.eq_ignore_ascii_case(id),
            (Principal::Key(named), Identity::User { access_key, .. }) => named == access_key,
            (_, Identity::Anonymous) => false,
        };
        self.principals.iter().any(is) != self.everyone_but
    }

    fn speaks(&self, identity: &Identity, action: &str, resource: &str, facts: &Facts<'_>) -> bool {
        self.is_about(identity)
            && self.actions.fit(&action.to_ascii_lowercase())
            && self.resources.fit(resource)
            && self.conditions.iter().all(|condition| condition.holds(facts).unwrap_or(!self.allows))
    }
}

impl Policy {
    /// Reads a policy of this bucket.
    pub fn parse(document: &str, bucket: &str) -> S3Result<Self> {
        if document.len() > POLICY_BYTES_MAX {
            return Err(malformed("Normalized policy document exceeds the maximum allowed size of 20480 bytes"));
        }
        let document: Value = serde_json::from_str(document)
            .map_err(|_| malformed("Policies must be valid JSON and the first byte must be '{'"))?;
        let Value::Object(mut members) = document else {
            return Err(malformed("Policies must be valid JSON and the first byte must be '{'"));
        };
        match members.remove("Version").as_ref().map(Value::as_str) {
            None | Some(Some("2012-10-17" | "2008-10-17")) => {}
            _ => return Err(malformed("The policy must contain a valid version string")),
        }
        if members.remove("Id").is_some_and(|id| !id.is_string()) {
            return Err(malformed("Id must be a text."));
        }
        let statements = match members.remove("Statement") {
            Some(Value::Array(statements)) if !statements.is_empty() => statements,
            Some(one @ Value::Object(_)) => vec![one],
            _ => return Err(malformed("Missing required field Statement")),
        };
        if let Some(name) = members.keys().next() {
            return Err(malformed(&format!("Unknown field {name}")));
        }
        let statements = statements.into_iter().map(|statement| Statement::parse(statement, bucket));
        Ok(Self { statements: statements.collect::<S3Result<_>>()? })
    }

    /// What it says to a request. `action` is without `s3:`, `resource` the bucket, or the bucket, a slash and the key.
    pub fn effect(&self, identity: &Identity, action: &str, resource: &str, facts: &Facts<'_>) -> Effect {
        let speaking = self.statements.iter().filter(|one| one.speaks(identity, action, resource, facts));
        speaking.fold(Effect::Silent, |effect, one| match (effect, one.allows) {
            (Effect::Deny, _) | (_, false) => Effect::Deny,
            (_, true) => Effect::Allow,
        })
    }

    /// Whether it might allow an action to somebody, whatever the resource and the conditions.
    pub fn may_allow(&self, identity: &Identity, action: &str) -> bool {
        let action = action.to_ascii_lowercase();
        self.statements.iter().any(|one| one.allows && one.is_about(identity) && one.actions.fit(&action))
    }

    /// Whether it allows anything to everybody, from wherever they come.
    pub fn is_public(&self) -> bool {
        let open = |one: &Statement| one.conditions.iter().all(|condition| !condition.is_of_one_place());
        self.statements.iter().any(|one| one.allows && one.principals.contains(&Principal::Everyone) && open(one))
    }

    /// Whether a condition asks for the tags of the object, so that they must be known.
    pub fn asks_for_tags(&self) -> bool {
        let mut conditions = self.statements.iter().flat_map(|one| &one.conditions);
        conditions.any(|condition| facts::is_of_object(condition.key()))
    }
}

#[cfg(test)]
mod tests;
